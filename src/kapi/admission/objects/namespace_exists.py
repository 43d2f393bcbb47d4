"""NamespaceExists: nothing is written into a namespace that is not there.

NamespaceLifecycle checks the same and more; this one is for servers without it.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#namespaceexists
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]


class NamespaceExists:
    name = "NamespaceExists"

    def __init__(self, namespaces: Lister, live: Live) -> None:
        self._namespaces = namespaces
        self._live = live

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation != "CONNECT" and (group, resource) != ("", "namespaces")

    async def validate(self, attributes: Attributes) -> None:
        name = attributes.namespace
        if not name or self._namespaces.get("", name) is not None:
            return
        if await self._live("namespaces", "", name) is None:
            raise errors.not_found("", "namespaces", name)
