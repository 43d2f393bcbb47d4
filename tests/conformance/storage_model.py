"""A rule machine: the memory store and another one driven side by side by random calls; all
answers, errors and events agree.

A subclass says what the other store is (`open_other`, `finished`). It is also reopened now and
then. A failure prints the calls that lead to it; they replay (the runs are derandomized).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from validators import check_watch

from kapi.storage.interface import (
    Compacted,
    Conflict,
    Event,
    FutureRevision,
    Storage,
    StorageError,
)
from kapi.storage.memory import MemoryStorage

ALL_KEYS = [f"/registry/{p}/{n}" for p in ("a", "a/x", "b") for n in ("1", "ü")]
KEYS = st.sampled_from(ALL_KEYS)
VALUES = st.binary(max_size=12) | st.just(b"v" * 9000)
# (what to do, with which key, with what value): see `write`
WRITES = st.lists(
    st.tuples(st.integers(0, 99), st.integers(0, 99), VALUES), min_size=5, max_size=20
)
PREFIXES = st.sampled_from(
    ["", "/registry/", "/registry/a/", "/registry/a/x/", "/registry/b", "/z"]
)
BACK = st.integers(min_value=0, max_value=30)  # how far before the newest revision; 0 is the next


def outcome_of(error: StorageError) -> tuple[object, ...]:
    details: object = None
    if isinstance(error, Conflict):
        details = error.current
    elif isinstance(error, Compacted):
        details = error.compact_revision
    elif isinstance(error, FutureRevision):
        details = error.current_revision
    return (type(error).__name__, details)


class Watcher:
    """A watch of both stores from one revision on, and what each has given."""

    def __init__(self, prefix: str, after: int) -> None:
        self.prefix, self.after = prefix, after
        self.streams: dict[str, AsyncIterator[Sequence[Event]]] = {}
        self.batches: dict[str, list[Sequence[Event]]] = {"memory": [], "other": []}

    def position(self, name: str) -> int:
        batches = self.batches[name]
        return max(self.after, batches[-1][-1].revision if batches else 0)


class StorageModel(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.memory = MemoryStorage()
        self.history: list[Event] = []
        self.watchers: list[Watcher] = []
        self.revision = 1

    @initialize(writes=WRITES)
    def start(self, writes: list[tuple[int, int, bytes]]) -> None:
        self.open()
        self.write(writes)

    def open(self) -> None:
        self.other = self.runner.run(self.open_other())

    async def open_other(self) -> Storage:
        """The other store; what an earlier one wrote is in it."""
        raise NotImplementedError

    def closed(self) -> None:
        """The other store was closed: check what it left."""

    def both(self, call: Callable[[Storage], Awaitable[Any]]) -> Any:
        """The answer, or the error, of both stores, which must be the same."""

        async def ask(storage: Storage) -> object:
            try:
                return await call(storage)
            except StorageError as error:
                return outcome_of(error)

        expected = self.runner.run(ask(self.memory))
        found = self.runner.run(ask(self.other))
        assert found == expected
        return found

    def at(self, back: int) -> int:
        return max(0, self.revision - back + 1)

    @rule(writes=WRITES)
    def write(self, writes: list[tuple[int, int, bytes]]) -> None:
        """Mostly writes that succeed: what is there is changed or deleted, what is not created."""
        for choice, pick, value in writes:
            live = sorted(r.key for r in self.runner.run(self.memory.list("")).records)
            absent = [key for key in ALL_KEYS if key not in live]
            if live and choice < 45:
                self.update(live[pick % len(live)], value, right=choice >= 4)
            elif live and choice < 65:
                self.delete(live[pick % len(live)], right=choice >= 48)
            elif absent and choice < 97:
                self.create(absent[pick % len(absent)], value)
            else:
                self.update(ALL_KEYS[pick % len(ALL_KEYS)], value, right=True)
                self.delete(ALL_KEYS[pick % len(ALL_KEYS)], right=True)
                self.create(ALL_KEYS[pick % len(ALL_KEYS)], value)

    def create(self, key: str, value: bytes) -> None:
        answer = self.both(lambda s: s.create(key, value))
        if isinstance(answer, int):
            self.remember(Event("create", key, value, answer, None))

    def update(self, key: str, value: bytes, *, right: bool) -> None:
        before = self.runner.run(self.memory.get(key))
        expected = before.revision if before and right else 1
        answer = self.both(lambda s: s.update(key, value, expected_revision=expected))
        if isinstance(answer, int):
            self.remember(Event("update", key, value, answer, before))

    def delete(self, key: str, *, right: bool) -> None:
        before = self.runner.run(self.memory.get(key))
        expected = before.revision if before and right else 1
        answer = self.both(lambda s: s.delete(key, expected_revision=expected))
        if before is not None and right:
            assert answer == (before, self.revision + 1)
            self.remember(Event("delete", key, before.value, answer[1], before))

    def remember(self, event: Event) -> None:
        assert event.revision == self.revision + 1
        self.revision = event.revision
        self.history.append(event)

    @rule(key=KEYS, back=BACK | st.none())
    def get(self, key: str, back: int | None) -> None:
        revision = None if back is None else self.at(back)
        self.both(lambda s: s.get(key, revision=revision))

    @rule(prefix=PREFIXES, limit=st.integers(0, 4), start=KEYS | st.just(""), back=BACK | st.none())
    def list(self, prefix: str, limit: int, start: str, back: int | None) -> None:
        revision = None if back is None else self.at(back)

        async def call(storage: Storage) -> object:
            found = await storage.list(prefix, limit=limit, start_after=start, revision=revision)
            return [*found.records], found.revision, found.remaining

        self.both(call)

    @rule(back=st.sampled_from([0, 1, 2, 10, 15, 20, 25]))
    def compact(self, back: int) -> None:
        self.both(lambda s: s.compact(self.at(back)))

    @rule(prefix=PREFIXES, back=BACK)
    def watch(self, prefix: str, back: int) -> None:
        watcher = Watcher(prefix, self.at(back))
        self.resume(watcher)
        self.watchers.append(watcher)

    def resume(self, watcher: Watcher) -> None:
        async def start(storage: Storage, name: str) -> None:
            after = watcher.position(name)
            watcher.streams[name] = storage.watch(watcher.prefix, after_revision=after)

        self.runner.run(start(self.memory, "memory"))
        self.runner.run(start(self.other, "other"))

    @rule()
    def read_watches(self) -> None:
        for watcher in [*self.watchers]:
            ends = {name: self.drain(watcher, name) for name in watcher.streams}
            assert ends["memory"] == ends["other"]
            if ends["other"] is not None:
                self.watchers.remove(watcher)
                continue
            for batches in watcher.batches.values():
                check_watch(
                    batches,
                    self.history,
                    prefix=watcher.prefix,
                    after=watcher.after,
                    upto=self.revision,
                )

    def drain(self, watcher: Watcher, name: str) -> tuple[object, ...] | None:
        """Read all that a watch has; the error it ended with, if any."""

        async def read() -> tuple[object, ...] | None:
            expected = [e.revision for e in self.history if e.key.startswith(watcher.prefix)]
            last = max(expected, default=0)
            try:
                while watcher.position(name) < last:
                    batch = await asyncio.wait_for(anext(watcher.streams[name]), 10)
                    watcher.batches[name].append(batch)
            except StorageError as error:
                return outcome_of(error)
            return None

        return self.runner.run(read())

    @rule()
    def reopen(self) -> None:
        self.read_watches()
        self.runner.run(self.other.close())
        self.closed()
        self.open()
        for watcher in self.watchers:
            self.resume(watcher)

    @invariant()
    def same_revisions(self) -> None:
        if hasattr(self, "other"):
            self.both(lambda s: s.current_revision())
            self.both(lambda s: s.compact_revision())

    @invariant()
    def same_sizes(self) -> None:
        if hasattr(self, "other"):
            memory, other = self.memory.statistics(), self.other.statistics()
            for name in ("objects", "live_bytes", "history_bytes"):
                if name in other:
                    assert memory[name] == other[name], name

    def teardown(self) -> None:
        if hasattr(self, "other"):
            self.runner.run(self.other.close())
            self.closed()
        self.runner.close()
