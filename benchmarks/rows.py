"""What is measured: one function per row of the report. Each is a few seconds of one kind of load.

A row gets a running target and gives a `Result`. Order matters: the pods that the first loads
create are what the later ones read. `ROWS` is the order, those of `kinds.py` follow; `run.py` walks
them, and runs a load in several rounds of which the best counts: what else the machine does can
only take away.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import objects
from client import Address, Tally, once, run, watch
from targets import Failed, Target
from webhook import local_webhook

PODS = 2000
ROUNDS = 3  # of a load
WATCHERS = 100
STARTS = 3  # a start is measured this often; the best counts
SETTLE_SECONDS = 1.0  # after a start, before memory is read
NAMESPACE = "/api/v1/namespaces/default"
HOOKS = "/apis/admissionregistration.k8s.io/v1"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


@dataclass(slots=True)
class Result:
    """One row for one server. Rates count operations; CPU is the server's, all processes."""

    unit: str  # of `value`
    value: float
    more_is_better: bool = True
    p50_ms: float | None = None
    p99_ms: float | None = None
    cpu_us: float | None = None  # of the server, per operation
    operations: int = 0
    answer_bytes: int = 0  # mean
    busy_others: float = 0.0  # share of the machine that neither server nor client used
    failures: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Round:
    """Which of the rounds it is, and how many seconds it may take."""

    number: int
    seconds: float


Row = Callable[[Target, Round], Awaitable[Result]]


# -- the machine ----------------------------------------------------------------------------------


class Machine:
    """How much of the machine others use while something is measured."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._at = time.perf_counter()
        self._busy = self._busy_seconds()
        self._ours = target.cpu_seconds() + time.process_time()
        self._cores = sum(1 for line in _stat() if line.startswith("cpu")) - 1

    def others(self) -> float:
        elapsed = time.perf_counter() - self._at
        busy = self._busy_seconds() - self._busy
        ours = self._target.cpu_seconds() + time.process_time() - self._ours
        return max(0.0, (busy - ours) / (elapsed * self._cores)) if elapsed else 0.0

    @staticmethod
    def _busy_seconds() -> float:
        ticks = [int(text) for text in _stat()[0].split()[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / 100  # all but idle and waiting for a disk


def _stat() -> list[str]:
    return Path("/proc/stat").read_text().splitlines()


# -- helpers --------------------------------------------------------------------------------------


def percentile(ordered: list[float], share: float) -> float:
    """In milliseconds."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] * 1000


def _rate(
    tally: Tally, seconds: float, cpu: float, others: float, *, unit: str = "/s", per: int = 1
) -> Result:
    """`per`: requests that make one operation; the percentiles are of requests."""
    if not tally.seconds:
        raise Failed("nothing was answered")
    ordered = sorted(tally.seconds)
    count = len(ordered) // per
    return Result(
        unit,
        count / seconds,
        p50_ms=percentile(ordered, 0.5),
        p99_ms=percentile(ordered, 0.99),
        cpu_us=cpu / count * 1e6,
        operations=count,
        answer_bytes=tally.answer_bytes // len(ordered),
        busy_others=others,
        failures=tally.failures,
    )


async def _load(target: Target, sources: list[Iterator[bytes]], *, per: int = 1) -> Result:
    machine, before = Machine(target), target.cpu_seconds()
    tally, seconds = await run(target.address, sources)
    result = _rate(tally, seconds, target.cpu_seconds() - before, machine.others(), per=per)
    if tally.failures:
        raise Failed(f"{tally.failures}: {tally.first_failure.decode(errors='replace')}")
    return result


def _for_seconds(request: Callable[[], bytes], seconds: float) -> Iterator[bytes]:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        yield request()


def _same(address: Address, path: str, seconds: float, accept: str = "") -> Iterator[bytes]:
    request = address.request("GET", path, accept=accept)
    return _for_seconds(lambda: request, seconds)


# -- start and memory -----------------------------------------------------------------------------


async def start_fresh(target: Target, now: Round) -> Result:
    """From the process to `/readyz`, with a new data directory: keys and first objects are made."""
    target.start()  # from here on bytecode and files are where later starts find them
    return _starts(target, target.begin_anew)


