"""Batches of audit events: when they go, how many at once, and what is lost; the clock is turned by
hand.
"""

from __future__ import annotations

import asyncio

import pytest
from audit_records import record

from kapi.audit import batches
from kapi.audit.batches import BatchedSink, Throttle
from kapi.audit.record import Record
from kapi.audit.settings import Batches
from kapi.metrics import Metrics


class HandClock:
    """Time goes on by `pass_` alone."""

    def __init__(self) -> None:
        self.time = 0.0
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self.time + seconds, done))
        await done

    async def pass_(self, seconds: float) -> None:
        await settle()
        self.time += seconds
        for until, done in self._sleepers:
            if until <= self.time and not done.done():
                done.set_result(None)
        await settle()


async def settle() -> None:
    for _ in range(20):
        await asyncio.sleep(0)


class Out:
    """Where batches go."""

    def __init__(self) -> None:
        self.sent: list[list[str]] = []
        self.held: asyncio.Event | None = None

    async def __call__(self, records: list[Record]) -> None:
        self.sent.append([r.audit_id for r in records])
        if self.held is not None:
            await self.held.wait()

    @property
    def sizes(self) -> list[int]:
        return [len(batch) for batch in self.sent]


def settings(
    *, buffer: int = 100, size: int = 3, wait: float = 30, qps: float = 0, burst: int = 1
) -> Batches:
    return Batches(buffer, size, wait, qps, burst)


def lost(metrics: Metrics) -> float:
    return metrics.metric("apiserver_audit_error_total").cell("buffered").value


def put(sink: BatchedSink, *names: str) -> None:
    for name in names:
        sink.put(record(name))


async def test_a_full_batch_goes_at_once_and_others_in_time() -> None:
    clock, out = HandClock(), Out()
    sink = BatchedSink(out, settings(), clock, Metrics())
    await settle()
    put(sink, "a", "b")
    await settle()
    assert out.sent == []
    put(sink, "c", "d")
    await settle()
    assert out.sent == [["a", "b", "c"]]
    await clock.pass_(29)
    assert len(out.sent) == 1
    await clock.pass_(1)
    assert out.sent[1:] == [["d"]]
    await clock.pass_(100)
    assert len(out.sent) == 2
    await sink.close()


async def test_the_end_sends_the_rest() -> None:
    clock, out, metrics = HandClock(), Out(), Metrics()
    sink = BatchedSink(out, settings(), clock, metrics)
    put(sink, *"abcdefgh")
    await sink.close()
    assert out.sent == [["a", "b", "c"], ["d", "e", "f"], ["g", "h"]]
    sink.put(record("late"))
    assert lost(metrics) == 1


async def test_what_finds_the_queue_full_is_lost() -> None:
    clock, out, metrics = HandClock(), Out(), Metrics()
    out.held = asyncio.Event()
    sink = BatchedSink(out, settings(buffer=4, size=2), clock, metrics, sequential=True)
    put(sink, "a", "b")
    await settle()
    put(sink, *"cdefgh")  # two are on their way, four wait
    assert lost(metrics) == 2
    out.held.set()
    await sink.close()
    assert out.sent == [["a", "b"], ["c", "d"], ["e", "f"]]


async def test_batches_do_not_wait_for_each_other_unless_for_a_file() -> None:
    clock, out = HandClock(), Out()
    out.held = asyncio.Event()
    sink = BatchedSink(out, settings(size=1), clock, Metrics())
    put(sink, *"abc")
    await settle()
    assert out.sent == [["a"], ["b"], ["c"]]
    out.held.set()
    await sink.close()
    out = Out()
    out.held = asyncio.Event()
    sink = BatchedSink(out, settings(size=1), clock, Metrics(), sequential=True)
    put(sink, *"abc")
    await settle()
    assert out.sent == [["a"]]
    out.held.set()
    await sink.close()
    assert out.sizes == [1, 1, 1]


async def test_the_throttle_bounds_batches_per_second() -> None:
    clock, out = HandClock(), Out()
    sink = BatchedSink(out, settings(size=1, qps=2, burst=3), clock, Metrics())
    put(sink, *"abcdef")
    await settle()
    assert out.sizes == [1, 1, 1]
    await clock.pass_(0.5)
    assert len(out.sent) == 4
    await clock.pass_(0.5)
    assert len(out.sent) == 5
    await clock.pass_(0.5)
    await sink.close()
    assert len(out.sent) == 6


async def test_tokens_do_not_add_up_beyond_the_burst() -> None:
    clock = HandClock()
    throttle = Throttle(10, 2, clock)
    clock.time = 1000.0
    await throttle.accept()
    await throttle.accept()
    third = asyncio.ensure_future(throttle.accept())
    await settle()
    assert not third.done()
    await clock.pass_(0.1)
    assert third.done()


async def test_a_stop_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, out, metrics = HandClock(), Out(), Metrics()
    out.held = asyncio.Event()
    sink = BatchedSink(out, settings(size=1), clock, metrics, sequential=True)
    put(sink, *"abc")
    await settle()
    monkeypatch.setattr(batches, "CLOSE_S", 0.01)
    await sink.close()
    assert out.sent == [["a"]]
    assert lost(metrics) == 2


async def test_what_is_on_its_way_takes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """A webhook that does not answer must not fill the memory with lists under way."""
    large = record("large", response=b"x" * 1000)
    monkeypatch.setattr(batches, "QUEUE_BYTES_MAX", 3 * large.weight)
    out, metrics = Out(), Metrics()
    out.held = asyncio.Event()
    sink = BatchedSink(out, settings(size=1), HandClock(), metrics)
    for _ in range(5):
        sink.put(large)
        await settle()
    assert (len(out.sent), lost(metrics)) == (3, 2)
    out.held.set()
    await settle()
    sink.put(large)
    await settle()
    assert (len(out.sent), lost(metrics)) == (4, 2)
    await sink.close()


@pytest.mark.parametrize("sequential", [True, False])
async def test_what_goes_wrong_unexpectedly_costs_one_batch(*, sequential: bool) -> None:
    metrics, sent = Metrics(), list[str]()

    async def send(records: list[Record]) -> None:
        if records[0].audit_id == "bad":
            raise RuntimeError
        sent.append(records[0].audit_id)

    sink = BatchedSink(send, settings(size=1), HandClock(), metrics, sequential=sequential)
    put(sink, "a", "bad", "b")
    await settle()
    assert (sent, lost(metrics)) == (["a", "b"], 1)
    await sink.close()
