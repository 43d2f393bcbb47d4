"""The memory of compilers: what is made once of each schema, by parts that lead to each other.

Decoders, defaulters, arrangers and their like are asked by the event loop and by the thread for
large objects, and make what they need when it is first needed. A type may contain itself, so its
place is taken before it is done. What is taken but not done is seen by its maker alone: others wait
until all of it is whole.
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class Made(Generic[K, V]):
    """What is made, by key. Look into `known` first; what it does not have is made inside

        with self._made as made:
            found = made.find(key)
            if found is None:
                made.put(key, what_stands_for_it)
                made.put(key, found := the_whole)

    which may be entered again while it is open, for the parts. An exception makes all of it undone.
    """

    __slots__ = ("_depth", "_failed", "_lock", "_under_way", "known")

    def __init__(self) -> None:
        self.known: dict[K, V] = {}  # whole; to be read and forgotten by anybody
        self._under_way: dict[K, V] = {}
        self._lock = threading.RLock()
        self._depth = 0
        self._failed = False

    def __enter__(self) -> Made[K, V]:
        self._lock.acquire()
        self._depth += 1
        return self

    def find(self, key: K) -> V | None:
        """Also what is under way."""
        found = self.known.get(key)
        return found if found is not None else self._under_way.get(key)

    def put(self, key: K, value: V) -> None:
        self._under_way[key] = value

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._depth -= 1
        self._failed = self._failed or kind is not None
        if not self._depth:
            if not self._failed:
                self.known.update(self._under_way)
            self._under_way.clear()
            self._failed = False
        self._lock.release()
