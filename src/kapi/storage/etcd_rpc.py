"""Calls of gRPC on a connection of HTTP/2: one answer for one request, or a stream both ways.

A `Channel` is one server's address and, while it stands, one connection to it; `etcd_client.py`
has one for each member. Messages are bytes without their meaning. A call that fails raises
`RpcError`, which says whether the server has certainly not looked at the request: only then may a
write be sent again.

https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Sequence
from enum import IntEnum
from typing import Final
from urllib.parse import unquote

from kapi.storage.etcd_frames import literal
from kapi.storage.etcd_http2 import Connection, Headers, Stream

# What the resets of HTTP/2 mean, where it is not INTERNAL.
_RESETS: Final = {7: 14, 8: 1, 11: 8, 12: 7}
# ... and answers that are none of gRPC's, where they do not mean UNKNOWN.
_HTTP: Final = {
    "400": 13, "401": 16, "403": 7, "404": 12, "429": 14, "502": 14, "503": 14, "504": 14,
}  # fmt: skip
# A member of etcd that is cut off from the others says so at once.
HAS_LEADER: Final = (b"hasleader", b"true")
_PREFIX: Final = 5  # bytes before a message: whether it is compressed, and its length
ANSWER_BYTES_MAX: Final = (1 << 31) - 1  # of one message, as etcd's own client


class Code(IntEnum):
    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class RpcError(Exception):
    """A call failed. `untouched`: the server has not looked at it."""

    def __init__(self, code: Code, text: str, *, untouched: bool = False) -> None:
        self.text = text or code.name
        super().__init__(self.text)
        self.code = code
        self.untouched = untouched


class Channel:
    """One server. `connect` before calls; a call on a connection that is gone fails untouched."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        socket: str = "",
        headers: Sequence[tuple[bytes, bytes]] = (HAS_LEADER,),
    ) -> None:
        """`socket`: the path of a Unix socket, in the place of host and port; one that begins with
        NUL is abstract. `headers`: of every request.
        """
        self._host, self._port, self._tls = host, port, tls
        self._socket = socket
        self._headers = headers
        self._connection: Connection | None = None
        self._leaving: list[Connection] = []  # used by calls that began before
        self._connecting: asyncio.Task[None] | None = None
        self._heads: dict[str, bytes] = {}

    @property
    def up(self) -> bool:
        return self._connection is not None and self._connection.usable

    @property
    def connection(self) -> Connection | None:
        """The one that calls take now."""
        return self._connection

    async def connect(self, seconds: float) -> None:
        """Return with a connection. Raises OSError, also when it takes longer."""
        if self.up:
            return
        if self._connecting is None:
            self._connecting = asyncio.get_running_loop().create_task(self._connect(seconds))
            self._connecting.add_done_callback(self._connected)
        task = self._connecting
        async with asyncio.timeout(seconds):
            await asyncio.wait((task,))
        if task.cancelled():
            raise ConnectionError("the channel was closed")
        task.result()

    async def _connect(self, seconds: float) -> None:
        async with asyncio.timeout(seconds):
            transport, connection = await self._open()
            try:
                if self._tls is not None:
                    shown = transport.get_extra_info("ssl_object")
                    if shown is not None and shown.selected_alpn_protocol() != "h2":
                        raise ConnectionError("the server does not speak HTTP/2")
                await connection.ready
            except BaseException:
                transport.abort()
                raise
        if self._connection is not None:
            self._leaving = [c for c in (*self._leaving, self._connection) if not c.gone.done()]
        self._connection = connection

    async def _open(self) -> tuple[asyncio.Transport, Connection]:
        loop = asyncio.get_running_loop()
        if not self._socket:
            return await loop.create_connection(Connection, self._host, self._port, ssl=self._tls)
        name = None if self._tls is None else self._host
        return await loop.create_unix_connection(
            Connection, self._socket, ssl=self._tls, server_hostname=name
        )

    def _connected(self, task: asyncio.Task[None]) -> None:
        self._connecting = None
        if not task.cancelled():
            task.exception()  # those who wait for it know

    async def close(self) -> None:
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait((self._connecting,))
        last, self._connection = self._connection, None
        leaving, self._leaving = self._leaving, []
        for connection in leaving if last is None else (*leaving, last):
            connection.close()
            await connection.gone

    # -- calls ------------------------------------------------------------------------------------

    async def unary(
        self, method: str, request: bytes, *, timeout: float, kept: bool = False
    ) -> bytes:
        """`method`: service and name. Raises RpcError; after `timeout` seconds at the latest.

        The server is told when the caller is cancelled, unless it is to go on (`kept`).
        """
        connection = self._standing()
        loop = asyncio.get_running_loop()
        call = _Unary(connection, loop.create_future())
        head = self._head(method) + literal(b"grpc-timeout", b"%dm" % max(1, int(timeout * 1000)))
        call.stream = connection.open(call, head, _message(request), last=True)
        timer = loop.call_later(timeout, call.late)
        try:
            return await call.answer
        finally:
            timer.cancel()
            if not call.over and not (kept and call.answer.cancelled()):
                connection.cancel(call.stream)

    def stream(self, method: str) -> Call:
        """A call with messages both ways. Raises RpcError."""
        connection = self._standing()
        call = Call(connection)
        call.stream = connection.open(call, self._head(method), b"", last=False)
        return call

    def _standing(self) -> Connection:
        if self._connection is None or not self._connection.usable:
            raise RpcError(Code.UNAVAILABLE, "not connected", untouched=True)
        return self._connection

    def _head(self, method: str) -> bytes:
        head = self._heads.get(method)
        if head is None:
            headers = (
                (b":method", b"POST"),
                (b":scheme", b"http" if self._tls is None else b"https"),
                (b":path", f"/{method}".encode()),
                (b":authority", self._authority()),
                (b"te", b"trailers"),
                (b"content-type", b"application/grpc"),
                (b"user-agent", b"kapi"),
                *self._headers,
            )
            head = self._heads[method] = b"".join(literal(*header) for header in headers)
        return head

    def _authority(self) -> bytes:
        if self._socket:
            return b"localhost"
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}".encode()


