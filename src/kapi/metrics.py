"""Metrics with kube-apiserver's names and labels, and their text form for `/metrics`.

Each server owns one `Metrics`; `edge/asgi.py` and the filters feed it on every request, others
through the attributes below. A hot path keeps the cell of its label values and adds to it: no
lock (one event loop), no lookup. Written here rather than with prometheus-client, which takes 70
ms to import, five times as long per request, and forces `_total` on counters that lack it on the
real server.

The rows are in `metric_specs.py`; those without an attribute here are `metric(name)` and
`histogram(name)`. What a client can choose (paths, resource names) never becomes a
label before it has led to a success, and a metric holds at most SERIES_MAX label sets."""

from __future__ import annotations

import math
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kapi.messages import Request, RequestInfo
from kapi.metric_specs import PROCESS_SPECS, SPECS, Spec

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
SERIES_MAX = 20_000  # label sets of one metric; further ones share the one of empty labels
COMPONENT = "apiserver"


class Cell:
    """One number; add to `value`."""

    __slots__ = ("value",)

    def __init__(self) -> None:
        self.value = 0.0


class HistogramCell:
    """One distribution."""

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.sum += value


class Metric:
    """A counter or gauge: a cell for each set of label values."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._cells: dict[tuple[str, ...], Cell] = {}

    def cell(self, *values: str) -> Cell:
        """The cell of these label values, in the order of the spec; keep it if it is hot."""
        found = self._cells.get(values)
        if found is None:
            assert len(values) == len(self.spec.labels)
            if len(self._cells) >= SERIES_MAX and any(values):
                return self.cell(*[""] * len(values))
            found = self._cells[values] = Cell()
        return found

    def has(self, *values: str) -> bool:
        """Whether these label values are shown."""
        return values in self._cells

    def clear(self) -> None:
        """Forget every label set: for gauges that are filled anew at each rendering."""
        self._cells.clear()

    def remove(self, *values: str) -> None:
        """Forget one label set, if it is there."""
        self._cells.pop(values, None)

    def lines(self) -> Iterator[str]:
        for values, cell in self._cells.items():
            yield f"{self.spec.name}{_labels(self.spec.labels, values)} {number(cell.value)}\n"


class Histogram:
    """Distributions: a cell for each set of label values."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._cells: dict[tuple[str, ...], HistogramCell] = {}

    def cell(self, *values: str) -> HistogramCell:
        """As `Metric.cell`."""
        found = self._cells.get(values)
        if found is None:
            assert len(values) == len(self.spec.labels)
            if len(self._cells) >= SERIES_MAX and any(values):
                return self.cell(*[""] * len(values))
            found = self._cells[values] = HistogramCell(self.spec.buckets)
        return found

    def show(self, cell: HistogramCell, *values: str) -> None:
        """Under these label values, show a distribution that somebody else keeps."""
        if values in self._cells or len(self._cells) < SERIES_MAX:
            self._cells[values] = cell

    def lines(self) -> Iterator[str]:
        name, labels = self.spec.name, self.spec.labels
        for values, cell in self._cells.items():
            total = 0
            for bound, count in zip((*cell.bounds, math.inf), cell.counts, strict=True):
                total += count
                le = _labels((*labels, "le"), (*values, number(bound)))
                yield f"{name}_bucket{le} {total}\n"
            plain = _labels(labels, values)
            yield f"{name}_sum{plain} {number(cell.sum)}\n{name}_count{plain} {total}\n"


