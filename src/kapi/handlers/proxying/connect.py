"""Logs of a pod, exec, attach and port-forward: checked here, answered by the kubelet of its node.

The parameters are checked as the real server does; a pod without a node gets the real refusal.
exec, attach and port-forward are upgrades (SPDY or WebSocket) that pass as tunnels of bytes. What
comes through WebSocket for a kubelet that has not declared that it speaks it goes on as SPDY:
`port_tunnel.py` takes port-forwards, `stream_translator.py` exec and attach.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import quote_plus

from kapi import errors
from kapi.clock import Clock
from kapi.codec.negotiate import Offer, check_route
from kapi.handlers.decode import Json
from kapi.handlers.proxying.forward import Forwarder, Forwarding, sent
from kapi.handlers.proxying.kubelet_refusals import refusal
from kapi.handlers.proxying.kubelets import Kubelets
from kapi.handlers.proxying.port_tunnel import PortTunnel, is_tunnel
from kapi.handlers.proxying.stream_translator import StreamTranslator, Wanted, is_translated
from kapi.handlers.target import Target
from kapi.messages import AnswerBroken, Query, Request, Response
from kapi.outgoing.client import Answer, Call, Client, url_error
from kapi.outgoing.words import AddressNotAllowed, OutgoingError
from kapi.registry.read import Reader
from kapi.schema.scalars import parse_rfc3339

Authorize = Callable[[Request, Target, str], Awaitable[None]]
# What the kubelet's parameters are called, by the client's name.
_STREAMS = (("stderr", "error"), ("stdin", "input"), ("stdout", "output"), ("tty", "tty"))


class ConnectHandlers:
    """One method per subresource; all verbs of one answer alike."""

    def __init__(
        self,
        reader: Reader,
        client: Client,
        forwarder: Forwarder,
        kubelets: Kubelets,
        authorize: Authorize,
        clock: Clock,
        offer: Offer,
    ) -> None:
        self._offer = offer
        self._reader = reader
        self._client = client
        self._forwarder = forwarder
        self._kubelets = kubelets
        self._authorize = authorize
        self._tunnel = PortTunnel(client)
        self._translator = StreamTranslator(client, clock.sleep)

    async def _object(self, target: Target, name: str) -> Json:
        item = await self._reader.get(target.resource, target.namespace, name, Query(""))
        return item.object()

    async def log(self, request: Request, target: Target) -> Response:
        query = request.query
        check_route(request.headers.get("accept"), self._offer.route_of_logs)
        _check_log_options(target.name, query)
        pod = await self._object(target, target.name)
        container = _container(pod, query.get("container"))
        node = pod["spec"].get("nodeName")
        if not node:
            return Response(204)
        insecure = _flag(query, "insecureSkipTLSVerifyBackend")
        endpoint = self._kubelets.of(node, insecure=insecure, asked="pods")
        path = f"/containerLogs/{target.namespace}/{target.name}/{container}"
        call = Call(
            method="GET",
            target=_with_query(path, _log_parameters(query)),
            endpoint=endpoint,
            headers=[("User-Agent", "kube-apiserver"), ("Accept-Encoding", "identity")],
            endless=True,
        )
        try:
            answer = await sent(self._client, request, call)
        except AddressNotAllowed as error:
            raise errors.bad_request(str(error)) from error
        except OutgoingError as error:
            raise errors.ApiError(500, "", url_error(call, error)) from error
        request.exit.append(answer.close)
        if not 200 <= answer.status <= 206:
            raise await refusal(answer, target.name)
        return Response(200, [("Content-Type", "text/plain")], _lines(answer))

    async def stream(self, request: Request, target: Target) -> Response:
        """exec, attach, port-forward."""
        if request.websocket is not None:  # a GET does what else a POST does
            await self._authorize(request, target, "create")
        pod = await self._object(target, target.name)
        place = f"{target.namespace}/{target.name}"
        if target.subresource_name == "portforward":
            path, parameters = f"/portForward/{place}", _ports(request.query)
        else:
            container = _container(pod, request.query.get("container"))
            path = f"/{target.subresource_name}/{place}/{container}"
            parameters = _stream_parameters(request.query)
        if not pod["spec"].get("nodeName"):
            raise errors.bad_request(f"pod {target.name} does not have a host assigned")
        node = pod["spec"]["nodeName"]
        endpoint = self._kubelets.of(node, asked="pods")
        self._kubelets.check(endpoint.host)
        query = _encoded(parameters)
        if request.websocket is not None and not self._kubelets.speaks_websocket(node):
            where = _with_query(path, parameters)
            if target.subresource_name == "portforward":
                if is_tunnel(request):
                    return await self._tunnel.open(request, endpoint, where)
            elif is_translated(request):
                return self._translator.open(request, endpoint, where, _wanted(request.query))
        forwarding = Forwarding(endpoint=endpoint, path=path, query=query, must_upgrade=True)
        return await self._forwarder.forward(request, forwarding)


Parameters = list[tuple[str, str]]


def _encoded(parameters: Parameters) -> str:
    return "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in sorted(parameters, key=_first))


def _first(pair: tuple[str, str]) -> str:
    return pair[0]


def _with_query(path: str, parameters: Parameters) -> str:
    return f"{path}?{_encoded(parameters)}" if parameters else path


def _flag(query: Query, name: str, *, default: bool = False) -> bool:
    if name not in query:
        return default
    return query.get(name).lower() not in ("false", "0")


def _streams(query: Query) -> dict[str, bool]:
    return {name: _flag(query, name, default=name in ("stdout", "stderr")) for name, _ in _STREAMS}


def _wanted(query: Query) -> Wanted:
    return Wanted(**_streams(query))


def _stream_parameters(query: Query) -> Parameters:
    streams = _streams(query)
    out = [(theirs, "1") for name, theirs in _STREAMS if streams[name]]
    return out + [("command", word) for word in query.all("command")]


def _ports(query: Query) -> Parameters:
    ports = query.all("ports")
    return [("port", ",".join(ports))] if ports else []


def _log_parameters(query: Query) -> Parameters:
    out = [(n, "true") for n in ("follow", "previous", "timestamps") if _flag(query, n)]
    for name in ("sinceSeconds", "sinceTime", "tailLines", "limitBytes"):
        if query.get(name):
            out.append((name, query.get(name)))
    if query.get("stream") not in ("", "All"):
        out.append(("stream", query.get("stream")))
    return out


async def _lines(answer: Answer) -> Any:
    try:
        while chunk := await answer.chunk():
            yield chunk
    except OutgoingError as error:
        raise AnswerBroken(str(error)) from error
    finally:
        answer.close()


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
        return parse_rfc3339(text)
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
