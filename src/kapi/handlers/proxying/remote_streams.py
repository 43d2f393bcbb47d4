"""The kubelet's side of exec and attach: one SPDY stream for each of error, stdin, stdout, stderr
and resize.

`stream_translator.py` makes a `RemoteStreams` after the kubelet has upgraded. `open` creates the
streams one after the other, as client-go does; then `run` hands out what comes until output and
error stream have ended, while `send` and `end` may be called beside it. Windows are not counted:
kubelets (moby/spdystream) do not open them, the socket alone slows a sender down.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence

from kapi.handlers.proxying.spdy_frames import (
    REFUSED_STREAM,
    Data,
    Decoder,
    Encoder,
    Frame,
    GoAway,
    MoreHeaders,
    Ping,
    RstStream,
    SpdyError,
    SynReply,
    SynStream,
)
from kapi.outgoing.client import Answer
from kapi.outgoing.words import OutgoingError

REPLY_SECONDS = 30.0  # for a kubelet to accept a stream
PING_SECONDS = 5.0
PIECE_BYTES = 32 * 1024  # of one data frame


class StreamsFailed(Exception):
    """The streams did not come about, or the kubelet broke the protocol; worded as client-go."""


class RemoteStreams:
    """Streams by their type. `lost`: the kubelet went away without having ended them."""

    def __init__(self, answer: Answer, sleep: Callable[[float], Awaitable[None]]) -> None:
        self.lost = False
        self._answer = answer
        self._sleep = sleep
        self._encoder = Encoder()
        self._decoder = Decoder()
        self._frames: Iterator[Frame] = iter(())
        self._ids: dict[str, int] = {}
        self._ended: set[str] = set()  # by the kubelet
        self._ended_here: set[str] = set()
        self._early: list[Data] = []  # what came before all streams were there
        self._next_ping = 1

    async def open(self, types: Sequence[str]) -> None:
        """Create them. Raises StreamsFailed."""
        for kind in types:
            number = 2 * len(self._ids) + 1
            self._ids[kind] = number
            try:
                await self._write(SynStream(number, {"streamtype": kind}))
                async with asyncio.timeout(REPLY_SECONDS):
                    await self._accepted(number)
            except TimeoutError:
                raise StreamsFailed("Timeout occurred") from None
            except OutgoingError as error:
                raise StreamsFailed(str(error)) from error

    async def _accepted(self, number: int) -> None:
        while (frame := await self._frame()) is not None:
            match frame:
                case SynReply(stream, fin=fin) if stream == number:
                    if fin:
                        self._early.append(Data(stream, b"", fin=True))
                    return
                case RstStream(stream) if stream == number:
                    raise StreamsFailed("Stream reset")
                case RstStream(stream):
                    self._early.append(Data(stream, b"", fin=True))
                case Data() if len(self._early) < 64:
                    self._early.append(frame)
                case Data():
                    raise StreamsFailed("too much data before the streams are there")
                case GoAway():
                    break
        raise StreamsFailed("unexpected EOF")

    async def run(self, until: Sequence[str]) -> AsyncIterator[tuple[str, bytes]]:
        """What comes, with the type of its stream, until the streams `until` have ended. Raises
        StreamsFailed.
        """
        names = {number: kind for kind, number in self._ids.items()}
        early, self._early = self._early, []
        for data in early:
            async for found in self._taken(names, data):
                yield found
        while not self._ended.issuperset(until):
            frame = await self._frame()
            if frame is None:
                self.lost = True
                return
            match frame:
                case Data():
                    async for found in self._taken(names, frame):
                        yield found
                case RstStream(stream):
                    async for found in self._taken(names, Data(stream, b"", fin=True)):
                        yield found
                case MoreHeaders(stream, fin=True) | SynReply(stream, fin=True):
                    async for found in self._taken(names, Data(stream, b"", fin=True)):
                        yield found
                case GoAway():
                    return

    async def _taken(self, names: dict[int, str], data: Data) -> AsyncIterator[tuple[str, bytes]]:
        kind = names.get(data.stream)
        if kind is None or kind in self._ended:
            return
        if data.data:
            yield kind, data.data
        if data.fin:
            self._ended.add(kind)
            if kind == "stdin":  # the command reads no more: let it end
                await self.end(kind)

    async def send(self, kind: str, data: bytes) -> None:
        """Into a stream, unless it has ended. Waits for a slow kubelet; a lost one is no error,
        `run` sees it.
        """
        for start in range(0, len(data), PIECE_BYTES):
            if kind in self._ended_here or kind not in self._ids:
                return
            await self._said(Data(self._ids[kind], data[start : start + PIECE_BYTES]))

    async def end(self, kind: str) -> None:
        """Nothing more goes into a stream."""
        if kind in self._ids and kind not in self._ended_here:
            self._ended_here.add(kind)
            await self._said(Data(self._ids[kind], b"", fin=True))

    async def ping(self) -> None:
        """Keep the connection alive. Runs until it is cancelled, or the kubelet is gone."""
        while True:
            await self._sleep(PING_SECONDS)
            if not await self._said(Ping(self._next_ping)):
                return
            self._next_ping = (self._next_ping + 2) & 0x7FFFFFFF

    async def _said(self, frame: Frame) -> bool:
        try:
            await self._write(frame)
        except OutgoingError:
            return False
        return True

    async def _write(self, frame: Frame) -> None:
        await self._answer.write(self._encoder.encode(frame))

    async def _frame(self) -> Frame | None:
        """The next frame that is not the connection's own business; None at its end."""
        while True:
            try:
                frame = next(self._frames, None)
                if frame is None:
                    chunk = await self._answer.chunk()
                    if not chunk:
                        return None
                    self._frames = self._decoder.feed(chunk)
                    continue
            except OutgoingError:
                return None
            except SpdyError as error:
                raise StreamsFailed(f"SPDY: {error}") from error
            match frame:
                case Ping(number) if number % 2 == 0:
                    await self._said(frame)
                case SynStream(stream):
                    await self._said(RstStream(stream, REFUSED_STREAM))
                case _:
                    return frame
