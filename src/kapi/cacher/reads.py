"""What was read of one resource: counted where it happens, shown by `/metrics`.

Plain numbers, since a read must not cost more than an addition for it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from kapi.metric_specs import WAIT_BUCKETS
from kapi.metrics import HistogramCell


def _waits() -> HistogramCell:
    return HistogramCell([float(bound) for bound in WAIT_BUCKETS])


@dataclass(slots=True)
class Lists:
    """Lists that were answered from one place."""

    served: int = 0
    fetched: int = 0  # objects looked at
    evaluated: int = 0  # objects that a selector was tried on
    returned: int = 0

    def add(self, fetched: int, evaluated: int, returned: int) -> None:
        self.served += 1
        self.fetched += fetched
        self.evaluated += evaluated
        self.returned += returned


@dataclass(slots=True)
class Reads:
    initializations: int = 0
    fresh: int = 0  # reads as of now that the cache answered without waiting
    late: int = 0  # ... that it answered after a while
    fallbacks: int = 0  # ... that the store had to answer
    waits: HistogramCell = field(default_factory=_waits)  # seconds, of those that waited
    cached: Lists = field(default_factory=Lists)
    stored: Lists = field(default_factory=Lists)
