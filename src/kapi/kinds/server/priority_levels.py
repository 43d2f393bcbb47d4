"""flowcontrol.apiserver.k8s.io: PriorityLevelConfiguration.

`flowcontrol.py` lists what stands here.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from kapi.kinds.shared import cells
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column
from kapi.registry.strategy import Context

Json = dict[str, Any]

_FLOW = "io.k8s.api.flowcontrol.v1."
QUEUES_MAX = 10_000_000


def _limited_defaults(limited: Json) -> None:
    if limited.get("nominalConcurrencyShares") is None:  # prints as null where it is not set
        limited["nominalConcurrencyShares"] = 30
    limited.setdefault("lendablePercent", 0)


def _exempt_defaults(exempt: Json) -> None:
    exempt.setdefault("nominalConcurrencyShares", 0)
    exempt.setdefault("lendablePercent", 0)


def _queuing_defaults(queuing: Json) -> None:
    for name, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
        if not queuing.get(name):
            queuing[name] = value


class PriorityLevelStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        status = conditions(obj.get("status") or {})
        if context.subresource == "status":
            return status
        spec = obj.get("spec") or {}
        out: list[FieldError] = []
        silent: list[FieldError] = []  # the schema's own findings, after the others
        out += _mandatory(obj["metadata"].get("name", ""), spec)
        kind = spec.get("type", "")
        limited, exempt = spec.get("limited"), spec.get("exempt")
        if kind == "Exempt":
            if limited is not None:
                text = "must be nil if the type is not Limited"
                out.append(field_forbidden("spec.limited", text))
            if exempt is not None:
                out += _shares(exempt, "spec.exempt")
        elif kind == "Limited":
            if exempt is not None:
                text = "must be nil if the type is Limited"
                out.append(field_forbidden("spec.exempt", text))
            if limited is None:
                out.append(required("spec.limited"))
            else:
                out += _limited(limited, "spec.limited", silent)
        else:
            if kind:
                out.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
            if limited is not None:
                out.append(field_forbidden("spec.limited", ""))
            if not kind:
                silent.append(required("spec.type"))
        return out + status + silent


def _mandatory(name: str, spec: Json) -> list[FieldError]:
    """The two levels that the server makes and keeps."""
    if name == "exempt" and spec.get("type") != "Exempt":
        text = "type must be 'Exempt' if the name is 'exempt'"
        return [invalid_value("spec.type", spec.get("type", ""), text)]
    if name != "exempt" and spec.get("type") == "Exempt":
        text = "type must be 'Exempt' if and only if `name` is 'exempt'"
        return [invalid_value("spec.type", "Exempt", text)]
    return []


def _shares(level: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    shares, percent = level.get("nominalConcurrencyShares"), level.get("lendablePercent")
    if shares is not None and shares < 0:
        text = "must be a non-negative integer"
        out.append(invalid_value(f"{path}.nominalConcurrencyShares", shares, text))
    if percent is not None and not 0 <= percent <= 100:
        text = "must be between 0 and 100, inclusive"
        out.append(invalid_value(f"{path}.lendablePercent", percent, text))
    return out


def _limited(limited: Json, path: str, silent: list[FieldError]) -> list[FieldError]:
    out: list[FieldError] = []
    shares = limited.get("nominalConcurrencyShares")
    if shares is not None and shares < 0:
        text = "must be a non-negative integer"
        out.append(invalid_value(f"{path}.nominalConcurrencyShares", shares, text))
    response = limited.get("limitResponse") or {}
    kind, queuing = response.get("type", ""), response.get("queuing")
    where = f"{path}.limitResponse"
    if kind not in ("Queue", "Reject", ""):
        out.append(not_supported(f"{where}.type", kind, ("Queue", "Reject")))
    if kind == "Queue":
        if queuing is None:
            out.append(required(f"{where}.queuing"))
        else:
            out += _queuing(queuing, f"{where}.queuing")
    elif queuing is not None:
        out.append(field_forbidden(f"{where}.queuing", ""))
    if not kind:
        silent.append(required(f"{where}.type"))
    percent, borrowed = limited.get("lendablePercent"), limited.get("borrowingLimitPercent")
    if percent is not None and not 0 <= percent <= 100:
        text = "must be between 0 and 100, inclusive"
        out.append(invalid_value(f"{path}.lendablePercent", percent, text))
    if borrowed is not None and borrowed < 0:
        text = "if specified, must be a non-negative integer"
        out.append(invalid_value(f"{path}.borrowingLimitPercent", borrowed, text))
    return out


def _queuing(queuing: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    limit = queuing.get("queueLengthLimit", 0)
    queues, hand = queuing.get("queues", 0), queuing.get("handSize", 0)
    if limit <= 0:
        out.append(invalid_value(f"{path}.queueLengthLimit", limit, "must be positive"))
    if queues <= 0:
        out.append(invalid_value(f"{path}.queues", queues, "must be positive"))
    elif queues > QUEUES_MAX:
        text = f"must not be greater than {QUEUES_MAX}"
        out.append(invalid_value(f"{path}.queues", queues, text))
    if hand <= 0:
        out.append(invalid_value(f"{path}.handSize", hand, "must be positive"))
    elif hand > queues:
        text = f"should not be greater than queues ({queues})"
        out.append(invalid_value(f"{path}.handSize", hand, text))
    return out


def conditions(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    for i, condition in enumerate(status.get("conditions") or ()):
        if not condition.get("type"):
            out.append(required(f"status.conditions[{i}].type"))
    return out


def _of_limited(*path: str) -> cells.Cell:
    return cells.field("spec", "limited", *path, default=cells.NONE)


def _nominal(obj: Json, now: float) -> Any:
    spec = obj.get("spec") or {}
    level = spec.get("limited") or spec.get("exempt") or {}
    return level.get("nominalConcurrencyShares", cells.NONE)


DEFAULTS: Mapping[str, Any] = {
    _FLOW + "LimitedPriorityLevelConfiguration": _limited_defaults,
    _FLOW + "ExemptPriorityLevelConfiguration": _exempt_defaults,
    _FLOW + "QueuingConfiguration": _queuing_defaults,
}
COLUMNS: tuple[Column, ...] = (
    cells.name_column(),
    cells.column(
        "Type",
        "string",
        cells.field("spec", "type"),
        described(_FLOW + "PriorityLevelConfigurationSpec", "type"),
    ),
    cells.column(
        "NominalConcurrencyShares",
        "string",
        _nominal,
        described(_FLOW + "LimitedPriorityLevelConfiguration", "nominalConcurrencyShares"),
    ),
    cells.column(
        "Queues",
        "string",
        _of_limited("limitResponse", "queuing", "queues"),
        described(_FLOW + "QueuingConfiguration", "queues"),
    ),
    cells.column(
        "HandSize",
        "string",
        _of_limited("limitResponse", "queuing", "handSize"),
        described(_FLOW + "QueuingConfiguration", "handSize"),
    ),
    cells.column(
        "QueueLengthLimit",
        "string",
        _of_limited("limitResponse", "queuing", "queueLengthLimit"),
        described(_FLOW + "QueuingConfiguration", "queueLengthLimit"),
    ),
    cells.age_column(),
)
