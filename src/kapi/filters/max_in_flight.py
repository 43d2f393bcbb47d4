"""So many reading and so many writing requests at a time; one more is told to come again.

Long-running requests take no slot; who is in system:masters gets through when all are taken. A
slot is held to the last byte of the answer. Fair queues by flow schema take this one's place
later."""

from __future__ import annotations

from kapi.filters.long_running import is_long_running
from kapi.messages import Handler, Request, Response
from kapi.metrics import Cell, Metrics

MASTERS = "system:masters"
RETRY_AFTER_SECONDS = "1"
_READING = frozenset(("get", "list", "watch"))


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
            gauge = metrics.longrunning.cell(*metrics.request_labels(request, 403))
            gauge.value += 1
            request.exit.append(lambda: _lower(gauge))
            return await handler(request)
        slots = reads if info.verb in _READING else writes
        if slots.take():
            request.exit.append(slots.give_back)
        elif request.user is None or MASTERS not in request.user.groups:
            metrics.terminated(request, 429)
            return _refusal()
        return await handler(request)

    return filtered


def _lower(gauge: Cell) -> None:
    gauge.value -= 1


def _refusal() -> Response:
    headers = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("X-Content-Type-Options", "nosniff"),
        ("Retry-After", RETRY_AFTER_SECONDS),
    ]
    return Response(429, headers, b"Too many requests, please try again later.\n")
