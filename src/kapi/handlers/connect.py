"""Log, exec, attach, port-forward and proxy: what can be answered until a node's kubelet is there
to connect to.

The parameters are checked as the real server does; a pod without a node gets the real refusal.
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.handlers.decode import Json
from kapi.handlers.target import Target
from kapi.messages import Query, Request, Response
from kapi.registry.read import Reader
from kapi.schema.scalars import parse_time


class ConnectHandlers:
    """One method per subresource; all verbs of one answer alike."""

    def __init__(self, reader: Reader) -> None:
        self._reader = reader

    async def _object(self, target: Target, name: str) -> Json:
        item = await self._reader.get(target.resource, target.namespace, name, Query(""))
        return item.object()

    async def log(self, request: Request, target: Target) -> Response:
        _check_log_options(target.name, request.query)
        pod = await self._object(target, target.name)
        container = _container(pod, request.query.get("container"))
        if not pod["spec"].get("nodeName"):
            return Response(204)
        raise _no_kubelet(container)

    async def stream(self, request: Request, target: Target) -> Response:
        """exec, attach, port-forward."""
        pod = await self._object(target, target.name)
        if target.subresource_name != "portforward":
            _container(pod, request.query.get("container"))
        if not pod["spec"].get("nodeName"):
            raise errors.bad_request(f"pod {target.name} does not have a host assigned")
        raise _no_kubelet(target.name)

    async def pod_proxy(self, request: Request, target: Target) -> Response:
        _, name, _ = _split_scheme_name_port(target.name)
        await self._object(target, name)
        raise errors.bad_request("address not allowed")

    async def service_proxy(self, request: Request, target: Target) -> Response:
        _, name, port = _split_scheme_name_port(target.name)
        if port or ":" in target.name:
            await self._object(target, name)
        raise errors.service_unavailable(f'no endpoints available for service "{name}"')

    async def node_proxy(self, request: Request, target: Target) -> Response:
        _, name, _ = _split_scheme_name_port(target.name)
        await self._object(target, name)
        raise errors.service_unavailable(f"no address of node {errors.quote(name)} can be reached")


def _no_kubelet(what: str) -> errors.ApiError:
    return errors.service_unavailable(f"no kubelet can be reached for {errors.quote(what)}")


def _split_scheme_name_port(text: str) -> tuple[str, str, str]:
    """`https:name:port` and its shorter forms."""
    parts = text.split(":")
    if len(parts) == 3:
        return parts[0], parts[1], parts[2]
    if len(parts) == 2:
        return "", parts[0], parts[1]
    return "", text, ""


def _container(pod: Json, name: str) -> str:
    """The container that is meant. Raises ApiError 400 for one the pod lacks, or where it must be
    said.
    """
    spec = pod["spec"]
    groups = ("initContainers", "containers", "ephemeralContainers")
    names = [c["name"] for g in groups for c in spec.get(g) or ()]
    pod_name = pod["metadata"]["name"]
    if name:
        if name not in names:
            raise errors.bad_request(f"container {name} is not valid for pod {pod_name}")
        return name
    main = [c["name"] for c in spec.get("containers") or ()]
    if len(main) == 1:
        return str(main[0])
    default = pod["metadata"].get("annotations", {}).get("kubectl.kubernetes.io/default-container")
    if default in main:
        return str(default)
    init = [c["name"] for c in spec.get("initContainers") or ()]
    text = (
        f"a container name must be specified for pod {pod_name}, choose one of: [{' '.join(main)}]"
    )
    if init:
        text += f" or one of the init containers: [{' '.join(init)}]"
    raise errors.bad_request(text)


def _check_log_options(pod: str, query: Query) -> None:
    found = []
    for name, low in (("tailLines", 0), ("limitBytes", 1), ("sinceSeconds", 1)):
        value = _integer(query, name)
        if value is not None and value < low:
            words = "must be greater than or equal to 0" if low == 0 else "must be greater than 0"
            found.append(errors.invalid_value(name, value, words))
    if query.get("sinceTime") and query.get("sinceSeconds"):
        parse_or_refuse(query.get("sinceTime"))
        found.append(
            errors.field_forbidden(
                "[]", "at most one of `sinceTime` or `sinceSeconds` may be specified"
            )
        )
    if found:
        raise errors.invalid("", "PodLogOptions", pod, found)


def parse_or_refuse(text: str) -> Any:
    try:
        return parse_time(text)
    except (ValueError, OverflowError):
        raise errors.bad_request(f"parsing time {errors.quote(text)}: not RFC 3339") from None


def _integer(query: Query, name: str) -> int | None:
    if name not in query:
        return None
    text = query.get(name)
    digits = text.lstrip("+-")
    if not digits.isdigit() or len(digits) > 19:
        raise errors.bad_request(f"strconv.ParseInt: parsing {errors.quote(text)}: invalid syntax")
    return int(text)
