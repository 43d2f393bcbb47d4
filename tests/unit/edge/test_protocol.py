"""The HTTP/1.1 protocol without a socket: the same answer however the bytes arrive, and none that
harms."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.config import Config

from kapi.clock import SystemClock
from kapi.edge.asgi import App
from kapi.edge.listener_state import ListenerState
from kapi.edge.protocol import HttpProtocol, broken_escape
from kapi.messages import Request, Response


class Wire(asyncio.Transport):
    """A transport that keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.closed = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"peername": ("192.0.2.1", 1), "sockname": ("192.0.2.2", 2)}.get(name, default)

    def write(self, data: Any) -> None:
        if not self.closed:
            self.written += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = True

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


async def echo(request: Request) -> Response:
    body = await request.body.read(1 << 20)
    if request.path == "/slices":
        return Response(200, [], [b"ab", body])
    return Response(200, [], f"<{request.method} {request.raw_path} {len(body)}>".encode())


def config() -> Config:
    made = Config(App(echo, SystemClock()), log_config=None, ws="none", lifespan="off")
    made.proxy_headers = False
    made.load()
    return made


async def converse(pieces: list[bytes]) -> tuple[bytes, bool]:
    """What is written and whether it was closed, after all pieces have come in."""
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    state = ListenerState(config(), SystemClock())
    wire = Wire()
    protocol = HttpProtocol(state, asyncio.get_running_loop())
    protocol.connection_made(wire)
    for piece in pieces:
        protocol.data_received(piece)
        await settle()
    await settle()
    closed = wire.closed
    protocol.connection_lost(None)
    await settle()
    assert not state.uvicorn.tasks
    return bytes(wire.written), closed


async def settle() -> None:
    for _ in range(6):
        await asyncio.sleep(0)


REQUESTS = (
    b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n"
    b"PUT /b?q=1 HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nhello"
    b"POST /slices HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nxyz\r\n0\r\n\r\n"
    b"HEAD /d HTTP/1.1\r\nHost: x\r\n\r\n"
    b"DELETE /e%20f HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
)


def without_dates(answer: bytes) -> bytes:
    return b"\r\n".join(line for line in answer.split(b"\r\n") if not line.startswith(b"date:"))


async def test_the_conversation() -> None:
    answer, closed = await converse([REQUESTS])
    assert closed
    assert answer.count(b"HTTP/1.1 200 OK") == 5
    for part in (b"<GET /a 0>", b"<PUT /b 5>", b"abxyz", b"<DELETE /e%20f 0>"):
        assert part in answer
    assert b"<HEAD" not in answer
    assert b"content-length: 11\r\n\r\nHTTP/1.1 200 OK" in without_dates(answer)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(st.lists(st.integers(1, len(REQUESTS) - 1), max_size=8))
def test_the_same_however_the_bytes_arrive(cuts: list[int]) -> None:
    ends = [*sorted(set(cuts)), len(REQUESTS)]
    starts = [0, *ends[:-1]]
    pieces = [REQUESTS[a:b] for a, b in zip(starts, ends, strict=True)]
    whole = asyncio.run(converse([REQUESTS]))
    parts = asyncio.run(converse(pieces))
    assert without_dates(parts[0]) == without_dates(whole[0])
    assert parts[1] == whole[1]


async def test_byte_by_byte() -> None:
    whole, _ = await converse([REQUESTS])
    parts, _ = await converse([REQUESTS[i : i + 1] for i in range(len(REQUESTS))])
    assert without_dates(parts) == without_dates(whole)


SEEDS = (
    REQUESTS,
    b"GET / HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
    b"GET http://host/path?x HTTP/1.1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\nabc",
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=4)), max_size=4),
    st.integers(1, 500),
)
def test_damaged_requests_get_an_answer_or_a_close(
    seed: bytes, damage: list[tuple[int, bytes]], cut: int
) -> None:
    data = bytearray(seed)
    for at, junk in damage:
        data[at : at + len(junk)] = junk
    pieces = [bytes(data[:cut]), bytes(data[cut:])]
    answer, _ = asyncio.run(converse([p for p in pieces if p]))
    assert not answer or answer.startswith(b"HTTP/1.1 ")
    assert b" 500 " not in answer


@pytest.mark.parametrize(
    ("raw", "broken"),
    [
        (b"/a", False),
        (b"/%41", False),
        (b"/%aF%00", False),
        (b"/%", True),
        (b"/%4", True),
        (b"/%4g", True),
        (b"/%41%", True),
        (b"/%%41", True),
    ],
)
def test_broken_escapes(raw: bytes, broken: bool) -> None:
    assert broken_escape(raw) is broken
