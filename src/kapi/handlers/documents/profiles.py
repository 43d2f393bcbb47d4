"""Profiles of a Python process in the form of pprof, which `go tool pprof` and others read.

`debugging.py` asks. A stack is what `sys._current_frames` shows of a thread, or what a task waits
in; a sample is a stack with a count. The file is a gzipped message of Protocol Buffers whose
strings, functions and locations are numbered tables.

https://github.com/google/pprof/blob/main/proto/profile.proto
"""

from __future__ import annotations

import asyncio
import gzip
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Sequence
from types import FrameType
from typing import cast

from kapi.clock import Clock

# Function, file, line of the function, line: innermost first.
Place = tuple[str, str, int, int]
Stack = tuple[Place, ...]

SAMPLE_S = 0.01  # between two looks: Go's hundred a second
DEPTH_MAX = 128  # places of a stack; the outer ones are left out
STACKS_MAX = 20_000  # different ones in a profile; more are counted nowhere

# What a profile counts: name and unit of each value.
_VALUES = {
    "goroutine": (("goroutine", "count"),),
    "threadcreate": (("threadcreate", "count"),),
    "heap": (
        ("alloc_objects", "count"), ("alloc_space", "bytes"),
        ("inuse_objects", "count"), ("inuse_space", "bytes"),
    ),
    "block": (("contentions", "count"), ("delay", "nanoseconds")),
    "profile": (("samples", "count"), ("cpu", "nanoseconds")),
}  # fmt: skip
_VALUES["allocs"] = _VALUES["heap"]
_VALUES["mutex"] = _VALUES["block"]


def counts() -> dict[str, int]:
    """How much there is in a profile, for those that hold something."""
    return {"goroutine": len(_running()), "threadcreate": threading.active_count()}


def as_text(name: str, *, stacks: bool) -> str:
    """A profile for people. `stacks`: each alone, rather than equal ones counted."""
    running = _running() if name == "goroutine" else []
    if stacks:
        return "\n".join(f"{title}:\n{_lines(stack)}" for title, stack in running)
    counted = Counter(stack for _, stack in running)
    total = threading.active_count() if name == "threadcreate" else len(running)
    parts = [f"{name} profile: total {total}\n"]
    parts += [f"{count} @\n{_lines(stack, '#')}\n" for stack, count in counted.most_common()]
    return "".join(parts)


def as_file(name: str, now: float) -> bytes:
    """A profile for tools."""
    counted: Counter[Stack] = Counter()
    if name == "goroutine":
        counted.update(stack for _, stack in _running())
    samples = [(stack, (count,)) for stack, count in counted.items()]
    return encode(_VALUES[name], samples, time_ns=int(now * 1e9))


async def cpu(seconds: int, clock: Clock) -> bytes:
    """Look at all threads for so long, and say where they were. Ends early if cancelled."""
    sampler = _Sampler()
    began = clock.monotonic()
    thread = threading.Thread(target=sampler.run, name="kapi-profile", daemon=True)
    thread.start()
    try:
        await clock.sleep(seconds)
    finally:
        sampler.stop.set()
        thread.join()
    period = int(SAMPLE_S * 1e9)
    samples = [(stack, (n, n * period)) for stack, n in sampler.counted.items()]
    took = int((clock.monotonic() - began) * 1e9)
    return encode(
        _VALUES["profile"],
        samples,
        time_ns=int(clock.now() * 1e9) - took,
        duration_ns=took,
        period=(("cpu", "nanoseconds"), period),
    )


class _Sampler:
    """Counts the stacks of the other threads until it is stopped; those that wait for the system
    count, too, since Python does not tell them apart."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.counted: Counter[Stack] = Counter()

    def run(self) -> None:
        own = threading.get_ident()
        while not self.stop.wait(SAMPLE_S):
            for ident, frame in sys._current_frames().items():
                stack = _stack(frame)
                if ident != own and (stack in self.counted or len(self.counted) < STACKS_MAX):
                    self.counted[stack] += 1


def _running() -> list[tuple[str, Stack]]:
    """Threads and tasks: what each is called and where it is."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    found = [
        (f"thread {names.get(ident, ident)}", _stack(frame))
        for ident, frame in sys._current_frames().items()
    ]
    for task in asyncio.all_tasks():
        frames = task.get_stack(limit=DEPTH_MAX)
        places = tuple(_place(frame, frame.f_lineno) for frame in reversed(frames))
        found.append((f"task {task.get_name()}", places))
    return found


def _stack(frame: FrameType | None) -> Stack:
    places: list[Place] = []
    while frame is not None and len(places) < DEPTH_MAX:
        places.append(_place(frame, frame.f_lineno))
        frame = frame.f_back
    return tuple(places)


def _place(frame: FrameType, line: int | None) -> Place:
    code = frame.f_code
    return code.co_qualname, code.co_filename, code.co_firstlineno, line or code.co_firstlineno


def _lines(stack: Stack, begin: str = "") -> str:
    return "".join(f"{begin}\t{name}\t{file}:{line}\n" for name, file, _, line in stack)


# -- the file -------------------------------------------------------------------------------------

Unit = tuple[str, str]


class _Table:
    """Values numbered in the order in which they are met, from `first` on."""

    def __init__(self, first: int) -> None:
        self._first = first
        self.numbers: dict[object, int] = {}

    def number(self, value: object) -> int:
        return self.numbers.setdefault(value, len(self.numbers) + self._first)


def encode(
    values: Sequence[Unit],
    samples: Iterable[tuple[Stack, Sequence[int]]],
    *,
    time_ns: int,
    duration_ns: int = 0,
    period: tuple[Unit, int] | None = None,
) -> bytes:
    """The gzipped message."""
    strings = _Table(0)
    strings.number("")
    functions, locations = _Table(1), _Table(1)
    out = bytearray()
    for kind, unit in values:
        out += _message(1, _unit(strings, kind, unit))
    for stack, numbers in samples:
        for name, file, first, line in stack:
            function = functions.number((name, file, first))
            locations.number((function, line))
        ids = [locations.number((functions.number(place[:3]), place[3])) for place in stack]
        out += _message(2, _packed(1, ids) + _packed(2, numbers))
    for place, number in locations.numbers.items():
        within, line = cast("tuple[int, int]", place)
        at = _field(1, within) + _field(2, line)
        out += _message(4, _field(1, number) + _message(4, at))
    for named, number in functions.numbers.items():
        name, file, first = cast("tuple[str, str, int]", named)
        title = strings.number(name)
        fields = (number, title, title, strings.number(file), first)
        out += _message(5, b"".join(_field(i + 1, value) for i, value in enumerate(fields)))
    tail = _field(9, time_ns) + _field(10, duration_ns)
    if period is not None:
        tail += _message(11, _unit(strings, *period[0])) + _field(12, period[1])
    for text in strings.numbers:
        out += _message(6, str(text).encode("utf-8", "replace"))
    return gzip.compress(bytes(out) + tail, 1, mtime=0)


def _unit(strings: _Table, kind: str, unit: str) -> bytes:
    return _field(1, strings.number(kind)) + _field(2, strings.number(unit))


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def _field(number: int, value: int) -> bytes:
    return _varint(number << 3) + _varint(value)


def _message(number: int, data: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _packed(number: int, values: Iterable[int]) -> bytes:
    return _message(number, b"".join(map(_varint, values)))
