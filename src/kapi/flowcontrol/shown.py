"""What flow control shows as metrics; filled when somebody asks for `/metrics`.

`front.py` registers it. Names, labels and buckets are those of the real server."""

from __future__ import annotations

from kapi.flowcontrol.level import Level
from kapi.flowcontrol.levels import FlowControl
from kapi.flowcontrol.tallies import Tally
from kapi.flowcontrol.ticket import SEAT_SECOND, SERVICE_S, work
from kapi.metrics import Histogram, HistogramCell, Metric, Metrics

PREFIX = "apiserver_flowcontrol_"
WAITING, EXECUTING = "waiting", "executing"


def show(metrics: Metrics, control: FlowControl) -> None:
    """From now on each rendering tells of it."""
    shown = _Shown(metrics, control)
    metrics.on_render(shown.fill)


class _Shown:
    def __init__(self, metrics: Metrics, control: FlowControl) -> None:
        self._metrics = metrics
        self._control = control

    def fill(self) -> None:
        control = self._control
        control.refresh()
        self._metric("seat_fair_frac").cell().value = control.fair_fraction
        for level in control.levels.values():
            self._level(level)
        for name, charts in control.charts.items():
            by_phase = self._histogram("priority_level_request_utilization")
            by_phase.show(charts.waiting, WAITING, name)
            by_phase.show(charts.executing, EXECUTING, name)
            self._histogram("priority_level_seat_utilization").show(charts.seats, EXECUTING, name)
            self._histogram("demand_seats").show(charts.demand, name)
        for tally in control.tallies.values():
            self._tally(tally)

    def _level(self, level: Level) -> None:
        level.occupancy.fold(self._control.clock.monotonic())
        limits, demand, queues = level.limits, level.demand, level.queues
        for name, value in (
            ("nominal_limit_seats", float(limits.nominal)),
            ("lower_limit_seats", float(limits.lower)),
            ("upper_limit_seats", float(limits.upper)),
            ("current_limit_seats", float(queues.limit)),
            ("demand_seats_high_watermark", demand.highest),
            ("demand_seats_average", demand.average),
            ("demand_seats_stdev", demand.deviation),
            ("demand_seats_smoothed", demand.smoothed),
            ("target_seats", level.claim.target),
            ("current_r", queues.r / SEAT_SECOND),
        ):
            self._metric(name).cell(level.name).value = value
        if queues.dispatch_r < 0:
            return
        self._metric("dispatch_r").cell(level.name).value = queues.dispatch_r / SEAT_SECOND
        self._metric("latest_s").cell(level.name).value = queues.latest_s / SEAT_SECOND
        starts = [queue.next_r for queue in queues.waiting_queues()] or [queues.latest_s]
        discounted = [
            queue.next_r - work(queue.seats, SERVICE_S) for queue in queues.waiting_queues()
        ] or [queues.latest_s]
        for name, found in (("next_s_bounds", starts), ("next_discounted_s_bounds", discounted)):
            metric = self._metric(name)
            metric.cell(level.name, "min").value = min(found) / SEAT_SECOND
            metric.cell(level.name, "max").value = max(found) / SEAT_SECOND

    def _tally(self, tally: Tally) -> None:
        tally.settle()
        labels = (tally.level, tally.schema)
        for name, number in (
            ("current_inqueue_requests", tally.waiting),
            ("current_inqueue_seats", tally.waiting_seats),
            ("current_executing_requests", tally.executing),
            ("current_executing_seats", tally.executing_seats),
            ("dispatched_requests_total", tally.dispatched),
            ("request_dispatch_no_accommodation_total", tally.no_accommodation),
        ):
            metric = self._metric(name)
            if number or metric.has(*labels):
                metric.cell(*labels).value = number
        for reason, count in tally.refused.items():
            self._metric("rejected_requests_total").cell(*labels, reason).value = count
        for name, cell, more in (
            ("work_estimated_seats", tally.seats, ()),
            ("request_queue_length_after_enqueue", tally.queue_length, ()),
            ("watch_count_samples", tally.watch_count, ()),
            ("request_execution_seconds", tally.execution, ("regular",)),
            ("request_execution_seconds", tally.watch_execution, ("watch",)),
            ("request_wait_duration_seconds", tally.wait_executed, ("true",)),
            ("request_wait_duration_seconds", tally.wait_refused, ("false",)),
        ):
            if any(cell.counts):
                self._show(name, cell, (*labels, *more))

    def _show(self, name: str, cell: HistogramCell, labels: tuple[str, ...]) -> None:
        self._histogram(name).show(cell, *labels)

    def _metric(self, name: str) -> Metric:
        return self._metrics.metric(PREFIX + name)

    def _histogram(self, name: str) -> Histogram:
        return self._metrics.histogram(PREFIX + name)
