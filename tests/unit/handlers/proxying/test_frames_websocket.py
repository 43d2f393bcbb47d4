"""WebSocket frames on a raw connection."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.handlers.proxying import frames_websocket as websocket


class Pieces:
    """A pipe that gives what it was given, piece by piece."""

    def __init__(self, *pieces: bytes) -> None:
        self._pieces = list(pieces)
        self.written = b""

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    async def write(self, data: bytes) -> None:
        self.written += data

    def write_eof(self) -> None: ...


def masked(data: bytes, opcode: int = 2, mask: bytes = b"\x11\x22\x33\x44") -> bytes:
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    else:
        head = bytes((0x80 | opcode, 0x80 | 126)) + size.to_bytes(2, "big")
    return head + mask + bytes(b ^ mask[i % 4] for i, b in enumerate(data))


def test_the_key_of_the_rfc() -> None:
    assert websocket.accept_key("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


@given(st.lists(st.binary(min_size=1, max_size=400), max_size=5), st.integers(1, 50))
async def test_payloads_come_whole_however_they_are_cut(parts: list[bytes], size: int) -> None:
    wire = b"".join(masked(part) for part in parts)
    pieces = [wire[i : i + size] for i in range(0, len(wire), size)]
    reader = websocket.Reader(Pieces(*pieces))
    assert [await reader.read() for _ in parts] == parts
    assert await reader.read() == b""


async def test_control_frames() -> None:
    pipe = Pieces(masked(b"hi", 9) + masked(b"", 10) + masked(b"x") + masked(b"\x03\xe8", 8))
    reader = websocket.Reader(pipe)
    assert await reader.read() == b"x"
    assert pipe.written == bytes((0x8A, 2)) + b"hi"
    assert await reader.read() == b""


@pytest.mark.parametrize(
    "wire",
    [
        b"\x82\x01a",  # not masked
        b"\xf2\x81mask",  # reserved bits
        b"\x83\x81maska",  # no such frame
        b"\x89\xfe\x00\x7e",  # a long control frame
        b"\x82\xff" + (1 << 40).to_bytes(8, "big"),  # too large
    ],
)
async def test_what_breaks_the_rules(wire: bytes) -> None:
    with pytest.raises(websocket.BrokenFrame):
        await websocket.Reader(Pieces(wire)).read()


@pytest.mark.parametrize("size", [0, 125, 126, 65535, 65536])
def test_frames_say_their_length(size: int) -> None:
    data = b"x" * size
    written = websocket.frame(data)
    assert written.endswith(data)
    assert written[1] == (size if size < 126 else 126 if size < 65536 else 127)
