"""Frames of HTTP/2: their kinds, flags and bytes. Pure; used by `etcd_http2.py` and `etcd_rpc.py`.

Header blocks of ours are made here, too: literals that use no table.
https://www.rfc-editor.org/rfc/rfc9113#section-4
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

DATA, HEADERS, RST_STREAM, SETTINGS, PUSH_PROMISE = 0, 1, 3, 4, 5
PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = 6, 7, 8, 9
END_STREAM, END_HEADERS, PADDED, PRIORITY = 0x1, 0x4, 0x8, 0x20
ACK = 0x1
TABLE_SIZE, ENABLE_PUSH, STREAMS_MAX, INITIAL_WINDOW = 1, 2, 3, 4
# Codes of errors.
CANCEL: Final = 8
REFUSED_STREAM: Final = 7
FIRST_WINDOW: Final = 65_535  # until settings say otherwise
WINDOW_MAX: Final = (1 << 31) - 1
# What a client says first.
PREFACE: Final = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

# The largest frame that everybody takes; nobody is asked for more.
FRAME_BYTES_MAX: Final = 16_384
# Bytes of a header block, with its continuations; the two of an answer have some fifty.
HEADERS_BYTES_MAX: Final = 65_536


class BrokenRules(Exception):
    """The other side does not keep to the protocol."""


def frame(kind: int, flags: int, number: int, payload: bytes) -> bytes:
    return b"".join(
        (len(payload).to_bytes(3, "big"), bytes((kind, flags)), number.to_bytes(4, "big"), payload)
    )


def settings(values: Mapping[int, int]) -> bytes:
    """A frame that says how we want it."""
    out = (name.to_bytes(2, "big") + value.to_bytes(4, "big") for name, value in values.items())
    return frame(SETTINGS, 0, 0, b"".join(out))


def pairs(payload: bytes) -> Iterator[tuple[int, int]]:
    """The settings of a frame."""
    if len(payload) % 6:
        raise BrokenRules("settings of another size")
    for at in range(0, len(payload), 6):
        name, value = payload[at : at + 2], payload[at + 2 : at + 6]
        found = int.from_bytes(name, "big"), int.from_bytes(value, "big")
        if found[0] == INITIAL_WINDOW and found[1] > WINDOW_MAX:
            raise BrokenRules("a window is too large")
        yield found


def more_of(payload: bytes) -> int:
    """By how much a window is opened."""
    if len(payload) != 4:
        raise BrokenRules("a window update of another size")
    return int.from_bytes(payload, "big") & WINDOW_MAX


def block_of(payload: bytes, flags: int) -> bytes:
    """The block, or its beginning, in a frame of headers."""
    block = unpadded(payload, flags)
    return block[5:] if flags & PRIORITY else block


def window_update(number: int, more: int) -> bytes:
    return frame(WINDOW_UPDATE, 0, number, more.to_bytes(4, "big"))


def reset(number: int, code: int) -> bytes:
    return frame(RST_STREAM, 0, number, code.to_bytes(4, "big"))


def unpadded(payload: bytes, flags: int) -> bytes:
    if not flags & PADDED:
        return payload
    if not payload or payload[0] >= len(payload):
        raise BrokenRules("more padding than there is")
    return payload[1 : len(payload) - payload[0]]


def literal(name: bytes, value: bytes) -> bytes:
    """A header for a block of ours, without any table."""
    return b"\0" + _string(name) + _string(value)


def _string(text: bytes) -> bytes:
    """A string of HPACK, as it is; its length has a prefix of seven bits."""
    size = len(text)
    if size < 127:
        return bytes((size,)) + text
    out, size = bytearray((127,)), size - 127
    while size >= 128:
        out.append(size & 127 | 128)
        size >>= 7
    out.append(size)
    return bytes(out) + text
