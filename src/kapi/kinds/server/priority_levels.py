"""flowcontrol.apiserver.k8s.io: PriorityLevelConfiguration.

`flowcontrol.py` lists what stands here.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

import importlib.resources
import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import orjson

from kapi.errors import FieldError, duplicate, invalid_value, not_supported, required
from kapi.kinds.shared import cells, declared, go_view
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.declared import Field, Member, Struct
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column
from kapi.registry.strategy import Context

Json = dict[str, Any]

_FLOW = "io.k8s.api.flowcontrol.v1."
QUEUES_MAX = 10_000_000
HASH_BITS_MAX = 60  # that a hand of queues may be dealt from


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
        out: list[FieldError] = []
        if context.subresource != "status":
            out += _level(obj["metadata"].get("name", ""), obj.get("spec") or {})
        out += conditions(obj.get("status") or {})
        return out + declared.findings(_DECLARED, "PriorityLevelConfiguration", obj, old)


def _level(name: str, spec: Json) -> list[FieldError]:
    out: list[FieldError] = []
    kind = spec.get("type", "")
    limited, exempt = spec.get("limited"), spec.get("exempt")
    if (name == "exempt") != (kind == "Exempt"):
        text = "must be 'Exempt' if and only if `name` is 'exempt'"
        out.append(invalid_value("spec.type", kind, text))
    if kind == "Exempt" and exempt is not None:
        out += _shares(exempt, "spec.exempt")
    elif kind == "Limited" and limited is not None:
        out += _limited(limited, "spec.limited")
    elif kind not in ("", "Exempt", "Limited"):
        out.append(not_supported("spec.type", kind, ("Exempt", "Limited")))
    fixed = mandatory_spec("prioritylevelconfigurations", name)
    if fixed is None:
        return out
    text = f"spec of '{name}' must equal the fixed value"
    if name == "exempt":  # an administrator may say what is lent of it
        spec, fixed = {**spec, "exempt": None}, {**fixed, "exempt": None}
        text = f"spec of '{name}' except the 'spec.exempt' field must equal the fixed value"
    if spec != fixed:
        if exempt is not None:
            spec = {**spec, "exempt": exempt}
        shown = go_view.struct(_FLOW + "PriorityLevelConfigurationSpec", spec)
        out.append(invalid_value("spec", shown, text))
    return out


@cache
def _bootstrap() -> Mapping[str, list[Json]]:
    data = importlib.resources.files("kapi").joinpath("data", "bootstrap-objects.json")
    found: Mapping[str, list[Json]] = orjson.loads(data.read_bytes())
    return found


def mandatory_spec(plural: str, name: str) -> Json | None:
    """The spec of one of the objects that the server makes and nobody may change."""
    if name not in ("exempt", "catch-all"):
        return None
    for obj in _bootstrap()[plural]:
        if obj["metadata"]["name"] == name:
            spec: Json = obj["spec"]
            return spec
    return None


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


def _limited(limited: Json, path: str) -> list[FieldError]:
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
    if kind == "Queue" and queuing is not None:
        out += _queuing(queuing, f"{where}.queuing")
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
    elif math.ceil(math.log2(queues) * hand) > HASH_BITS_MAX:
        bits = f"required entropy bits of deckSize {queues} and handSize {hand}"
        text = f"{bits} should not be greater than {HASH_BITS_MAX}"
        out.append(invalid_value(f"{path}.handSize", hand, text))
    return out


def conditions(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, condition in enumerate(status.get("conditions") or ()):
        kind = condition.get("type", "")
        if kind in seen:
            out.append(duplicate(f"status.conditions[{i}].type", kind))
        seen.add(kind)
        if not kind:
            out.append(required(f"status.conditions[{i}].type"))
    return out


# What the types declare.
_DECLARED: declared.Types = {
    "PriorityLevelConfiguration": Struct(fields=(Field(name="spec", type="Spec"),)),
    "Spec": Struct(
        members=(
            Member(name="limited", mode="type", value="Limited", required=True),
            Member(name="exempt", mode="type", value="Exempt"),
        ),
        fields=(
            Field(name="type", gates=(declared.required,)),
            Field(name="limited", type="Limited", pointer=True),
        ),
    ),
    "Limited": Struct(fields=(Field(name="limitResponse", type="LimitResponse"),)),
    "LimitResponse": Struct(
        members=(Member(name="queuing", mode="type", value="Queue", required=True),),
        fields=(Field(name="type", gates=(declared.required,)),),
    ),
}


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
