"""Requests to etcd, counted and timed by operation and resource, for `etcd_requests_total`.

`etcd.py` feeds it, `assembly/measures.py` reads it when `/metrics` is asked for. A resource is its
storage prefix here; which API it belongs to is known above.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final, TypeVar

from kapi.clock import Clock
from kapi.metric_specs import LATENCY_BUCKETS
from kapi.metrics import HistogramCell
from kapi.storage import keys

T = TypeVar("T")
# The prefixes of two segments that have no dot in the first.
_TWO: Final = frozenset(("services",))


class Tally:
    """One operation on one resource."""

    __slots__ = ("errors", "seconds")

    def __init__(self) -> None:
        self.seconds = HistogramCell([float(bound) for bound in LATENCY_BUCKETS])
        self.errors = 0

    @property
    def requests(self) -> int:
        return sum(self.seconds.counts)


class Requests:
    """One per store."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.tallies: dict[tuple[str, str], Tally] = {}  # by operation and storage prefix

    async def timed(self, operation: str, key: str, request: Awaitable[T]) -> T:
        """The request's result; it counts as an error if it raises."""
        start = self._clock.monotonic()
        failed = 1
        try:
            result = await request
            failed = 0
            return result
        finally:
            which = (operation, prefix_of(key))
            tally = self.tallies.get(which)
            if tally is None:
                tally = self.tallies[which] = Tally()
            tally.seconds.observe(self._clock.monotonic() - start)
            tally.errors += failed


def prefix_of(key: str) -> str:
    """The storage prefix of a key or of a prefix of keys; "" for all keys."""
    parts = key[len(keys.ROOT) :].split("/", 2)
    if len(parts) > 1 and ("." in parts[0] or parts[0] in _TWO):
        return f"{parts[0]}/{parts[1]}"
    return parts[0]
