"""The thread that writes audit events: whole, in order, and what becomes of failures."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import orjson
from audit_records import record

from kapi.audit.log_sink import LogSink, json_line, legacy_line
from kapi.metrics import Metrics


class Shelf:
    """Takes lines; with `gate`, waits for it first. `bad`: what it cannot take."""

    def __init__(self, gate: threading.Event | None = None, bad: bytes = b"\0") -> None:
        self.lines: list[bytes] = []
        self.calls = 0
        self.closed = False
        self._gate = gate
        self._bad = bad

    def write(self, lines: Sequence[bytes]) -> list[str]:
        if self._gate is not None:
            self._gate.wait(10)
        self.calls += 1
        good = [line for line in lines if self._bad not in line]
        self.lines += good
        return ["no space left on device" if self._bad in line else "" for line in lines]

    def close(self) -> None:
        self.closed = True


async def kept_of(done: asyncio.Future[bool] | None) -> bool:
    assert done is not None, "answers wait"
    return await done


async def put(sink: LogSink, name: str) -> bool:
    return await kept_of(sink.put(record(name)))


def lost(metrics: Metrics, plugin: str) -> float:
    return metrics.metric("apiserver_audit_error_total").cell(plugin).value


async def test_lines_come_in_order_and_are_told_of() -> None:
    shelf, metrics = Shelf(bad=b'"7"'), Metrics()
    sink = LogSink(shelf, json_line, metrics)
    kept = [await put(sink, str(i)) for i in range(20)]
    assert kept == [i != 7 for i in range(20)]
    names = [orjson.loads(line)["auditID"] for line in shelf.lines]
    assert names == [str(i) for i in range(20) if i != 7]
    assert shelf.lines[0].startswith(b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",')
    assert lost(metrics, "log") == 1
    await sink.close()
    assert shelf.closed


async def test_what_waits_is_written_in_one_go_and_before_the_end() -> None:
    gate = threading.Event()
    shelf, metrics = Shelf(gate), Metrics()
    sink = LogSink(shelf, legacy_line, metrics)
    kept = [sink.put(record(str(i))) for i in range(50)]
    gate.set()
    await sink.close()
    assert all([await kept_of(done) for done in kept])
    assert shelf.lines == [f"AUDIT: {i}\n".encode() for i in range(50)]
    assert shelf.calls < 4
    assert not await put(sink, "late")
    assert lost(metrics, "log") == 1


async def test_the_queue_has_a_bound() -> None:
    gate = threading.Event()
    shelf, metrics = Shelf(gate), Metrics()
    big = record("big", request=b"x" * 1000)
    sink = LogSink(shelf, json_line, metrics, bytes_max=3 * big.weight)
    kept = [sink.put(big) for _ in range(10)]
    gate.set()
    found = [await kept_of(done) for done in kept]
    await sink.close()
    assert found.count(True) == 3
    assert lost(metrics, "log") == found.count(False)


async def test_who_gives_up_waiting_harms_nobody() -> None:
    gate = threading.Event()
    sink = LogSink(Shelf(gate), json_line, Metrics())
    first, second = sink.put(record("a")), sink.put(record("b"))
    assert first is not None
    first.cancel()
    gate.set()
    assert await kept_of(second)
    await sink.close()


async def test_where_nobody_waits_the_queue_is_bounded_by_number() -> None:
    gate = threading.Event()
    shelf, metrics = Shelf(gate), Metrics()
    sink = LogSink(shelf, legacy_line, metrics, queue=3)
    assert [sink.put(record(name)) for name in "abcde"] == [None] * 5
    assert lost(metrics, "buffered") == 2
    gate.set()
    await sink.close()
    assert shelf.lines == [b"AUDIT: a\n", b"AUDIT: b\n", b"AUDIT: c\n"]


async def test_the_thread_outlives_what_it_cannot_write() -> None:
    class Broken(Shelf):
        def write(self, lines: Sequence[bytes]) -> list[str]:
            if any(b'"bad"' in line for line in lines):
                raise RuntimeError
            return super().write(lines)

    shelf, metrics = Broken(), Metrics()
    sink = LogSink(shelf, json_line, metrics)
    async with asyncio.timeout(10):
        assert [await put(sink, name) for name in ("a", "bad", "b")] == [True, False, True]
    assert (len(shelf.lines), lost(metrics, "log")) == (2, 1)
    await sink.close()
