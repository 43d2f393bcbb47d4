"""The ASGI application in process: requests in, answers out, and either breaking off."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kapi.clock import SystemClock
from kapi.edge.asgi import CONNECTION, GZIP_MIN_BYTES, App, Connection, StreamFailed
from kapi.edge.bodies import WRITE_BYTES, compress, joined
from kapi.errors import ApiError
from kapi.messages import Handler, Request, Response

Message = dict[str, Any]


class Exchange:
    """One request over plain ASGI, and what was sent back."""

    def __init__(
        self,
        path: bytes = b"/",
        *,
        method: str = "GET",
        query: bytes = b"",
        headers: list[tuple[bytes, bytes]] | None = None,
        body: list[bytes] | None = None,
        extensions: dict[str, Any] | None = None,
    ) -> None:
        self.sent: list[Message] = []
        self.gone = asyncio.Event()
        chunks = body or []
        self._incoming: list[Message] = [
            {"type": "http.request", "body": chunk, "more_body": i < len(chunks) - 1}
            for i, chunk in enumerate(chunks)
        ]
        self.scope: dict[str, Any] = {
            "type": "http",
            "method": method,
            "path": path.decode("latin-1"),
            "raw_path": path,
            "query_string": query,
            "headers": headers or [],
            "client": ("192.0.2.1", 4711),
            "scheme": "https",
            "http_version": "1.1",
        }
        if extensions is not None:
            self.scope["extensions"] = extensions

    async def receive(self) -> Message:
        if self._incoming:
            return self._incoming.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: Message) -> None:
        self.sent.append(message)

    async def run(self, handler: Handler, **more: Any) -> Exchange:
        await App(handler, SystemClock(), **more)(self.scope, self.receive, self.send)
        return self

    @property
    def status(self) -> int:
        return int(self.sent[0]["status"])

    @property
    def headers(self) -> dict[bytes, bytes]:
        return dict(self.sent[0]["headers"])

    @property
    def body(self) -> bytes:
        return b"".join(m["body"] for m in self.sent[1:])


def answering(response: Response) -> Handler:
    async def handler(request: Request) -> Response:
        return response

    return handler


async def test_request_fields() -> None:
    seen: list[Request] = []

    async def handler(request: Request) -> Response:
        seen.append(request)
        return Response(204)

    headers = [(b"accept", b"a"), (b"x-name", "Jürgen".encode()), (b"x-odd", b"\xff")]
    await Exchange(b"/a%2Fb/c", method="PUT", query=b"x=1&y=%20", headers=headers).run(handler)
    request = seen[0]
    assert (request.method, request.raw_path, request.path) == ("PUT", "/a%2Fb/c", "/a/b/c")
    assert (request.query.get("x"), request.query.get("y")) == ("1", " ")
    assert request.headers.get("x-name") == "Jürgen"
    assert request.headers.get("x-odd") == "ÿ"
    assert (request.peer.address, request.peer.tls) == ("192.0.2.1", True)
    assert await request.body.read(10) == b""


async def test_peer_is_made_once_per_connection() -> None:
    peers = []

    async def handler(request: Request) -> Response:
        peers.append(request.peer)
        return Response(204)

    shared: dict[str, Any] = {}
    await Exchange(extensions=shared).run(handler)
    await Exchange(extensions=shared).run(handler)
    assert peers[0] is peers[1]


async def test_body_is_read_whole() -> None:
    async def handler(request: Request) -> Response:
        return Response(200, [], await request.body.read(100))

    headers = [(b"transfer-encoding", b"chunked")]
    done = await Exchange(headers=headers, body=[b"ab", b"", b"cd"]).run(handler)
    assert done.body == b"abcd"
    assert done.headers[b"content-length"] == b"4"


@pytest.mark.parametrize("declared", [[(b"content-length", b"11")], [(b"transfer-encoding", b"x")]])
async def test_too_long_a_body_is_refused_at_once(declared: list[tuple[bytes, bytes]]) -> None:
    async def handler(request: Request) -> Response:
        with pytest.raises(ApiError) as raised:
            await request.body.read(10)
        assert raised.value.code == 413
        assert raised.value.message == "Request entity too large: limit is 10"
        return Response(413)

    # The rest of the body never comes: waiting for it would hang.
    exchange = Exchange(headers=declared, body=[b"x" * 11, b"never"])
    exchange._incoming[0]["more_body"] = True
    await exchange.run(handler)


async def test_body_cut_short() -> None:
    async def handler(request: Request) -> Response:
        with pytest.raises(ApiError) as raised:
            await request.body.read(10)
        assert raised.value.code == 400
        return Response(400)

    exchange = Exchange(headers=[(b"content-length", b"5")], body=[b"ab"])
    exchange._incoming[0]["more_body"] = True
    exchange.gone.set()
    await exchange.run(handler)


async def test_answer_headers_win_over_queued_ones_but_warnings_add_up() -> None:
    async def handler(request: Request) -> Response:
        request.reply_headers += [("Cache-Control", "no-cache"), ("Warning", "a"), ("X-Id", "1")]
        return Response(200, [("cache-control", "public"), ("Warning", "b")], b"")

    done = await Exchange().run(handler)
    assert done.sent[0]["headers"] == [
        (b"cache-control", b"public"),
        (b"warning", b"b"),
        (b"warning", b"a"),
        (b"x-id", b"1"),
        (b"content-length", b"0"),
    ]


async def test_line_breaks_cannot_get_into_headers() -> None:
    done = await Exchange().run(answering(Response(200, [("X-A", "a\r\nX-B: b")])))
    assert done.headers[b"x-a"] == b"a  X-B: b"


async def test_exit_callbacks_run_once_last_first_after_the_last_byte() -> None:
    order: list[str] = []

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        order.append("last byte")

    async def handler(request: Request) -> Response:
        request.exit.append(lambda: order.append("first"))
        request.exit.append(lambda: order.append("second"))
        return Response(200, [], body())

    await Exchange().run(handler)
    assert order == ["last byte", "second", "first"]


async def test_a_failing_exit_callback_does_not_keep_others_from_running() -> None:
    order: list[str] = []

    def broken() -> None:
        raise RuntimeError("broken")

    async def handler(request: Request) -> Response:
        request.exit += [lambda: order.append("ran"), broken]
        return Response(204)

    await Exchange().run(handler)
    assert order == ["ran"]


async def test_exception_becomes_a_bare_500() -> None:
    async def handler(request: Request) -> Response:
        raise RuntimeError("secret")

    done = await Exchange().run(handler)
    assert (done.status, done.body) == (500, b"Internal Server Error\n")


async def test_a_stream_that_fails_cuts_the_connection_and_unwinds() -> None:
    unwound: list[int] = []

    async def body() -> AsyncIterator[bytes]:
        yield b"x"
        raise RuntimeError("broken")

    async def handler(request: Request) -> Response:
        request.exit.append(lambda: unwound.append(1))
        return Response(200, [], body())

    with pytest.raises(StreamFailed):
        await Exchange(extensions={CONNECTION: Connection()}).run(handler)
    assert unwound == [1]


@pytest.mark.parametrize("told", ["by callback", "by receive"])
async def test_a_stream_ends_when_the_client_is_gone(told: str) -> None:
    closed: list[int] = []
    started = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        try:
            yield b"x"
            started.set()
            await asyncio.Event().wait()
        finally:
            closed.append(1)

    async def handler(request: Request) -> Response:
        request.exit.append(lambda: closed.append(2))
        return Response(200, [], body())

    connection = Connection()
    extensions = {CONNECTION: connection} if told == "by callback" else None
    exchange = Exchange(extensions=extensions)
    async with asyncio.TaskGroup() as group:
        group.create_task(exchange.run(handler))
        await started.wait()
        connection.lost()
        exchange.gone.set()
    assert closed == [1, 2]
    assert exchange.sent[-1] == {"type": "http.response.body", "body": b"x", "more_body": True}


async def test_a_stream_for_a_client_already_gone_is_closed_unread() -> None:
    asked: list[int] = []

    class Body:
        def __aiter__(self) -> Body:
            return self

        async def __anext__(self) -> bytes:
            asked.append(1)
            raise StopAsyncIteration

        async def aclose(self) -> None:
            asked.append(2)

    connection = Connection()
    connection.lost()
    await Exchange(extensions={CONNECTION: connection}).run(answering(Response(200, [], Body())))
    assert asked == [2]


async def test_slices_go_out_in_large_pieces_with_their_length() -> None:
    slices = [b"x" * 1000] * 1000
    done = await Exchange().run(answering(Response(200, [], slices)))
    assert done.headers[b"content-length"] == b"1000000"
    assert done.body == b"".join(slices)
    assert len(done.sent) < 12


BIG = b"x" * (GZIP_MIN_BYTES + 1)


@pytest.mark.parametrize(
    ("accepted", "body", "packed"),
    [
        (b"gzip", BIG, True),
        (b"br, gzip", BIG, True),
        (b"gzip, identity;q=0", BIG, True),
        (b"gzip", BIG[:-1], False),
        (b"gzip;q=1", BIG, False),
        (b"GZIP", BIG, False),
        (b"*", BIG, False),
        (b"", BIG, False),
    ],
)
async def test_gzip_rule(accepted: bytes, body: bytes, packed: bool) -> None:
    exchange = Exchange(headers=[(b"accept-encoding", accepted)])
    done = await exchange.run(answering(Response(201, [], body)))
    assert (done.headers.get(b"content-encoding") == b"gzip") is packed
    assert (done.headers.get(b"vary") == b"Accept-Encoding") is packed
    assert (gzip.decompress(done.body) if packed else done.body) == body


async def test_gzip_adds_to_vary_and_leaves_some_paths_alone() -> None:
    gzipped = [(b"accept-encoding", b"gzip")]
    response = Response(200, [("Vary", "Accept")], BIG)
    done = await Exchange(headers=gzipped).run(answering(response))
    assert done.headers[b"vary"] == b"Accept-Encoding, Accept"
    openapi = Exchange(b"/openapi/v3/apis/apps/v1", headers=gzipped)
    assert b"content-encoding" not in (await openapi.run(answering(response))).headers


async def test_gzip_can_be_switched_off() -> None:
    exchange = Exchange(headers=[(b"accept-encoding", b"gzip")])
    done = await exchange.run(answering(Response(200, [], BIG)), compress=False)
    assert b"content-encoding" not in done.headers


@pytest.mark.parametrize("status", [204, 304])
async def test_no_length_where_there_is_no_body(status: int) -> None:
    done = await Exchange().run(answering(Response(status)))
    assert b"content-length" not in done.headers


async def test_observer_is_told_of_every_answer() -> None:
    class Observer:
        def __init__(self) -> None:
            self.told: list[tuple[str, int, int]] = []

        def request_done(
            self, request: Request, *, code: int, seconds: float, body_bytes: int
        ) -> None:
            assert seconds >= 0
            self.told.append((request.path, code, body_bytes))

    observer = Observer()
    await Exchange(b"/x").run(answering(Response(200, [], b"abc")), observer=observer)
    assert observer.told == [("/x", 200, 3)]


async def test_lifespan_is_not_ours() -> None:
    app = App(answering(Response(204)), SystemClock())
    with pytest.raises(ValueError, match="lifespan"):
        await app({"type": "lifespan"}, Exchange().receive, Exchange().send)


def test_joined_and_compressed_bytes_are_the_same_bytes() -> None:
    slices = [b"a" * n for n in (0, 1, WRITE_BYTES - 1, WRITE_BYTES, WRITE_BYTES * 5, 3)]
    assert b"".join(joined(slices)) == b"".join(slices)
    assert all(len(piece) >= WRITE_BYTES for piece in list(joined(slices))[:-1])
    assert gzip.decompress(b"".join(compress(slices))) == b"".join(slices)
