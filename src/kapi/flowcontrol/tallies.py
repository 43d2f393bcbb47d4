"""What is counted for each flow schema at each priority level: plain numbers that requests add
to. `shown.py` makes metrics of them when somebody asks."""

from __future__ import annotations

from bisect import bisect_left

from kapi.metric_specs import (
    QUEUE_LENGTH_BUCKETS,
    REQUEST_WAIT_BUCKETS,
    SEAT_BUCKETS,
    WATCH_COUNT_BUCKETS,
)
from kapi.metrics import HistogramCell

# Why a request was refused.
QUEUE_FULL = "queue-full"
CONCURRENCY_LIMIT = "concurrency-limit"
TIME_OUT = "time-out"
CANCELLED = "cancelled"


class Tally:
    """One flow schema at one level."""

    __slots__ = (
        "at_once",
        "dispatched",
        "executing",
        "executing_seats",
        "execution",
        "level",
        "no_accommodation",
        "one_seat",
        "queue_length",
        "refused",
        "schema",
        "seats",
        "wait_executed",
        "wait_refused",
        "waiting",
        "waiting_seats",
        "watch_count",
        "watch_execution",
    )

    def __init__(self, schema: str, level: str) -> None:
        self.schema = schema
        self.level = level
        self.dispatched = 0
        self.executing = 0
        self.executing_seats = 0
        self.waiting = 0
        self.waiting_seats = 0
        self.no_accommodation = 0
        # The usual, counted apart because it costs less: requests of one seat, and requests that
        # came through an empty queue without waiting. `settle` moves them to the histograms.
        self.one_seat = 0
        self.at_once = 0
        self.refused: dict[str, int] = {}
        self.seats = HistogramCell(SEAT_BUCKETS)
        self.execution = HistogramCell(REQUEST_WAIT_BUCKETS)
        self.watch_execution = HistogramCell(REQUEST_WAIT_BUCKETS)
        self.wait_executed = HistogramCell(REQUEST_WAIT_BUCKETS)
        self.wait_refused = HistogramCell(REQUEST_WAIT_BUCKETS)
        self.queue_length = HistogramCell(QUEUE_LENGTH_BUCKETS)
        self.watch_count = HistogramCell(WATCH_COUNT_BUCKETS)

    def refuse(self, reason: str) -> None:
        self.refused[reason] = self.refused.get(reason, 0) + 1

    def settle(self) -> None:
        """Bring the histograms up to date."""
        for cell, value, count in (
            (self.seats, 1, self.one_seat),
            (self.queue_length, 1, self.at_once),
            (self.wait_executed, 0, self.at_once),
        ):
            cell.counts[bisect_left(cell.bounds, value)] += count
            cell.sum += value * count
        self.one_seat = self.at_once = 0
