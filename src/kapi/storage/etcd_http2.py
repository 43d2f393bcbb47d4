"""HTTP/2 as far as a client of gRPC needs it: one connection, frames, flow control.

Used by `etcd_rpc.py` only. A `Connection` is a protocol of asyncio; requests are `Stream`s, whose
owner is told what comes (`Receiver`) in the turn in which it arrives, so that a call costs no task
of its own. What always holds:

- Header blocks of ours are bytes that were made before, and use no table. We ask the other side to
  use none either: once it has said so, equal blocks mean the same and are read once (by `hpack`).
- Bodies wait until the other side's windows let them out, streams beyond its limit until another
  one ends. What it may send us is bounded by our windows; a stream's is opened further when its
  owner has taken what came.
- A connection that breaks, or breaks the rules, fails all its streams; whoever fails is told
  whether the request was certainly not looked at.

https://www.rfc-editor.org/rfc/rfc9113
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Mapping
from typing import Final, Protocol, cast

from hpack import Decoder
from hpack.exceptions import HPACKError

from kapi.storage import etcd_frames as frames
from kapi.storage.etcd_frames import BrokenRules

# Header blocks that are remembered: an answer's two are nearly always the same.
BLOCKS_MAX: Final = 64
# What may be on its way to us: in one stream beyond what its owner took, and in all together.
STREAM_WINDOW: Final = 4 * 1024 * 1024
CONNECTION_WINDOW: Final = 64 * 1024 * 1024
# Streams of one connection; then a new one is made.
STREAM_NUMBER_MAX: Final = 1 << 30
# After so many seconds of silence the other side is asked whether it is there, if it owes us
# something, and has so many seconds to say so. etcd minds being asked more often than every 5 s.
SILENCE_S, ANSWER_S = 10.0, 5.0

Headers = Mapping[str, str]


class Receiver(Protocol):
    """The owner of a stream. After `ended` or `failed` nothing more is told."""

    def headers(self, headers: Headers) -> None:
        """Of the answer, or its trailers."""

    def data(self, data: bytes) -> None: ...

    def ended(self) -> None: ...

    def failed(self, code: int, text: str, *, untouched: bool) -> None:
        """`code`: of a reset, else -1. `untouched`: nobody has looked at the request."""


class Stream:
    """One request and its answer. Made by `Connection.open`."""

    __slots__ = ("at", "head", "last", "number", "outgoing", "receiver", "unread", "window")

    def __init__(self, receiver: Receiver, head: bytes) -> None:
        self.receiver = receiver
        self.head = head
        self.number = 0  # 0: not begun, or over
        self.outgoing = b""  # of the body, sent up to `at`
        self.at = 0
        self.last = False  # the body ends with it
        self.window = 0  # what the other side takes
        self.unread = 0  # bytes that its owner took since the window was last opened


class Connection(asyncio.Protocol):
    """One connection. `ready` is done when the other side has greeted, or fails with OSError;
    `gone` when the connection has ended.
    """

    def __init__(self, silence_s: float = SILENCE_S, answer_s: float = ANSWER_S) -> None:
        self._loop = asyncio.get_running_loop()
        self._silence_s, self._answer_s = silence_s, answer_s
        self.ready: asyncio.Future[None] = self._loop.create_future()
        self.gone: asyncio.Future[None] = self._loop.create_future()
        self.usable = True  # for new streams
        self._transport: asyncio.Transport | None = None
        self._outgoing: list[bytes] = []  # of this turn of the loop
        self._rest = b""  # of a frame that is not whole yet
        self._streams: dict[int, Stream] = {}
        self._held: deque[Stream] = deque()  # beyond the limit of the other side
        self._blocked: dict[Stream, None] = {}  # by a window
        self._next = 1
        self._streams_max = frames.WINDOW_MAX
        self._first_window = self._window = frames.FIRST_WINDOW
        self._received = 0  # bytes since the connection's window was last opened
        self._decoder = Decoder()
        self._blocks: dict[bytes, Headers] = {}
        self._open_block: tuple[Stream | None, int, bytes] | None = None
        self.heard = self._loop.time()  # when something came last
        self._timer: asyncio.TimerHandle | None = None
        self._asked = self._owes = False  # because of silence; the other side an answer
        self._why = "the connection was closed"

    # -- for the owners of streams ----------------------------------------------------------------

    def open(self, receiver: Receiver, head: bytes, body: bytes, *, last: bool) -> Stream:
        """Send a request; only on a connection that is `usable`."""
        stream = Stream(receiver, head)
        stream.outgoing, stream.last = body, last
        if len(self._streams) >= self._streams_max:
            self._held.append(stream)
        else:
            self._begin(stream)
        return stream

    def send(self, stream: Stream, data: bytes) -> None:
        """More of the body. Of a stream that is over it is dropped."""
        stream.outgoing, stream.at = stream.outgoing[stream.at :] + data, 0
        if stream.number:
            self._flush(stream, [])

    def took(self, stream: Stream, size: int) -> None:
        """The owner has done with so many bytes of the answer: as many more may come."""
        stream.unread += size
        if stream.unread >= STREAM_WINDOW // 2 and stream.number:
            self._write([frames.window_update(stream.number, stream.unread)])
            stream.unread = 0

    def ask(self) -> None:
        """Whether the other side is there: it answers, and `heard` moves on. However many want to
        know, one question at a time: etcd hangs up on those who ask more often."""
        if not self._owes:
            self._owes = True
            self._write([frames.frame(frames.PING, 0, 0, b"\0" * 8)])

    def leave(self) -> None:
        """Take no new streams, and end with the last one."""
        self.usable = False
        if not self._streams:
            self._loop.call_soon(self.close)

    def cancel(self, stream: Stream) -> None:
        """Nobody wants the answer any more; its owner is told nothing."""
        if stream.number:
            self._write([frames.reset(stream.number, frames.CANCEL)])
            self._over(stream)
        elif stream in self._held:
            self._held.remove(stream)

    def close(self, why: str = "the connection was closed") -> None:
        if self._transport is not None:
            self._why = why
            self._transport.abort()

    # -- sending ----------------------------------------------------------------------------------

    def _write(self, parts: list[bytes]) -> None:
        """Send in this turn of the loop, with what else is sent in it: each write has its price."""
        if not self._outgoing:
            self._loop.call_soon(self._send)
        self._outgoing += parts

    def _send(self) -> None:
        parts, self._outgoing = self._outgoing, []
        if self._transport is not None:
            self._transport.write(b"".join(parts))

    def _begin(self, stream: Stream) -> None:
        stream.number, self._next = self._next, self._next + 2
        if self._next > STREAM_NUMBER_MAX:
            self.usable = False
        stream.window = self._first_window
        self._streams[stream.number] = stream
        if self._timer is None:
            self.heard = self._loop.time()
            self._timer = self._loop.call_later(self._silence_s, self._silence)
        flags = frames.END_HEADERS
        if stream.last and not stream.outgoing:
            flags |= frames.END_STREAM
        self._flush(stream, [frames.frame(frames.HEADERS, flags, stream.number, stream.head)])

    def _flush(self, stream: Stream, parts: list[bytes]) -> None:
        """Send these frames, and what the windows let out of the body."""
        data, at = stream.outgoing, stream.at
        size = len(data)
        while at < size:
            allowed = min(size - at, frames.FRAME_BYTES_MAX, stream.window, self._window)
            if allowed <= 0:
                self._blocked[stream] = None
                break
            stop = at + allowed
            flags = frames.END_STREAM if stream.last and stop == size else 0
            parts.append(frames.frame(frames.DATA, flags, stream.number, data[at:stop]))
            stream.window -= allowed
            self._window -= allowed
            at = stop
        stream.outgoing, stream.at = (data, at) if at < size else (b"", 0)
        if parts:
            self._write(parts)

    def _unblock(self) -> None:
        blocked, self._blocked = self._blocked, {}
        for stream in blocked:
            if stream.number:
                self._flush(stream, [])

    def _over(self, stream: Stream) -> None:
        self._streams.pop(stream.number, None)
        stream.number = 0
        self._blocked.pop(stream, None)
        while self._held and len(self._streams) < self._streams_max:
            self._begin(self._held.popleft())
        if not self.usable:
            self.leave()

    # -- asyncio's calls --------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        ours = {frames.TABLE_SIZE: 0, frames.ENABLE_PUSH: 0, frames.INITIAL_WINDOW: STREAM_WINDOW}
        more = CONNECTION_WINDOW - frames.FIRST_WINDOW
        self._write([frames.PREFACE, frames.settings(ours), frames.window_update(0, more)])

    def connection_lost(self, exc: Exception | None) -> None:
        self.usable = False
        text = str(exc) if exc is not None else self._why
        if self._timer is not None:
            self._timer.cancel()
        if not self.ready.done():
            self.ready.set_exception(ConnectionError(text))
            self.ready.exception()  # whoever waits still gets it
        streams, held = list(self._streams.values()), list(self._held)
        self._streams, self._held, self._blocked = {}, deque(), {}
        self._transport = None
        if not self.gone.done():
            self.gone.set_result(None)
        for stream in streams:
            stream.number = 0
            stream.receiver.failed(-1, text, untouched=False)
        for stream in held:
            stream.receiver.failed(-1, text, untouched=True)

    def data_received(self, data: bytes) -> None:
        self.heard, self._asked = self._loop.time(), False
        buffer = self._rest + data if self._rest else data
        at, end = 0, len(buffer)
        try:
            while at + 9 <= end:
                size = int.from_bytes(buffer[at : at + 3], "big")
                if size > frames.FRAME_BYTES_MAX:
                    raise BrokenRules("a frame is too large")
                stop = at + 9 + size
                if stop > end:
                    break
                number = int.from_bytes(buffer[at + 5 : at + 9], "big") & frames.WINDOW_MAX
                self._frame(buffer[at + 3], buffer[at + 4], number, buffer[at + 9 : stop])
                at = stop
        except (BrokenRules, HPACKError) as error:
            self.usable = False
            self.close(f"the other side does not speak HTTP/2 as it should: {error}")
            return
        self._rest = buffer[at:]

    def _silence(self) -> None:
        """Is the other side still there? As long as it owes us something."""
        self._timer = None
        if not self._streams:
            return
        quiet = self._loop.time() - self.heard
        if self._asked:
            self.close("keepalive: the other side does not answer")
        elif quiet >= self._silence_s:
            self._asked = True
            self.ask()
            self._timer = self._loop.call_later(self._answer_s, self._silence)
        else:
            self._timer = self._loop.call_later(self._silence_s - quiet, self._silence)

    # -- frames -----------------------------------------------------------------------------------

    def _frame(self, kind: int, flags: int, number: int, payload: bytes) -> None:
        if self._open_block is not None and kind != frames.CONTINUATION:
            raise BrokenRules("a header block is interrupted")
        if kind == frames.DATA:
            self._data(flags, number, payload)
        elif kind == frames.HEADERS:
            block, ends = frames.block_of(payload, flags), flags & frames.END_STREAM
            self._block(self._streams.get(number), ends, flags, block)
        elif kind == frames.CONTINUATION:
            if self._open_block is None:
                raise BrokenRules("a continuation of nothing")
            stream, ends, before = self._open_block
            self._open_block = None
            self._block(stream, ends, flags, before + payload)
        elif kind == frames.WINDOW_UPDATE:
            self._window_update(number, payload)
        elif kind == frames.SETTINGS:
            self._settings(flags, payload)
        elif kind == frames.PING:
            if flags & frames.ACK:
                self._owes = False
            else:
                self._write([frames.frame(frames.PING, frames.ACK, 0, payload)])
        elif kind == frames.RST_STREAM:
            self._reset(number, payload)
        elif kind == frames.GOAWAY:
            self._go_away(payload)
        elif kind == frames.PUSH_PROMISE:
            raise BrokenRules("a push that was not allowed")

    def _data(self, flags: int, number: int, payload: bytes) -> None:
        self._received += len(payload)
        if self._received >= CONNECTION_WINDOW // 2:
            self._write([frames.window_update(0, self._received)])
            self._received = 0
        stream = self._streams.get(number)
        if stream is None:
            return  # it was cancelled
        data = frames.unpadded(payload, flags)
        if len(data) < len(payload):
            self.took(stream, len(payload) - len(data))
        if data:
            stream.receiver.data(data)
        if flags & frames.END_STREAM:
            self._ended(stream)

    def _block(self, stream: Stream | None, ends: int, flags: int, block: bytes) -> None:
        if len(block) > frames.HEADERS_BYTES_MAX:
            raise BrokenRules("a header block is too large")
        if not flags & frames.END_HEADERS:
            self._open_block = (stream, ends, block)
            return
        headers = None if self._decoder.header_table_size else self._blocks.get(block)
        if headers is None:
            headers = dict(cast("list[tuple[str, str]]", self._decoder.decode(block)))
            if not self._decoder.header_table_size and len(self._blocks) < BLOCKS_MAX:
                self._blocks[block] = headers
        if stream is not None and stream.number:
            stream.receiver.headers(headers)
            if ends:
                self._ended(stream)

    def _ended(self, stream: Stream) -> None:
        if stream.number:  # its owner may have cancelled it
            if stream.outgoing or not stream.last:  # nobody wants the rest of the body
                self._write([frames.reset(stream.number, frames.CANCEL)])
            self._over(stream)
            stream.receiver.ended()

    def _window_update(self, number: int, payload: bytes) -> None:
        more = frames.more_of(payload)
        if not number:
            self._window += more
            if self._window > frames.WINDOW_MAX:
                raise BrokenRules("a window is too large")
            self._unblock()
            return
        stream = self._streams.get(number)
        if stream is not None:
            stream.window += more
            if stream in self._blocked:
                del self._blocked[stream]
                self._flush(stream, [])

    def _settings(self, flags: int, payload: bytes) -> None:
        if flags & frames.ACK:
            return
        for name, value in frames.pairs(payload):
            if name == frames.STREAMS_MAX:
                self._streams_max = value
            elif name == frames.INITIAL_WINDOW:
                for stream in self._streams.values():
                    stream.window += value - self._first_window
                self._first_window = value
        self._write([frames.frame(frames.SETTINGS, frames.ACK, 0, b"")])
        self._unblock()
        while self._held and len(self._streams) < self._streams_max:
            self._begin(self._held.popleft())
        if not self.ready.done():
            self.ready.set_result(None)

    def _reset(self, number: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is not None:
            code = int.from_bytes(payload, "big")
            self._over(stream)
            text = f"the stream was reset with code {code}"
            stream.receiver.failed(code, text, untouched=code == frames.REFUSED_STREAM)

    def _go_away(self, payload: bytes) -> None:
        """No new streams; those that the other side has not begun will not be looked at."""
        self.leave()
        last = int.from_bytes(payload[:4], "big") & frames.WINDOW_MAX
        text = payload[8:].decode(errors="replace") or "the server goes away"
        refused = [stream for number, stream in self._streams.items() if number > last]
        held, self._held = self._held, deque()
        for stream in (*refused, *held):
            if stream.number:
                self._over(stream)
            stream.receiver.failed(-1, text, untouched=True)
