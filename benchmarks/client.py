"""A load generator that costs little: raw HTTP/1.1 over TLS, no task per request.

A `Connection` sends one request, and the next as soon as the answer's last byte is there, until
its source of requests ends. The clock stops when the whole answer was read. Used by `rows.py`.
"""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import cast

CHUNKS_END = b"\r\n0\r\n\r\n"  # JSON holds no raw line ends of HTTP, so this ends a chunked body


@dataclass(slots=True)
class Address:
    host: str
    port: int
    token: str

    def request(
        self, method: str, path: str, body: bytes = b"", *, accept: str = "", content: str = ""
    ) -> bytes:
        """The bytes of a request."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {self.host}:{self.port}",
            f"Authorization: Bearer {self.token}",
            "User-Agent: kapi-bench/1",
            f"Accept: {accept or 'application/json'}",
        ]
        if body:
            lines.append(f"Content-Type: {content or 'application/json'}")
            lines.append(f"Content-Length: {len(body)}")
        return ("\r\n".join(lines) + "\r\n\r\n").encode() + body


@dataclass(slots=True)
class Tally:
    """What a load did."""

    seconds: list[float] = field(default_factory=list)  # of each request
    answer_bytes: int = 0
    failures: dict[int, int] = field(default_factory=dict)
    first_failure: bytes = b""

    def failed(self, status: int, answer: bytes) -> None:
        self.failures[status] = self.failures.get(status, 0) + 1
        self.first_failure = self.first_failure or answer[-600:]


def context() -> ssl.SSLContext:
    """TLS without a look at the certificate: it is not what is measured."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_alpn_protocols(["http/1.1"])
    return made


class Connection(asyncio.Protocol):
    """Requests one after the other."""

    def __init__(self, source: Iterator[bytes], tally: Tally) -> None:
        self._source = source
        self._tally = tally
        self._transport: asyncio.Transport | None = None
        self._parts: list[bytes] = []
        self._size = 0
        self._wanted = -1  # bytes of the whole answer; -1: unknown yet, -2: until CHUNKS_END
        self._started = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def begin(self) -> None:
        """Send the first request."""
        self._next()

    def _next(self) -> None:
        request = next(self._source, None)
        assert self._transport is not None
        if request is None:
            self._transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self._parts, self._size, self._wanted = [], 0, -1
        self._started = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._parts.append(data)
        self._size += len(data)
        if self._wanted == -1:
            self._read_head()
        if self._wanted == -2:
            if data.endswith(CHUNKS_END) or b"".join(self._parts[-2:]).endswith(CHUNKS_END):
                self._answered()
        elif 0 <= self._wanted <= self._size:
            self._answered()

    def _read_head(self) -> None:
        whole = b"".join(self._parts)
        end = whole.find(b"\r\n\r\n")
        if end < 0:
            return
        self._parts = [whole]
        head = whole[:end].lower()
        at = head.find(b"\r\ncontent-length:")
        if at < 0:
            self._wanted = -2
            return
        stop = head.find(b"\r\n", at + 2)
        self._wanted = end + 4 + int(head[at + 17 : stop if stop > 0 else end])

    def _answered(self) -> None:
        tally = self._tally
        tally.seconds.append(time.perf_counter() - self._started)
        tally.answer_bytes += self._size
        status = int(self._parts[0][9:12])
        if status >= 300:
            tally.failed(status, b"".join(self._parts))
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(f"the server cut a connection: {exc}"))


async def run(address: Address, sources: list[Iterator[bytes]]) -> tuple[Tally, float]:
    """Run each source on a connection of its own, all at once; the seconds they took."""
    loop = asyncio.get_running_loop()
    tls = context()
    tally = Tally()
    connections = []
    for source in sources:
        _, connection = await loop.create_connection(
            lambda source=source: Connection(source, tally),  # type: ignore[misc]
            address.host,
            address.port,
            ssl=tls,
        )
        connections.append(connection)
    start = time.perf_counter()
    for connection in connections:
        connection.begin()
    await asyncio.gather(*(connection.done for connection in connections))
    return tally, time.perf_counter() - start


async def once(address: Address, request: bytes) -> Tally:
    tally, _ = await run(address, [iter([request])])
    return tally


class Watch(asyncio.Protocol):
    """Counts the events of a watch, and tells of each that comes."""

    def __init__(self, request: bytes, on_events: Callable[[int, int], None]) -> None:
        """`on_events` gets how many came before, and how many now."""
        self._request = request
        self._on_events = on_events
        self._events = 0
        self._head = b""
        self._carry = b""
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        if not self.open.done():
            self._head += data
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            if not self._head.startswith(b"HTTP/1.1 200"):
                self.open.set_exception(ConnectionError(self._head.decode(errors="replace")))
                return
            self.open.set_result(None)
            data = self._head[end + 4 :]
        if self._carry:
            data = self._carry + data
        count = data.count(b'{"type":"MODIFIED"')
        self._carry = data[-17:] if b"{" in data[-17:] else b""
        if count:
            before, self._events = self._events, self._events + count
            self._on_events(before, count)


async def watch(address: Address, request: bytes, on_events: Callable[[int, int], None]) -> Watch:
    """An open watch."""
    _, protocol = await asyncio.get_running_loop().create_connection(
        lambda: Watch(request, on_events), address.host, address.port, ssl=context()
    )
    await protocol.open
    return protocol
