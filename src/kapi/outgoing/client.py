"""The one HTTP client: for webhooks, aggregated servers, kubelets and whatever is proxied to.

    client = Client(clock)
    call = Call(method="POST", target="/x", endpoint=endpoint, body=data)
    fetched = await client.fetch(call, timeout_s=10, limit=1 << 20)

    answer = await client.send(Call(method="GET", target="/watch", endpoint=endpoint))
    try:
        async for chunk in answer.stream(): …
    finally:
        answer.close()

A request goes out as it was given: no header is added but Host and the length, no redirect is
followed, nothing is decompressed, no environment is read. Connections are kept and shared by
endpoint and identity; `close` ends them all. Errors are `OutgoingError`, worded as Go's.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from kapi.clock import Clock
from kapi.outgoing import words
from kapi.outgoing.connection import Connection, Phase
from kapi.outgoing.dial import DIAL_SECONDS, Endpoint, dial
from kapi.outgoing.tls import Contexts
from kapi.outgoing.words import AnswerTooLarge, ConnectionLost, DeadlineExceeded, OutgoingError

IDLE_PER_ENDPOINT_MAX = 25  # client-go's MaxIdleConnsPerHost
IDLE_SECONDS = 90.0  # net/http's IdleConnTimeout
CONNECTIONS_MAX = 10_000  # open at a time: watches and streams take one each
_SAFE = frozenset(("GET", "HEAD", "OPTIONS", "TRACE"))
_FORBIDDEN = frozenset("\r\n\0")

Body = bytes | AsyncIterator[bytes]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A request. `target`: raw path and query. `host`: the Host header, if not the endpoint's. A
    stream without a Content-Length among the headers goes out in chunks.
    """

    method: str
    target: str
    endpoint: Endpoint
    headers: Sequence[tuple[str, str]] = ()
    body: Body = b""
    host: str = ""
    dial_s: float = DIAL_SECONDS
    endless: bool = False  # nobody waits for its end when the server stops


