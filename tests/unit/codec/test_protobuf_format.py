"""Protocol Buffers on the wire: numbers, lengths, what is passed over, the envelope."""

from __future__ import annotations

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.codec.protobuf_format import (
    MAGIC,
    BadEnvelope,
    Envelope,
    ProtobufError,
    int32,
    int64,
    open_envelope,
    skip,
    span,
    varint,
)

CONFIG_MAP = b"\n\x0f\n\x02v1\x12\tConfigMap"


def encoded(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@seed(1)
@given(st.integers(0, 2**64 - 1), st.binary(max_size=3), st.binary(max_size=3))
def test_numbers_of_any_length(value: int, before: bytes, after: bytes) -> None:
    data = before + encoded(value) + after
    assert varint(data, len(before), len(data)) == (value, len(data) - len(after))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "unexpected EOF"),
        (b"\x80", "unexpected EOF"),
        (b"\x80" * 10 + b"\x01", "proto: integer overflow"),
    ],
)
def test_broken_numbers(data: bytes, words: str) -> None:
    with pytest.raises(ProtobufError, match=words):
        varint(data, 0, len(data))


def test_numbers_as_go_holds_them() -> None:
    assert int64(2**64 - 1) == -1
    assert int64(2**63 - 1) == 2**63 - 1
    assert int32(2**64 - 5) == -5
    assert int32(2**32 + 7) == 7


def test_a_length_must_fit() -> None:
    assert span(b"\x02ab", 0, 3) == (1, 3)
    with pytest.raises(ProtobufError, match="unexpected EOF"):
        span(b"\x03ab", 0, 3)
    negative = b"\xff" * 9 + b"\x01"
    with pytest.raises(ProtobufError, match="negative length found"):
        span(negative, 0, len(negative))


@pytest.mark.parametrize(
    ("tag", "rest"),
    [
        (8, b"\x96\x01"),
        (9, b"12345678"),
        (10, b"\x03abc"),
        (13, b"1234"),
        (11, b"\x0a\x01x\x0c"),  # a group with a text in it
        (11, b"\x13\x14\x0c"),  # a group in a group
    ],
)
def test_what_is_not_known_is_passed_over(tag: int, rest: bytes) -> None:
    assert skip(rest + b"tail", 0, len(rest) + 4, tag, "Pod") == len(rest)
    with pytest.raises(ProtobufError, match="unexpected EOF"):
        skip(rest, 0, len(rest) - 1, tag, "Pod")


@pytest.mark.parametrize(
    ("tag", "words"),
    [
        (2, r"proto: Pod: illegal tag 0 \(wire type 2\)"),
        (12, "proto: Pod: wiretype end group for non-group"),
        (14, "proto: illegal wireType 6"),
        (15, "proto: illegal wireType 7"),
    ],
)
def test_what_cannot_be_passed_over(tag: int, words: str) -> None:
    with pytest.raises(ProtobufError, match=words):
        skip(b"\x01\x01", 0, 2, tag, "Pod")


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"", Envelope("", "", b"")),
        (CONFIG_MAP, Envelope("v1", "ConfigMap", b"")),
        (CONFIG_MAP + b'\x12\x03abc\x1a\x00"\x00', Envelope("v1", "ConfigMap", b"abc")),
        (b"\x12\x03abc" + CONFIG_MAP, Envelope("v1", "ConfigMap", b"abc")),
        (b"\x12\x01a\x12\x01b", Envelope("", "", b"b")),
        (b"\n\x04\n\x02v1\n\x05\x12\x03Pod", Envelope("v1", "Pod", b"")),
        (b"\n\x05\n\x03v\xff1", Envelope("v\U0010ffff1", "", b"")),
    ],
)
def test_envelopes(data: bytes, expected: Envelope) -> None:
    assert open_envelope(MAGIC + data) == expected


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", r"expected prefix \[107 56 115 0\]"),
        (b"garbage", "does not appear to be a protobuf message"),
        (MAGIC + b"\x10\x05", "proto: wrong wireType = 0 for field Raw"),
        (MAGIC + b"\x08\x05", "proto: wrong wireType = 0 for field TypeMeta"),
        (MAGIC + b"\n\x02\x10\x05", "proto: wrong wireType = 0 for field Kind"),
        (MAGIC + b"\n\x7f", "unexpected EOF"),
        (MAGIC + b"\x0c", "proto: Unknown: wiretype end group for non-group"),
    ],
)
def test_bad_envelopes(data: bytes, words: str) -> None:
    with pytest.raises(BadEnvelope, match=words):
        open_envelope(data)


@seed(2)
@given(st.binary(max_size=64))
def test_bytes_are_an_envelope_or_the_one_error(data: bytes) -> None:
    try:
        opened = open_envelope(MAGIC + data)
    except BadEnvelope:
        return
    assert len(opened.raw) <= len(data)
