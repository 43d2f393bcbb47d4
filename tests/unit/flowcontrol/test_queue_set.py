"""Fair queues: who executes, who waits, who is refused; nothing leaks, nobody starves."""

from __future__ import annotations

import pytest
from flow_harness import FOREVER, Simulation, check, queue_set, state, ticket
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from kapi.flowcontrol.queue_set import QueueSet
from kapi.flowcontrol.shares import Queuing
from kapi.flowcontrol.tallies import TIME_OUT, Tally
from kapi.flowcontrol.ticket import Estimate, State, Ticket

ONE_QUEUE = Queuing(1, 1, 10)
SETTINGS = settings(max_examples=60, deadline=None, derandomize=True)


def started(queues: QueueSet, at: Ticket, *hand: int, now: float = 0.0) -> Ticket:
    assert queues.start(at, hand or (0,), FOREVER, now)
    return at


def test_without_queues_what_does_not_fit_is_refused() -> None:
    queues = queue_set(2)
    first = started(queues, ticket())
    started(queues, ticket())
    tally = Tally("s", "l")
    assert not queues.start(ticket(tally=tally), (), FOREVER, 0.0)
    assert tally.refused == {"concurrency-limit": 1}
    queues.finish(first, 1.0)
    assert started(queues, ticket(1.0), now=1.0).state is State.EXECUTING


def test_exempt_requests_are_never_held_up() -> None:
    queues = queue_set(0, exempt=True)
    for _ in range(100):
        assert started(queues, ticket()).state is State.EXECUTING
    assert queues.seats_in_use == 100


def test_those_that_wait_are_served_in_turn() -> None:
    queues = queue_set(1, ONE_QUEUE)
    running = started(queues, ticket())
    order: list[int] = []
    waiting = [ticket() for _ in range(3)]
    for n, each in enumerate(waiting):
        each.decided = lambda n=n: order.append(n)
        assert started(queues, each).state is State.WAITING
    for each in (running, *waiting):
        queues.finish(each, 1.0)
        queues.finish(each, 1.0)  # a second time does nothing
    assert order == [0, 1, 2]
    assert queues.idle
    check(queues, [])


def test_a_full_queue_refuses_only_while_no_seat_is_free() -> None:
    queues = queue_set(1, Queuing(1, 1, 2))
    started(queues, ticket())
    for _ in range(2):
        started(queues, ticket())
    tally = Tally("s", "l")
    assert not queues.start(ticket(tally=tally), (0,), FOREVER, 0.0)
    assert tally.refused == {"queue-full": 1}
    assert queues.refused == 1


def test_the_shortest_queue_of_a_hand_is_joined() -> None:
    queues = queue_set(1, Queuing(4, 3, 10))
    started(queues, ticket(), 0, 1, 2)
    for _ in range(9):
        started(queues, ticket(), 0, 1, 2)
    lengths = sorted(len(queue.waiting) for queue in queues.waiting_queues())
    assert lengths == [3, 3, 3]


def test_waiting_too_long_and_going_away() -> None:
    queues = queue_set(1, ONE_QUEUE)
    running = started(queues, ticket())
    tally = Tally("s", "l")
    late, gone = ticket(tally=tally), ticket(tally=tally)
    told: list[str] = []
    late.decided, gone.decided = lambda: told.append("late"), lambda: told.append("gone")
    assert queues.start(late, (0,), 5.0, 0.0)
    started(queues, gone)
    assert queues.due() == 5.0
    queues.advance(4.9)
    assert told == []
    queues.leave(gone, 4.95)
    queues.advance(5.0)
    assert told == ["gone", "late"]
    assert state(late) is state(gone) is State.DONE
    assert tally.refused == {"cancelled": 1, TIME_OUT: 1}
    assert (queues.timed_out, queues.cancelled) == (1, 1)
    assert queues.due() is None
    queues.finish(running, 6.0)
    assert queues.idle


def test_whose_time_is_over_does_not_begin_to_wait() -> None:
    queues = queue_set(1, ONE_QUEUE)
    started(queues, ticket())
    assert not queues.start(ticket(2.0), (0,), 1.0, 2.0)
    assert queues.waiting == 0


def test_a_wide_request_waits_for_its_seats_and_nobody_passes_it() -> None:
    queues = queue_set(4, Queuing(2, 1, 10))
    running = [started(queues, ticket(), 0) for _ in range(3)]
    wide = started(queues, ticket(estimate=Estimate(3)), 1)
    narrow = started(queues, ticket(), 0)
    assert wide.state is narrow.state is State.WAITING
    assert wide.tally.no_accommodation > 0
    queues.finish(running[0], 1.0)
    assert state(wide) is State.WAITING
    queues.finish(running[1], 1.0)
    assert state(wide) is State.EXECUTING
    assert queues.seats_in_use == 4