def _labels(names: Sequence[str], values: Sequence[str]) -> str:
    if not names:
        return ""
    pairs = sorted(zip(names, values, strict=True))
    return "{" + ",".join(f'{name}="{_escape(value)}"' for name, value in pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def number(value: float) -> str:
    """A number as Prometheus' text form has it."""
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(value)


_VERBS = {
    "get": "GET", "list": "LIST", "watch": "WATCH", "create": "POST", "update": "PUT",
    "patch": "PATCH", "delete": "DELETE", "deletecollection": "DELETECOLLECTION",
    "post": "POST", "put": "PUT", "proxy": "PROXY", "connect": "CONNECT", "apply": "APPLY",
}  # fmt: skip
_FIXED_PATHS = frozenset(("/healthz", "/livez", "/readyz", "/metrics", "/version"))
_UNPROVEN_CODES = frozenset((400, 401, 403, 404, 405, 429, 503, 504))
_LONG_RUNNING = frozenset(("WATCH", "PROXY", "CONNECT"))


@dataclass(slots=True)
class _RequestCells:
    """What one kind of request adds to."""

    total: Cell
    duration: HistogramCell
    sli: HistogramCell | None
    size: HistogramCell | None


class Metrics:
    """The metrics of one server."""

    def __init__(self) -> None:
        self._metrics: dict[str, Metric | Histogram] = {}
        self._fillers: list[Callable[[], None]] = []
        self._proven: set[tuple[str, str, str, str]] = set()
        self._requests: dict[tuple[str, ...], _RequestCells] = {}
        self.request_total = self.metric("apiserver_request_total")
        self.request_duration = self.histogram("apiserver_request_duration_seconds")
        self.request_sli_duration = self.histogram("apiserver_request_sli_duration_seconds")
        self.response_sizes = self.histogram("apiserver_response_sizes")
        self.inflight = self.metric("apiserver_current_inflight_requests")
        self.longrunning = self.metric("apiserver_longrunning_requests")
        self.terminations = self.metric("apiserver_request_terminations_total")
        self.resource_objects = self.metric("apiserver_resource_objects")
        self.storage_size = self.metric("apiserver_storage_size_bytes")
        self.watch_events = self.metric("apiserver_watch_events_total")
        self.cache_events_received = self.metric("apiserver_watch_cache_events_received_total")
        self.authentication_attempts = self.metric("authentication_attempts")
        self.authentication_duration = self.histogram("authentication_duration_seconds")
        self.authorization_attempts = self.metric("authorization_attempts_total")
        self.authorization_duration = self.histogram("authorization_duration_seconds")
        # Shown from the start, as by the real server.
        self.metric("apiserver_audit_event_total").cell()
        self.metric("apiserver_audit_requests_rejected_total").cell()
        self.build_info = self.metric("kubernetes_build_info")
        self.feature_enabled = self.metric("kubernetes_feature_enabled")

    def metric(self, name: str) -> Metric:
        """The counter or gauge of this name."""
        found = self._metrics.get(name)
        if found is None:
            found = self._metrics[name] = Metric(SPECS[name])
        assert isinstance(found, Metric), f"{name} is a histogram"
        return found

    def histogram(self, name: str) -> Histogram:
        found = self._metrics.get(name)
        if found is None:
            found = self._metrics[name] = Histogram(SPECS[name])
        assert isinstance(found, Histogram), f"{name} is no histogram"
        return found

    def on_render(self, fill: Callable[[], None]) -> None:
        """Called before each rendering, to set gauges that are counted rather than kept."""
        self._fillers.append(fill)

    # -- requests -------------------------------------------------------------------------------

    def request_done(self, request: Request, *, code: int, seconds: float, body_bytes: int) -> None:
        """Called by the edge after the last byte of an answer."""
        info = request.info
        dry_run = "All" if "dryRun" in request.query else ""
        key = (
            info.verb, info.group, info.version, info.resource,
            info.subresource if info.is_resource else fixed_path(info.path),
            scope_of(info), dry_run, str(code),
        )  # fmt: skip
        cells = self._requests.get(key)
        if cells is None:
            cells = self._cells_of(request, dry_run, code)
            if len(self._requests) < SERIES_MAX and code not in _UNPROVEN_CODES:
                self._requests[key] = cells
        cells.total.value += 1
        cells.duration.observe(seconds)
        if cells.sli is not None:
            cells.sli.observe(seconds)
        if cells.size is not None:
            cells.size.observe(body_bytes)

    def request_labels(self, request: Request, code: int) -> tuple[str, ...]:
        """verb, group, version, resource, subresource, scope, component: safe to use as labels."""
        info = request.info
        verb = _VERBS.get(info.verb, "other")
        if not info.is_resource:
            return (verb, "", "", "", fixed_path(info.path), "", COMPONENT)
        resource = (info.group, info.version, info.resource, info.subresource)
        if code not in _UNPROVEN_CODES:
            self._proven.add(resource)
        elif resource not in self._proven:
            resource = ("", "", "", "")
        return (verb, *resource, scope_of(info), COMPONENT)

    def _cells_of(self, request: Request, dry_run: str, code: int) -> _RequestCells:
        labels = self.request_labels(request, code)
        verb = labels[0]
        dry_labels = (verb, dry_run, *labels[1:])
        long_running = verb in _LONG_RUNNING
        return _RequestCells(
            total=self.request_total.cell(*dry_labels, str(code)),
            duration=self.request_duration.cell(*dry_labels),
            sli=None if long_running else self.request_sli_duration.cell(*labels),
            size=self.response_sizes.cell(*labels) if verb in ("GET", "LIST") else None,
        )

    def terminated(self, request: Request, code: int) -> None:
        """A request was refused to save the server."""
        self.terminations.cell(*self.request_labels(request, code), str(code)).value += 1

    # -- text -----------------------------------------------------------------------------------

    def render(self) -> tuple[str, bytes]:
        """Content type and body of `/metrics`; metrics without a value yet are left out."""
        for fill in self._fillers:
            fill()
        blocks = {name: list(metric.lines()) for name, metric in self._metrics.items()}
        for spec, value in process_values():
            blocks[spec.name] = [f"{spec.name} {number(value)}\n"]
        specs = {**SPECS, **{spec.name: spec for spec in PROCESS_SPECS}}
        parts: list[str] = []
        for name in sorted(blocks):
            lines = blocks[name]
            if lines:
                spec = specs[name]
                parts.append(f"# HELP {name} {spec.help}\n# TYPE {name} {spec.kind}\n")
                parts.extend(lines)
        return CONTENT_TYPE, "".join(parts).encode()


def fixed_path(path: str) -> str:
    """A path that is a label; those that a client made up are not."""
    return path if path in _FIXED_PATHS else ""


def scope_of(info: RequestInfo) -> str:
    """The `scope` label: what the request is about."""
    if info.name or info.verb == "create":
        return "resource"
    if info.namespace:
        return "namespace"
    return "cluster" if info.is_resource else ""


def process_values() -> list[tuple[Spec, float]]:
    """What the operating system tells of this process."""
    times = os.times()
    found: dict[str, float] = {"process_cpu_seconds_total": times.user + times.system}
    import resource  # not on every platform

    found["process_max_fds"] = float(resource.getrlimit(resource.RLIMIT_NOFILE)[0])
    if sys.platform == "linux":
        found.update(_linux_values())
    return [(spec, found[spec.name]) for spec in PROCESS_SPECS if spec.name in found]


def _linux_values() -> dict[str, float]:
    with open("/proc/self/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
    with open("/proc/stat", "rb") as file:
        boot = next(int(line.split()[1]) for line in file if line.startswith(b"btime"))
    ticks = os.sysconf("SC_CLK_TCK")
    return {
        "process_virtual_memory_bytes": float(fields[20]),
        "process_resident_memory_bytes": float(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        "process_start_time_seconds": boot + float(fields[19]) / ticks,
        "process_open_fds": float(len(os.listdir("/proc/self/fd"))),
    }