def _message(data: bytes) -> bytes:
    return b"\0" + len(data).to_bytes(4, "big") + data


class _Outcome:
    """What the headers of an answer say."""

    __slots__ = ("code", "http", "text")

    def __init__(self) -> None:
        self.http, self.code, self.text = "", -1, ""

    def take(self, headers: Headers) -> None:
        self.http = headers.get(":status", self.http)
        code = headers.get("grpc-status")
        if code is not None:
            self.code = int(code) if code.isdecimal() and int(code) in _CODES else Code.UNKNOWN
            self.text = unquote(headers.get("grpc-message", ""))

    def error(self) -> RpcError | None:
        """None if the call went well; once the answer has ended."""
        if self.code == Code.OK:
            return None
        if self.code > 0:
            return RpcError(Code(self.code), self.text)
        if self.http == "200":
            return RpcError(Code.INTERNAL, "the answer ended without a status")
        code = Code(_HTTP.get(self.http, Code.UNKNOWN))
        return RpcError(code, f"unexpected HTTP status code received from server: {self.http}")


_CODES: Final = frozenset(int(code) for code in Code)


def _broken(code: int, text: str, untouched: bool) -> RpcError:
    status = Code.UNAVAILABLE if code < 0 else Code(_RESETS.get(code, Code.INTERNAL))
    return RpcError(status, text, untouched=untouched)


