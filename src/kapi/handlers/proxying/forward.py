"""Passing a request on to another server, and its answer back: for pods, services, nodes, kubelets
and aggregated API servers.

`Forwarder` is what the real server's UpgradeAwareHandler is: bodies stream both ways, an upgrade
(SPDY, WebSocket) becomes a tunnel of bytes, headers that belong to one connection stay behind, the
client's credentials never go along (authentication has taken them off). What differs between its
users is in a `Forwarding`. Failures are `OutgoingError`s for `Forwarding.failed` to word.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote

from kapi import errors
from kapi.handlers.proxying.links import Links
from kapi.handlers.proxying.pages import rewritten
from kapi.messages import AnswerBroken, EmptyBody, Pipe, Request, Response, Tunnel
from kapi.outgoing.client import Answer, Call, Client
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.words import AddressNotAllowed, OutgoingError

# RFC 9110 7.6.1, and what net/http/httputil takes for it.
_HOP_BY_HOP = frozenset((
    "connection", "proxy-connection", "keep-alive", "proxy-authenticate", "proxy-authorization",
    "te", "trailer", "transfer-encoding", "upgrade",
))  # fmt: skip
# The client's origin is a matter between it and this server.
_CORS = frozenset((
    "access-control-allow-credentials", "access-control-allow-headers",
    "access-control-allow-methods", "access-control-allow-origin",
))  # fmt: skip
_PATH_SAFE = "/$&+,:;=@-_.~"  # net/url leaves these in a path

REDIRECTED = b"the backend attempted to redirect this request, which is not permitted"

Headers = Sequence[tuple[str, str]]


def status_error(error: Exception) -> Response:
    """A failure as a Status: what pods, services and nodes answer with. Raises ApiError."""
    if isinstance(error, Unreachable):
        raise errors.service_unavailable(f"error trying to reach service: {error}")
    raise errors.ApiError(500, "", str(error))


class Unreachable(Exception):
    """A request that is no upgrade did not get an answer."""


class NotUpgraded(Exception):
    """An upgrade did not come about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Forwarding:
    """Where a request goes. `path` is decoded, `query` raw. `links`: how to rewrite redirects and
    pages; None leaves them. `add`: headers that replace the client's of the same name.
    """

    endpoint: Endpoint
    path: str
    query: str
    links: Links | None = None
    add: Headers = ()
    forwarded: Headers = ()  # X-Forwarded-… of a request that is no upgrade
    must_upgrade: bool = False
    rejects_redirects: bool = False
    endless: bool = True  # it may be cut when the server stops
    failed: Callable[[Exception], Response] = status_error

    @property
    def target(self) -> str:
        path = quote(self.path, safe=_PATH_SAFE) or "/"
        return f"{path}?{self.query}" if self.query else path


def spdy_call(endpoint: Endpoint, target: str, versions: Iterable[str]) -> Call:
    """Asks a kubelet for streams over SPDY, in the first of the versions that it knows."""
    return Call(
        method="POST",
        target=target,
        endpoint=endpoint,
        endless=True,
        headers=[
            ("Connection", "Upgrade"),
            ("Upgrade", "SPDY/3.1"),
            *(("X-Stream-Protocol-Version", version) for version in versions),
        ],
    )


class Forwarder:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def forward(self, request: Request, to: Forwarding) -> Response:
        """The backend's answer. Raises ApiError, or answers with what `to.failed` makes."""
        if is_upgrade(request):
            return await self._upgrade(request, to)
        if to.must_upgrade:
            raise errors.bad_request("Upgrade request required")
        if not to.path and request.method in ("GET", "HEAD"):
            where = request.path + "/" + (f"?{request.query.text}" if request.query.text else "")
            return Response(301, [("Location", quote(where, safe=_PATH_SAFE + "?%"))])
        named = _connection_names(request)
        headers = _passed(request, _HOP_BY_HOP | named, to)
        call = Call(
            method=request.method,
            target=to.target,
            endpoint=to.endpoint,
            headers=[*headers, *to.forwarded],
            body=b"" if isinstance(request.body, EmptyBody) else request.body.stream(),
            host=request.headers.get("host"),
            endless=to.endless,
        )
        try:
            answer = await sent(self._client, request, call)
        except AddressNotAllowed as error:
            raise errors.bad_request(str(error)) from error
        except OutgoingError as error:
            return to.failed(Unreachable(str(error)))
        request.exit.append(answer.close)
        return await _passed_back(answer, to)

    async def _upgrade(self, request: Request, to: Forwarding) -> Response:
        if not request.can_tunnel:
            return to.failed(NotUpgraded("request connection cannot be hijacked"))
        kept = frozenset(("keep-alive", "proxy-connection", "transfer-encoding"))
        call = Call(
            method=request.method,
            target=to.target,
            endpoint=to.endpoint,
            headers=_passed(request, kept, to),
            endless=True,
            host=request.headers.get("host"),
        )
        try:
            answer = await sent(self._client, request, call)
        except AddressNotAllowed as error:
            raise errors.bad_request(str(error)) from error
        except OutgoingError as error:
            return to.failed(NotUpgraded(f"error dialing backend: {error}"))
        request.exit.append(answer.close)
        if answer.upgraded:
            headers = [h for h in answer.headers if h[0].lower() != "date"]
            return Response(101, headers, upgrade=tunnel(answer))
        if answer.status < 400:
            text = f"invalid upgrade response: status code {answer.status}"
            return to.failed(NotUpgraded(text))
        answer.headers = [h for h in answer.headers if h[0].lower() not in _HOP_BY_HOP]
        return Response(answer.status, _given_back(answer.headers), _stream(answer))


