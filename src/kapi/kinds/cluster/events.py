"""Events, of the core group and of events.k8s.io: one store, in the form of core v1, two ways to
write them.

The newer API asks for more: a time, an action, who reports. Findings name the fields of the core
form, as the real server's do.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/event-v1/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kapi.errors import FieldError, invalid_value, required
from kapi.kinds.shared import cells, checks, go_view
from kapi.kinds.shared.bases import Plain
from kapi.kinds.shared.texts import described
from kapi.registry import names
from kapi.registry.resource import Column, Convert
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "events.k8s.io"
SHORT_MAX, MESSAGE_MAX = 128, 1024  # characters

# events.k8s.io/v1 → core v1; the others have the same name in both.
_RENAMED: Mapping[str, str] = {
    "regarding": "involvedObject",
    "note": "message",
    "reportingController": "reportingComponent",
    "deprecatedSource": "source",
    "deprecatedFirstTimestamp": "firstTimestamp",
    "deprecatedLastTimestamp": "lastTimestamp",
    "deprecatedCount": "count",
}
_CORE_NAMES = {core: new for new, core in _RENAMED.items()}
# Core v1 shows these even when they are empty.
_ALWAYS: Mapping[str, Any] = {
    "involvedObject": {},
    "source": {},
    "firstTimestamp": None,
    "lastTimestamp": None,
    "eventTime": None,
    "reportingComponent": "",
    "reportingInstance": "",
}
_CORE_ORDER = (
    "kind", "apiVersion", "metadata", "involvedObject", "reason", "message", "source",
    "firstTimestamp", "lastTimestamp", "count", "type", "eventTime", "series", "action",
    "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
_NEW_ORDER = (
    "kind", "apiVersion", "metadata", "eventTime", "series", "reportingController",
    "reportingInstance", "action", "reason", "regarding", "related", "note", "type",
    "deprecatedSource", "deprecatedFirstTimestamp", "deprecatedLastTimestamp", "deprecatedCount",
)  # fmt: skip


def to_core(event: Json) -> Json:
    """An event of events.k8s.io/v1 in the form of core v1."""
    out = {_RENAMED.get(name, name): value for name, value in event.items()}
    for name, empty in _ALWAYS.items():
        out.setdefault(name, dict(empty) if isinstance(empty, dict) else empty)
    out["kind"], out["apiVersion"] = "Event", "v1"
    return {name: out[name] for name in _CORE_ORDER if name in out}


def from_core(event: Json) -> Json:
    """An event of core v1 in the form of events.k8s.io/v1."""
    out = {_CORE_NAMES.get(name, name): value for name, value in event.items()}
    for name in ("reportingController", "reportingInstance"):
        if not out.get(name):
            out.pop(name, None)
    out["kind"], out["apiVersion"] = "Event", "events.k8s.io/v1"
    out.setdefault("eventTime", None)
    return {name: out[name] for name in _NEW_ORDER if name in out}


class EventStrategy(Plain):
    create_on_update = True
    reset_main = ()
    standard_finalizers = False
    propagates = False

    def __init__(self, *, core: bool) -> None:
        self._core = core
        if core:
            self.name_rule = names.path_segment

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out = _common(obj, "reportingComponent" if self._core else "reportingController")
        if self._core:
            return out
        if old is None:
            return out + _created(obj)
        return out + _updated(obj, old)


def _common(event: Json, controller: str) -> list[FieldError]:
    namespace = event["metadata"].get("namespace", "")
    about = (event.get("involvedObject") or {}).get("namespace", "")
    out: list[FieldError] = []
    mismatch = invalid_value("involvedObject.namespace", about, "does not match event.namespace")
    if not event.get("eventTime"):
        if (not about and namespace not in ("", "default")) or (about and about != namespace):
            out.append(mismatch)
        return out + checks.each("namespace", namespace, _namespace(namespace))
    if not about and namespace not in ("default", "kube-system"):
        out.append(mismatch)
    reporter = event.get("reportingComponent", "")
    if not reporter:
        out.append(required(controller))
    out += checks.qualified_name(reporter, controller)
    for name in ("reportingInstance", "action", "reason"):
        value = event.get(name, "")
        if not value:
            out.append(required(name))
        if len(value.encode()) > SHORT_MAX:
            out.append(invalid_value(name, "", f"can have at most {SHORT_MAX} characters"))
    if len(event.get("message", "").encode()) > MESSAGE_MAX:
        out.append(invalid_value("message", "", f"can have at most {MESSAGE_MAX} characters"))
    return out + checks.each("namespace", namespace, _namespace(namespace))


def _namespace(namespace: str) -> list[str]:
    return [e.detail for e in checks.dns_subdomain(namespace, "")]


def _created(event: Json) -> list[FieldError]:
    out = _series(event)
    if not event.get("eventTime"):
        out.append(required("eventTime"))
    kind = event.get("type", "")
    if kind not in ("Normal", "Warning"):
        out.append(invalid_value("type", "", f"has invalid value: {kind}"))
    for name in ("firstTimestamp", "lastTimestamp", "count", "source"):
        if event.get(name):
            out.append(invalid_value(name, "", "needs to be unset"))
    return out


def _series(event: Json) -> list[FieldError]:
    series = event.get("series")
    if series is None:
        return []
    out: list[FieldError] = []
    if series.get("count", 0) < 2:
        out.append(invalid_value("series.count", "", "should be at least 2"))
    if not series.get("lastObservedTime"):
        out.append(required("series.lastObservedTime"))
    return out


_FIXED = (
    "involvedObject", "reason", "message", "source", "firstTimestamp", "lastTimestamp", "count",
    "type", "eventTime", "action", "related", "reportingComponent", "reportingInstance",
)  # fmt: skip
_STRUCTS: Mapping[str, str] = {
    "involvedObject": "io.k8s.api.core.v1.ObjectReference",
    "source": "io.k8s.api.core.v1.EventSource",
    "related": "io.k8s.api.core.v1.ObjectReference",
}
_ABSENT: Mapping[str, Any] = {  # what findings show of a field that is not there; else null
    "count": 0,
    **dict.fromkeys(
        ("reason", "message", "type", "action", "reportingComponent", "reportingInstance"), ""
    ),
}


def _updated(event: Json, old: Json) -> list[FieldError]:
    """Of an event that is there, only its series may change."""
    out: list[FieldError] = []
    if event.get("series") != old.get("series"):
        out += _series(event)
    for name in _FIXED:
        path = "reportingController" if name == "reportingComponent" else name
        zero = _ABSENT.get(name)
        new, before = event.get(name, zero), old.get(name, zero)
        shown = partial(go_view.struct, _STRUCTS[name]) if name in _STRUCTS else None
        out += checks.immutable(new, before, path, shown)
    return out


# -- table and selectors ------------------------------------------------------------------------


def _first(event: Json) -> str | None:
    return event.get("firstTimestamp") or event.get("eventTime")


def _last_seen(event: Json, now: float) -> str:
    if event.get("series"):
        return cells.since(event["series"].get("lastObservedTime"), now)
    return cells.since(event.get("lastTimestamp") or _first(event), now)


def _first_seen(event: Json, now: float) -> str:
    return cells.since(_first(event), now)


def _object(event: Json, now: float) -> str:
    about = event.get("involvedObject") or {}
    kind = about.get("kind", "").lower()
    return f"{kind}/{about['name']}" if about.get("name") else str(kind)


def _source(event: Json, now: float) -> str:
    source = event.get("source") or {}
    component = source.get("component") or event.get("reportingComponent", "")
    instance = source.get("host") or event.get("reportingInstance", "")
    return f"{component}, {instance}" if instance else str(component)


def _count(event: Json, now: float) -> int:
    if event.get("series"):
        return int(event["series"].get("count", 0))
    return int(event.get("count", 0) or 1)


def _selected(*path: str) -> Callable[[Json], str]:
    cell = cells.field(*path)
    return lambda event: str(cell(event, 0.0))


_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
_EVENT = "io.k8s.api.core.v1.Event"
_COLUMNS = (
    cells.column("Last Seen", "string", _last_seen, described(_EVENT, "lastTimestamp")),
    cells.column("Type", "string", cells.field("type"), described(_EVENT, "type")),
    cells.column("Reason", "string", cells.field("reason"), described(_EVENT, "reason")),
    cells.column("Object", "string", _object, described(_EVENT, "involvedObject")),
    cells.column(
        "Subobject",
        "string",
        cells.field("involvedObject", "fieldPath"),
        described("io.k8s.api.core.v1.ObjectReference", "fieldPath"),
        wide=True,
    ),
    cells.column("Source", "string", _source, described(_EVENT, "source"), wide=True),
    cells.column(
        "Message",
        "string",
        lambda event, now: event.get("message", "").strip(),
        described(_EVENT, "message"),
    ),
    cells.column(
        "First Seen", "string", _first_seen, described(_EVENT, "firstTimestamp"), wide=True
    ),
    cells.column("Count", "string", _count, described(_EVENT, "count"), wide=True),
    Column(
        name="Name",
        type="string",
        format="name",
        cell=cells.name,
        description=cells.NAME_DESCRIPTION,
        priority=1,
    ),
)

STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "events"): EventStrategy(core=True),
    (GROUP, "events"): EventStrategy(core=False),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "events"): _COLUMNS,
    (GROUP, "events"): _COLUMNS,
}
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Callable[[Json], str]]] = {
    ("", "events"): {
        **{f"involvedObject.{name}": _selected("involvedObject", name) for name in _ABOUT},
        "reason": _selected("reason"),
        "reportingComponent": _selected("reportingComponent"),
        "source": lambda event: (
            (event.get("source") or {}).get("component") or event.get("reportingComponent", "")
        ),
        "type": _selected("type"),
    },
    (GROUP, "events"): {
        **{f"regarding.{name}": _selected("involvedObject", name) for name in _ABOUT},
        "reason": _selected("reason"),
        "reportingController": _selected("reportingComponent"),
        "type": _selected("type"),
    },
}
CONVERSIONS: Mapping[tuple[str, str, str], tuple[Convert | None, Convert | None]] = {
    (GROUP, "events", "v1"): (to_core, from_core),
}