class _Unary:
    """A call with one answer: the receiver of its stream."""

    __slots__ = ("_chunks", "_connection", "_outcome", "_size", "answer", "over", "stream")

    def __init__(self, connection: Connection, answer: asyncio.Future[bytes]) -> None:
        self._connection = connection
        self._outcome = _Outcome()
        self._chunks: list[bytes] = []
        self._size = 0
        self.answer = answer
        self.over = False
        self.stream: Stream | None = None

    def headers(self, headers: Headers) -> None:
        self._outcome.take(headers)

    def data(self, data: bytes) -> None:
        assert self.stream is not None
        self._size += len(data)
        if self._size > ANSWER_BYTES_MAX + _PREFIX:
            self._connection.cancel(self.stream)
            self.failed(11, f"the answer has more than {ANSWER_BYTES_MAX} bytes", untouched=False)
            return
        self._chunks.append(data)
        self._connection.took(self.stream, len(data))

    def ended(self) -> None:
        self.over = True
        if self.answer.done():
            return
        error = self._outcome.error()
        data = b"".join(self._chunks)
        if error is None and (len(data) < _PREFIX or data[0]):
            error = RpcError(Code.INTERNAL, "the answer is no message")
        if error is None and int.from_bytes(data[1:_PREFIX], "big") != len(data) - _PREFIX:
            error = RpcError(Code.INTERNAL, "the answer is not one message")
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(data[_PREFIX:])

    def failed(self, code: int, text: str, *, untouched: bool) -> None:
        self.over = True
        if not self.answer.done():
            self.answer.set_exception(_broken(code, text, untouched))

    def late(self) -> None:
        if not self.answer.done():
            assert self.stream is not None
            unsent = not self.stream.number  # it waited for others to end
            error = RpcError(Code.DEADLINE_EXCEEDED, "Deadline Exceeded", untouched=unsent)
            self.answer.set_exception(error)


class Call:
    """A stream of messages both ways. One `read` at a time; `cancel` when it is not wanted."""

    __slots__ = (
        "_connection",
        "_error",
        "_messages",
        "_outcome",
        "_over",
        "_owed",
        "_rest",
        "_waiter",
        "stream",
    )

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._outcome = _Outcome()
        self._messages: deque[bytes] = deque()
        self._rest = bytearray()  # of a message that is not whole yet
        self._owed = 0  # bytes that came while its reader was behind: no more may come for them
        self._over = False
        self._error: RpcError | None = None  # that `read` raises in the end
        self._waiter: asyncio.Future[None] | None = None
        self.stream: Stream | None = None

    def write(self, message: bytes) -> None:
        assert self.stream is not None
        self._connection.send(self.stream, _message(message))

    async def read(self) -> bytes | None:
        """The next message; None after the last. Raises RpcError."""
        while not self._messages:
            if self._over:
                if self._error is not None:
                    raise self._error
                return None
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        message = self._messages.popleft()
        if self._owed and not self._messages:
            assert self.stream is not None
            self._connection.took(self.stream, self._owed)
            self._owed = 0
        return message

    def cancel(self) -> None:
        if not self._over:
            assert self.stream is not None
            self._connection.cancel(self.stream)
            self._end(RpcError(Code.CANCELLED, "the call was cancelled here"))

    def headers(self, headers: Headers) -> None:
        self._outcome.take(headers)

    def data(self, data: bytes) -> None:
        if self._messages:
            self._owed += len(data)
        else:
            assert self.stream is not None
            self._connection.took(self.stream, len(data))
        rest = self._rest
        rest += data
        at, end = 0, len(rest)
        while at + _PREFIX <= end:
            stop = at + _PREFIX + int.from_bytes(rest[at + 1 : at + _PREFIX], "big")
            if stop > end:
                break
            if rest[at]:
                assert self.stream is not None
                self._connection.cancel(self.stream)
                self._end(RpcError(Code.INTERNAL, "a compressed message was not asked for"))
                return
            self._messages.append(bytes(rest[at + _PREFIX : stop]))
            at = stop
        if at:
            del rest[:at]
            self._wake()

    def ended(self) -> None:
        self._end(self._outcome.error())

    def failed(self, code: int, text: str, *, untouched: bool) -> None:
        self._end(_broken(code, text, untouched))

    def _end(self, error: RpcError | None) -> None:
        if not self._over:
            self._over, self._error = True, error
            self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
