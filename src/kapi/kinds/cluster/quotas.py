"""LimitRange and ResourceQuota: names of resources, ranges against each other, scopes.

Used by `config.py`.
https://kubernetes.io/docs/concepts/policy/limit-range/
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, required
from kapi.errors import duplicate as duplicate_value
from kapi.kinds.shared import checks
from kapi.kinds.shared.amounts import rounding
from kapi.kinds.shared.resource_names import (
    container_resource,
    in_quotas,
    overcommit_allowed,
    quantity_of,
    quota_resource,
    standard_resource,
)
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_PREFIXED = ("requests.", "limits.")
_POD_RESOURCES = frozenset(
    (
        "pods", "cpu", "memory", "limits.cpu", "limits.memory", "requests.cpu", "requests.memory",
    )
)  # fmt: skip
_CLAIM_RESOURCES = frozenset(("persistentvolumeclaims", "requests.storage"))
_LIMIT_TYPES = ("Pod", "Container", "PersistentVolumeClaim")
_MAX_MILLI = Decimal((2**63 - 1) // 1000)


# -- limit ranges -------------------------------------------------------------------------------


_round = rounding("max", "min", "default", "defaultRequest", "maxLimitRequestRatio")


def limit_defaults(item: Json) -> None:
    """A container's default is its maximum, its default request the default or else the minimum."""
    _round(item)
    if item.get("type") != "Container":
        return
    default = {**(item.get("max") or {}), **(item.get("default") or {})}
    request = {**(item.get("min") or {}), **default, **(item.get("defaultRequest") or {})}
    if default:
        item["default"] = dict(sorted(default.items()))
    if request:
        item["defaultRequest"] = dict(sorted(request.items()))


class LimitRangeStrategy(Strategy):
    create_on_update = True

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        metadata = obj["metadata"]
        if old is None and not metadata.get("name"):
            metadata["name"] = metadata["uid"]

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        seen: set[str] = set()
        for i, limit in enumerate((obj.get("spec") or {}).get("limits") or ()):
            out += _limit(limit, f"spec.limits[{i}]", seen)
        return out


def _limit(limit: Json, path: str, seen: set[str]) -> list[FieldError]:
    kind = limit.get("type", "")
    out = checks.qualified_name(kind, f"{path}.type")
    if not out and "/" not in kind and kind not in _LIMIT_TYPES:
        text = "must be a standard limit type or fully qualified"
        out.append(invalid_value(f"{path}.type", kind, text))
    if kind in seen:
        out.append(duplicate_value(f"{path}.type", kind))
    seen.add(kind)
    keys: dict[str, None] = {}

    def listed(field: str) -> Mapping[str, str]:
        amounts: Mapping[str, str] = limit.get(field) or {}
        rule = container_resource if kind in ("Pod", "Container") else standard_resource
        for name in amounts:
            out.extend(rule(name, f"{path}.{field}[{name}]"))
            keys[name] = None
        return amounts

    most, least = listed("max"), listed("min")
    default: Mapping[str, str] = {}
    request: Mapping[str, str] = {}
    if kind == "Pod":
        for field in ("default", "defaultRequest"):
            if limit.get(field):
                text = "may not be specified when `type` is 'Pod'"
                out.append(field_forbidden(f"{path}.{field}", text))
    else:
        default, request = listed("default"), listed("defaultRequest")
    if kind == "PersistentVolumeClaim" and "storage" not in least and "storage" not in most:
        text = "either minimum or maximum storage value is required, but neither was provided"
        out.append(required(f"{path}.limits", text))
    ratio = listed("maxLimitRequestRatio")
    for name in keys:
        out += _amounts(path, name, *(m.get(name) for m in (most, least, default, request, ratio)))
    return out


def _amounts(
    path: str,
    name: str,
    most: str | None,
    least: str | None,
    default: str | None,
    request: str | None,
    ratio: str | None,
) -> list[FieldError]:
    """The five amounts of one resource against each other."""
    out: list[FieldError] = []

    def at_most(
        low: str | None, high: str | None, field: str, value: str | None, words: tuple[str, str]
    ) -> None:
        if low is not None and high is not None and checks.number(low) > checks.number(high):
            text = f"{words[0]} value {low} is greater than {words[1]} value {high}"
            out.append(invalid_value(f"{path}.{field}[{name}]", value, text))

    at_most(least, most, "min", least, ("min", "max"))
    at_most(least, request, "defaultRequest", request, ("min", "default request"))
    at_most(request, most, "defaultRequest", request, ("default request", "max"))
    at_most(request, default, "defaultRequest", request, ("default request", "default limit"))
    at_most(least, default, "default", least, ("min", "default"))
    at_most(default, most, "default", most, ("default", "max"))
    if ratio is not None:
        out += _ratio(f"{path}.maxLimitRequestRatio[{name}]", ratio, least, most)
    if (
        not overcommit_allowed(name)
        and default is not None
        and request is not None
        and checks.number(default) != checks.number(request)
    ):
        text = f"default value {default} must equal to defaultRequest value {request} in {name}"
        out.append(invalid_value(f"{path}.defaultRequest[{name}]", request, text))
    return out


def _ratio(path: str, ratio: str, least: str | None, most: str | None) -> list[FieldError]:
    out = []
    value = checks.number(ratio)
    if value < 1:
        out.append(invalid_value(path, ratio, f"ratio {ratio} is less than 1"))
    if least is not None and most is not None:
        low, high = checks.number(least), checks.number(most)
        if not max(value, low, high) < _MAX_MILLI:
            value, low, high = (x.to_integral_value("ROUND_CEILING") for x in (value, low, high))
        limit = float(high) / float(low) if low else float("inf")
        if float(value) > limit:
            text = f"ratio {ratio} is greater than max/min = {limit:f}"
            out.append(invalid_value(path, ratio, text))
    return out


