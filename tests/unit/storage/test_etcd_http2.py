"""HTTP/2 against the server's side of `h2`, in memory: windows, limits, resets, bad frames."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import h2.config
import h2.connection
import h2.events
import h2.settings
import hpack
from hyperframe.frame import ContinuationFrame, DataFrame, HeadersFrame
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.storage import etcd_frames as frames
from kapi.storage.etcd_http2 import STREAM_WINDOW, Connection, Headers, Stream

HEAD = b"".join(
    frames.literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/a/" + b"b" * 200),
        (b":authority", b"x"),
    )
)
ANSWER = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS = [("grpc-status", "0"), ("grpc-message", "")]


class Told:
    """A receiver that writes down what it is told."""

    def __init__(self) -> None:
        self.heads: list[Headers] = []
        self.body = b""
        self.over = ""
        self.untouched: bool | None = None
        self.code = 0

    def headers(self, headers: Headers) -> None:
        assert not self.over
        self.heads.append(headers)

    def data(self, data: bytes) -> None:
        assert not self.over
        self.body += data

    def ended(self) -> None:
        assert not self.over
        self.over = "ended"

    def failed(self, code: int, text: str, *, untouched: bool) -> None:
        assert not self.over
        self.over, self.code, self.untouched = f"failed: {text}", code, untouched


class Wire(asyncio.Transport):
    """What a connection writes, until somebody takes it."""

    def __init__(self, connection: Connection) -> None:
        super().__init__()
        self.sent = b""
        self.aborted = False
        self._connection = connection

    def write(self, data: Any) -> None:
        self.sent += data

    def abort(self) -> None:
        self.aborted = True
        self._connection.connection_lost(None)


class Pair:
    """A connection and a server that was greeted."""

    def __init__(
        self, own: dict[Any, int] | None = None, silence_s: float = 10.0, answer_s: float = 5.0
    ) -> None:
        self.client = Connection(silence_s, answer_s)
        self.wire = Wire(self.client)
        self.server = h2.connection.H2Connection(
            h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        )
        self.server.initiate_connection()
        if own:
            self.server.update_settings(own)
        self.events: list[h2.events.Event] = []
        self.bodies: dict[int, bytes] = {}

    async def start(self) -> Pair:
        self.client.connection_made(self.wire)
        await self.settle()
        assert self.client.ready.done()
        return self

    async def settle(self, *, acknowledge: bool = True) -> None:
        """Carry bytes to and fro until nobody has any."""
        while True:
            await asyncio.sleep(0)
            out, self.wire.sent = self.wire.sent, b""
            for event in self.server.receive_data(out) if out else ():
                self.events.append(event)
                if isinstance(event, h2.events.DataReceived):
                    number, size = event.stream_id, event.flow_controlled_length
                    self.bodies[number] = self.bodies.get(number, b"") + event.data
                    if acknowledge:
                        self.server.acknowledge_received_data(size, number)
            back = self.server.data_to_send()
            if back:
                self.client.data_received(back)
            if not out and not back:
                return

    def seen(self, kind: type[h2.events.Event]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]

    def answer(self, number: int, body: bytes = b"", *, ends: bool = True) -> None:
        self.server.send_headers(number, ANSWER)
        if body:
            self.server.send_data(number, body)
        if ends:
            self.server.send_headers(number, TRAILERS, end_stream=True)

    def raw(self, *sent: Any) -> None:
        self.client.data_received(b"".join(frame.serialize() for frame in sent))


def _open(pair: Pair, body: bytes = b"x", *, last: bool = True) -> tuple[Told, Stream]:
    told = Told()
    return told, pair.client.open(told, HEAD, body, last=last)


async def test_a_request_and_its_answer() -> None:
    pair = await Pair().start()
    for _ in range(3):  # equal header blocks mean the same the third time, too
        told, stream = _open(pair, b"question")
        number = stream.number
        await pair.settle()
        assert pair.bodies[number] == b"question"
        pair.answer(number, b"answer")
        await pair.settle()
        assert (told.body, told.over) == (b"answer", "ended")
        assert told.heads[0] == dict(ANSWER)
        assert told.heads[1] == dict(TRAILERS)
    heads = [dict(event.headers) for event in pair.seen(h2.events.RequestReceived)]
    assert heads[0][":path"] == "/a/" + "b" * 200
    assert len(pair.seen(h2.events.StreamEnded)) == 3


async def test_a_large_body_waits_for_the_windows() -> None:
    pair = await Pair().start()
    body = bytes(range(256)) * 2_000
    told, stream = _open(pair, body)
    await pair.settle(acknowledge=False)
    assert len(pair.bodies[1]) == 65_535  # what the server's windows allow
    pair.server.acknowledge_received_data(65_535, 1)
    await pair.settle()
    assert pair.bodies[1] == body
    pair.answer(1)
    await pair.settle()
    assert told.over == "ended"
    assert not stream.number


async def test_bodies_that_wait_share_the_window_of_the_connection() -> None:
    pair = await Pair().start()
    bodies = [bytes((n,)) * 50_000 for n in range(5)]
    for body in bodies:
        _open(pair, body)
    await pair.settle(acknowledge=False)
    assert sum(map(len, pair.bodies.values())) == 65_535
    for number, body in list(pair.bodies.items()):
        pair.server.acknowledge_received_data(len(body), number)
    await pair.settle()
    assert [pair.bodies[2 * n + 1] for n in range(5)] == bodies


async def test_the_first_window_may_change_under_way() -> None:
    pair = await Pair().start()
    _open(pair, b"a" * 30_000, last=False)
    await pair.settle(acknowledge=False)
    number = h2.settings.SettingCodes.INITIAL_WINDOW_SIZE
    pair.server.update_settings({number: 10_000})
    await pair.settle(acknowledge=False)
    told, stream = _open(pair, b"b" * 20_000)
    await pair.settle(acknowledge=False)
    assert len(pair.bodies[3]) == 10_000
    pair.server.update_settings({number: 40_000})
    await pair.settle(acknowledge=False)
    assert len(pair.bodies[3]) == 20_000
    assert stream.number == 3
    assert not told.over


async def test_no_more_streams_than_the_server_takes() -> None:
    pair = await Pair({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2}).start()
    opened = [_open(pair) for _ in range(5)]
    await pair.settle()
    assert [stream.number for _, stream in opened] == [1, 3, 0, 0, 0]
    pair.client.cancel(opened[3][1])
    pair.answer(1)
    await pair.settle()
    assert [stream.number for _, stream in opened] == [0, 3, 5, 0, 0]
    pair.answer(3)
    pair.answer(5)
    await pair.settle()
    assert opened[4][1].number == 7
    assert [told.over for told, _ in opened] == ["ended", "ended", "ended", "", ""]


async def test_what_its_owner_did_not_take_holds_up_a_stream_but_not_the_others() -> None:
    pair = await Pair().start()
    slow, stream = _open(pair)
    await pair.settle()
    pair.answer(1, ends=False)
    while (room := pair.server.local_flow_control_window(1)) > 0:
        pair.server.send_data(1, b"z" * min(room, 16_384))
        await pair.settle()
    assert len(slow.body) == STREAM_WINDOW
    quick, _ = _open(pair)
    await pair.settle()
    pair.answer(3, b"here")
    await pair.settle()
    assert quick.body == b"here"
    pair.client.took(stream, STREAM_WINDOW)
    await pair.settle()
    assert pair.server.local_flow_control_window(1) == STREAM_WINDOW


async def test_the_window_of_the_connection_is_opened_again() -> None:
    pair = await Pair().start()
    size = 0
    while size < 70_000_000:
        told, stream = _open(pair)
        await pair.settle()
        number = stream.number
        pair.server.send_headers(number, ANSWER)
        for _ in range(200):
            pair.server.send_data(number, b"z" * 16_384)
        await pair.settle()
        size += len(told.body)
        pair.client.cancel(stream)  # what comes for it still counts
        await pair.settle()


async def test_a_refused_stream_was_not_looked_at() -> None:
    pair = await Pair().start()
    for code, untouched in ((frames.REFUSED_STREAM, True), (frames.CANCEL, False), (2, False)):
        told, stream = _open(pair)
        await pair.settle()
        pair.server.reset_stream(stream.number, code)
        await pair.settle()
        assert told.over.startswith("failed")
        assert (told.code, told.untouched) == (code, untouched)


async def test_a_server_that_goes_away_says_what_it_has_seen() -> None:
    pair = await Pair({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 2}).start()
    first, _ = _open(pair)
    second, _ = _open(pair)
    third, _ = _open(pair)
    await pair.settle()
    pair.client.data_received(frames.frame(frames.GOAWAY, 0, 0, bytes((0, 0, 0, 1, 0, 0, 0, 0))))
    assert not pair.client.usable
    assert not first.over
    assert (second.untouched, third.untouched) == (True, True)
    assert not pair.wire.aborted
    pair.answer(1, b"still")
    await pair.settle()
    assert (first.body, first.over) == (b"still", "ended")
    await asyncio.sleep(0)
    assert pair.wire.aborted


async def test_a_connection_that_takes_nothing_new_ends_with_its_last_stream() -> None:
    go_away = frames.frame(frames.GOAWAY, 0, 0, b"\x7f\xff\xff\xff\0\0\0\0")
    pair = await Pair().start()
    told, _ = _open(pair)
    _, wanted = _open(pair, last=False)
    await pair.settle()
    pair.client.data_received(go_away)
    pair.answer(1)
    await pair.settle()
    assert told.over == "ended"
    assert not pair.wire.aborted
    pair.client.cancel(wanted)
    await pair.settle()
    assert pair.client.gone.done()
    idle = await Pair().start()
    idle.client.data_received(go_away)
    await idle.settle()
    assert idle.client.gone.done()


async def test_an_answer_before_the_end_of_the_request_is_the_end_of_it() -> None:
    pair = await Pair().start()
    for body, last in ((b"x" * 100_000, True), (b"x", False)):
        told, stream = _open(pair, body, last=last)
        await pair.settle(acknowledge=False)
        number = stream.number
        pair.answer(number)
        await pair.settle(acknowledge=False)
        assert told.over == "ended"
        reset = pair.seen(h2.events.StreamReset)[-1]
        assert (reset.stream_id, reset.error_code) == (number, frames.CANCEL)


async def test_more_of_a_body_that_waits() -> None:
    pair = await Pair().start()
    _, stream = _open(pair, b"a" * 100_000, last=False)
    await pair.settle(acknowledge=False)
    pair.client.send(stream, b"b" * 10)
    pair.server.acknowledge_received_data(65_535, 1)
    await pair.settle()
    pair.client.send(stream, b"c")
    await pair.settle()
    assert pair.bodies[1] == b"a" * 100_000 + b"b" * 10 + b"c"


async def test_a_lost_connection_fails_what_is_under_way() -> None:
    pair = await Pair({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1}).start()
    sent, _ = _open(pair)
    held, _ = _open(pair)
    await pair.settle()
    pair.client.connection_lost(OSError("it broke"))
    assert pair.client.gone.done()
    assert not pair.client.usable
    assert sent.over == held.over == "failed: it broke"
    assert (sent.untouched, held.untouched) == (False, True)


async def test_a_connection_that_ends_before_the_greeting_is_not_ready() -> None:
    pair = Pair()
    pair.client.connection_made(pair.wire)
    pair.client.connection_lost(None)
    assert isinstance(pair.client.ready.exception(), ConnectionError)


async def test_header_blocks_in_pieces_and_padding() -> None:
    pair = await Pair().start()
    told, _ = _open(pair)
    await pair.settle()
    block = pair.server.encoder.encode(ANSWER)
    more = pair.server.encoder.encode(TRAILERS)
    pair.raw(
        HeadersFrame(1, block[:3], flags=["PADDED", "PRIORITY"], pad_length=9),
        ContinuationFrame(1, block[3:7]),
        ContinuationFrame(1, block[7:], flags=["END_HEADERS"]),
        DataFrame(1, b"padded", flags=["PADDED"], pad_length=200),
        DataFrame(1, b"", flags=["PADDED"], pad_length=0),
        HeadersFrame(1, more, flags=["END_HEADERS", "END_STREAM"]),
    )
    assert told.heads == [dict(ANSWER), dict(TRAILERS)]
    assert (told.body, told.over) == (b"padded", "ended")


async def test_a_server_may_use_a_table_all_the_same() -> None:
    """As the server of grpcio does, when its first answer was dropped together with its promise."""
    pair = await Pair().start()
    encoder = hpack.Encoder()
    for number in range(30):
        told, stream = _open(pair)
        await pair.settle()
        trailers = [("grpc-status", "0"), ("grpc-message", f"number {number // 3}")]
        pair.raw(
            HeadersFrame(stream.number, encoder.encode(ANSWER), flags=["END_HEADERS"]),
            HeadersFrame(
                stream.number, encoder.encode(trailers), flags=["END_HEADERS", "END_STREAM"]
            ),
        )
        assert told.heads == [dict(ANSWER), dict(trailers)]
        if number == 20:  # and may give it up later
            encoder.header_table_size = 0


async def test_a_ping_is_answered() -> None:
    pair = await Pair().start()
    pair.server.ping(b"12345678")
    await pair.settle()
    assert [event.ping_data for event in pair.seen(h2.events.PingAckReceived)] == [b"12345678"]


async def test_silence_is_not_borne_for_ever() -> None:
    pair = await Pair(silence_s=0.01, answer_s=0.01).start()
    told, _ = _open(pair)
    async with asyncio.timeout(10):
        await pair.client.gone
    assert told.over == "failed: keepalive: the other side does not answer"
    assert told.untouched is False
    assert frames.frame(frames.PING, 0, 0, b"\0" * 8) in pair.wire.sent


async def test_one_question_at_a_time() -> None:
    """etcd hangs up on who asks often, and many writes may want to know at once."""
    ping = frames.frame(frames.PING, 0, 0, b"\0" * 8)
    pair = await Pair().start()
    for _ in range(2):
        for _ in range(3):
            pair.client.ask()
        await asyncio.sleep(0)
        assert pair.wire.sent.count(ping) == 1
        await pair.settle()  # it is answered: from now on it may be asked again


async def test_a_connection_that_is_left_ends_with_its_last_stream() -> None:
    idle, busy = await Pair().start(), await Pair().start()
    told, stream = _open(busy)
    for pair in (idle, busy):
        await pair.settle()
        pair.client.leave()
        await pair.settle()
    assert (idle.wire.aborted, busy.wire.aborted, told.over) == (True, False, "")
    busy.answer(stream.number)
    await busy.settle()
    assert (busy.wire.aborted, told.over) == (True, "ended")


async def test_who_answers_a_ping_is_there() -> None:
    pair = await Pair(silence_s=0.005, answer_s=1).start()
    told, _ = _open(pair)
    async with asyncio.timeout(10):
        while len(pair.seen(h2.events.PingReceived)) < 3:
            await pair.settle()
            await asyncio.sleep(0.002)
    assert not told.over


BROKEN: Sequence[tuple[str, bytes]] = (
    ("a large frame", b"\xff\xff\xff" + b"\0" * 6),
    ("a push", frames.frame(frames.PUSH_PROMISE, 4, 1, b"\0\0\0\2")),
    ("a continuation of nothing", frames.frame(frames.CONTINUATION, 4, 1, b"")),
    (
        "an interrupted block",
        frames.frame(frames.HEADERS, 0, 1, b"\x88") + frames.frame(frames.PING, 0, 0, b"\0" * 8),
    ),
    ("a bad block", frames.frame(frames.HEADERS, 4, 1, b"\xff\xff\xff\xff")),
    ("an index into a table", frames.frame(frames.HEADERS, 4, 1, b"\xbe")),
    ("too much padding", frames.frame(frames.DATA, 8, 1, b"\x09x")),
    ("odd settings", frames.frame(frames.SETTINGS, 0, 0, b"\0" * 5)),
    ("a huge window", frames.frame(frames.SETTINGS, 0, 0, b"\0\4\xff\xff\xff\xff")),
    ("an odd window update", frames.frame(frames.WINDOW_UPDATE, 0, 1, b"\0")),
    ("a window beyond all", frames.window_update(0, frames.WINDOW_MAX)),
    (
        "an endless block",
        frames.frame(frames.HEADERS, 0, 1, b"\0" * 16_000)
        + frames.frame(frames.CONTINUATION, 0, 1, b"\0" * 16_000) * 5,
    ),
)


async def test_who_breaks_the_rules_is_left() -> None:
    for name, sent in BROKEN:
        pair = await Pair().start()
        told, _ = _open(pair)
        await pair.settle()
        pair.client.data_received(sent)
        assert pair.wire.aborted, name
        assert "does not speak HTTP/2" in told.over, name


@settings(derandomize=True, max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(0, 11), st.integers(0, 255), st.integers(0, 5), st.binary()),
        max_size=8,
    ),
    st.integers(1, 40),
)
def test_no_bytes_make_it_fail(sent: list[tuple[int, int, int, bytes]], piece: int) -> None:
    async def run() -> None:
        pair = await Pair().start()
        told = [_open(pair)[0] for _ in range(2)]
        await pair.settle()
        data = b"".join(frames.frame(*each) for each in sent)
        for at in range(0, len(data), piece):
            if not pair.wire.aborted:
                pair.client.data_received(data[at : at + piece])
        if not pair.wire.aborted:
            pair.client.connection_lost(None)
        assert all(each.over for each in told)

    asyncio.run(run())


def test_literals_of_any_length() -> None:
    for size in (0, 1, 126, 127, 128, 254, 255, 300, 20_000):
        block = frames.literal(b"n" * size, b"v" * (size + 1))
        decoded = cast("list[tuple[str, str]]", list(hpack.Decoder().decode(block)))
        assert decoded == [("n" * size, "v" * (size + 1))]
