"""WebSocket requests in process: the handshake, messages, and answers that are no upgrade."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kapi.clock import SystemClock
from kapi.edge.asgi import App
from kapi.messages import Handler, Request, Response

Message = dict[str, Any]
ORIGIN = (b"origin", b"https://example.com")


class Socket:
    """A WebSocket client: connects, and stays until it is told to leave."""

    def __init__(self, *headers: tuple[bytes, bytes], subprotocols: tuple[str, ...] = ()) -> None:
        self.sent: list[Message] = []
        self.leave = asyncio.Event()
        self._first = True
        self.scope = {
            "type": "websocket",
            "path": "/api/v1/pods",
            "raw_path": b"/api/v1/pods",
            "query_string": b"watch=1",
            "headers": list(headers),
            "subprotocols": list(subprotocols),
            "scheme": "wss",
            "client": ("192.0.2.1", 1),
            "extensions": {"websocket.http.response": {}},
        }

    async def receive(self) -> Message:
        if self._first:
            self._first = False
            return {"type": "websocket.connect"}
        await self.leave.wait()
        return {"type": "websocket.disconnect", "code": 1005}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, handler: Handler) -> list[Message]:
        await App(handler, SystemClock())(self.scope, self.receive, self.send)
        return self.sent


async def events() -> AsyncIterator[bytes]:
    yield b'{"a":1}\n'
    yield b'{"b":2}\n'


async def watching(request: Request) -> Response:
    return Response(101, [], events())


async def test_a_stream_is_one_text_message_per_slice() -> None:
    sent = await Socket(ORIGIN, subprotocols=("base64.binary.k8s.io",)).run(watching)
    assert sent == [
        {"type": "websocket.accept", "subprotocol": "base64.binary.k8s.io", "headers": []},
        {"type": "websocket.send", "text": '{"a":1}\n'},
        {"type": "websocket.send", "text": '{"b":2}\n'},
        {"type": "websocket.close", "code": 1000},
    ]


async def test_handler_sees_the_offered_subprotocols_and_may_take_some_away() -> None:
    async def handler(request: Request) -> Response:
        assert request.websocket == ("secret", "plain")
        request.websocket = ("plain",)
        return Response(101, [], events())

    sent = await Socket(ORIGIN, subprotocols=("secret", "plain")).run(handler)
    assert sent[0]["subprotocol"] == "plain"


@pytest.mark.parametrize(
    ("headers", "subprotocols", "status"),
    [
        ((), (), 403),
        (((b"origin", b"null"),), (), 403),
        (((b"origin", b"nonsense"),), (), 403),
        ((ORIGIN,), ("a", "b"), 400),
    ],
)
async def test_refused_handshakes(
    headers: tuple[tuple[bytes, bytes], ...], subprotocols: tuple[str, ...], status: int
) -> None:
    sent = await Socket(*headers, subprotocols=subprotocols).run(watching)
    assert sent[0]["type"] == "websocket.http.response.start"
    assert sent[0]["status"] == status
    assert (b"content-type", b"") in sent[0]["headers"]
    assert sent[1]["body"] == b""


async def test_any_other_answer_is_plain_http_even_without_origin() -> None:
    async def handler(request: Request) -> Response:
        request.reply_headers.append(("Audit-Id", "1"))
        return Response(200, [("Content-Type", "application/json")], [b"{", b"}"])

    sent = await Socket().run(handler)
    assert sent[0]["status"] == 200
    assert (b"audit-id", b"1") in sent[0]["headers"]
    assert (b"content-length", b"2") in sent[0]["headers"]
    assert sent[1]["body"] == b"{}"


async def test_the_stream_is_closed_when_the_client_leaves() -> None:
    closed: list[str] = []
    started = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x"
                started.set()
                await asyncio.Event().wait()
        finally:
            closed.append("stream")

    async def handler(request: Request) -> Response:
        request.exit.append(lambda: closed.append("exit"))
        return Response(101, [], endless())

    socket = Socket(ORIGIN)
    async with asyncio.TaskGroup() as group:
        group.create_task(socket.run(handler))
        await started.wait()
        socket.leave.set()
    assert closed == ["stream", "exit"]