async def start_again(target: Target, now: Round) -> Result:
    """The same with the directory that is there."""
    return _starts(target, lambda: None)


def _starts(target: Target, prepare: Callable[[], None]) -> Result:
    took, cpu = [], []
    for _ in range(STARTS):
        target.stop()
        prepare()
        took.append(target.start())
        cpu.append(target.cpu_seconds())
    return Result("s", min(took), more_is_better=False, cpu_us=min(cpu) * 1e6)


async def memory(target: Target, now: Round) -> Result:
    """Resident memory of the server as it stands."""
    await asyncio.sleep(SETTLE_SECONDS)
    return Result("MB", target.resident_bytes() / 1e6, more_is_better=False)


async def stop(target: Target, now: Round) -> Result:
    """From the signal to the end of the processes."""
    return Result("s", target.stop(), more_is_better=False)


# -- loads ----------------------------------------------------------------------------------------


async def create_pods(target: Target, now: Round) -> Result:
    """Create pods of 3 KB; there are as many afterwards as the reading rows want."""
    share = PODS // ROUNDS + 1
    numbers = iter(range(now.number * share, min(PODS, (now.number + 1) * share)))

    def creations() -> Iterator[bytes]:
        for number in numbers:
            body = objects.encoded(objects.pod(number))
            yield target.address.request("POST", f"{NAMESPACE}/pods", body)

    return await _load(target, [creations() for _ in range(8)])


