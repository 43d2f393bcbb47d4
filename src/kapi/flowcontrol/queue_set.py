"""The fair queues of one priority level: who executes, who waits, who is refused.

    start ─┬─ a seat is free and nobody waits ──────────────→ EXECUTING ─→ finish ─→ DONE
           ├─ it may wait ─→ WAITING ─┬─ its turn ──────────→     ↑          └─ some linger on seats
           │                          └─ too long, gone ────→ DONE
           └─ refused: None

Fair queuing for server requests: `r` is how many seat-seconds each busy queue could have been given
so far. Every queue has an `r` at which its next request would be dispatched if seats were given out
evenly; the queue whose next request would *finish* first there is served first here. A request is
assumed to take SERVICE_S; when it is done the queue's clock is set right by what it really took.
KEP-1040, https://github.com/kubernetes/enhancements (keps/sig-api-machinery).

What always holds: seats in use are within the limit, but for one request wider than the limit that
executes alone, and after the limit was lowered; a finished ticket holds none; nobody waits while
the next in turn would fit. No step looks at all queues: those that wait are in a heap.

Pure but for its callbacks: `now` is given, in seconds that never go back. Who calls must call
`advance` at `due()`; only waiting requests need that.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator

from kapi.flowcontrol.occupancy import Occupancy
from kapi.flowcontrol.shares import Queuing
from kapi.flowcontrol.tallies import CANCELLED, CONCURRENCY_LIMIT, QUEUE_FULL, TIME_OUT
from kapi.flowcontrol.ticket import SEAT_SECOND, SERVICE_S, Queue, State, Ticket, work

# Idle queues that are kept to be used again; further ones are made anew when they are needed.
IDLE_QUEUES_MAX = 1024
# Entries of a heap that mean nothing any more, before it is made anew if they are most of it.
STALE_MAX = 64


class QueueSet:
    def __init__(self, occupancy: Occupancy, *, exempt: bool) -> None:
        self._occupancy = occupancy
        self._changed = occupancy.change
        self._exempt = exempt
        self.queuing: Queuing | None = None
        self.limit = 0  # seats
        self.queues: dict[int, Queue] = {}  # by index; idle ones may be missing
        self.executing: dict[Ticket, None] = {}
        self.waiting = 0  # requests
        self.seats_waiting = 0
        self.seats_in_use = 0
        self._queue_seats = 0  # of those in use, by requests that came through a queue
        self._busy = 0  # queues that are not idle
        self.r = 0
        self._r_at = occupancy.since
        self._enqueued = 0
        self._serial = 0
        self._heap: list[tuple[int, int, int, Queue]] = []  # finish, last served, serial, queue
        self._lingering: list[tuple[float, int, Ticket]] = []
        self._deadlines: list[tuple[float, int, Ticket]] = []
        self.dispatched = self.refused = self.timed_out = self.cancelled = 0
        self.dispatch_r = self.latest_s = -1  # at the last dispatch from a queue; none yet: -1

    # -- configuration -----------------------------------------------------------------------------

    def configure(self, limit: int, queuing: Queuing | None, seats: int, now: float) -> None:
        """`seats`: what fractions of seats are of, in histograms. Queues beyond those wanted are
        emptied as their turn comes."""
        self._sync(now)
        self.limit, self.queuing = limit, queuing
        room = queuing.length * queuing.queues if queuing is not None else 1
        self._occupancy.limits(now, (room, seats, seats, seats))
        self._dispatch(now)

    @property
    def idle(self) -> bool:
        return not self.waiting and not self.executing and not self._lingering

    # -- requests ----------------------------------------------------------------------------------

    def start(self, ticket: Ticket, hand: tuple[int, ...], deadline: float, now: float) -> bool:
        """Whether it is EXECUTING or WAITING now; else it was refused. `hand`: the queues that it
        may join, if there are queues; `deadline`: how long it may wait in one."""
        if self._lingering or self.waiting:
            self.advance(now)
        elif self._busy:
            self._sync(now)
        else:
            self._r_at = now
        if self.queuing is None:
            if not (self._exempt or self._fits(ticket.seats)):
                self._refuse(ticket, CONCURRENCY_LIMIT)
                return False
            self._execute(ticket, None, now)
            if not self._exempt:
                ticket.tally.wait_executed.observe(0)
            return True
        queue = self._queue(hand)
        if not queue.waiting and (queue.next_r < self.r or not queue.executing):
            queue.next_r = self.r  # an idle queue begins now; a busy one has saved nothing up
        ticket.arrived_r = self.r
        ticket.queue = queue
        if not self.waiting:
            if self._fits(ticket.seats):
                ticket.tally.at_once += 1
                self._execute(ticket, queue, now)
                return True
            ticket.tally.no_accommodation += 1
        if self.seats_in_use >= self.limit and len(queue.waiting) >= self.queuing.length:
            self._refuse(ticket, QUEUE_FULL)
            return False
        if deadline <= now:
            self.cancelled += 1
            self._settle(queue)
            self._refuse(ticket, CANCELLED)
            return False
        self._enqueue(ticket, queue, deadline, now)
        self._dispatch(now)
        return True

    def leave(self, ticket: Ticket, now: float, reason: str = CANCELLED) -> None:
        """A waiting request waits no more: its client is gone, or it waited too long."""
        if ticket.state is not State.WAITING:
            return
        self._sync(now)
        if reason == TIME_OUT:
            self.timed_out += 1
        else:
            self.cancelled += 1
        self._unqueue(ticket)
        self._refuse(ticket, reason)
        self._note(now)
        assert ticket.queue is not None
        self._settle(ticket.queue)
        self._dispatch(now)  # behind a wide one there may be those that fit
        self._decide(ticket)

    def finish(self, ticket: Ticket, now: float) -> None:
        """An executing request is done; its seats are free, now or after it lingered."""
        if ticket.state is not State.EXECUTING:
            return
        if self._busy:
            self._sync(now)
        else:
            self._r_at = now
        ticket.state = State.DONE
        del self.executing[ticket]
        tally = ticket.tally
        tally.executing -= 1
        took = now - ticket.started
        (tally.watch_execution if ticket.watching else tally.execution).observe(took)
        queue = ticket.queue
        if queue is not None:
            queue.executing -= 1
            queue.next_r += work(ticket.estimate.initial, took - SERVICE_S)
            if not (queue.executing or queue.waiting):
                self._busy -= 1
        if ticket.linger > 0:
            self._serial += 1
            heapq.heappush(self._lingering, (now + ticket.linger, self._serial, ticket))
        else:
            self._release(ticket)
        self._note(now)
        if queue is not None and (queue.waiting or not queue.executing):
            self._settle(queue)
        if self.waiting:
            self.advance(now)

    # -- time --------------------------------------------------------------------------------------

    def due(self) -> float | None:
        """When `advance` must be called at the latest; None: no need."""
        if not self.waiting:
            return None
        while self._deadlines and self._deadlines[0][2].state is not State.WAITING:
            heapq.heappop(self._deadlines)
        soonest = self._deadlines[0][0] if self._deadlines else math.inf
        if self._lingering:
            soonest = min(soonest, self._lingering[0][0])
        return soonest

    def advance(self, now: float) -> None:
        """Free seats that lingered long enough, refuse who waited too long, dispatch."""
        while self._lingering and self._lingering[0][0] <= now:
            at, _, ticket = heapq.heappop(self._lingering)
            at = max(at, self._r_at)
            self._sync(at)
            self._release(ticket)
            self._note(at)
            if ticket.queue is not None:
                self._settle(ticket.queue)
            if self.waiting:
                self._dispatch(at)
        self._sync(now)
        while self._deadlines and self._deadlines[0][0] <= now:
            _, _, ticket = heapq.heappop(self._deadlines)
            self.leave(ticket, now, TIME_OUT)
        self._dispatch(now)

    def _sync(self, now: float) -> None:
        """Let fair time pass as it did since the last time."""
        if self._busy:
            wanted = self._queue_seats + self.seats_waiting
            seconds = now - self._r_at
            self.r += round(min(wanted, self.limit) / self._busy * seconds * SEAT_SECOND)
        self._r_at = now

    # -- queues ------------------------------------------------------------------------------------

    def _queue(self, hand: tuple[int, ...]) -> Queue:
        """Of a hand the queue with the least work that waits, beginning elsewhere each time."""
        first = self._enqueued % len(hand)
        self._enqueued += 1
        index = hand[first]
        if self.waiting:
            least = -1
            for at in (*hand[first:], *hand[:first]):
                found = self.queues.get(at)
                waits = found.work if found is not None else 0
                if least < 0 or waits < least:
                    least, index = waits, at
                if not waits:
                    break
        queue = self.queues.get(index)
        if queue is None:
            queue = self.queues[index] = Queue(index)
        return queue

    def _enqueue(self, ticket: Ticket, queue: Queue, deadline: float, now: float) -> None:
        if queue.idle:
            self._busy += 1
        queue.waiting[ticket] = None
        queue.work += ticket.work
        ticket.state = State.WAITING
        self.waiting += 1
        self.seats_waiting += ticket.seats
        tally = ticket.tally
        tally.waiting += 1
        tally.waiting_seats += ticket.seats
        tally.queue_length.observe(len(queue.waiting))
        self._note(now)
        self._serial += 1
        if len(self._deadlines) > STALE_MAX + 2 * self.waiting:
            self._deadlines = [d for d in self._deadlines if d[2].state is State.WAITING]
            heapq.heapify(self._deadlines)
        heapq.heappush(self._deadlines, (deadline, self._serial, ticket))
        self._settle(queue)

    def _unqueue(self, ticket: Ticket) -> None:
        queue = ticket.queue
        assert queue is not None
        del queue.waiting[ticket]
        queue.work -= ticket.work
        if queue.idle:
            self._busy -= 1
        ticket.state = State.DONE
        self.waiting -= 1
        self.seats_waiting -= ticket.seats
        ticket.tally.waiting -= 1
        ticket.tally.waiting_seats -= ticket.seats

    def _settle(self, queue: Queue) -> None:
        """Put a queue that has changed where it belongs now."""
        if queue.waiting:
            oldest = queue.oldest
            # In the fair world nothing is dispatched before it comes: a queue saves nothing up.
            queue.next_r = max(queue.next_r, oldest.arrived_r)
            self._serial += 1
            queue.entry = self._serial
            if len(self._heap) > STALE_MAX + 2 * self._busy:
                self._heap = [e for e in self._heap if e[3].entry == e[2]]
                heapq.heapify(self._heap)
            entry = (queue.next_r + oldest.work, queue.served, queue.entry, queue)
            heapq.heappush(self._heap, entry)
            return
        queue.entry = 0
        surplus = self.queuing is None or queue.index >= self.queuing.queues
        unused = not queue.executing and not queue.seats
        if unused and (surplus or len(self.queues) > IDLE_QUEUES_MAX):
            self.queues.pop(queue.index, None)

    # -- seats -------------------------------------------------------------------------------------

    def _fits(self, seats: int) -> bool:
        if self._exempt or self.seats_in_use + seats <= self.limit:
            return True
        # What is wider than the level executes alone.
        return seats > self.limit and not self.executing and not self.seats_in_use

    def _dispatch(self, now: float) -> None:
        """As many as there are seats for, in the order of fairness."""
        heap = self._heap
        while self.waiting:
            while heap[0][3].entry != heap[0][2]:
                heapq.heappop(heap)
            queue = heap[0][3]
            ticket = queue.oldest
            if not self._fits(ticket.seats):
                ticket.tally.no_accommodation += 1
                return
            heapq.heappop(heap)
            self._unqueue(ticket)
            self._execute(ticket, queue, now)
            ticket.tally.wait_executed.observe(now - ticket.arrived)
            self._settle(queue)
            self._decide(ticket)
            heap = self._heap

    def _execute(self, ticket: Ticket, queue: Queue | None, now: float) -> None:
        ticket.state = State.EXECUTING
        ticket.started = now
        if queue is not None and ticket.final > self.limit > 0:
            # The same work in the end, on fewer seats for longer.
            ticket.linger *= ticket.final / self.limit
            ticket.final = self.limit
            ticket.seats = max(ticket.estimate.initial, ticket.final)
        seats = ticket.seats
        self.executing[ticket] = None
        self.seats_in_use += seats
        self.dispatched += 1
        tally = ticket.tally
        tally.dispatched += 1
        tally.executing += 1
        tally.executing_seats += seats
        if queue is not None:
            if not (queue.executing or queue.waiting):
                self._busy += 1
            self._serial += 1
            queue.served = self._serial
            queue.executing += 1
            queue.seats += seats
            self._queue_seats += seats
            self.dispatch_r, self.latest_s = self.r, queue.next_r
            queue.next_r += ticket.work
        self._note(now)

    def _release(self, ticket: Ticket) -> None:
        seats = ticket.seats
        self.seats_in_use -= seats
        ticket.tally.executing_seats -= seats
        if ticket.queue is not None:
            ticket.queue.seats -= seats
            self._queue_seats -= seats

    def _refuse(self, ticket: Ticket, reason: str) -> None:
        ticket.state = State.DONE
        self.refused += 1
        ticket.tally.refuse(reason)
        ticket.tally.wait_refused.observe(max(0.0, self._r_at - ticket.arrived))

    def _note(self, now: float) -> None:
        seats = self.seats_in_use
        state = (self.waiting, len(self.executing), seats, seats + self.seats_waiting)
        self._changed(now, state)

    @staticmethod
    def _decide(ticket: Ticket) -> None:
        decided, ticket.decided = ticket.decided, None
        if decided is not None:
            decided()

    # -- looking in --------------------------------------------------------------------------------

    def waiting_queues(self) -> Iterator[Queue]:
        """For metrics and dumps; by index."""
        for index in sorted(self.queues):
            if self.queues[index].waiting:
                yield self.queues[index]
