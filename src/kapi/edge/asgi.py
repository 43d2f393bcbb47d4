"""The ASGI application: scope, receive and send on one side, `Request` and `Response` on the other.

`listener.py` hands it to the HTTP server; a user may mount it anywhere an ASGI application goes,
and tests call it without a socket. Nothing inside kapi knows ASGI.

- Whatever happens, also a lost client or a failed stream, the callbacks on `request.exit` run
  once, last first, after the last byte was handed over.
- The iterator of a streamed answer is cancelled as soon as the client is gone, and always closed.
- Headers of the answer win over those queued on `request.reply_headers`, save `Warning`, which
  adds up.
- Large answers are compressed by the real server's rule: more than 128 KiB, and the exact token
  `gzip`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import unquote_to_bytes

from kapi import log
from kapi.clock import Clock
from kapi.edge.asgi_form import Receive, Scope, Send, add_vary, reply_headers
from kapi.edge.bodies import close_body, compress, joined
from kapi.edge.request_body import AsgiBody
from kapi.messages import (
    AnswerBroken,
    EmptyBody,
    Handler,
    Headers,
    Peer,
    Query,
    Request,
    Response,
)

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

    from kapi.edge.pipe import RawPipe
    from kapi.messages import Tunnel

LATE_SECONDS = 5.0  # past its deadline, for the pieces of an answer that began in time
GZIP_MIN_BYTES = 128 * 1024  # k8s.io/apiserver: below this, compressing costs more than it saves
GZIP_NEVER = (
    "/openapi/v3",
    "/metrics",
)  # written by handlers that do not compress on the real server

CONNECTION = "kapi.connection"  # scope extension: the `Connection` of an HTTP/1.1 request
PEER = "kapi.peer"  # where the parsed `Peer` of a connection is kept
TLS = "tls"  # https://asgi.readthedocs.io/en/latest/specs/tls.html

_log = log.get("edge")


class StreamFailed(Exception):
    """An answer that had begun cannot be finished: the HTTP server must cut the connection."""


class Connection:
    """What the HTTP server tells of a connection while an answer is on its way."""

    __slots__ = ("gone", "on_gone", "take_over")

    def __init__(self) -> None:
        self.gone = False
        # (status, headers) → the raw connection behind the head of the answer
        self.take_over: Callable[[int, list[tuple[bytes, bytes]]], RawPipe] | None = None
        self.on_gone: Callable[[], object] | None = None

    def when_gone(self, call: Callable[[], object] | None) -> None:
        """What to call if the client goes away; at once if it is gone."""
        self.on_gone = call
        if self.gone and call is not None:
            call()

    def lost(self) -> None:
        self.gone = True
        if self.on_gone is not None:
            self.on_gone()


class Observer(Protocol):
    """Told of every answer after its last byte; `metrics.py` has one."""

    def request_done(
        self, request: Request, *, code: int, seconds: float, body_bytes: int
    ) -> None: ...


def _at_once(response: Response) -> bool:
    """Whether an answer leaves in one piece, or is a tunnel."""
    body = response.body
    small = isinstance(body, bytes) and len(body) <= GZIP_MIN_BYTES
    return small or response.upgrade is not None


class App:
    """The ASGI application around a handler. Several may live in one process."""

    def __init__(
        self,
        handler: Handler,
        clock: Clock,
        observer: Observer | None = None,
        *,
        compress: bool = True,
        tunnels: Callable[[str], bool] = lambda path: False,
    ) -> None:
        """`compress`: whether large answers may go out as gzip (APIResponseCompression).
        `tunnels`: paths whose WebSockets are somebody else's, and pass as they are.
        """
        self.handler = handler
        self.tunnels = tunnels
        self._clock = clock
        self._observer = observer
        self._compress = compress

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        kind = scope["type"]
        if kind == "http":
            await self._http(scope, receive, send)
        elif kind == "websocket":
            await self._websocket(scope, receive, send)
        else:
            raise ValueError(f"kapi speaks http and websocket, not {kind}")

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = self.request(scope, receive)
        if request.can_tunnel and request.headers.get("upgrade").lower() == "websocket":
            self._note_protocols(request)
        sender = _Sender(request, scope, receive, send, compress=self._compress)
        try:
            response = await self.answer(request)
            if request.deadline is None or _at_once(response):
                await sender.send(response)
            else:
                await self._in_time(sender.send(response), request)
        finally:
            self.finish(request, sender.status, sender.body_bytes)

    async def _in_time(self, sending: Coroutine[Any, Any, None], request: Request) -> None:
        """An answer in pieces is over with its request's time: who takes it in sips must not keep
        what the request holds. Raises StreamFailed."""
        assert request.deadline is not None
        left = max(request.deadline - self._clock.monotonic(), 0.0) + LATE_SECONDS
        try:
            async with asyncio.timeout(left) as bound:
                await sending
        except TimeoutError as error:
            if not bound.expired():
                raise
            raise StreamFailed(f"{request.path}: not taken in time") from error

    async def _websocket(self, scope: Scope, receive: Receive, send: Send) -> None:
        from kapi.edge.upgrade import UpgradeSender

        request = self.request(scope, receive)
        request.websocket = tuple(scope.get("subprotocols") or ())
        sender = UpgradeSender(request, receive, send)
        try:
            await receive()  # websocket.connect
            response = await self.answer(request)
            await sender.send(response)
        finally:
            self.finish(request, sender.status, sender.body_bytes)

    def _note_protocols(self, request: Request) -> None:
        """Of a WebSocket that a tunnel may take: what it offers, where credentials may hide."""
        if self.tunnels(request.path):
            offered = ",".join(request.headers.all("sec-websocket-protocol"))
            request.websocket = tuple(p.strip() for p in offered.split(",") if p.strip())

    async def answer(self, request: Request) -> Response:
        """The handler's answer; an exception that came through all filters becomes a bare 500."""
        try:
            return await self.handler(request)
        except Exception:
            _log.exception("handler failed", method=request.method, path=request.path)
            text = [("Content-Type", "text/plain; charset=utf-8")]
            return Response(500, text, b"Internal Server Error\n")

    def finish(self, request: Request, status: int, body_bytes: int) -> None:
        """Unwind `request.exit`; an answer is over whatever its callbacks do."""
        while request.exit:
            callback = request.exit.pop()
            try:
                callback()
            except Exception:
                _log.exception("exit callback failed", path=request.path)
        if self._observer is not None:
            seconds = self._clock.monotonic() - request.received_at
            self._observer.request_done(
                request, code=status, seconds=seconds, body_bytes=body_bytes
            )

    def request(self, scope: Scope, receive: Receive) -> Request:
        raw: bytes = scope.get("raw_path") or scope["path"].encode()
        raw_path = raw.decode("latin-1")
        if "%" in raw_path:
            path = unquote_to_bytes(raw).decode("utf-8", "replace")
        elif raw_path.isascii():
            path = raw_path
        else:
            path = raw.decode("utf-8", "replace")
        headers = Headers(decode_headers(scope["headers"]))
        declared = headers.get("content-length")
        version = scope.get("http_version", "1.1")
        connection: Connection | None = (scope.get("extensions") or {}).get(CONNECTION)
        has_body = (  # HTTP/2 need not announce one
            declared not in ("", "0") or "transfer-encoding" in headers or version == "2"
        )
        return Request(
            method=scope.get("method", "GET"),
            raw_path=raw_path,
            path=path,
            query=Query(scope["query_string"].decode("latin-1")),
            headers=headers,
            body=AsgiBody(receive, int(declared) if declared.isdecimal() else -1)
            if has_body
            else EmptyBody(),
            peer=peer_of(scope),
            http_version=version,
            can_tunnel=connection is not None and connection.take_over is not None,
            when_gone=connection.when_gone if connection is not None else None,
            received_at=self._clock.monotonic(),
        )


