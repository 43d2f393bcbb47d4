"""So many reading and so many writing requests at a time; one more is told to come again.

In the place of `flow_control.py` with `--enable-priority-and-fairness=false`. Long-running requests
take no slot; who is in system:masters gets through when all are taken. A slot is held to the last
byte of the answer."""

from __future__ import annotations

from kapi.filters.long_running import count_open, is_long_running
from kapi.messages import Handler, Request, Response
from kapi.metrics import Cell, Metrics

MASTERS = "system:masters"
RETRY_AFTER_SECONDS = 1
READING = frozenset(("get", "list", "watch"))


class Slots:
    """The slots of one kind of request; 0 means any number."""

    __slots__ = ("_gauge", "limit", "taken")

    def __init__(self, limit: int, gauge: Cell) -> None:
        self.limit = limit
        self.taken = 0
        self._gauge = gauge

    def take(self) -> bool:
        if self.limit and self.taken >= self.limit:
            return False
        self.taken += 1
        self._gauge.value = self.taken
        return True

    def give_back(self) -> None:
        self.taken -= 1
        self._gauge.value = self.taken


def with_max_in_flight(
    handler: Handler, *, reading: int, mutating: int, metrics: Metrics
) -> Handler:
    """`reading` and `mutating`: how many at a time; 0 for no bound."""
    reads = Slots(reading, metrics.inflight.cell("readOnly"))
    writes = Slots(mutating, metrics.inflight.cell("mutating"))

    async def filtered(request: Request) -> Response:
        info = request.info
        if is_long_running(info):
            count_open(request, metrics)
            return await handler(request)
        slots = reads if info.verb in READING else writes
        if slots.take():
            request.exit.append(slots.give_back)
        elif request.user is None or MASTERS not in request.user.groups:
            metrics.terminated(request, 429)
            return refusal(RETRY_AFTER_SECONDS)
        return await handler(request)

    return filtered


def refusal(retry_after: int) -> Response:
    """429; `retry_after` in seconds."""
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        ("Retry-After", str(retry_after)),
    ]
    return Response(429, headers, b"Too many requests, please try again later.\n")
