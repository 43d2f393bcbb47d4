"""One HTTP/1.1 connection to another server: writes a request, reads its answer as it comes.

`client.py` dials, lends and takes back connections; nobody else sees them. llhttp does the
parsing, one parser for each answer. What nobody has read yet is bounded: beyond BUFFER_BYTES the
socket is not read. After a 101 the connection is a tunnel of bytes.

    connection.begin("GET"); connection.write(head); await connection.drain()
    status, headers = await connection.head()
    while chunk := await connection.chunk(): …
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from enum import Enum
from typing import cast

import httptools

from kapi.outgoing import words
from kapi.outgoing.words import ConnectionLost, OutgoingError

BUFFER_BYTES = 256 * 1024  # read ahead of whoever reads the answer
HEAD_BYTES_MAX = 1 << 20  # status line and headers of an answer
INTERIM_MAX = 5  # answers of 1xx before the real one, as net/http
_BODILESS = frozenset((204, 304))


class Phase(Enum):
    IDLE = "idle"  # nothing is asked
    HEAD = "head"  # the head of the answer has yet to come
    BODY = "body"
    DONE = "done"  # the whole answer has come
    TUNNEL = "tunnel"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Head:
    """The head of an answer; names and values as they came."""

    status: int
    reason: str
    headers: list[tuple[str, str]]


class Connection(asyncio.Protocol):
    """A connection that is open until `close`, or until the other side ends it."""

    def __init__(self) -> None:
        self.phase = Phase.IDLE
        self.reusable = False  # the other side keeps it open after this answer
        self.used = 0  # requests so far
        self.answered = False  # a byte of the current answer has come
        self.transport: asyncio.Transport | None = None
        self.idle_timer: asyncio.TimerHandle | None = None
        self.local = self.remote = ""
        self._parser: httptools.HttpResponseParser | None = None
        self._method = ""
        self._headers: list[tuple[str, str]] = []
        self._reason = b""
        self._head: Head | None = None
        self._head_bytes = 0
        self._interim = 0
        self._until_close = False
        self._chunks: deque[bytes] = deque()
        self._buffered = 0
        self._reading_paused = False
        self._writing_paused = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None
        self._error: OutgoingError | None = None
        self._eof = False

    # -- for the client -------------------------------------------------------------------------

    def begin(self, method: str) -> None:
        """A new request: forget the answer before it."""
        assert self.phase is Phase.IDLE, "one request at a time"
        self.phase = Phase.HEAD
        self.reusable = False
        self.answered = False
        self.used += 1
        self._method = method
        self._parser = httptools.HttpResponseParser(self)
        self._headers = []
        self._reason = b""
        self._head = None
        self._head_bytes = self._interim = 0
        self._until_close = False

    def write(self, data: bytes) -> None:
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    async def drain(self) -> None:
        """Wait until the other side takes more. Raises OutgoingError if it is gone."""
        while self._writing_paused and self.phase is not Phase.LOST:
            self._writable = asyncio.get_running_loop().create_future()
            await self._writable
        if self.phase is Phase.LOST:
            raise self._error or ConnectionLost(words.NOTHING)

    def write_eof(self) -> None:
        """We have nothing more to say in a tunnel."""
        transport = self.transport
        if transport is not None and not transport.is_closing() and transport.can_write_eof():
            transport.write_eof()

    async def head(self) -> Head:
        """Raises OutgoingError; ConnectionLost if not a byte came."""
        while self._head is None:
            if self._error is not None:
                raise self._error
            await self._wait()
        return self._head

    async def chunk(self) -> bytes:
        """The next bytes of the body or the tunnel, b"" at their end. Raises OutgoingError."""
        while not self._chunks:
            if self.phase in (Phase.DONE, Phase.IDLE) or self._eof:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._reading_paused and self._buffered < BUFFER_BYTES // 2:
            self._reading_paused = False
            if self.transport is not None and not self.transport.is_closing():
                self.transport.resume_reading()
        return chunk

    def rest(self) -> bool:
        """Make ready for the next request; False if this connection is of no more use."""
        transport = self.transport
        if self.phase is not Phase.DONE or not self.reusable or self._chunks or transport is None:
            return False
        self.phase = Phase.IDLE
        return not transport.is_closing()

    def close(self) -> None:
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None
        if self.transport is not None:
            self.transport.abort()

    async def _wait(self) -> None:
        self._readable = asyncio.get_running_loop().create_future()
        await self._readable

    def _wake(self) -> None:
        waiter, self._readable = self._readable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- asyncio.Protocol -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's over TLS is no subclass
        self.local = _shown(transport.get_extra_info("sockname"))
        self.remote = _shown(transport.get_extra_info("peername"))

    def data_received(self, data: bytes) -> None:
        if self.phase is Phase.TUNNEL:
            self._add(data)
        elif self.phase in (Phase.HEAD, Phase.BODY):
            self._parse(data)
        else:  # it speaks without being asked: not to be trusted with another request
            self.reusable = False
            self.close()

    def _parse(self, data: bytes) -> None:
        assert self._parser is not None
        first = not self.answered
        self.answered = True
        if self.phase is Phase.HEAD:
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            rest = data[upgrade.args[0] :]
            self.phase = Phase.TUNNEL
            if rest:
                self._add(rest)
        except httptools.HttpParserError as error:
            if self.phase in (Phase.HEAD, Phase.BODY):
                bad = words.malformed(data) if first else f"net/http: {error}"
                self._fail(OutgoingError(bad))
                return
            self.reusable = False  # more than was asked for
        if self.phase is Phase.HEAD and self._head_bytes > HEAD_BYTES_MAX:
            text = f"server response headers exceeded {HEAD_BYTES_MAX} bytes; aborted"
            self._fail(OutgoingError(f"net/http: {text}"))
        self._wake()

    def _fail(self, error: OutgoingError) -> None:
        self._error = error
        self._wake()
        self.close()

    def _add(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > BUFFER_BYTES and not self._reading_paused:
            self._reading_paused = True
            assert self.transport is not None
            self.transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        tunnel = self.phase is Phase.TUNNEL
        self._ended(None)
        return tunnel and not self._has_tls()  # we may have more to say

    def _has_tls(self) -> bool:
        return (
            self.transport is not None and self.transport.get_extra_info("ssl_object") is not None
        )

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended(exc)
        self.phase = Phase.LOST
        if self.idle_timer is not None:
            self.idle_timer.cancel()
            self.idle_timer = None
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
        self._wake()

    def _ended(self, exc: Exception | None) -> None:
        self.reusable = False
        if self.phase is Phase.HEAD and self._error is None:
            text = words.lost(exc, self.local, self.remote)
            self._error = OutgoingError(words.SHORT) if self.answered else ConnectionLost(text)
        elif self.phase is Phase.BODY and self._error is None and not self._eof:
            if self._until_close and exc is None:
                self.phase = Phase.DONE
            else:
                text = words.lost(exc, self.local, self.remote)
                self._error = OutgoingError(words.SHORT if text == words.NOTHING else text)
        elif self.phase is Phase.TUNNEL:
            self._eof = True
        self._wake()

    def pause_writing(self) -> None:
        self._writing_paused = True

    def resume_writing(self) -> None:
        self._writing_paused = False
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    # -- callbacks of the parser ------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.phase is Phase.DONE:
            raise ValueError("an answer that nobody asked for")

    def on_status(self, status: bytes) -> None:
        self._reason += status

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head is None:  # trailers are of no use to anybody here
            self._headers.append((name.decode("latin-1"), _text(value)))

    def on_headers_complete(self) -> None:
        assert self._parser is not None
        status = self._parser.get_status_code()
        if 100 <= status < 200 and status != 101:
            self._interim += 1
            if self._interim > INTERIM_MAX:
                raise ValueError("too many 1xx informational responses")
            return
        head = Head(status, self._reason.decode("latin-1"), self._headers)
        names = {name.lower() for name, _ in self._headers}
        self._until_close = not names & {"content-length", "transfer-encoding"}
        self._head = head
        self.phase = Phase.BODY
        if self._method == "HEAD":  # the parser does not know that no body comes
            self._finish()

    def on_body(self, body: bytes) -> None:
        if self.phase is Phase.BODY:
            self._add(body)

    def on_message_complete(self) -> None:
        if self._head is None:  # an interim answer
            self._headers = []
            self._reason = b""
        elif self.phase is Phase.BODY and self._head.status != 101:
            self._finish()

    def _finish(self) -> None:
        assert self._parser is not None
        self.reusable = self._parser.should_keep_alive()
        self.phase = Phase.DONE


def _shown(address: object) -> str:
    if isinstance(address, tuple) and len(address) >= 2:
        return words.host_port(str(address[0]), int(address[1]))
    return ""


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
