"""What one request holds in flow control: its work, its place in a queue, its seats.

Made and changed by `queue_set.py` only; the filter keeps it until the last byte of the answer.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from enum import Enum, auto

from kapi.flowcontrol.tallies import Tally
from kapi.messages import Request

# Work is counted in hundred-millionths of a seat for a second: integers, so that it adds up.
SEAT_SECOND = 10**8
# What a request is assumed to take before it has run.
SERVICE_S = 0.003


def work(seats: float, seconds: float) -> int:
    """Seats for a time, in units of SEAT_SECOND."""
    return round(seats * seconds * SEAT_SECOND)


class Estimate:
    """What a request is expected to take: seats while it executes. `final` seats stay taken for
    `linger` seconds after it is done: the watchers that are told of a change. Never changed."""

    __slots__ = ("final", "initial", "linger", "seats", "work")

    def __init__(self, initial: int = 1, final: int = 0, linger: float = 0.0) -> None:
        self.initial = initial
        self.final = final
        self.linger = linger
        self.seats = max(initial, final)  # both are held from the start
        self.work = work(initial, SERVICE_S) + work(final, linger)


ONE_SEAT = Estimate()


class State(Enum):
    WAITING = auto()
    EXECUTING = auto()
    DONE = auto()  # finished, or refused after it waited


class Queue:
    """One of the queues of a level. One that is idle says nothing, so it need not exist."""

    __slots__ = ("entry", "executing", "index", "next_r", "seats", "served", "waiting", "work")

    def __init__(self, index: int) -> None:
        self.index = index
        self.waiting: OrderedDict[Ticket, None] = OrderedDict()
        self.work = 0  # of all that wait
        self.next_r = 0  # progress at which the next request is dispatched in the fair world
        self.executing = 0
        self.seats = 0  # in use
        self.served = 0  # when it was last chosen, as a serial number
        self.entry = 0  # the serial number of its valid entry in the heap; 0: none

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.executing

    @property
    def oldest(self) -> Ticket:
        return next(iter(self.waiting))


class Ticket:
    """One request."""

    __slots__ = (
        "arrived", "arrived_r", "decided", "distinguisher", "estimate", "final", "linger", "queue",
        "request", "seats", "started", "state", "tally", "watching", "work",
    )  # fmt: skip

    def __init__(
        self, tally: Tally, distinguisher: str, estimate: Estimate, request: Request, now: float
    ) -> None:
        self.tally = tally
        self.distinguisher = distinguisher
        self.estimate = estimate
        self.request = request
        self.seats = estimate.seats
        self.work = estimate.work
        self.final = estimate.final
        self.linger = estimate.linger
        self.queue: Queue | None = None
        self.state = State.EXECUTING
        self.arrived = self.started = now
        self.arrived_r = 0
        self.watching = False
        # Called once when a waiting request leaves its queue, for good or bad.
        self.decided: Callable[[], None] | None = None
