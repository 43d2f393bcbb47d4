"""`FlowControl`: API Priority and Fairness of one server.

It keeps the priority levels and flow schemas as the objects in the cache say, sorts each request,
estimates its work, and has the level's fair queues decide. Every ten seconds levels lend each other
seats by what they wanted. `filters/flow_control.py` asks it for every request.

The objects `exempt` and `catch-all` are in force whether they are stored or not. A level whose
object is gone takes no new requests and goes when those it has are done.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from kapi import log
from kapi.clock import Clock
from kapi.flowcontrol import shares
from kapi.flowcontrol.flow_schema import Classifier
from kapi.flowcontrol.level import Flow, Later, Level
from kapi.flowcontrol.occupancy import Occupancy
from kapi.flowcontrol.shares import LevelSpec
from kapi.flowcontrol.tallies import Tally
from kapi.flowcontrol.ticket import ONE_SEAT, Estimate, State, Ticket
from kapi.flowcontrol.work import CHANGES, SizeOf, WatchCounts, change_estimate, list_estimate
from kapi.messages import Request
from kapi.metric_specs import DEMAND_BUCKETS, REQUESTS_BUCKETS, SEATS_IN_USE_BUCKETS
from kapi.metrics import HistogramCell

Json = dict[str, Any]

# How often levels lend each other seats.
ADJUSTMENT_S = 10.0
# A request may wait for a quarter of its time, and never longer than this.
WAIT_SHARE = 0.25
WAIT_MAX_S = 60.0
# Pairs of schema and level that are counted apart, ever; further ones together. Also levels that
# are charted.
TALLIES_MAX = 10_000
CATCH_ALL = "catch-all"
T = TypeVar("T", bound=Ticket)

_log = log.get("flow-control")


class Lister(Protocol):
    """The objects of one resource, in the watch cache."""

    @property
    def changed(self) -> int: ...

    def list(self, namespace: str = "") -> Sequence[Json]: ...


class Charts:
    """The histograms over time of one level."""

    def __init__(self) -> None:
        self.waiting = HistogramCell(REQUESTS_BUCKETS)
        self.executing = HistogramCell(REQUESTS_BUCKETS)
        self.seats = HistogramCell(SEATS_IN_USE_BUCKETS)
        self.demand = HistogramCell(DEMAND_BUCKETS)


class FlowControl:
    def __init__(
        self,
        clock: Clock,
        schemas: Lister,
        levels: Lister,
        mandatory: Mapping[str, Sequence[Json]],
        seats: int,
        request_timeout: float,
        size_of: SizeOf,
        later: Later,
    ) -> None:
        """`mandatory`: flowschemas and prioritylevelconfigurations that are always in force;
        `seats`: of the whole server; `request_timeout`: of requests that have no deadline."""
        self.clock = clock
        self.seats = seats
        self._schemas = schemas
        self._objects = levels
        self._mandatory = mandatory
        self._size_of = size_of
        self._later = later
        self._default_wait = min(request_timeout * WAIT_SHARE, WAIT_MAX_S)
        self.levels: dict[str, Level] = {}
        self.charts: dict[str, Charts] = {}  # by level; those of levels that are gone stay
        self.tallies: dict[tuple[str, str], Tally] = {}
        self.watches = WatchCounts()
        self.fair_fraction = 0.0
        self.nominal_sum = 0
        self.waiting_room = 0  # requests that may wait, at all levels
        self._seen = (-1, -1)
        self._classifier: Classifier[Flow]
        self._reload(clock.monotonic())

    # -- requests ----------------------------------------------------------------------------------

    def flow(self, request: Request) -> Flow:
        """What a request belongs to. Its user must be known."""
        if (self._schemas.changed, self._objects.changed) != self._seen:
            self._reload(self.clock.monotonic())
        assert request.user is not None, "who asks is found out first"
        return self._classifier.flow(request.user, request.info)

    def start(self, flow: Flow, request: Request, now: float, make: type[T]) -> T | None:
        """A ticket that executes or waits; None: refused. Give it back with `finish`."""
        level = flow.level
        tally, queues = flow.tally, level.queues
        if request.info.verb == "get":
            estimate = ONE_SEAT
            tally.one_seat += 1
        else:
            estimate = self._estimate(flow, request)
        if level.spec.queuing is None:
            ticket = make(tally, "", estimate, request, now)
            taken = queues.start(ticket, (), 0.0, now)
        else:
            distinguisher = flow.distinguisher(request)
            ticket = make(tally, distinguisher, estimate, request, now)
            deadline = self._may_wait_until(request)
            taken = queues.start(ticket, flow.hand(distinguisher), deadline, now)
        if queues.waiting:
            level.watch(now, self._later, self.clock.monotonic)
        return ticket if taken else None

    def finish(self, flow: Flow, ticket: Ticket, now: float) -> None:
        """Idempotent: the request is done, or waits no more."""
        if ticket.state is State.DONE:
            return
        queues = flow.level.queues
        if ticket.state is State.WAITING:
            queues.leave(ticket, now)
        else:
            queues.finish(ticket, now)
        if queues.waiting:
            flow.level.watch(now, self._later, self.clock.monotonic)

    def refused(self, flow: Flow) -> int:
        """After how many seconds a client that was just refused should come again."""
        return flow.level.refusals.add(int(self.clock.now()))

    def _estimate(self, flow: Flow, request: Request) -> Estimate:
        estimate = self._work(flow, request)
        if estimate is ONE_SEAT:
            flow.tally.one_seat += 1
        else:
            flow.tally.seats.observe(estimate.seats)
        return estimate

    def _work(self, flow: Flow, request: Request) -> Estimate:
        info = request.info
        verb = info.verb
        if not info.is_resource:
            return ONE_SEAT
        if verb in ("list", "watch"):
            return list_estimate(info, request.query, self._size_of, flow.level.widest)
        if verb in CHANGES:
            count = self.watches.interested(info)
            flow.tally.watch_count.observe(count)
            return change_estimate(count, flow.level.widest) if count else ONE_SEAT
        return ONE_SEAT

    def _may_wait_until(self, request: Request) -> float:
        wait = self._default_wait
        if request.deadline is not None:
            wait = min((request.deadline - request.received_at) * WAIT_SHARE, WAIT_MAX_S)
        return request.received_at + wait

    # -- configuration -----------------------------------------------------------------------------

    def refresh(self) -> None:
        """Take over what has changed, though no request comes; forget levels that are done."""
        now = self.clock.monotonic()
        done = False
        for level in self.levels.values():
            level.queues.advance(now)
            done = done or (level.quiescing and level.queues.idle)
        if done or (self._schemas.changed, self._objects.changed) != self._seen:
            self._reload(now)

    def _reload(self, now: float) -> None:
        self._seen = (self._schemas.changed, self._objects.changed)
        wanted: dict[str, tuple[str, LevelSpec]] = {}
        for obj in (*self._mandatory["prioritylevelconfigurations"], *self._objects.list()):
            metadata = obj["metadata"]
            spec = shares.read_spec(metadata["name"], obj["spec"])
            if spec is not None:
                wanted[metadata["name"]] = (metadata.get("uid", ""), spec)
        self._retire(wanted, now)
        for name, (uid, spec) in wanted.items():
            level = self.levels.get(name)
            if level is None:
                level = self.levels[name] = self._new_level(name, spec, now)
            level.uid, level.spec, level.quiescing = uid, spec, False
        self._share_out()
        self.borrow(now)
        self._classifier = self._sorted()

    def _retire(self, wanted: Mapping[str, object], now: float) -> None:
        """Levels that are not wanted any more."""
        for name, level in tuple(self.levels.items()):
            if name in wanted:
                continue
            level.queues.advance(now)
            if level.queues.idle:
                level.close()
                del self.levels[name]
            else:
                level.quiescing = True

    def _new_level(self, name: str, spec: LevelSpec, now: float) -> Level:
        c = self.charts.get(name) or Charts()
        if len(self.charts) < TALLIES_MAX:
            self.charts[name] = c
        return Level(name, spec, Occupancy(now, (c.waiting, c.executing, c.seats, c.demand)))

    def _share_out(self) -> None:
        """The server's seats, by shares."""
        every = self.levels.values()
        total = sum(level.spec.shares for level in every)
        for level in every:
            level.limits = shares.limits(level.spec, self.seats, total)
            level.widest = shares.widest(level.limits.nominal, level.spec.queuing)
            if level.current is None:
                level.current = level.limits.initial
        self.nominal_sum = sum(level.limits.nominal for level in every)
        queuings = [level.spec.queuing for level in every]
        self.waiting_room = sum(q.queues * q.length for q in queuings if q is not None)

    def borrow(self, now: float) -> None:
        """Give each level the seats that it wanted lately, as far as others have them to lend."""
        levels = list(self.levels.values())
        for level in levels:
            level.demand.update(level.occupancy.take_demand(now))
            level.claim = shares.claim(level.limits, level.demand)
        try:
            given, self.fair_fraction = shares.allocate(
                self.nominal_sum, [level.claim for level in levels]
            )
        except ValueError as error:
            _log.warning("seats stay as they are", error=str(error))
            given = [float(level.current or 0) for level in levels]
        for level, seats in zip(levels, given, strict=True):
            level.current = shares.nearest(seats)
            fractions_of = level.current or max(1, shares.nearest(self.seats / 10))
            level.queues.configure(level.current, level.spec.queuing, fractions_of, now)
            level.watch(now, self._later, self.clock.monotonic)

    def _sorted(self) -> Classifier[Flow]:
        objects = {o["metadata"]["name"]: o for o in self._mandatory["flowschemas"]}
        objects |= {o["metadata"]["name"]: o for o in self._schemas.list()}
        flows: list[tuple[Json, Flow]] = []
        for obj in objects.values():
            level = self.levels.get(obj["spec"]["priorityLevelConfiguration"]["name"])
            if level is None or level.quiescing:
                continue  # a dangling schema takes no requests
            metadata = obj["metadata"]
            name = metadata["name"]
            method = (obj["spec"].get("distinguisherMethod") or {}).get("type", "")
            tally = self._tally(name, level.name)
            flows.append((obj, Flow(name, metadata.get("uid", ""), method, level, tally)))
        otherwise = next(flow for _, flow in flows if flow.schema == CATCH_ALL)
        return Classifier(flows, otherwise)

    def _tally(self, schema: str, level: str) -> Tally:
        key = (schema, level)
        if key not in self.tallies and len(self.tallies) >= TALLIES_MAX:
            key = ("", "")
        return self.tallies.setdefault(key, Tally(*key))

    # -- life --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Adjust seats for ever."""
        try:
            while True:
                await self.clock.sleep(ADJUSTMENT_S)
                self.refresh()
                self.borrow(self.clock.monotonic())
        finally:
            for level in self.levels.values():
                level.close()