def test_when_a_wide_request_leaves_those_behind_it_go_on() -> None:
    queues = queue_set(4, Queuing(2, 1, 10))
    for _ in range(3):
        started(queues, ticket(), 0)
    wide = started(queues, ticket(estimate=Estimate(3)), 1)
    narrow = started(queues, ticket(), 1)
    assert narrow.state is State.WAITING
    queues.leave(wide, 1.0)
    assert state(narrow) is State.EXECUTING


def test_a_queue_saves_nothing_up() -> None:
    """What it did not use while it was busy it has lost: what comes now is due now."""
    queues = queue_set(1, ONE_QUEUE)
    started(queues, ticket())
    late = started(queues, ticket(10.0), now=10.0)
    assert late.queue is not None
    assert late.queue.next_r == queues.r == 10 * 10**8


def test_wider_than_the_level_is_executed_alone() -> None:
    queues = queue_set(2, ONE_QUEUE)
    first = started(queues, ticket())
    wide = started(queues, ticket(estimate=Estimate(9)))
    assert state(wide) is State.WAITING
    queues.finish(first, 1.0)
    assert state(wide) is State.EXECUTING
    assert started(queues, ticket(1.0), now=1.0).state is State.WAITING


def test_seats_linger_for_the_watchers() -> None:
    queues = queue_set(3, ONE_QUEUE)
    change = started(queues, ticket(estimate=Estimate(1, 3, 0.5)))
    queues.finish(change, 1.0)
    assert queues.seats_in_use == 3
    waiting = ticket(1.0)
    assert started(queues, waiting, now=1.0).state is State.WAITING
    assert queues.due() == 1.5
    queues.advance(1.5)
    assert state(waiting) is State.EXECUTING
    assert queues.seats_in_use == 1


def test_seats_that_linger_are_freed_by_whoever_comes_next() -> None:
    queues = queue_set(3, ONE_QUEUE)
    queues.finish(started(queues, ticket(estimate=Estimate(1, 3, 0.5))), 1.0)
    assert queues.due() is None  # nobody waits, so nobody need look
    assert started(queues, ticket(2.0), now=2.0).state is State.EXECUTING
    assert queues.seats_in_use == 1


def test_more_final_seats_than_there_are_linger_longer() -> None:
    queues = queue_set(2, ONE_QUEUE)
    change = started(queues, ticket(estimate=Estimate(1, 8, 0.5)))
    assert (change.final, change.seats, change.linger) == (2, 2, 2.0)


def test_a_higher_limit_lets_those_in_that_wait() -> None:
    queues = queue_set(1, ONE_QUEUE)
    tickets = [started(queues, ticket()) for _ in range(4)]
    queues.configure(3, ONE_QUEUE, 3, 1.0)
    assert [t.state for t in tickets] == [State.EXECUTING] * 3 + [State.WAITING]
    queues.configure(1, ONE_QUEUE, 1, 2.0)  # those that execute go on
    queues.finish(tickets[0], 3.0)
    queues.finish(tickets[1], 3.0)
    assert state(tickets[3]) is State.WAITING
    queues.finish(tickets[2], 3.0)
    assert state(tickets[3]) is State.EXECUTING


def test_queues_that_are_gone_are_emptied_in_turn() -> None:
    queues = queue_set(1, Queuing(8, 1, 10))
    running = started(queues, ticket(), 7)
    waiting = [started(queues, ticket(), n) for n in (5, 6, 7)]
    queues.configure(1, None, 1, 1.0)
    assert not queues.start(ticket(1.0), (), FOREVER, 1.0)
    for each in (running, *waiting):
        queues.finish(each, 2.0)
    assert queues.idle
    assert queues.queues == {}


def test_fair_time_passes_as_seats_are_given_to_busy_queues() -> None:
    queues = queue_set(4, Queuing(2, 1, 50))
    for _ in range(8):
        started(queues, ticket(), 0)
    queues.advance(1.0)
    assert queues.r == 4 * 10**8  # one busy queue: all four seats for a second
    started(queues, ticket(1.0), 1, now=1.0)
    queues.advance(2.0)
    assert queues.r == 6 * 10**8


