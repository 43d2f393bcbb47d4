"""Metrics with kube-apiserver's names and labels, and their text form for `/metrics`.

Each server owns one `Metrics`; `edge/asgi.py` and the filters feed it on every request, others
through the attributes below. A hot path keeps the cell of its label values and adds to it: no
lock (one event loop), no lookup. Written here rather than with prometheus-client, which takes 70
ms to import, five times as long per request, and forces `_total` on counters that lack it on the
real server.

What a client can choose (paths, resource names) never becomes a label before it has led to a
success, and a metric holds at most SERIES_MAX label sets."""

from __future__ import annotations

import math
import os
import sys
from bisect import bisect_left
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from kapi.messages import Request, RequestInfo

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8; escaping=underscores"
SERIES_MAX = 20_000  # label sets of one metric; further ones share the one of empty labels
COMPONENT = "apiserver"

LATENCY_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45,
    60,
)  # fmt: skip
SLI_BUCKETS = LATENCY_BUCKETS[2:]
SIZE_BUCKETS = tuple(1000.0 * 10**i for i in range(7))
ATTEMPT_BUCKETS = tuple(0.001 * 2**i for i in range(15))

_RESOURCE = ("verb", "group", "version", "resource", "subresource", "scope", "component")


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


@dataclass(frozen=True, slots=True)
class Spec:
    """What a metric is called and means."""

    name: str
    kind: str  # counter, gauge or histogram
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()


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

    def clear(self) -> None:
        """Forget every label set: for gauges that are filled anew at each rendering."""
        self._cells.clear()

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


def _spec(name: str, kind: str, labels: str, text: str, buckets: Sequence[float] = ()) -> Spec:
    return Spec(name, kind, text, tuple(labels.split()), tuple(float(b) for b in buckets))


_R = " ".join(_RESOURCE)
_WITH_DRY = "verb dry_run group version resource subresource scope component"

# Every metric but those of the process; docs/metrics.md is made of this.
SPECS = {
    spec.name: spec
    for spec in (
        _spec("apiserver_request_total", "counter", _WITH_DRY + " code", "Requests answered."),
        _spec("apiserver_request_duration_seconds", "histogram", _WITH_DRY,
              "From the arrival of a request to the last byte of its answer.", LATENCY_BUCKETS),
        _spec("apiserver_request_sli_duration_seconds", "histogram", _R,
              "The same without watches and other long-running requests.", SLI_BUCKETS),
        _spec("apiserver_response_sizes", "histogram", _R,
              "Bytes of answers to get and list, as sent.", SIZE_BUCKETS),
        _spec("apiserver_current_inflight_requests", "gauge", "request_kind",
              "Requests that hold a slot, reading and mutating."),
        _spec("apiserver_longrunning_requests", "gauge", _R, "Long-running requests now open."),
        _spec("apiserver_request_terminations_total", "counter", _R + " code",
              "Requests refused in self-defence: too many, or timed out."),
        _spec("apiserver_resource_objects", "gauge", "group resource", "Objects stored."),
        _spec("apiserver_storage_size_bytes", "gauge", "storage_cluster_id", "Size of the store."),
        _spec("apiserver_watch_events_total", "counter", "group version resource",
              "Events sent to watchers."),
        _spec("apiserver_watch_cache_events_received_total", "counter", "group resource",
              "Events that the watch cache took from the store."),
        _spec("authentication_attempts", "counter", "result",
              "Requests that were authenticated: success, failure or error."),
        _spec("authentication_duration_seconds", "histogram", "result",
              "Time that authentication took.", ATTEMPT_BUCKETS),
        _spec("authorization_attempts_total", "counter", "result",
              "Requests that were authorized: allowed, denied, no-opinion or error."),
        _spec("authorization_duration_seconds", "histogram", "result",
              "Time that authorization took.", ATTEMPT_BUCKETS),
        _spec("kubernetes_build_info", "gauge",
              "major minor git_version git_commit git_tree_state build_date go_version compiler"
              " platform",
              "1, with the version served as labels."),
        _spec("kubernetes_feature_enabled", "gauge", "name stage",
              "1 for each feature gate that is on, 0 for those off."),
    )
}  # fmt: skip

PROCESS_SPECS = (
    _spec("process_cpu_seconds_total", "counter", "", "User and system time spent."),
    _spec("process_max_fds", "gauge", "", "File descriptors that may be open."),
    _spec("process_open_fds", "gauge", "", "File descriptors that are open."),
    _spec("process_resident_memory_bytes", "gauge", "", "Memory held."),
    _spec("process_start_time_seconds", "gauge", "", "Start, in seconds since the epoch."),
    _spec("process_virtual_memory_bytes", "gauge", "", "Address space held."),
)

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
        self.request_total = self._metric("apiserver_request_total")
        self.request_duration = self._histogram("apiserver_request_duration_seconds")
        self.request_sli_duration = self._histogram("apiserver_request_sli_duration_seconds")
        self.response_sizes = self._histogram("apiserver_response_sizes")
        self.inflight = self._metric("apiserver_current_inflight_requests")
        self.longrunning = self._metric("apiserver_longrunning_requests")
        self.terminations = self._metric("apiserver_request_terminations_total")
        self.resource_objects = self._metric("apiserver_resource_objects")
        self.storage_size = self._metric("apiserver_storage_size_bytes")
        self.watch_events = self._metric("apiserver_watch_events_total")
        self.cache_events_received = self._metric("apiserver_watch_cache_events_received_total")
        self.authentication_attempts = self._metric("authentication_attempts")
        self.authentication_duration = self._histogram("authentication_duration_seconds")
        self.authorization_attempts = self._metric("authorization_attempts_total")
        self.authorization_duration = self._histogram("authorization_duration_seconds")
        self.build_info = self._metric("kubernetes_build_info")
        self.feature_enabled = self._metric("kubernetes_feature_enabled")

    def _metric(self, name: str) -> Metric:
        metric = Metric(SPECS[name])
        self._metrics[name] = metric
        return metric

    def _histogram(self, name: str) -> Histogram:
        histogram = Histogram(SPECS[name])
        self._metrics[name] = histogram
        return histogram

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