async def get_pod(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods/shop-000007"
    return await _load(target, [_same(target.address, path, now.seconds) for _ in range(16)])


async def list_pods(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods"
    return await _load(target, [_same(target.address, path, now.seconds) for _ in range(4)])


async def get_cached(target: Target, now: Round) -> Result:
    """As old as it may be: no store is asked how far it is."""
    path = f"{NAMESPACE}/pods/shop-000007?resourceVersion=0"
    return await _load(target, [_same(target.address, path, now.seconds) for _ in range(16)])


async def list_cached(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods?resourceVersion=0"
    return await _load(target, [_same(target.address, path, now.seconds) for _ in range(4)])


async def list_tenth(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods?labelSelector=tenth%3Dt3"
    return await _load(target, [_same(target.address, path, now.seconds) for _ in range(4)])


async def table_of_500(target: Target, now: Round) -> Result:
    path = f"{NAMESPACE}/pods?limit=500"
    sources = [_same(target.address, path, now.seconds, TABLE) for _ in range(4)]
    return await _load(target, sources)


async def patch_pod(target: Target, now: Round) -> Result:
    """A merge patch of labels."""
    numbers = itertools.count()

    def patch() -> bytes:
        number = next(numbers)
        path = f"{NAMESPACE}/pods/shop-{number % PODS:06d}"
        body = objects.encoded(objects.labels_patch(number))
        content = "application/merge-patch+json"
        return target.address.request("PATCH", path, body, content=content)

    return await _load(target, [_for_seconds(patch, now.seconds) for _ in range(8)])


async def apply_config_map(target: Target, now: Round) -> Result:
    """Server-side apply by four managers, each of a field of its own."""

    def applies(worker: int) -> Iterator[bytes]:
        end = time.perf_counter() + now.seconds
        for number in itertools.count():
            if time.perf_counter() > end:
                return
            manager = f"fieldManager=m{number % 4}&force=true"
            path = f"{NAMESPACE}/configmaps/applied-{worker}?{manager}"
            body = objects.encoded(objects.applied(f"applied-{worker}", number))
            content = "application/apply-patch+yaml"
            yield target.address.request("PATCH", path, body, content=content)

    return await _load(target, [applies(worker) for worker in range(8)])


async def config_map_lives(target: Target, now: Round) -> Result:
    """Create, update and delete a config map; three requests are one operation."""

    def lives(worker: int) -> Iterator[bytes]:
        end = time.perf_counter() + now.seconds
        for number in itertools.count():
            if time.perf_counter() > end:
                return
            name = f"life-{now.number}-{worker}-{number}"
            path, address = f"{NAMESPACE}/configmaps", target.address
            yield address.request("POST", path, objects.encoded(objects.config_map(name)))
            body = objects.encoded(objects.config_map(name, number + 1))
            yield address.request("PUT", f"{path}/{name}", body)
            yield address.request("DELETE", f"{path}/{name}")

    return await _load(target, [lives(worker) for worker in range(8)], per=3)


async def hooked_lives(target: Target, now: Round) -> Result:
    """The same with a validating webhook on this machine, asked about each of the three."""
    address, path = target.address, f"{HOOKS}/validatingwebhookconfigurations"
    async with local_webhook() as configuration:
        await once(address, address.request("POST", path, objects.encoded(configuration)))
        await asyncio.sleep(SETTLE_SECONDS)
        try:
            return await config_map_lives(target, replace(now, number=now.number + ROUNDS))
        finally:
            await once(address, address.request("DELETE", f"{path}/bench"))


async def fan_out(target: Target, now: Round) -> Result:
    """100 watchers of config maps, one writer; an operation is an event that came to a watcher."""
    address = target.address
    path = f"{NAMESPACE}/configmaps"
    if not now.number:
        body = objects.encoded(objects.config_map("fan"))
        await once(address, address.request("POST", path, body))
    starts: list[float] = []
    latencies: list[float] = []
    seen = 0

    def on_events(before: int, count: int) -> None:
        nonlocal seen
        seen += count
        now = time.perf_counter()
        latencies.extend(now - starts[i] for i in range(before, before + count))

    request = address.request("GET", f"{path}?watch=true")
    watches = [await watch(address, request, on_events) for _ in range(WATCHERS)]
    await asyncio.sleep(0.2)
    end = time.perf_counter() + now.seconds

    def updates() -> Iterator[bytes]:
        for number in itertools.count():
            if time.perf_counter() > end:
                return
            body = objects.encoded(objects.config_map("fan", now.number * 1_000_000 + number + 1))
            starts.append(time.perf_counter())
            yield address.request("PUT", f"{path}/fan", body)

    machine, before = Machine(target), target.cpu_seconds()
    tally, took = await run(address, [updates()])
    began = time.perf_counter()
    while seen < len(starts) * WATCHERS:
        if time.perf_counter() - began > 10:
            raise Failed(f"{len(starts) * WATCHERS - seen} events did not come")
        await asyncio.sleep(0.005)
    took += time.perf_counter() - began
    cpu, others = target.cpu_seconds() - before, machine.others()
    for opened in watches:
        assert opened.transport is not None
        opened.transport.close()
    if tally.failures:
        raise Failed(f"{tally.failures}: {tally.first_failure.decode(errors='replace')}")
    return _rate(Tally(latencies), took, cpu, others, unit="events/s")


# Short name, title, measurement, and whether it is run in rounds.
ROWS: tuple[tuple[str, str, Row, bool], ...] = (
    ("start", "start, new data directory", start_fresh, False),
    ("restart", "start again", start_again, False),
    ("memory-idle", "resident memory, idle", memory, False),
    ("create", "create pods of 3 KB, 8 connections", create_pods, True),
    ("memory-pods", "resident memory with 2,000 pods", memory, False),
    ("get", "GET a pod, 16 connections", get_pod, True),
    ("list", "LIST 2,000 pods, 4 connections", list_pods, True),
    ("get-cached", "GET with resourceVersion=0, 16 connections", get_cached, True),
    ("list-cached", "LIST with resourceVersion=0, 4 connections", list_cached, True),
    ("tenth", "LIST a labelled tenth, 4 connections", list_tenth, True),
    ("table", "Table of 500 pods, 4 connections", table_of_500, True),
    ("patch", "merge patch of a pod, 8 connections", patch_pod, True),
    ("apply", "server-side apply of a config map, 8 connections", apply_config_map, True),
    ("lives", "config map create + update + delete, 8 connections", config_map_lives, True),
    ("hooked", "the same with a webhook for each", hooked_lives, True),
    ("fan-out", "events to 100 watchers, one writer", fan_out, True),
    ("memory-end", "resident memory after the load", memory, False),
)
LAST_ROWS: tuple[tuple[str, str, Row, bool], ...] = (("stop", "stop", stop, False),)
