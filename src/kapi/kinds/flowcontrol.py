"""flowcontrol.apiserver.k8s.io: FlowSchema and PriorityLevelConfiguration.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from kapi.kinds import cells, checks
from kapi.kinds.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.texts import described
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "flowcontrol.apiserver.k8s.io"
_FLOW = "io.k8s.api.flowcontrol.v1."
PRECEDENCE_MAX = 10000
QUEUES_MAX = 10_000_000
_METHODS = ("ByNamespace", "ByUser")
_SUBJECTS = ("Group", "ServiceAccount", "User")
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip


# -- flow schemas -------------------------------------------------------------------------------


class FlowSchemaStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out = _conditions(obj.get("status") or {})
        if context.subresource == "status":
            return out
        spec = obj.get("spec") or {}
        found: list[FieldError] = []
        precedence = spec.get("matchingPrecedence", 0)
        name = obj["metadata"].get("name", "")
        if precedence <= 0:
            text = "must be a positive value"
            found.append(invalid_value("spec.matchingPrecedence", precedence, text))
        if precedence > PRECEDENCE_MAX:
            text = f"must not be greater than {PRECEDENCE_MAX}"
            found.append(invalid_value("spec.matchingPrecedence", precedence, text))
        if precedence == 1 and name != "exempt":
            text = "only the schema named 'exempt' may have matchingPrecedence 1"
            found.append(invalid_value("spec.matchingPrecedence", precedence, text))
        method = spec.get("distinguisherMethod")
        if method is not None and method.get("type", "") not in _METHODS:
            shown = checks.go_json({"Type": method.get("type", "")})
            found.append(not_supported("spec.distinguisherMethod", shown, _METHODS))
        level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
        where = "spec.priorityLevelConfiguration.name"
        if level:
            found += checks.dns_subdomain(level, where)
        else:
            found.append(required(where, "must reference a priority level"))
        for i, rule in enumerate(spec.get("rules") or ()):
            found += _policy(rule, f"spec.rules[{i}]")
        return found + out


def _policy(rule: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    subjects = rule.get("subjects") or []
    if not subjects:
        out.append(required(f"{path}.subjects", "subjects must contain at least one value"))
    for i, subject in enumerate(subjects):
        out += _subject(subject, f"{path}.subjects[{i}]")
    resources, urls = rule.get("resourceRules") or [], rule.get("nonResourceRules") or []
    if not resources and not urls:
        text = "at least one of resourceRules and nonResourceRules has to be non-empty"
        out.append(required(path, text))
    for i, item in enumerate(resources):
        out += _resource_rule(item, f"{path}.resourceRules[{i}]")
    for i, item in enumerate(urls):
        out += _url_rule(item, f"{path}.nonResourceRules[{i}]")
    return out


_MEMBERS = {"User": "user", "Group": "group", "ServiceAccount": "serviceAccount"}


def _subject(subject: Json, path: str) -> list[FieldError]:
    kind = subject.get("kind", "")
    out: list[FieldError] = []
    if kind not in _SUBJECTS:
        out.append(not_supported(f"{path}.kind", kind, _SUBJECTS))
        return out
    for other, member in _MEMBERS.items():
        value = subject.get(member)
        if other == kind:
            if value is None:
                text = f"{member} is required when subject kind is '{kind}'"
                out.append(required(f"{path}.{member}", text))
            else:
                out += _member(value, kind, f"{path}.{member}")
        elif value is not None:
            text = f"{member} is forbidden when subject kind is not '{other}'"
            out.append(field_forbidden(f"{path}.{member}", text))
    return out


def _member(value: Json, kind: str, path: str) -> list[FieldError]:
    name = value.get("name", "")
    if kind != "ServiceAccount":
        return [] if name else [required(f"{path}.name")]
    out: list[FieldError] = []
    if not name:
        out.append(required(f"{path}.name"))
    elif name != "*":
        out += checks.dns_subdomain(name, f"{path}.name")
    namespace = value.get("namespace", "")
    if namespace:
        out += checks.dns_label(namespace, f"{path}.namespace")
    else:
        out.append(required(f"{path}.namespace", "must specify namespace for service account"))
    return out


def _resource_rule(rule: Json, path: str) -> list[FieldError]:
    out = _verbs(rule.get("verbs") or [], f"{path}.verbs")
    for field in ("apiGroups", "resources"):
        values = rule.get(field) or []
        if not values:
            word = "apiGroups" if field == "apiGroups" else "resources"
            out.append(required(f"{path}.{field}", f"{word} must contain at least one value"))
        elif len(values) > 1 and "*" in values:
            text = "if '*' is present, must not specify other api groups"
            if field == "resources":
                text = "if '*' is present, must not specify other resources"
            out.append(invalid_value(f"{path}.{field}", values, text))
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        out.append(required(f"{path}.namespaces", text))
    elif len(namespaces) > 1 and "*" in namespaces:
        text = "if '*' is present, must not specify other namespaces"
        out.append(invalid_value(f"{path}.namespaces", namespaces, text))
    else:
        for i, name in enumerate(namespaces):
            if name != "*":
                for words in names.dns_label(name):
                    text = f"{words}"
                    out.append(invalid_value(f"{path}.namespaces[{i}]", name, text))
    return out


def _verbs(verbs: list[str], path: str) -> list[FieldError]:
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if len(verbs) > 1 and "*" in verbs:
        return [invalid_value(path, verbs, "if '*' is present, must not specify other verbs")]
    if verbs != ["*"] and not set(verbs) <= set(_VERBS):
        return [not_supported(path, verbs, _VERBS)]
    return []


def _url_rule(rule: Json, path: str) -> list[FieldError]:
    verbs, urls = rule.get("verbs") or [], rule.get("nonResourceURLs") or []
    out: list[FieldError] = []
    if not verbs:
        out.append(required(f"{path}.verbs", "verbs must contain at least one value"))
    elif len(verbs) > 1 and "*" in verbs:
        text = "if '*' is present, must not specify other verbs"
        out.append(invalid_value(f"{path}.verbs", verbs, text))
    if not urls:
        text = "nonResourceURLs must contain at least one value"
        out.append(required(f"{path}.nonResourceURLs", text))
    elif len(urls) > 1 and "*" in urls:
        text = "if '*' is present, must not specify other non-resource URLs"
        out.append(invalid_value(f"{path}.nonResourceURLs", urls, text))
    elif urls != ["*"]:
        for i, url in enumerate(urls):
            out += _url(url, f"{path}.nonResourceURLs[{i}]")
    return out


def _url(url: str, path: str) -> list[FieldError]:
    if not url:
        return [invalid_value(path, url, "must not be empty")]
    if url == "/":
        return []
    if not url.startswith("/"):
        return [invalid_value(path, url, "must start with slash")]
    if " " in url:
        return [invalid_value(path, url, "must not contain white-space")]
    if "//" in url:
        return [invalid_value(path, url, "must not contain double slash")]
    star = url.find("*")
    if star == -1 or (star == len(url) - 1 and url[star - 1] == "/"):
        return []
    text = "wildcard can only do suffix matching"
    return [invalid_value(path, url, text)]


def _conditions(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    for i, condition in enumerate(status.get("conditions") or ()):
        if not condition.get("type"):
            out.append(required(f"status.conditions[{i}].type"))
    return out


# -- priority levels ----------------------------------------------------------------------------


def _limited_defaults(limited: Json) -> None:
    limited.setdefault("nominalConcurrencyShares", 30)
    limited.setdefault("lendablePercent", 0)


def _exempt_defaults(exempt: Json) -> None:
    exempt.setdefault("nominalConcurrencyShares", 0)
    exempt.setdefault("lendablePercent", 0)


def _queuing_defaults(queuing: Json) -> None:
    for name, value in (("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)):
        if not queuing.get(name):
            queuing[name] = value


def _flow_defaults(spec: Json) -> None:
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


class PriorityLevelStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        status = _conditions(obj.get("status") or {})
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


# -- tables -------------------------------------------------------------------------------------


def _dangling(obj: Json, now: float) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Dangling":
            return str(condition.get("status", ""))
    return "?"


def _of_limited(*path: str) -> cells.Cell:
    return cells.field("spec", "limited", *path, default=cells.NONE)


def _nominal(obj: Json, now: float) -> Any:
    spec = obj.get("spec") or {}
    level = spec.get("limited") or spec.get("exempt") or {}
    return level.get("nominalConcurrencyShares", cells.NONE)


DEFAULTS: Mapping[str, Any] = {
    _FLOW + "FlowSchemaSpec": _flow_defaults,
    _FLOW + "LimitedPriorityLevelConfiguration": _limited_defaults,
    _FLOW + "ExemptPriorityLevelConfiguration": _exempt_defaults,
    _FLOW + "QueuingConfiguration": _queuing_defaults,
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "flowschemas"): FlowSchemaStrategy(),
    (GROUP, "prioritylevelconfigurations"): PriorityLevelStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "flowschemas"): (
        cells.name_column(),
        cells.column(
            "PriorityLevel",
            "string",
            cells.field("spec", "priorityLevelConfiguration", "name"),
            described(_FLOW + "PriorityLevelConfigurationReference", "name"),
        ),
        cells.column(
            "MatchingPrecedence",
            "string",
            cells.field("spec", "matchingPrecedence"),
            described(_FLOW + "FlowSchemaSpec", "matchingPrecedence"),
        ),
        cells.column(
            "DistinguisherMethod",
            "string",
            cells.field("spec", "distinguisherMethod", "type", default=cells.NONE),
            described(_FLOW + "FlowSchemaSpec", "distinguisherMethod"),
        ),
        cells.age_column(),
        cells.column(
            "MissingPL",
            "string",
            _dangling,
            "references a broken or non-existent PriorityLevelConfiguration",
        ),
    ),
    (GROUP, "prioritylevelconfigurations"): (
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
    ),
}
