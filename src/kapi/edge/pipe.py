"""The raw connection to a client after a 101: bytes both ways, no HTTP any more.

`protocol.py` makes one when an answer takes the connection over; the handler's tunnel reads and
writes it (`messages.Pipe`). What nobody has read is bounded, writing waits for a slow client.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

BUFFER_BYTES = 256 * 1024  # read ahead of the tunnel


class Owner(Protocol):
    """Who had the connection before, and keeps count of it."""

    def connection_lost(self, exc: Exception | None) -> None: ...


class RawPipe(asyncio.Protocol):
    """One end of a tunnel."""

    def __init__(self, transport: asyncio.Transport, owner: Owner, early: bytes) -> None:
        """`early`: what came after the head of the request."""
        self._transport = transport
        self._owner = owner
        self._chunks: deque[bytes] = deque((early,) if early else ())
        self._buffered = len(early)
        self._paused = False
        self._ended = False
        self._lost = False
        self._readable: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    async def read(self) -> bytes:
        """The next bytes; b"" when the client has nothing more to say."""
        while not self._chunks:
            if self._ended:
                return b""
            self._readable = asyncio.get_running_loop().create_future()
            await self._readable
        chunk = self._chunks.popleft()
        self._buffered -= len(chunk)
        if self._paused and self._buffered < BUFFER_BYTES // 2 and not self._lost:
            self._paused = False
            self._transport.resume_reading()
        return chunk

    async def write(self, data: bytes) -> None:
        """Raises ConnectionResetError once the client is gone."""
        if self._lost or self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        while self._writable is not None and not self._lost:
            await asyncio.shield(self._writable)

    def write_eof(self) -> None:
        """Nothing more will be written."""
        if not self._transport.is_closing() and self._transport.can_write_eof():
            self._transport.write_eof()

    def close(self) -> None:
        """After what was written is out."""
        self._transport.close()

    # -- asyncio.Protocol -------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        self._chunks.append(data)
        self._buffered += len(data)
        if self._buffered > BUFFER_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()

    def eof_received(self) -> bool:
        self._ended = True
        self._wake()
        return self._transport.get_extra_info("ssl_object") is None  # we may have more to say

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended = self._lost = True
        self._wake()
        self.resume_writing()
        self._owner.connection_lost(exc)

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        waiter, self._writable = self._writable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _wake(self) -> None:
        waiter, self._readable = self._readable, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)
