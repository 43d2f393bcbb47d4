"""GET of componentstatuses: the one kind that is neither stored nor reviewed; it tells whether
the store answers.

Deprecated since 1.19, but `kubectl get cs` is still typed. Other components are not kapi's to
ask."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi import errors
from kapi.handlers.respond import Responder
from kapi.handlers.shapes import TABLE
from kapi.handlers.target import Target
from kapi.messages import Request, Response
from kapi.registry import list_options
from kapi.registry.listing import Page

Json = dict[str, Any]
STORE = "etcd-0"  # the name the real server gives its first store


class ComponentStatusHandler:
    def __init__(self, respond: Responder, healthy: Callable[[], bool]) -> None:
        self._respond = respond
        self._healthy = healthy

    def _status(self, *, listed: bool) -> Json:
        well = self._healthy()
        condition = {"type": "Healthy", "status": "True" if well else "False"}
        condition["message" if well else "error"] = "ok" if well else "the store does not answer"
        obj: Json = {"metadata": {"name": STORE}, "conditions": [condition]}
        return obj if listed else {"kind": "ComponentStatus", "apiVersion": "v1", **obj}

    async def get(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        if target.name != STORE:
            raise errors.not_found("", "componentstatus", target.name)
        return self._respond.object(request, target, self._status(listed=False), accepted)

    async def list(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        if accepted.as_kind not in ("", TABLE):
            accepted = self._respond.negotiate(request, transforms=False, target=target)
        options = list_options.parse(request.query, target.resource)
        items = [self._status(listed=True)]
        if not options.labels.matches({}) or not options.fields.matches({"metadata.name": STORE}):
            items = []
        if accepted.as_kind == TABLE and items:
            return self._respond.object(request, target, items[0], accepted)
        if accepted.as_kind:
            return self._respond.page(request, target, Page((), 0), accepted)
        listed = {
            "kind": "ComponentStatusList",
            "apiVersion": "v1",
            "metadata": {},
            "items": items,
        }
        return self._respond.status(request, listed, accepted, 200)