@dataclass(frozen=True, slots=True)
class Fetched:
    """A whole answer; names of headers are in lower case."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers if key == name), "")


class Answer:
    """An answer under way. Whoever has it closes it; a tunnel after a 101."""

    def __init__(self, client: Client, call: Call, connection: Connection) -> None:
        self.status = 0
        self.reason = ""
        self.headers: list[tuple[str, str]] = []
        self._client = client
        self._call = call
        self._connection = connection
        self._writer: asyncio.Task[None] | None = None
        self._closed = False

    async def begin(self) -> None:
        """Send the request, wait for the head of its answer. Raises OutgoingError."""
        call, connection = self._call, self._connection
        connection.begin(call.method)
        head = _head(call)
        if isinstance(call.body, bytes):
            connection.write(head + call.body)
        else:
            connection.write(head)
            chunked = not any(name.lower() == "content-length" for name, _ in call.headers)
            run = self._write_body(call.body, chunked=chunked)
            self._writer = asyncio.get_running_loop().create_task(run, name="outgoing-body")
        found = await connection.head()
        self.status, self.reason, self.headers = found.status, found.reason, found.headers

    async def _write_body(self, body: AsyncIterator[bytes], *, chunked: bool) -> None:
        """Runs beside the reader; who closes the answer ends it."""
        connection = self._connection
        try:
            async for piece in body:
                if piece:
                    connection.write(b"%x\r\n%b\r\n" % (len(piece), piece) if chunked else piece)
                    await connection.drain()
            if chunked:
                connection.write(b"0\r\n\r\n")
        except OutgoingError:
            pass  # the reader is told by the connection itself
        except Exception:  # the caller's own client broke off
            connection.close()

    @property
    def upgraded(self) -> bool:
        return self._connection.phase is Phase.TUNNEL

    def header(self, name: str) -> str:
        """The first value of a lower-case name."""
        return next((value for key, value in self.headers if key.lower() == name), "")

    async def chunk(self) -> bytes:
        """The next bytes of the body or the tunnel, b"" at the end. Raises OutgoingError."""
        return await self._connection.chunk()

    async def stream(self) -> AsyncIterator[bytes]:
        while chunk := await self._connection.chunk():
            yield chunk

    async def read(self, limit: int) -> bytes:
        """All of it. Raises AnswerTooLarge beyond `limit` bytes."""
        chunks: list[bytes] = []
        size = 0
        while chunk := await self._connection.chunk():
            size += len(chunk)
            if size > limit:
                raise AnswerTooLarge(f"http: response body too large: limit is {limit} bytes")
            chunks.append(chunk)
        return b"".join(chunks)

    async def write(self, data: bytes) -> None:
        """Into the tunnel. Raises OutgoingError once the other side is gone."""
        self._connection.write(data)
        await self._connection.drain()

    def write_eof(self) -> None:
        self._connection.write_eof()

    def close(self) -> None:
        """Give the connection back, or end it if the answer was not read to its end. Idempotent."""
        if self._closed:
            return
        self._closed = True
        whole = self._writer is None or self._writer.done()
        if not whole and self._writer is not None:
            self._writer.cancel()
        self._client.give_back(self._call.endpoint, self._connection, whole=whole)

    async def aclose(self) -> None:
        """`close`, and nothing of it runs afterwards."""
        self.close()
        if self._writer is not None:
            await asyncio.gather(self._writer, return_exceptions=True)


class Client:
    """Calls other servers. One for each server of ours; `close` when it stops."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._contexts = Contexts()
        self._idle: dict[Endpoint, list[Connection]] = {}
        self._open: set[Connection] = set()
        self._dialling = 0
        self._closed = False
        self._endless: set[Connection] = set()

    async def send(self, call: Call) -> Answer:
        """The answer once its head is there. Raises OutgoingError. A kept connection that turns
        out to be closed is replaced if the request may be sent twice.
        """
        while True:
            connection = self._kept(call.endpoint)
            kept = connection is not None
            if connection is None:
                connection = await self._dial(call)
            answer = Answer(self, call, connection)
            if call.endless:
                self._endless.add(connection)
            try:
                await answer.begin()
                return answer
            except ConnectionLost:
                await answer.aclose()
                if not kept or call.method not in _SAFE or not isinstance(call.body, bytes):
                    raise
            except BaseException:
                answer.close()
                raise

    async def fetch(self, call: Call, *, timeout_s: float, limit: int) -> Fetched:
        """The whole answer. Raises OutgoingError: DeadlineExceeded after `timeout_s` in all,
        AnswerTooLarge beyond `limit` bytes.
        """
        try:
            async with asyncio.timeout(timeout_s):
                answer = await self.send(call)
                try:
                    body = await answer.read(limit)
                finally:
                    answer.close()
        except TimeoutError as error:
            raise DeadlineExceeded from error
        headers = [(name.lower(), value) for name, value in answer.headers]
        return Fetched(answer.status, headers, body)

    @property
    def connections(self) -> int:
        """Open now, idle ones included."""
        return len(self._open)

    def end_endless(self) -> None:
        """Cut watches, logs and tunnels; the rest goes on."""
        for connection in list(self._endless):
            connection.close()

    async def close(self) -> None:
        """End every connection; nothing can be sent any more."""
        self._closed = True
        self._idle.clear()
        for connection in list(self._open):
            connection.close()
        self._open.clear()
        await asyncio.sleep(0)  # connection_lost of the aborted ones

    # -- the pool ---------------------------------------------------------------------------------

    def _kept(self, endpoint: Endpoint) -> Connection | None:
        free = self._idle.get(endpoint)
        while free:
            connection = free.pop()
            if connection.idle_timer is not None:
                connection.idle_timer.cancel()
                connection.idle_timer = None
            if connection.phase is Phase.IDLE:
                return connection
            self._open.discard(connection)
        self._idle.pop(endpoint, None)
        return None

    async def _dial(self, call: Call) -> Connection:
        if self._closed:
            raise OutgoingError("http: client is closed")
        if len(self._open) + self._dialling >= CONNECTIONS_MAX:
            raise OutgoingError(f"too many open connections: {CONNECTIONS_MAX}")
        self._dialling += 1
        try:
            connection = await dial(call.endpoint, self._contexts, self._clock.now, call.dial_s)
        finally:
            self._dialling -= 1
        self._open.add(connection)
        return connection

    def give_back(self, endpoint: Endpoint, connection: Connection, *, whole: bool) -> None:
        """`whole`: the request was sent to its end."""
        self._endless.discard(connection)
        free = self._idle.get(endpoint, [])
        if self._closed or not whole or len(free) >= IDLE_PER_ENDPOINT_MAX or not connection.rest():
            self._open.discard(connection)
            connection.close()
            return
        self._idle.setdefault(endpoint, free).append(connection)
        loop = asyncio.get_running_loop()
        connection.idle_timer = loop.call_later(IDLE_SECONDS, self._expire, endpoint, connection)

    def _expire(self, endpoint: Endpoint, connection: Connection) -> None:
        free = self._idle.get(endpoint, [])
        with contextlib.suppress(ValueError):
            free.remove(connection)
        if not free:
            self._idle.pop(endpoint, None)
        self._open.discard(connection)
        connection.close()


def _head(call: Call) -> bytes:
    """Request line and headers. Raises OutgoingError for what would break out of its line."""
    method, target = call.method, call.target
    if not method.isascii() or not method.isprintable() or " " in method or not method:
        raise OutgoingError(f"net/http: invalid method {method!r}")
    if not target.isascii() or not target.isprintable() or " " in target or not target:
        raise OutgoingError("net/http: invalid request target")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {call.host or call.endpoint.authority}"]
    sized = False
    for name, value in call.headers:
        if not _FORBIDDEN.isdisjoint(name) or not _FORBIDDEN.isdisjoint(value) or ":" in name:
            raise OutgoingError(f'net/http: invalid header field value for "{name}"')
        sized = sized or name.lower() == "content-length"
        lines.append(f"{name}: {value}")
    if not isinstance(call.body, bytes):
        if not sized:
            lines.append("Transfer-Encoding: chunked")
    elif (call.body or method not in _SAFE | {"DELETE"}) and not sized:
        lines.append(f"Content-Length: {len(call.body)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "surrogateescape")


def url_error(call: Call, error: BaseException) -> str:
    """As http.Client words a failed call."""
    scheme = "http" if call.endpoint.tls is None else "https"
    where = f"{scheme}://{call.host or call.endpoint.authority}{call.target}"
    return words.url_error(call.method, where, error)
