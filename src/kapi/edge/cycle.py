"""One request and its answer on an HTTP/1.1 connection: what uvicorn's protocol calls a cycle,
written for speed.

`protocol.py` makes one per request. It sends what `asgi.App` sends, which it trusts: names in
lower case, values without line breaks, a length that is right. The head of an answer with a
length waits for the body that comes next, so that both leave in one write and one TLS record; the
head of a stream leaves at once, since a watch may be silent for long."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

_BODILESS = frozenset((204, 304))


def _status_line(status: int) -> bytes:
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    return f"HTTP/1.1 {status} {phrase}\r\n".encode()


STATUS_LINES = {status: _status_line(status) for status in (101, *range(200, 600))}


class Cycle(RequestResponseCycle):
    """Sends the answer to one request."""

    held = b""  # the head, until its body comes
    chunked = False
    silent = False  # no body bytes, whatever the application sends: HEAD

    async def send(self, message: Any) -> None:
        if self.flow.write_paused and not self.disconnected:
            await self.flow.drain()
        if self.disconnected:
            return
        if message["type"] == "http.response.body":
            self._send_body(message["body"], message["more_body"])
        else:
            self._send_head(message["status"], message.get("headers", ()))

    def _send_head(self, status: int, headers: Any) -> None:
        assert not self.response_started, "an answer has one head"
        self.response_started = True
        self.waiting_for_100_continue = False
        lines = [STATUS_LINES[status]]
        sized = closing = False
        for name, value in self.default_headers:
            lines += (name, b": ", value, b"\r\n")
        for name, value in headers:
            if name == b"content-length":
                sized = True
            elif name == b"connection" and value.lower() == b"close":
                self.keep_alive = False
                closing = True
            lines += (name, b": ", value, b"\r\n")
        if not self.keep_alive and not closing:
            lines.append(b"connection: close\r\n")
        self.silent = self.scope["method"] == "HEAD" or status in _BODILESS
        if not sized and not self.silent:
            self.chunked = True
            lines.append(b"transfer-encoding: chunked\r\n")
        lines.append(b"\r\n")
        head = b"".join(lines)
        if self.chunked:
            self.transport.write(head)
        else:
            self.held = head

    def _send_body(self, body: bytes, more: bool) -> None:
        assert self.response_started, "an answer begins with its head"
        assert not self.response_complete, "an answer ends once"
        if self.silent:
            body = b""
        elif self.chunked:
            pieces = [b"%x\r\n" % len(body), body, b"\r\n"] if body else []
            if not more:
                pieces.append(b"0\r\n\r\n")
            body = b"".join(pieces)
        if self.held:
            body = self.held + body
            self.held = b""
        if body:
            self.transport.write(body)
        if not more:
            self.response_complete = True
            self.message_event.set()
            if not self.keep_alive:
                self.transport.close()
            self.on_response()