def decode_headers(raw: Sequence[tuple[bytes, bytes]]) -> list[tuple[str, str]]:
    """Header values as text: UTF-8 where it is, else byte by byte."""
    try:
        return [(name.decode("ascii"), value.decode()) for name, value in raw]
    except UnicodeDecodeError:
        return [(name.decode("latin-1"), _text(value)) for name, value in raw]


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def peer_of(scope: Scope) -> Peer:
    """Who is at the other end; made once per connection if its requests share `extensions`."""
    extensions: dict[str, Any] | None = scope.get("extensions")
    if extensions is not None and PEER in extensions:
        known: Peer = extensions[PEER]
        return known
    client = scope.get("client") or ("", 0)
    tls = (extensions or {}).get(TLS)
    chain = tuple(tls.get("client_cert_chain") or ()) if tls is not None else ()
    peer = Peer(client[0], client[1] or 0, scope.get("scheme") in ("https", "wss"), _parse(chain))
    if extensions is not None:
        extensions[PEER] = peer
    return peer


def _parse(chain: Sequence[str]) -> tuple[Certificate, ...]:
    if not chain:
        return ()
    from cryptography import x509  # 50 ms to import: only once someone brings a certificate

    return tuple(x509.load_pem_x509_certificate(pem.encode()) for pem in chain)


