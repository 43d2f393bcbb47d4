"""What the tests of flow control share: tickets and queue sets without a server."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import count

from kapi.flowcontrol.occupancy import Occupancy
from kapi.flowcontrol.queue_set import QueueSet
from kapi.flowcontrol.shares import Queuing
from kapi.flowcontrol.tallies import Tally
from kapi.flowcontrol.ticket import ONE_SEAT, Estimate, State, Ticket
from kapi.messages import EmptyBody, Headers, Peer, Query, Request
from kapi.metric_specs import DEMAND_BUCKETS
from kapi.metrics import HistogramCell

FOREVER = 1e9


def request(query: str = "") -> Request:
    return Request("GET", "/", "/", Query(query), Headers(()), EmptyBody(), Peer())


def ticket(now: float = 0.0, estimate: Estimate = ONE_SEAT, tally: Tally | None = None) -> Ticket:
    return Ticket(tally or Tally("schema", "level"), "", estimate, request(), now)


def state(of: Ticket) -> State:
    """A ticket's state, which others change."""
    return of.state


def queue_set(
    limit: int, queuing: Queuing | None = None, *, exempt: bool = False, now: float = 0.0
) -> QueueSet:
    charts = [HistogramCell(DEMAND_BUCKETS) for _ in range(4)]
    made = QueueSet(Occupancy(now, charts), exempt=exempt)
    made.configure(limit, queuing, max(limit, 1), now)
    return made


def check(queues: QueueSet, held: Sequence[Ticket]) -> None:
    """What holds between any two steps, with all tickets that were not given back."""
    executing = [t for t in held if t.state is State.EXECUTING]
    waiting = [t for t in held if t.state is State.WAITING]
    assert set(queues.executing) == set(executing)
    assert queues.waiting == len(waiting)
    assert queues.seats_waiting == sum(t.seats for t in waiting)
    assert queues.seats_in_use >= sum(t.seats for t in executing)  # others linger
    assert sum(len(q.waiting) for q in queues.queues.values()) == len(waiting)
    for queue in queues.queues.values():
        assert queue.executing == sum(t.queue is queue for t in executing)
        assert queue.work == sum(t.work for t in queue.waiting)
        assert queue.seats >= 0


@dataclass
class Simulation:
    """Requests with known service times, on one level. `waits`: by what a request was called."""

    queues: QueueSet
    now: float = 0.0
    waits: dict[str, list[float]] = field(default_factory=dict)
    refused: int = 0
    most_seats: int = 0

    def __post_init__(self) -> None:
        self._events: list[tuple[float, int, str, object]] = []
        self._serial = count()
        self._held: list[Ticket] = []

    def arrive(
        self, at: float, name: str, hand: tuple[int, ...], service: float, seats: int = 1
    ) -> None:
        self._push(at, "arrive", (name, hand, service, Estimate(seats)))

    def _push(self, at: float, kind: str, what: object) -> None:
        heapq.heappush(self._events, (at, next(self._serial), kind, what))

    def run(self) -> None:
        """Until all are served."""
        while self._events:
            self.now, _, kind, what = heapq.heappop(self._events)
            if kind == "arrive":
                self._start(what)
            else:
                assert isinstance(what, Ticket)
                self.queues.finish(what, self.now)
                self._held.remove(what)
            check(self.queues, self._held)
            self.most_seats = max(self.most_seats, self.queues.seats_in_use)

    def _start(self, what: object) -> None:
        assert isinstance(what, tuple)
        name, hand, service, estimate = what
        made = ticket(self.now, estimate)
        arrived = self.now

        def begun() -> None:
            self.waits.setdefault(name, []).append(self.now - arrived)
            self._push(self.now + service, "finish", made)

        made.decided = begun
        if not self.queues.start(made, hand, FOREVER, self.now):
            self.refused += 1
            return
        self._held.append(made)
        if made.state is State.EXECUTING and made.decided is not None:
            made.decided = None
            begun()
