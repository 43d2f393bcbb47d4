"""One priority level while it is in force, and one flow schema that sends requests to it.

Made by `levels.py`; plain state, but for the alarm of those that wait."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from kapi.flowcontrol.occupancy import Occupancy
from kapi.flowcontrol.queue_set import QueueSet
from kapi.flowcontrol.retry_after import Refusals
from kapi.flowcontrol.shares import Claim, DemandMemory, LevelSpec, Limits
from kapi.flowcontrol.shuffling import deal, flow_hash
from kapi.flowcontrol.tallies import Tally
from kapi.messages import Request

# Hands that are remembered of one flow schema; at the bound all are forgotten.
HANDS_MAX = 10_000
NAME_CHARS_MAX = 512  # of a flow that is remembered: strangers name namespaces as they like
# An alarm is not set for less than this: clocks differ by as much.
SOONEST_S = 0.001
BY_USER, BY_NAMESPACE = "ByUser", "ByNamespace"
SCHEMA_HEADER = "X-Kubernetes-Pf-Flowschema-Uid"
LEVEL_HEADER = "X-Kubernetes-Pf-Prioritylevel-Uid"


class Handle(Protocol):
    def cancel(self) -> None: ...


# Call something after so many seconds; `loop.call_later`.
Later = Callable[[float, Callable[[], None]], Handle]


class Level:
    def __init__(self, name: str, spec: LevelSpec, occupancy: Occupancy) -> None:
        self.name = name
        self.uid = ""
        self.spec = spec
        self.occupancy = occupancy
        self.queues = QueueSet(occupancy, exempt=spec.exempt)
        self.limits = Limits(0, 0, 0)
        self.current: int | None = None  # seats now; None: not said yet
        self.widest = 0  # seats of one request; 0: no bound of its own
        self.demand = DemandMemory()
        self.claim = Claim(0, 0, 0)
        self.refusals = Refusals()
        self.quiescing = False  # no schema may name it; it goes when it is idle
        self._alarm: Handle | None = None
        self._alarm_at = 0.0

    def watch(self, now: float, later: Later, clock: Callable[[], float]) -> None:
        """See to it that those that wait are looked after in time. One timer, only while some
        wait."""
        due = self.queues.due()
        if self._alarm is not None:
            if due is not None and due >= self._alarm_at:
                return  # it rings early enough
            self._alarm.cancel()
            self._alarm = None
        if due is None:
            return

        def ring() -> None:
            self._alarm = None
            at = clock()
            self.queues.advance(at)
            self.watch(at, later, clock)

        self._alarm_at = due
        self._alarm = later(max(due - now, SOONEST_S), ring)

    def close(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None


class Flow:
    """A flow schema and its level."""

    __slots__ = ("_hands", "_method", "headers", "level", "schema", "schema_uid", "tally")

    def __init__(self, schema: str, uid: str, method: str, level: Level, tally: Tally) -> None:
        self.schema = schema
        self.schema_uid = uid
        self.level = level
        self.tally = tally
        self.headers = [(SCHEMA_HEADER, uid), (LEVEL_HEADER, level.uid)]
        self._method = method
        self._hands: dict[str, tuple[int, ...]] = {}

    def distinguisher(self, request: Request) -> str:
        """What tells flows apart, where there are queues to keep them apart."""
        queuing = self.level.spec.queuing
        if queuing is None or queuing.queues <= 1 or request.user is None:
            return ""
        if self._method == BY_USER:
            return request.user.name
        return request.info.namespace if self._method == BY_NAMESPACE else ""

    def hand(self, distinguisher: str) -> tuple[int, ...]:
        """The queues that requests of a flow may join."""
        found = self._hands.get(distinguisher)
        if found is None:
            queuing = self.level.spec.queuing
            if queuing is None:
                return ()
            number = flow_hash(self.schema, distinguisher) if queuing.queues > 1 else 0
            found = deal(number, queuing.queues, queuing.hand)
            if len(distinguisher) <= NAME_CHARS_MAX:
                if len(self._hands) >= HANDS_MAX:
                    self._hands.clear()
                self._hands[distinguisher] = found
        return found
