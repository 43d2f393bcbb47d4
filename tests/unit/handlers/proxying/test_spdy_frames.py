"""SPDY frames: what goes out comes in, and what must not be taken."""

from __future__ import annotations

import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kapi.handlers.proxying import spdy_frames as spdy
from kapi.handlers.proxying.spdy_frames import (
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    MoreHeaders,
    Ping,
    RstStream,
    Settings,
    SpdyError,
    SynReply,
    SynStream,
    WindowUpdate,
)

# What moby/spdystream 0.5.1 writes for streams 1 and 3 with a header, and for a bare reply.
RECORDED = bytes.fromhex(
    "80030001000000290000000100000000000078f9e3c6a7c26260606004a7b392a2d4c45c6851c29a0a0a68000000"
    "00ffff"
    "800300010000001700000003000000000000c22e555c92929907000000ffff"
)
RECORDED_REPLY = bytes.fromhex("80030002000000120000000178f9e3c6a7c26260606000000000ffff")

streams = st.integers(1, 0x7FFFFFFF)
words = st.integers(0, 0xFFFFFFFF)
headers = st.dictionaries(
    st.text("abcdefghij-", min_size=1, max_size=20), st.text(max_size=40), max_size=5
)
settings = st.lists(st.tuples(st.integers(0, 0xFFFFFF), words), max_size=3).map(tuple)
frames = st.one_of(
    st.builds(SynStream, streams, headers, st.booleans(), st.booleans()),
    st.builds(SynReply, streams, headers, st.booleans()),
    st.builds(MoreHeaders, streams, headers, st.booleans()),
    st.builds(RstStream, streams, words),
    st.builds(Settings, settings),
    st.builds(Ping, words),
    st.builds(GoAway, st.integers(0, 0x7FFFFFFF), words),
    st.builds(WindowUpdate, streams, st.integers(0, 0x7FFFFFFF)),
    st.builds(Data, streams, st.binary(max_size=200), st.booleans()),
)


def joined(found: list[Frame]) -> list[Frame]:
    """Pieces of one payload as one frame."""
    out: list[Frame] = []
    for frame in found:
        last = out[-1] if out else None
        if isinstance(frame, Data) and isinstance(last, Data):
            out[-1] = Data(frame.stream, last.data + frame.data, frame.fin)
        else:
            out.append(frame)
    return out


def parts(sent: list[Frame]) -> list[Frame]:
    """With a ping after each, which ends a row of pieces."""
    return [each for frame in sent for each in (frame, Ping(1))]


@given(st.lists(frames, max_size=8), st.integers(1, 60))
def test_what_goes_out_comes_in_however_it_is_cut(sent: list[Frame], size: int) -> None:
    encoder, decoder = Encoder(), Decoder()
    wire = b"".join(encoder.encode(frame) for frame in parts(sent))
    found: list[Frame] = []
    for at in range(0, len(wire), size):
        found += decoder.feed(wire[at : at + size])
    assert joined(found) == parts(sent)


def test_frames_of_another_implementation() -> None:
    assert list(Decoder().feed(RECORDED)) == [
        SynStream(1, {"streamtype": "error"}),
        SynStream(3, {"streamtype": "stdin"}),
    ]
    assert list(Decoder().feed(RECORDED_REPLY)) == [SynReply(1)]


def test_known_bytes() -> None:
    encoder = Encoder()
    assert encoder.encode(Data(3, b"ab", fin=True)) == bytes.fromhex("00000003010000026162")
    assert encoder.encode(Ping(1)) == bytes.fromhex("800300060000000400000001")
    reset = bytes.fromhex("80030003000000080000000500000005")
    assert encoder.encode(RstStream(5, spdy.CANCEL)) == reset
    opened = encoder.encode(SynStream(1, {"StreamType": "error"}))
    assert opened.startswith(bytes.fromhex("80030001"))
    assert opened[18:24] == bytes.fromhex("78f9e3c6a7c2")  # zlib with the dictionary of SPDY/3
    assert list(Decoder().feed(opened)) == [SynStream(1, {"streamtype": "error"})]


def block(plain: bytes) -> bytes:
    """A reply whose header block unpacks to this."""
    deflate = zlib.compressobj(9, zdict=spdy.DICTIONARY)
    packed = deflate.compress(plain) + deflate.flush(zlib.Z_SYNC_FLUSH)
    return struct.pack(">HHII", 0x8003, 2, 4 + len(packed), 1) + packed


def text(*values: bytes) -> bytes:
    return b"".join(struct.pack(">I", len(value)) + value for value in values)


@pytest.mark.parametrize(
    "wire",
    [
        struct.pack(">HHI", 0x8002, 6, 4) + b"\0\0\0\1",  # SPDY/2
        struct.pack(">HHI", 0x8003, 2, spdy.CONTROL_BYTES_MAX + 1),
        struct.pack(">HHI", 0x8003, 6, 3) + b"abc",
        struct.pack(">HHI", 0x8003, 3, 8) + bytes(8),  # stream zero
        struct.pack(">HHI", 0x8003, 4, 8) + b"\0\0\0\2abcd",  # settings that are not there
        struct.pack(">HHI", 0x8003, 1, 4) + b"\0\0\0\1",
        struct.pack(">II", 0, 1),  # data of stream zero
        struct.pack(">HHII", 0x8003, 2, 8, 1) + b"junk",
        struct.pack(">HHII", 0x8003, 2, 4, 1),  # no block
        block(struct.pack(">I", 1001)),
        block(struct.pack(">I", 1) + text(b"a")),
        block(struct.pack(">I", 1) + b"\xff\xff\xff\xffa"),
        block(struct.pack(">I", 1) + text(b"A", b"b")),
        block(struct.pack(">I", 2) + text(b"a", b"b", b"a", b"c")),
        block(struct.pack(">I", 0) + b"more"),
        block(bytes(10 << 20)),  # a small frame that unpacks to a large block
    ],
)
def test_what_breaks_the_rules(wire: bytes) -> None:
    with pytest.raises(SpdyError):
        list(Decoder().feed(wire))


def test_unknown_control_frames_are_passed_over() -> None:
    wire = struct.pack(">HHI", 0x8003, 99, 3) + b"abc" + Encoder().encode(Ping(2))
    assert list(Decoder().feed(wire)) == [Ping(2)]


@given(st.binary(max_size=300))
def test_garbage_is_an_error_or_nothing(wire: bytes) -> None:
    try:
        for frame in Decoder().feed(wire):
            assert frame is not None
    except SpdyError:
        pass


def test_a_large_payload_is_not_held_back() -> None:
    decoder = Decoder()
    head = struct.pack(">II", 1, spdy.DATA_BYTES_MAX)
    assert list(decoder.feed(head + b"abc")) == [Data(1, b"abc")]
    assert list(decoder.feed(b"de")) == [Data(1, b"de")]
    with pytest.raises(ValueError, match="16 MiB"):
        Encoder().encode(Data(1, bytes(spdy.DATA_BYTES_MAX + 1)))