# -- resource quotas ----------------------------------------------------------------------------

_SCOPES = (
    "Terminating", "NotTerminating", "BestEffort", "NotBestEffort", "PriorityClass",
    "CrossNamespacePodAffinity", "VolumeAttributesClass",
)  # fmt: skip
_REQUESTED = ("cpu", "memory", "storage", "ephemeral-storage")
_EXISTS_SCOPES = (*_SCOPES[:4], "CrossNamespacePodAffinity")
_EXISTS_TEXT = (
    "must be 'Exists' when scope is any of ResourceQuotaScopeTerminating, "
    "ResourceQuotaScopeNotTerminating, "
    "ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or "
    "ResourceQuotaScopeCrossNamespacePodAffinity"
)
_CONFLICTS = (("BestEffort", "NotBestEffort"), ("Terminating", "NotTerminating"))


class ResourceQuotaStrategy(Strategy):
    reset_status = (("spec",),)

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            out: list[FieldError] = []
            status = obj.get("status") or {}
            for field in ("hard", "used"):
                out += _hard(status.get(field), f"status.{field}")
            return out
        spec = obj.get("spec") or {}
        out = _hard(spec.get("hard"), "spec.hard")
        out += _scopes(spec)
        out += _scope_selector(spec)
        if old is not None:
            before = (old.get("spec") or {}).get("scopes") or []
            if set(spec.get("scopes") or ()) != set(before):
                out.append(invalid_value("spec.scopes", spec.get("scopes"), checks.IMMUTABLE))
        return out

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        hard: Mapping[str, str] = (obj.get("spec") or {}).get("hard") or {}
        out: list[str] = []
        for name in _REQUESTED if old is None else ():
            request, limit = f"requests.{name}", f"limits.{name}"
            if request not in hard and name in ("cpu", "memory"):
                request = name
            if request in hard and limit in hard:
                asked, most = hard[request], hard[limit]
                if checks.number(asked) > checks.number(most):
                    text = f"ResourceQuota {request} ({asked}) should be less than {limit} ({most})"
                    out.append(text)
        return out


def _hard(amounts: Mapping[str, str] | None, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for name, amount in (amounts or {}).items():
        out += quota_resource(name, f"{path}[{name}]")
        out += quantity_of(name, amount, f"{path}[{name}]")
    return out


def _misplaced(scope: str, spec: Json) -> bool:
    """Whether a standard resource of the quota cannot be counted in this scope."""
    if scope not in _SCOPES:
        return False
    fits = {"BestEffort": frozenset(("pods",)), "VolumeAttributesClass": _CLAIM_RESOURCES}
    allowed = fits.get(scope, _POD_RESOURCES)
    return any(in_quotas(name) and name not in allowed for name in spec.get("hard") or ())


def _scopes(spec: Json) -> list[FieldError]:
    scopes: Sequence[str] = spec.get("scopes") or ()
    out: list[FieldError] = []
    for scope in scopes:
        if scope not in _SCOPES:
            out.append(invalid_value("spec.scopes", scopes, "unsupported scope"))
        if _misplaced(scope, spec):
            text = "unsupported scope applied to resource"
            out.append(invalid_value("spec.scopes", scopes, text))
    if any(set(pair) <= set(scopes) for pair in _CONFLICTS):
        out.append(invalid_value("spec.scopes", scopes, "conflicting scopes"))
    return out


def _scope_selector(spec: Json) -> list[FieldError]:
    selector = spec.get("scopeSelector")
    if selector is None:
        return []
    path = "spec.scopeSelector.matchExpressions"
    out: list[FieldError] = []
    requirements = selector.get("matchExpressions") or ()
    for r in requirements:
        scope, operator = r.get("scopeName", ""), r.get("operator", "")
        values = r.get("values") or []
        if scope not in _SCOPES:
            out.append(invalid_value(f"{path}.scopeName", scope, "unsupported scope"))
        if _misplaced(scope, spec):
            shown = {"MatchExpressions": [_shown(x) for x in requirements]}
            text = "unsupported scope applied to resource"
            out.append(invalid_value(path, checks.go_json(shown), text))
        if scope in _EXISTS_SCOPES and operator != "Exists":
            out.append(invalid_value(f"{path}.operator", operator, _EXISTS_TEXT))
        if operator in ("In", "NotIn"):
            if not values:
                text = (
                    "must be at least one value when `operator` is 'In' or 'NotIn' for scope "
                    "selector"
                )
                out.append(required(f"{path}.values", text))
        elif operator in ("Exists", "DoesNotExist"):
            if values:
                text = (
                    "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope "
                    "selector"
                )
                out.append(invalid_value(f"{path}.values", values, text))
        else:
            text = "not a valid selector operator"
            out.append(invalid_value(f"{path}.operator", operator, text))
    named = {r.get("scopeName", "") for r in requirements}
    if any(set(pair) <= named for pair in _CONFLICTS):
        # The real server shows the other list of scopes here.
        out.append(invalid_value(path, spec.get("scopes"), "conflicting scopes"))
    return out


def _shown(requirement: Json) -> Json | None:
    return checks.go_fields(requirement, "ScopeName:s Operator:s Values:p")
