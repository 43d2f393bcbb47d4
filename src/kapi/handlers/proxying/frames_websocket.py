"""WebSocket frames on a raw connection, the server's side (RFC 6455): for tunnels that carry
another protocol in binary messages.

`port_tunnel.py` and `stream_translator.py` use it. A message of the client may come in fragments;
pings are answered; a frame beyond FRAME_BYTES_MAX, or one that breaks the rules, ends the
connection.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator

from kapi.messages import Pipe

FRAME_BYTES_MAX = 1 << 20  # of one frame; clients send 32 KiB at a time
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG = 0, 1, 2, 8, 9, 10


class BrokenFrame(Exception):
    """The client does not keep to the protocol."""


def accept_key(key: str) -> str:
    digest = hashlib.sha1(key.encode() + _GUID, usedforsecurity=False).digest()
    return base64.b64encode(digest).decode()


def accepted(key: str, protocol: str) -> list[tuple[str, str]]:
    """The headers of a 101: the client's key is answered, a protocol chosen."""
    return [
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Accept", accept_key(key)),
        ("Sec-WebSocket-Protocol", protocol),
    ]


def frame(data: bytes, opcode: int = _BINARY) -> bytes:
    size = len(data)
    if size < 126:
        head = bytes((0x80 | opcode, size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 126)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 127)) + size.to_bytes(8, "big")
    return head + data


def close_frame(code: int = 1000) -> bytes:
    return frame(code.to_bytes(2, "big"), _CLOSE)


class Reader:
    """Payloads of data frames, as they come."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self._buffer = b""

    async def read(self) -> bytes:
        """The payload of the next frame with one; b"" at the end. Raises BrokenFrame, OSError."""
        while True:
            taken = await self._data()
            if taken is None or taken[1]:
                return taken[1] if taken is not None else b""

    async def message(self) -> bytes:
        """The next whole message that is not empty; b"" at the end. Raises BrokenFrame, OSError."""
        message = b""
        open_ = False
        while (taken := await self._data()) is not None:
            opcode, payload, last = taken
            if open_ is not (opcode == _CONTINUATION):
                raise BrokenFrame("a message that does not go on, or has not begun")
            if len(message) + len(payload) > FRAME_BYTES_MAX:
                raise BrokenFrame("message too large")
            message += payload
            open_ = not last
            if last and message:
                return message
        return b""

    async def _data(self) -> tuple[int, bytes, bool] | None:
        """The next data frame, and whether its message ends with it; None at the end."""
        while True:
            taken = self._take()
            if taken is None:
                data = await self._pipe.read()
                if not data:
                    return None
                self._buffer += data
                continue
            opcode, payload, last = taken
            if opcode == _CLOSE:
                return None
            if opcode == _PING:
                await self._pipe.write(frame(payload, _PONG))
            elif opcode in (_CONTINUATION, _TEXT, _BINARY):
                return opcode, payload, last

    def _take(self) -> tuple[int, bytes, bool] | None:
        """One whole frame from the buffer."""
        data = self._buffer
        if len(data) < 2:
            return None
        opcode, size, at = data[0] & 15, data[1] & 127, 2
        if not data[1] & 128:
            raise BrokenFrame("frames of a client are masked")
        if data[0] & 0x70 or opcode not in (_CONTINUATION, _TEXT, _BINARY, _CLOSE, _PING, _PONG):
            raise BrokenFrame("unknown frame")
        if size > 125:
            width = 2 if size == 126 else 8
            if opcode >= _CLOSE:
                raise BrokenFrame("control frames are short")
            if len(data) < at + width:
                return None
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        if size > FRAME_BYTES_MAX:
            raise BrokenFrame("frame too large")
        end = at + 4 + size
        if len(data) < end:
            return None
        payload = _unmasked(data[at + 4 : end], data[at : at + 4])
        self._buffer = data[end:]
        return opcode, payload, bool(data[0] & 0x80)


def _unmasked(data: bytes, mask: bytes) -> bytes:
    """One operation on long integers, not one for each byte."""
    size = len(data)
    repeated = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data, "big") ^ int.from_bytes(repeated, "big")).to_bytes(size, "big")


def pieces(data: bytes, size: int = 32 * 1024) -> Iterator[bytes]:
    """A long text as frames of moderate size."""
    for start in range(0, len(data), size):
        yield frame(data[start : start + size])
