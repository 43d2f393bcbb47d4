"""HTTP/1.1 on a socket: uvicorn's httptools protocol with the manners of a server that faces the
open.

`listener.py` makes one per connection. Over uvicorn's it adds: the client's certificate (the ASGI
TLS extension, read once per connection), bounds on headers and on what a slow client may hold up,
any method name, errors worded as Go's net/http does, a callback when the client of a streamed
answer is gone, and the hand-over to WebSocket.

Timers cost nothing on the usual path: one exists only while a request is half read or a write is
stuck."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from kapi.edge.asgi import CONNECTION, TLS, Connection
from kapi.edge.asked_certificates import handshake_done
from kapi.edge.cycle import STATUS_LINES, Cycle
from kapi.edge.listener_state import WRITE_STALL_SECONDS, ListenerState
from kapi.edge.tls import tls_extension

if TYPE_CHECKING:
    from kapi.edge.pipe import RawPipe

HEADER_BYTES_MAX = (
    1 << 20
) + 4096  # request line and headers; kube-apiserver's 1 MiB and Go's slop
HEADER_SECONDS = 32.0  # from the first byte to the end of the headers; kube-apiserver's
IDLE_SECONDS = 90  # between requests on a kept connection; kube-apiserver's
BODY_STALL_SECONDS = 30.0  # without one byte of an awaited body
EARLY_BYTES_MAX = 64 * 1024  # of another protocol, before its tunnel stands
DISCARD_BYTES_MAX = 4 << 20  # of a body that nobody wants, before the connection is cut

# What llhttp knows. Others, and CONNECT with its own form of target, go through it as STAND_IN.
METHODS = frozenset(
    b"DELETE GET HEAD POST PUT OPTIONS TRACE COPY LOCK MKCOL MOVE PROPFIND PROPPATCH SEARCH UNLOCK"
    b" BIND REBIND UNBIND ACL REPORT MKACTIVITY CHECKOUT MERGE M-SEARCH NOTIFY SUBSCRIBE"
    b" UNSUBSCRIBE PATCH PURGE MKCALENDAR LINK UNLINK".split()
)
STAND_IN = b"PURGE"
METHOD_BYTES_MAX = 64
_TOKEN = frozenset(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ")
_HEX = frozenset(b"0123456789abcdefABCDEF")

_REFUSALS = {
    400: b"400 Bad Request",
    417: b"",
    431: b"431 Request Header Fields Too Large",
}
_PHRASES = {400: b"Bad Request", 417: b"Expectation Failed", 431: _REFUSALS[431][4:]}


class HttpProtocol(HttpToolsProtocol):
    """One HTTP/1.1 connection."""

    def __init__(self, state: ListenerState, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(state.config, state.uvicorn, {}, loop)
        self.access_log = False
        self._state = state
        self._extensions: dict[str, Any] = {}
        self._connection = Connection()
        self._head_bytes = 0
        self._in_head = (
            True  # between the end of one request's body and the end of the next's headers
        )
        self._begun = False  # between the first byte of a request and the last of its body
        self._refusal = 400  # how to answer what the parser or one of its callbacks refuses
        self._refused = False  # nothing more is read
        self._upgrading = False  # after the head of a request that may leave HTTP
        self._early = b""  # what came after it
        self._method = b""  # the real name where STAND_IN went through the parser
        self._discarded = 0
        self._watchdog: asyncio.TimerHandle | None = None
        self._body_seen_at = 0.0
        self._write_timer: asyncio.TimerHandle | None = None

    # -- the connection -------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._extensions[CONNECTION] = self._connection
        self._connection.take_over = self._take_over
        connection = transport.get_extra_info("ssl_object")
        tls = tls_extension(connection)
        handshake_done(connection)
        if tls is not None:
            self._extensions[TLS] = tls
        self._watchdog = self.loop.call_later(HEADER_SECONDS, self._head_overdue)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_watchdog()
        self._stop_write_timer()
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._connection.lost()
        self._state.connection_lost()

    def shutdown(self) -> None:
        """Close now if idle, else after the answer under way."""
        if self.idle:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    @property
    def idle(self) -> bool:
        """Whether no answer is on its way."""
        return self.cycle is None or self.cycle.response_complete

    # -- reading --------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._refused or self.transport.is_closing():
            return
        if self._upgrading:
            self._keep_early(data)
            return
        if not self._begun:
            self._head_bytes = 0
            data = self._known_method(data)
        if self._in_head:
            self._head_bytes += len(data)
            if self._head_bytes > HEADER_BYTES_MAX:
                self.refuse(431)
                return
        self._feed(data)
        self._watch()

    def _feed(self, data: bytes) -> None:
        self._unset_keepalive_if_required()
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError:
            self.refuse(self._refusal)
        except httptools.HttpParserUpgrade as upgrade:
            if self._should_upgrade():
                self.handle_websocket_upgrade()
            else:
                self._upgrading = True
                self._keep_early(data[upgrade.args[0] :])

    def _keep_early(self, data: bytes) -> None:
        """Bytes of another protocol: for the tunnel, if the answer becomes one."""
        self._early += data
        if len(self._early) > EARLY_BYTES_MAX:
            self.transport.pause_reading()

    def _take_over(self, status: int, headers: list[tuple[bytes, bytes]]) -> RawPipe:
        """Write the head of an answer, and leave the connection to a tunnel."""
        from kapi.edge.pipe import RawPipe

        cycle = self.cycle
        cycle.response_started = cycle.response_complete = True
        self._stop_watchdog()
        self._stop_write_timer()
        self._unset_keepalive_if_required()
        pipe = RawPipe(self.transport, self, self._early)
        self.transport.set_protocol(pipe)
        lines = [STATUS_LINES[status]]
        for name, value in [*self._state.default_headers(), *headers]:
            lines += (name, b": ", value, b"\r\n")
        self.transport.write(b"".join((*lines, b"\r\n")))
        if len(self._early) > EARLY_BYTES_MAX:
            self.transport.resume_reading()
        return pipe

    def _watch(self) -> None:
        """Arm the timer that what is missing calls for."""
        if self._in_head:
            if self._begun:
                if self._watchdog is None:
                    self._watchdog = self.loop.call_later(HEADER_SECONDS, self._head_overdue)
            elif (
                self.timeout_keep_alive_task is None and self.cycle and self.cycle.response_complete
            ):
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
        elif self._watchdog is None:
            self._body_seen_at = self.loop.time()
            self._watchdog = self.loop.call_later(BODY_STALL_SECONDS, self._check_body)

    def _known_method(self, data: bytes) -> bytes:
        """The data, with a method that the parser would refuse replaced by one that it takes."""
        start = len(data) - len(data.lstrip(b"\r\n")) if data[:1] in b"\r\n" else 0
        space = data.find(b" ", start, start + METHOD_BYTES_MAX)
        method = data[start:space]
        if space < 0 or method in METHODS or not method or not _TOKEN.issuperset(method):
            self._method = b""
            return data
        self._method = method
        return STAND_IN + data[space:]

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._begun = True
        self.scope["extensions"] = self._extensions

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._stop_watchdog()
        parser = self.parser
        version = parser.get_http_version()
        method = self._method or parser.get_method()
        self._method = b""
        scope = self.scope
        scope["method"] = method.decode("ascii")
        if version != "1.1":
            scope["http_version"] = version
        if parser.should_upgrade() and self._should_upgrade():
            return
        target = httptools.parse_url(self.url)
        raw_path = target.path or b"/"
        path = raw_path
        if b"%" in raw_path:
            if broken_escape(raw_path):
                raise ValueError("broken escape in the path")
            path = unquote_to_bytes(raw_path)
        scope["path"] = path.decode("utf-8", "replace")
        scope["raw_path"] = raw_path
        scope["query_string"] = target.query or b""
        self._begin(scope, keep_alive=version != "1.0" and parser.should_keep_alive())

    def _begin(self, scope: Any, *, keep_alive: bool) -> None:
        """Start the answer, or queue the request behind the one that is being answered."""
        if self.parser.should_upgrade():
            keep_alive = False  # the parser stops after such a request
        before = self.cycle
        self.cycle = Cycle(
            scope=scope,
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=False,
            default_headers=self._state.default_headers(),
            message_event=asyncio.Event(),
            expect_100_continue=self.expect_100_continue,
            keep_alive=keep_alive,
            on_response=self.on_response_complete,
        )
        if self._state.draining:
            self.cycle.keep_alive = False
        if before is None or before.response_complete:
            self._start_asgi_task(self.cycle, self.app)
        else:
            self.flow.pause_reading()
            self.pipeline.appendleft((self.cycle, self.app))

    def on_header(self, name: bytes, value: bytes) -> None:
        name = name.lower()
        if name == b"expect":
            if value.lower() != b"100-continue":
                self._refusal = 417
                raise ValueError("the request expects what we do not know")
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_body(self, body: bytes) -> None:
        cycle = self.cycle
        if cycle.response_complete:
            self._discarded += len(body)
            if self._discarded > DISCARD_BYTES_MAX:
                self.transport.abort()
            return
        super().on_body(body)
        self._body_seen_at = self.loop.time()

    def on_message_complete(self) -> None:
        self._in_head = True
        self._begun = False
        self._discarded = 0
        self._stop_watchdog()
        super().on_message_complete()

    # -- impatience -----------------------------------------------------------------------------

    def _head_overdue(self) -> None:
        self._watchdog = None
        self.transport.abort()

    def _check_body(self) -> None:
        self._watchdog = None
        if self._in_head:
            return
        if self.flow.read_paused:  # we do not read: not the client's fault
            self._body_seen_at = self.loop.time()
        left = self._body_seen_at + BODY_STALL_SECONDS - self.loop.time()
        if left <= 0:
            self.transport.abort()
        else:
            self._watchdog = self.loop.call_later(left, self._check_body)

    def _stop_watchdog(self) -> None:
        if self._watchdog is not None:
            self._watchdog.cancel()
            self._watchdog = None

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    # -- refusing -------------------------------------------------------------------------------

    def send_400_response(self, msg: str) -> None:
        """Called by uvicorn for whatever the parser or a callback of it refused."""
        self.refuse(self._refusal)

    def refuse(self, status: int) -> None:
        """A plain answer without asking a handler, in net/http's words; the connection ends."""
        self._refused = True
        if self.cycle is not None and not self.cycle.response_complete:
            if self._in_head:  # a whole request went before: answer that, then close
                self.cycle.keep_alive = False
            else:
                self.transport.abort()
            return
        body = _REFUSALS[status]
        kind = b"Content-Type: text/plain; charset=utf-8\r\n" if body else b"Content-Length: 0\r\n"
        head = b"HTTP/1.1 %d %s\r\n%sConnection: close\r\n\r\n" % (status, _PHRASES[status], kind)
        self.transport.write(head + body)
        self.transport.close()

    # -- WebSocket ------------------------------------------------------------------------------

    def _should_upgrade(self) -> bool:
        """Whether this handshake can succeed; any other request with upgrade headers is plain."""
        upgrade = version = key = b""
        connection: list[bytes] = []
        for name, value in self.headers:
            if name == b"upgrade":
                upgrade = value.lower()
            elif name == b"connection":
                connection = [token.strip() for token in value.lower().split(b",")]
            elif name == b"sec-websocket-version":
                version = value
            elif name == b"sec-websocket-key":
                key = value
        return (
            upgrade == b"websocket"
            and b"upgrade" in connection
            and version == b"13"
            and len(key) == 24  # 16 bytes in base64
            and self.scope["method"] == "GET"
            and not self._state.tunnels(
                unquote_to_bytes(self._raw_path()).decode("utf-8", "replace")
            )
        )

    def _raw_path(self) -> bytes:
        return httptools.parse_url(self.url).path or b"/"

    def handle_websocket_upgrade(self) -> None:
        # Half a megabyte and 13 ms to load: with the first handshake.
        from kapi.edge.websocket_protocol import WebSocketProtocol

        self._stop_watchdog()
        self._unset_keepalive_if_required()
        self.connections.discard(self)
        lines = [self.scope["method"].encode(), b" ", self.url, b" HTTP/1.1\r\n"]
        offered: list[bytes] = []
        for name, value in self.scope["headers"]:
            if name == b"sec-websocket-protocol":
                offered.append(value)
            else:
                lines += [name, b": ", value, b"\r\n"]
        lines.append(b"\r\n")
        protocol = WebSocketProtocol(self._state, self._extensions, offered)
        protocol.connection_made(self.transport)
        protocol.data_received(b"".join(lines))
        self.transport.set_protocol(protocol)


def broken_escape(raw: bytes) -> bool:
    """Whether a `%` is not followed by two hexadecimal digits."""
    at = raw.find(b"%")
    while at >= 0:
        if len(raw) < at + 3 or raw[at + 1] not in _HEX or raw[at + 2] not in _HEX:
            return True
        at = raw.find(b"%", at + 1)
    return False