# -- fairness -------------------------------------------------------------------------------------


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    floods=st.integers(1, 6),
    seats=st.integers(1, 8),
    longest=st.floats(0.001, 0.1),
    seed=st.randoms(use_true_random=False),
)
def test_a_flood_does_not_starve_another_flow(
    floods: int, seats: int, longest: float, seed: object
) -> None:
    """A polite flow waits no longer than about a turn of each flood; in one common queue it would
    wait for hundreds of requests."""
    assert hasattr(seed, "random")
    random = seed.random
    world = Simulation(queue_set(seats, Queuing(16, 1, 10_000)))
    for flood in range(floods):
        for _ in range(120):
            world.arrive(random() * 0.01, f"flood-{flood}", (flood,), longest * random())
    for _ in range(30):
        at = random() * longest * 60 * floods / seats
        world.arrive(at, "polite", (9,), longest * random() * 0.2)
    world.run()
    assert max(world.waits["polite"]) <= (floods + 2) * longest
    assert world.most_seats <= seats
    assert world.queues.idle


def test_without_queues_of_its_own_it_would_starve() -> None:
    """What the test above would see if it could not fail."""
    world = Simulation(queue_set(1, Queuing(1, 1, 10_000)))
    for _ in range(120):
        world.arrive(0.0, "flood", (0,), 0.01)
    world.arrive(0.005, "polite", (0,), 0.01)
    world.run()
    assert world.waits["polite"][0] > 1.0


def test_two_floods_get_the_same() -> None:
    world = Simulation(queue_set(2, Queuing(2, 1, 10_000)))
    for n in range(400):
        world.arrive(0.0, "narrow", (0,), 0.01)
        if n % 4 == 0:
            world.arrive(0.0, "wide", (1,), 0.01, seats=2)
    world.run()
    # After half the time both have had as many seats: 100 wide requests are 200 seats.
    assert sorted(world.waits["wide"])[49] == pytest.approx(
        sorted(world.waits["narrow"])[99], rel=0.1
    )


# -- all orders of events -------------------------------------------------------------------------


class Levels(RuleBasedStateMachine):
    """Requests come, finish, leave and wait too long in any order; limits and queues change."""

    @initialize(limit=st.integers(0, 6), queues=st.integers(0, 4))
    def begin(self, limit: int, queues: int) -> None:
        self.now = 0.0
        self.held: list[Ticket] = []
        self.limit = limit
        self.widest = 0
        self.lowered = False
        self.count = queues
        self.queues = queue_set(limit, self.queuing())

    def queuing(self) -> Queuing | None:
        return Queuing(self.count, 1, 3) if self.count else None

    @rule(seats=st.integers(1, 4), final=st.integers(0, 8), at=st.integers(0, 9))
    def come(self, seats: int, final: int, at: int) -> None:
        estimate = Estimate(seats, final, 0.3 if final else 0.0)
        made = ticket(self.now, estimate)
        hand = (at % self.count,) if self.count else ()
        if self.queues.start(made, hand, self.now + 2.0, self.now):
            self.held.append(made)
        else:
            assert state(made) is State.DONE

    @precondition(lambda self: self.held)
    @rule(at=st.integers(0, 50))
    def give_back(self, at: int) -> None:
        made = self.held.pop(at % len(self.held))
        if made.state is State.WAITING:
            self.queues.leave(made, self.now)
        else:
            self.queues.finish(made, self.now)
        assert state(made) is State.DONE

    @rule(tenths=st.integers(1, 15))
    def pass_time(self, tenths: int) -> None:
        self.now += tenths / 10
        self.queues.advance(self.now)
        self.held = [t for t in self.held if t.state is not State.DONE]

    @rule(limit=st.integers(0, 6), queues=st.integers(0, 4))
    def change(self, limit: int, queues: int) -> None:
        self.lowered = self.lowered or limit < self.limit
        self.limit, self.count = limit, queues
        self.queues.configure(limit, self.queuing(), max(limit, 1), self.now)

    @invariant()
    def holds(self) -> None:
        if not hasattr(self, "queues"):
            return
        queues = self.queues
        check(queues, self.held)
        if queues.seats_in_use <= self.limit:
            self.lowered = False
        alone = len(queues.executing) <= 1
        assert queues.seats_in_use <= self.limit or self.lowered or alone
        if queues.waiting and not queues.seats_in_use:
            raise AssertionError("somebody waits for nothing")
        assert not queues.waiting or queues.due() is not None

    def teardown(self) -> None:
        if not hasattr(self, "queues"):
            return
        while self.held:
            self.give_back(0)
        self.queues.advance(self.now + 100)
        assert self.queues.idle
        assert (self.queues.seats_in_use, self.queues.seats_waiting, self.queues.waiting) == (
            0,
            0,
            0,
        )
        assert all(not q.waiting and not q.seats for q in self.queues.queues.values())


TestLevels = Levels.TestCase
TestLevels.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, derandomize=True
)