async def sent(client: Client, request: Request, call: Call) -> Answer:
    """The answer to a call, unless whoever asks for it goes away. Raises OutgoingError."""
    if request.when_gone is None:
        return await client.send(call)
    task = asyncio.current_task()
    assert task is not None
    left = False

    def leave() -> None:
        nonlocal left
        left = True
        task.cancel()

    request.when_gone(leave)
    try:
        return await client.send(call)
    except asyncio.CancelledError:
        if not left or task.uncancel() > 0:
            raise
        raise OutgoingError("context canceled") from None
    finally:
        request.when_gone(None)


def is_upgrade(request: Request) -> bool:
    return any("upgrade" in value.lower() for value in request.headers.all("connection"))


def tunnel(answer: Answer) -> Tunnel:
    """Bytes both ways, until one side has nothing more to say."""

    async def run(pipe: Pipe) -> None:
        async def up() -> None:
            while data := await pipe.read():
                await answer.write(data)

        async def down() -> None:
            while data := await answer.chunk():
                await pipe.write(data)

        await run_either(up, down)

    return run


async def run_either(*ways: Callable[[], Coroutine[None, None, None]]) -> None:
    """Run until one is done; the others are cancelled. Lost connections are an end, too."""
    loop = asyncio.get_running_loop()
    tasks = [loop.create_task(way()) for way in ways]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, (OSError, OutgoingError)):
            raise result


def _connection_names(request: Request) -> frozenset[str]:
    """Headers that the client says are for this connection alone."""
    values = ",".join(request.headers.all("connection"))
    return frozenset(name.strip().lower() for name in values.split(",") if name.strip())


def _passed(request: Request, without: frozenset[str], to: Forwarding) -> list[tuple[str, str]]:
    """The headers of a request as they go on."""
    replaced = {name.lower() for name, _ in (*to.add, *to.forwarded)}
    dropped = without | replaced | {"host", "x-forwarded-for"}
    if isinstance(request.body, EmptyBody):
        dropped |= {"content-length"}
    out = [(_canonical(k), v) for k, v in request.headers.items if k not in dropped]
    hops = [*request.headers.all("x-forwarded-for")]
    if request.peer.address:
        hops.append(request.peer.address)
    if hops:
        out.append(("X-Forwarded-For", ", ".join(hops)))
    return [*out, *to.add]


def _canonical(name: str) -> str:
    """`x-remote-user` as Go writes it: `X-Remote-User`."""
    return "-".join(part[:1].upper() + part[1:] for part in name.split("-"))


def _given_back(headers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """The headers of an answer as they go back; the date is this server's."""
    return [h for h in headers if h[0].lower() != "date" and h[0].lower() not in _HOP_BY_HOP]


async def _passed_back(answer: Answer, to: Forwarding) -> Response:
    named = frozenset(
        name.strip().lower() for name in answer.header("connection").split(",") if name.strip()
    )
    dropped = named | _CORS if to.links is not None else named
    headers = [h for h in _given_back(answer.headers) if h[0].lower() not in dropped]
    where = answer.header("location")
    if to.rejects_redirects and 300 <= answer.status <= 399 and where:
        answer.close()
        return Response(502, [], REDIRECTED)
    if to.links is not None:
        if where:
            new = ("Location", to.links.url(where))
            headers = [new if h[0].lower() == "location" else h for h in headers]
        elif answer.header("content-type").partition(";")[0].strip() == "text/html":
            page = await rewritten(answer, to.links)
            if page is not None:
                headers = [h for h in headers if h[0].lower() != "content-length"]
                return Response(answer.status, headers, page)
    return Response(answer.status, headers, _stream(answer))


async def _stream(answer: Answer) -> AsyncIterator[bytes]:
    try:
        while chunk := await answer.chunk():
            yield chunk
    except OutgoingError as error:
        raise AnswerBroken(str(error)) from error
    finally:
        answer.close()
