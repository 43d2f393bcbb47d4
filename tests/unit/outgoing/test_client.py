"""The HTTP client: what goes out, what comes back, which connections are kept, failures."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest
from other_server import Asked, http, scripted

from kapi.clock import SystemClock
from kapi.outgoing.client import Call, Client, url_error
from kapi.outgoing.connection import BUFFER_BYTES
from kapi.outgoing.dial import Address, Endpoint
from kapi.outgoing.words import AnswerTooLarge, ConnectionLost, DeadlineExceeded, OutgoingError


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    made = Client(SystemClock())
    yield made
    await made.close()
    assert made.connections == 0


def call(port: int, method: str = "GET", target: str = "/x", **more: object) -> Call:
    at = Endpoint("127.0.0.1", port)
    return Call(method=method, target=target, endpoint=at, **more)  # type: ignore[arg-type]


async def echo(asked: Asked) -> None:
    shown = "\n".join([f"{asked.method} {asked.target}", *(f"{k}: {v}" for k, v in asked.headers)])
    await asked.answer(200, shown.encode() + b"\n\n" + asked.body)


async def test_a_request_goes_out_as_it_was_given(client: Client) -> None:
    async with scripted(http(echo)) as other:
        headers = [("X-Mixed-Case", "ä"), ("accept", "a/b")]
        asked = call(other.port, "POST", "/a%2Fb?x=%20", headers=headers, body=b"data")
        fetched = await client.fetch(asked, timeout_s=10, limit=1000)
    assert fetched.body.decode() == (
        f"POST /a%2Fb?x=%20\nHost: 127.0.0.1:{other.port}\nX-Mixed-Case: ä\naccept: a/b\n"
        "Content-Length: 4\n\ndata"
    )
    assert fetched.header("content-type") == "application/json"


async def test_connections_are_kept_and_shared(client: Client) -> None:
    async with scripted(http(echo)) as other:
        for _ in range(5):
            await client.fetch(call(other.port, host="a.b.svc"), timeout_s=10, limit=1000)
        assert (other.connections, client.connections) == (1, 1)
        several = (client.fetch(call(other.port), timeout_s=10, limit=1000) for _ in range(4))
        await asyncio.gather(*several)
        assert other.connections == 4


async def test_bodies_stream_both_ways(client: Client) -> None:
    """Each piece is answered before the next is sent: nothing waits for an end."""
    turns: asyncio.Queue[bytes] = asyncio.Queue()

    async def pieces() -> AsyncIterator[bytes]:
        while piece := await turns.get():
            yield piece

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        assert b"Transfer-Encoding: chunked" in await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while size := int(await reader.readline(), 16):
            data = await reader.readexactly(size + 2)
            writer.write(b"%x\r\n%b" % (size, data))
        writer.write(b"0\r\n\r\n")
        await reader.read()

    async with scripted(script) as other:
        answer = await client.send(call(other.port, "PUT", body=pieces()))
        stream = answer.stream()
        for piece in (b"one", b"two"):
            turns.put_nowait(piece)
            assert await anext(stream) == piece
        turns.put_nowait(b"")
        assert [rest async for rest in stream] == []
        await answer.aclose()


async def test_a_tunnel(client: Client) -> None:
    async def upgrade(asked: Asked) -> None:
        await asked.switch(asked.header("Upgrade"))
        asked.writer.write(b"first")
        while data := await asked.reader.read(100):
            asked.writer.write(data.upper())
        asked.writer.write(b"bye")
        asked.writer.close()

    async with scripted(http(upgrade)) as other:
        headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
        answer = await client.send(call(other.port, "POST", headers=headers))
        assert (answer.status, answer.upgraded, answer.header("upgrade")) == (101, True, "SPDY/3.1")
        assert await answer.chunk() == b"first"
        await answer.write(b"shout")
        assert await answer.chunk() == b"SHOUT"
        answer.write_eof()
        assert await answer.chunk() == b"bye"
        assert await answer.chunk() == b""
        answer.close()


@pytest.mark.parametrize(
    ("reply", "method", "body"),
    [
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", "GET", b"until the end"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n", "HEAD", b""),
        (b"HTTP/1.1 204 No\r\n\r\n", "GET", b""),
        (
            b"HTTP/1.1 100 Go\r\nX: y\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na",
            "GET",
            b"a",
        ),
        (b"HTTP/1.1 302 F\r\nLocation: /y\r\nContent-Length: 1\r\n\r\nr", "GET", b"r"),
    ],
)
async def test_every_form_of_answer(client: Client, reply: bytes, method: str, body: bytes) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)

    async with scripted(script) as other:
        fetched = await client.fetch(call(other.port, method), timeout_s=10, limit=100)
    assert fetched.body == body
    assert not any(name == "x" for name, _ in fetched.headers)


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (b"", "EOF"),
        (b"HTTP/1.1 2", "unexpected EOF"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort", "unexpected EOF"),
        (
            b'SSH-2.0-"x"\r\n',
            "net/http: HTTP/1.x transport connection broken: malformed HTTP response "
            r'"SSH-2.0-\"x\""',
        ),
        (b"HTTP/1.1 100 Go\r\n\r\n" * 20, "net/http"),
        (b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 1_200_000, "server response headers exceeded"),
    ],
)
async def test_broken_answers(client: Client, reply: bytes, text: str) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(reply)
        await writer.drain()

    async with scripted(script) as other:
        with pytest.raises(OutgoingError) as caught:
            await client.fetch(call(other.port, "POST"), timeout_s=10, limit=100)
    assert text in str(caught.value)


async def test_what_is_asked_for_unasked_ends_the_connection(client: Client) -> None:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        one = b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"
        writer.write(one + b"a" + one + b"b")
        await reader.read()

    async with scripted(script) as other:
        for _ in range(2):
            fetched = await client.fetch(call(other.port), timeout_s=10, limit=100)
            assert fetched.body == b"a"
        assert other.connections == 2


async def test_limits_and_deadlines(client: Client) -> None:
    async def endless(asked: Asked) -> None:
        await asked.begin_chunks()
        while not asked.writer.is_closing():
            await asked.chunk(b"x" * 10_000)

    async def silent(asked: Asked) -> None:
        await asked.reader.read()

    async with scripted(http(endless)) as other:
        with pytest.raises(AnswerTooLarge):
            await client.fetch(call(other.port), timeout_s=10, limit=100_000)
        assert client.connections == 0
    async with scripted(http(silent)) as other:
        with pytest.raises(DeadlineExceeded) as caught:
            await client.fetch(call(other.port), timeout_s=0.05, limit=100)
    assert str(caught.value) == "context deadline exceeded"


async def test_a_slow_reader_holds_the_sender_up(client: Client) -> None:
    sent = 0
    size = BUFFER_BYTES + 64 * 1024 * 1024  # more than the sockets between hold

    async def flood(asked: Asked) -> None:
        nonlocal sent
        await asked.begin_chunks()
        while sent < size:
            await asked.chunk(b"x" * 65536)
            sent += 65536

    async with scripted(http(flood)) as other:
        answer = await client.send(call(other.port))
        assert await answer.chunk()
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.2)
        assert sent < size
        answer.close()


async def test_a_kept_connection_that_was_closed_is_replaced_where_that_is_safe(
    client: Client,
) -> None:
    async def once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\na")
        await reader.readuntil(b"\r\n\r\n")  # the second request finds it closed

    async with scripted(once) as other:
        for _ in range(3):
            fetched = await client.fetch(call(other.port), timeout_s=10, limit=100)
            assert fetched.body == b"a"
        assert other.connections == 3
        with pytest.raises(ConnectionLost):
            await client.fetch(call(other.port, "POST"), timeout_s=10, limit=100)


async def test_failures_read_as_in_go(client: Client) -> None:
    with socket.socket() as deaf:  # bound, so that nobody else is, and not listening
        deaf.bind(("127.0.0.1", 0))
        port = deaf.getsockname()[1]
        asked = call(port, "POST", "/x?timeout=1s")
        with pytest.raises(OutgoingError) as caught:
            await client.send(asked)
    refused = f"dial tcp 127.0.0.1:{port}: connect: connection refused"
    assert str(caught.value) == refused
    assert (
        url_error(asked, caught.value) == f'Post "http://127.0.0.1:{port}/x?timeout=1s": {refused}'
    )
    nowhere = Call(method="GET", target="/", endpoint=Endpoint("nowhere.invalid", 80))
    with pytest.raises(
        OutgoingError, match=r"^dial tcp: lookup nowhere\.invalid on .*: no such host$"
    ):
        await client.send(nowhere)


@pytest.mark.parametrize(
    "broken",
    [
        {"headers": [("X", "a\r\nY: b")]},
        {"headers": [("X\n", "a")]},
        {"target": "/a b"},
        {"target": "/a\r\n"},
        {"method": "GET /x"},
    ],
)
async def test_nothing_breaks_out_of_its_line(client: Client, broken: dict[str, object]) -> None:
    async with scripted(http(echo)) as other:
        with pytest.raises(OutgoingError, match="net/http: invalid"):
            await client.send(call(other.port, **broken))  # type: ignore[arg-type]


async def test_addresses_that_must_not_be_called(client: Client) -> None:
    def never(address: Address) -> bool:
        return not address.is_loopback

    for host in ("127.0.0.1", "localhost", "::1"):
        endpoint = Endpoint(host, 1, None, never)
        with pytest.raises(OutgoingError, match=r"^address not allowed$"):
            await client.send(Call(method="GET", target="/", endpoint=endpoint))


async def test_a_closed_client_sends_nothing(client: Client) -> None:
    async with scripted(http(echo)) as other:
        await client.fetch(call(other.port), timeout_s=10, limit=1000)
        await client.close()
        assert client.connections == 0
        with pytest.raises(OutgoingError):
            await client.send(call(other.port))
