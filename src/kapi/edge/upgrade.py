"""WebSocket requests: the handshake, and a streamed answer as one text message per slice.

Called by `asgi.py` for WebSocket scopes. The handler sees a `Request` whose `websocket` holds the
offered subprotocols. It answers 101 with a stream to take the upgrade; any other answer goes out
as plain HTTP, as the real server does for a list that came with upgrade headers. Tunnels (exec,
port-forward) come in here, too: `Response.upgrade` is theirs.

The handshake has the real server's rules (golang.org/x/net/websocket, as watches use it): no
valid `Origin` gives an empty 403, more than one subprotocol left after authentication took its
own an empty 400."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from kapi.edge.asgi_form import Receive, Send, reply_headers
from kapi.edge.bodies import close_body
from kapi.gonet.urls import UrlError, parse_request_uri
from kapi.messages import Request, Response, ResponseBody

CLOSE_NORMAL = 1000
EMPTY = [("Content-Type", "")]  # an answer without a body; HTTP servers must not make up a type


class UpgradeSender:
    """Writes one answer to a WebSocket request, and knows afterwards how far it came."""

    __slots__ = ("_receive", "_request", "_send", "body_bytes", "status")

    def __init__(self, request: Request, receive: Receive, send: Send) -> None:
        self._request = request
        self._receive = receive
        self._send = send
        self.status = 0
        self.body_bytes = 0

    async def send(self, response: Response) -> None:
        """From the handshake to the close."""
        request = self._request
        if response.status == 101:
            refusal = _refusal(request)
            if refusal is not None:
                await close_body(response.body)
                response = refusal
        self.status = response.status
        if self.status == 101:
            self.body_bytes = await _messages(request, response, self._receive, self._send)
        else:
            self.body_bytes = await _deny(request, response, self._send)


def _refusal(request: Request) -> Response | None:
    """Why the upgrade may not happen, if so."""
    if not _valid_origin(request.headers.get("origin")):
        return Response(403, EMPTY)
    if len(request.websocket or ()) > 1:
        return Response(400, EMPTY)
    return None


def _valid_origin(origin: str) -> bool:
    if not origin or origin == "null":
        return False
    try:
        parse_request_uri(origin)
    except UrlError:
        return False
    return True


async def _messages(request: Request, response: Response, receive: Receive, send: Send) -> int:
    protocols = request.websocket
    accept: dict[str, Any] = {
        "type": "websocket.accept",
        "subprotocol": protocols[0] if protocols else None,
        "headers": reply_headers(request, response),
    }
    await send(accept)
    stream = _slices(response.body)
    kind = "bytes" if response.binary else "text"
    sent = 0

    async def write() -> None:
        nonlocal sent
        async for chunk in stream:
            sent += len(chunk)
            message = chunk if response.binary else chunk.decode("utf-8", "replace")
            await send({"type": "websocket.send", kind: message})
        await send({"type": "websocket.close", "code": CLOSE_NORMAL})

    async def wait_gone() -> None:
        while (await receive())["type"] != "websocket.disconnect":
            pass  # clients have nothing to say on a watch
        writer.cancel()

    try:
        async with asyncio.TaskGroup() as group:
            writer = group.create_task(write())
            reader = group.create_task(wait_gone())
            await asyncio.wait((writer,))
            reader.cancel()
    except* OSError:
        pass  # the client went away while we wrote
    finally:
        await stream.aclose()
    return sent


async def _slices(body: ResponseBody) -> AsyncGenerator[bytes, None]:
    """Any body as a stream that closes what it reads from."""
    if isinstance(body, bytes):
        yield body
        return
    if not isinstance(body, AsyncIterator):
        for chunk in body:
            yield chunk
        return
    try:
        async for chunk in body:
            yield chunk
    finally:
        await close_body(body)


async def _deny(request: Request, response: Response, send: Send) -> int:
    body = b"".join([chunk async for chunk in _slices(response.body)])
    headers = reply_headers(request, response)
    headers.append((b"content-length", b"%d" % len(body)))
    start = {"type": "websocket.http.response.start", "status": response.status}
    await send({**start, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body, "more_body": False})
    return len(body)
