"""What printer columns share: ages, durations, selectors, labels, and the descriptions that many
kinds repeat.

Called by the column functions of every kind. A cell function takes the object and the time now
(seconds since the epoch) and gives a JSON value; it never raises for an object that the schema
accepts, whatever is absent. The words are those of `kubectl get`:
https://kubernetes.io/docs/reference/using-api/api-concepts/#receiving-resources-as-tables
"""

from __future__ import annotations

from calendar import timegm
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kapi.registry.resource import Column
from kapi.schema import far_times, scalars

Json = dict[str, Any]
Cell = Callable[[Json, float], Any]

NONE = "<none>"
UNSET = "<unset>"
UNKNOWN = "<unknown>"

NAME_DESCRIPTION = (
    "Name must be unique within a namespace. Is required when creating resources, although some "
    "resources may "
    "allow a client to request the generation of an appropriate name automatically. Name is "
    "primarily intended for "
    "creation idempotence and configuration definition. Cannot be updated. More info: "
    "https://kubernetes.io/docs/concepts/overview/working-with-objects/names#names"
)
AGE_DESCRIPTION = (
    "CreationTimestamp is a timestamp representing the server time when this object was created. "
    "It is not guaranteed "
    "to be set in happens-before order across separate operations. Clients may not set this "
    "value. It is represented "
    "in RFC3339 form and is in UTC.\n\nPopulated by the system. Read-only. Null for lists. More "
    "info: "
    "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata"
)

_MINUTE = 60
_HOUR = 3600
_DAY = 86400
_YEAR = 365 * _DAY


def parse_time(text: str) -> float:
    """Seconds since the epoch of a stored time (`2026-11-24T05:46:00Z`; a fraction is dropped)."""
    if far_times.is_far(text):
        return scalars.parse_time(text)[0]
    return timegm(
        (
            int(text[0:4]),
            int(text[5:7]),
            int(text[8:10]),
            int(text[11:13]),
            int(text[14:16]),
            int(text[17:19]),
        )
    )


def human_duration(seconds: float) -> str:
    """A duration in two or three significant units: `9s`, `5m30s`, `47h`, `2d3h`, `2y17d`."""
    whole = int(seconds)
    if whole < -1:
        return "<invalid>"
    if whole < 0:
        return "0s"
    if whole < 2 * _MINUTE:
        return f"{whole}s"
    minutes = whole // _MINUTE
    if minutes < 10:
        return _two(minutes, "m", whole % _MINUTE, "s")
    if minutes < 180:
        return f"{minutes}m"
    hours = whole // _HOUR
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    days = hours // 24
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    if days < 2 * 365:
        return f"{days}d"
    years = days // 365
    if years < 8:
        return _two(years, "y", days % 365, "d")
    return f"{years}y"


def _two(first: int, first_unit: str, second: int, second_unit: str) -> str:
    return f"{first}{first_unit}{second}{second_unit}" if second else f"{first}{first_unit}"


def since(time: str | None, now: float) -> str:
    """How long ago a stored time was; `<unknown>` where there is none."""
    return human_duration(now - parse_time(time)) if time else UNKNOWN


def age(obj: Json, now: float) -> str:
    return since(obj["metadata"].get("creationTimestamp"), now)


def name(obj: Json, now: float) -> str:
    text: str = obj["metadata"].get("name", "")
    return text


def field(*path: str, default: Any = "") -> Cell:
    """The cell of a plain field; `default` where it is absent."""

    def cell(obj: Json, now: float) -> Any:
        value: Any = obj
        for key in path:
            value = value.get(key)
            if value is None:
                return default
        return value

    return cell


def labels(values: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, sorted by key; `<none>` where there are none."""
    if not values:
        return NONE
    return ",".join(f"{k}={values[k]}" for k in sorted(values))


_SELECTOR_WORDS = {"In": "in", "NotIn": "notin"}


def label_selector(selector: Json | None) -> str:
    """A LabelSelector in the form of `kubectl -l`, requirements sorted by key; `<none>` for one
    that is absent or empty.
    """
    if not selector:
        return NONE
    parts = [(k, f"{k}={v}") for k, v in sorted((selector.get("matchLabels") or {}).items())]
    for requirement in selector.get("matchExpressions") or ():
        key = requirement.get("key", "")
        operator = requirement.get("operator", "")
        if operator in _SELECTOR_WORDS:
            values = ",".join(sorted(requirement.get("values") or ()))
            parts.append((key, f"{key} {_SELECTOR_WORDS[operator]} ({values})"))
        elif operator == "Exists":
            parts.append((key, key))
        elif operator == "DoesNotExist":
            parts.append((key, f"!{key}"))
        else:
            return "<error>"
    parts.sort(key=lambda part: part[0])
    return ",".join(text for _, text in parts) or NONE


def container_names(containers: Sequence[Json] | None) -> str:
    return ",".join(c.get("name", "") for c in containers or ())


def container_images(containers: Sequence[Json] | None) -> str:
    return ",".join(c.get("image", "") for c in containers or ())


def name_column(*, format_name: str = "name") -> Column:
    return Column(
        name="Name", type="string", format=format_name, cell=name, description=NAME_DESCRIPTION
    )


def age_column() -> Column:
    return Column(name="Age", type="string", cell=age, description=AGE_DESCRIPTION)


def column(title: str, kind: str, cell: Cell, description: str, *, wide: bool = False) -> Column:
    """A column of the short form; `wide` ones show with `-o wide` only."""
    return Column(
        name=title, type=kind, cell=cell, description=description, priority=1 if wide else 0
    )