class _Sender:
    """Writes one answer, and knows afterwards how far it came."""

    __slots__ = ("_compress", "_receive", "_request", "_scope", "_send", "body_bytes", "status")

    def __init__(
        self, request: Request, scope: Scope, receive: Receive, send: Send, *, compress: bool
    ) -> None:
        self._request = request
        self._scope = scope
        self._receive = receive
        self._send = send
        self._compress = compress
        self.status = 0
        self.body_bytes = 0

    async def send(self, response: Response) -> None:
        self.status = response.status
        if response.upgrade is not None:
            await self._tunnel(response, response.upgrade)
            return
        body = response.body
        if isinstance(body, bytes):
            await self._whole(response, (body,), len(body))
        elif isinstance(body, (list, tuple)):
            await self._whole(response, body, sum(map(len, body)))
        else:
            assert isinstance(body, AsyncIterator), "a body is bytes, a list of them, or a stream"
            await self._start(reply_headers(self._request, response))
            await self._stream(body)

    async def _tunnel(self, response: Response, run: Tunnel) -> None:
        connection: Connection = self._scope["extensions"][CONNECTION]
        assert connection.take_over is not None, "the request said that it can"
        pipe = connection.take_over(self.status, reply_headers(self._request, response))
        try:
            await run(pipe)
        finally:
            pipe.close()

    async def _start(self, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": self.status, "headers": headers})

    async def _body(self, chunk: bytes, *, more: bool) -> None:
        self.body_bytes += len(chunk)
        await self._send({"type": "http.response.body", "body": chunk, "more_body": more})

    async def _whole(self, response: Response, slices: Sequence[bytes], size: int) -> None:
        headers = reply_headers(self._request, response)
        if size > GZIP_MIN_BYTES and self._compress and self._may_gzip(headers):
            headers.append((b"content-encoding", b"gzip"))
            add_vary(headers)
            await self._start(headers)
            for packed in compress(slices):
                await self._body(packed, more=True)
                await asyncio.sleep(0)
            await self._body(b"", more=False)
            return
        if self.status not in (204, 304):
            headers.append((b"content-length", b"%d" % size))
        await self._start(headers)
        if len(slices) == 1:
            await self._body(slices[0], more=False)
            return
        for piece in joined(slices):
            await self._body(piece, more=True)
        await self._body(b"", more=False)

    def _may_gzip(self, headers: list[tuple[bytes, bytes]]) -> bool:
        accepted = self._request.headers.get("accept-encoding")
        return (
            "gzip" in [token.strip() for token in accepted.split(",")]
            and self._request.method != "HEAD"
            and not self._request.path.startswith(GZIP_NEVER)
            and not any(name == b"content-encoding" for name, _ in headers)
        )

    async def _stream(self, chunks: AsyncIterator[bytes]) -> None:
        extensions = self._scope.get("extensions") or {}
        connection: Connection | None = extensions.get(CONNECTION)
        try:
            if connection is None:
                await self._stream_watching(chunks)
            else:
                await self._stream_connected(chunks, connection)
        except asyncio.CancelledError:
            raise
        except AnswerBroken as error:
            raise StreamFailed from error
        except Exception as error:
            _log.exception("answer broken off", path=self._request.path)
            raise StreamFailed from error
        finally:
            await close_body(chunks)

    async def _pump(self, chunks: AsyncIterator[bytes]) -> None:
        send = self._send
        async for chunk in chunks:
            if chunk:  # written out: a hundred watchers come by here for every event
                self.body_bytes += len(chunk)
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await self._body(b"", more=False)

    async def _stream_connected(self, chunks: AsyncIterator[bytes], connection: Connection) -> None:
        """The HTTP server calls back when the client is gone: no second task per watcher."""
        task = asyncio.current_task()
        assert task is not None
        if connection.gone:
            return
        connection.on_gone = task.cancel
        try:
            await self._pump(chunks)
        except asyncio.CancelledError:
            if not connection.gone or task.uncancel() > 0:
                raise
        finally:
            connection.on_gone = None

    async def _stream_watching(self, chunks: AsyncIterator[bytes]) -> None:
        """Plain ASGI: ask for the disconnect beside writing."""
        async with asyncio.TaskGroup() as group:

            async def wait_gone() -> None:
                while (await self._receive())["type"] != "http.disconnect":
                    pass
                writer.cancel()

            writer = group.create_task(self._pump(chunks))
            waiter = group.create_task(wait_gone())
            await asyncio.wait((writer,))
            waiter.cancel()
