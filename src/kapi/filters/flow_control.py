"""API Priority and Fairness: a request executes, waits in a fair queue, or is told to come again.

A seat is held to the last byte of the answer, by a watch until it has sent what was there at its
start. Whatever happens to a request (an error, a deadline, a client that goes), its seat or its
place in the queue is given back through `request.exit`. Long-running requests that are no watches
pass by. What requests and levels are is in `flowcontrol/levels.py`."""

from __future__ import annotations

import asyncio

from kapi.filters.long_running import count_open, is_long_running
from kapi.filters.max_in_flight import READING, refusal
from kapi.flowcontrol.level import Flow
from kapi.flowcontrol.levels import FlowControl
from kapi.flowcontrol.occupancy import Occupancy
from kapi.flowcontrol.ticket import State, Ticket
from kapi.messages import Handler, Request, Response
from kapi.metric_specs import READS_WRITES_BUCKETS
from kapi.metrics import HistogramCell, Metrics

READ, WRITE = "readOnly", "mutating"
WAITING, EXECUTING = "waiting", "executing"


def with_flow_control(handler: Handler, control: FlowControl, metrics: Metrics) -> Handler:
    traffic = _Traffic(control, metrics)
    monotonic = control.clock.monotonic

    async def filtered(request: Request) -> Response:
        info = request.info
        watch = info.verb == "watch"
        if is_long_running(info):
            count_open(request, metrics)
            if not watch:
                return await handler(request)
        if request.user is None:
            return await handler(request)
        flow = control.flow(request)
        request.reply_headers.extend(flow.headers)
        now = monotonic()
        seat = control.start(flow, request, now, _Seat)
        if seat is not None:
            seat.flow, seat.traffic, seat.writes = flow, traffic, info.verb not in READING
            request.exit.append(seat.give_back)
            if seat.state is State.EXECUTING:
                seat.counted = True
                traffic.executes(seat.writes, 1, now)
            elif not await seat.wait():
                seat = None
        if seat is None:
            metrics.terminated(request, 429)
            return refusal(control.refused(flow))
        if not watch:
            return await handler(request)
        seat.watching = True
        request.exit.append(control.watches.open(info))
        request.begun = seat.give_back
        response = await handler(request)
        if request.begun is not None:  # nobody says when it has begun: another server's watch
            seat.give_back()
        return response

    return filtered


class _Seat(Ticket):
    """What one request holds. `counted`: it is among those that execute, in metrics."""

    __slots__ = ("counted", "flow", "traffic", "writes")
    flow: Flow
    traffic: _Traffic
    writes: bool
    counted: bool

    def give_back(self) -> None:
        """Idempotent. Whoever still waits leaves the queue."""
        traffic = self.traffic
        now = traffic.monotonic()
        traffic.control.finish(self.flow, self, now)
        if self.counted:
            self.counted = False
            traffic.executes(self.writes, -1, now)

    async def wait(self) -> bool:
        """Whether its turn came."""
        traffic, request = self.traffic, self.request
        self.counted = False
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def decided() -> None:
            if not turn.done():
                turn.set_result(None)

        self.decided = decided
        if request.when_gone is not None:
            request.when_gone(self.give_back)
        traffic.waits(self.writes, 1, traffic.monotonic())
        try:
            await turn
        except asyncio.CancelledError:
            self.give_back()
            raise
        finally:
            traffic.waits(self.writes, -1, traffic.monotonic())
            if request.when_gone is not None:
                request.when_gone(None)
        if self.state is not State.EXECUTING:
            return False
        self.counted = True
        traffic.executes(self.writes, 1, traffic.monotonic())
        return True


class _Traffic:
    """Reads and writes of all levels together, for metrics."""

    def __init__(self, control: FlowControl, metrics: Metrics) -> None:
        self.control = control
        self.monotonic = control.clock.monotonic
        self._waiting = [0, 0]
        self._executing = [0, 0]
        self._charts = [HistogramCell(READS_WRITES_BUCKETS) for _ in range(4)]
        self._occupancy = Occupancy(control.clock.monotonic(), self._charts)
        self._change = self._occupancy.change
        self._metrics = metrics
        self._inqueue = metrics.metric("apiserver_current_inqueue_requests")
        metrics.on_render(self._fill)
        self._limits: tuple[int, int] | None = None

    def executes(self, writes: bool, change: int, now: float) -> None:
        executing, waiting = self._executing, self._waiting
        executing[writes] += change
        self._change(now, (waiting[0], waiting[1], executing[0], executing[1]))

    def waits(self, writes: bool, change: int, now: float) -> None:
        self._waiting[writes] += change
        self.executes(writes, 0, now)

    def _fill(self) -> None:
        control, now = self.control, self.control.clock.monotonic()
        limits = (control.waiting_room, control.nominal_sum)
        if limits != self._limits:
            self._limits = limits
            room, seats = limits
            self._occupancy.limits(now, (room, room, seats, seats))
        self._occupancy.fold(now)
        shown = self._metrics.histogram("apiserver_flowcontrol_read_vs_write_current_requests")
        labels = [(phase, kind) for phase in (WAITING, EXECUTING) for kind in (READ, WRITE)]
        for chart, pair in zip(self._charts, labels, strict=True):
            shown.show(chart, *pair)
        for at, kind in enumerate((READ, WRITE)):
            self._metrics.inflight.cell(kind).value = self._executing[at]
            self._inqueue.cell(kind).value = self._waiting[at]
