"""How long something was in which state: the source of histograms over time, and of the statistics
of a priority level's demand.

Each change notes how long the state before lasted; that is one entry of a small dictionary, so a
request pays next to nothing. `fold` turns the entries into histograms and moments when somebody
asks, or when there are many. Times are seconds of the caller's clock.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from kapi.metrics import HistogramCell

# Different states that are remembered before they are folded: 20 KB.
STATES_MAX = 256
_NANOSECONDS = 1e9

# Four numbers. Of a level: requests that wait, requests that execute, seats in use, seats wanted
# (in use or waited for). Of reads and writes: reads waiting, writes waiting, reads and writes
# executing.
State = tuple[int, int, int, int]
NOTHING: State = (0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Demand:
    """The seats that a level wanted during some time."""

    seconds: float
    average: float
    deviation: float
    highest: float


class Occupancy:
    """The states from `now` on. `charts`: one histogram for each number of a state, in which each
    nanosecond is one observation of it as a fraction of its limit."""

    __slots__ = ("_charts", "_limits", "_moments", "_spent", "since", "state")

    def __init__(self, now: float, charts: Sequence[HistogramCell]) -> None:
        self._charts = tuple(charts)
        self._limits = [1.0] * len(self._charts)
        self._spent: dict[State, float] = {}
        self._moments = [0.0, 0.0, 0.0, 0.0]  # ∫dt, ∫x dt, ∫x² dt, max x; x: the last number
        self.state = NOTHING
        self.since = now

    def change(self, now: float, state: State) -> None:
        """This is the state from `now` on."""
        before, seconds = self.state, now - self.since
        self.since = now
        self.state = state
        try:
            self._spent[before] += seconds
        except KeyError:
            self._spent[before] = seconds
            if len(self._spent) > STATES_MAX:
                self._fold()

    def limits(self, now: float, limits: Sequence[int]) -> None:
        """What fractions are of, from `now` on."""
        self.fold(now)
        self._limits = [float(max(limit, 1)) for limit in limits]

    def fold(self, now: float) -> None:
        """Bring histograms and moments up to date."""
        self.change(now, self.state)
        self._fold()

    def _fold(self) -> None:
        moments = self._moments
        for state, seconds in self._spent.items():
            wanted = state[3]
            moments[3] = max(moments[3], wanted)
            if seconds <= 0:
                continue
            moments[0] += seconds
            moments[1] += wanted * seconds
            moments[2] += wanted * wanted * seconds
            for chart, limit, number in zip(self._charts, self._limits, state, strict=True):
                add_time(chart, number / limit, seconds)
        self._spent.clear()

    def take_demand(self, now: float) -> Demand:
        """Of the last number, in the time since this was last called."""
        self.fold(now)
        seconds, total, squares, highest = self._moments
        wanted = float(self.state[3])
        self._moments = [0.0, 0.0, 0.0, wanted]
        if seconds <= 0:
            return Demand(0.0, 0.0, 0.0, max(highest, wanted))
        average = total / seconds
        variance = squares / seconds - average * average
        return Demand(seconds, average, math.sqrt(max(variance, 0.0)), max(highest, wanted))


def add_time(cell: HistogramCell, value: float, seconds: float) -> None:
    """Observe a value once for each nanosecond that it lasted."""
    nanoseconds = round(seconds * _NANOSECONDS)
    cell.counts[bisect_left(cell.bounds, value)] += nanoseconds
    cell.sum += value * nanoseconds
