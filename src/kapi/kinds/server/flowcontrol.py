"""flowcontrol.apiserver.k8s.io: FlowSchema and PriorityLevelConfiguration.

https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, not_supported, required
from kapi.kinds.server import priority_levels
from kapi.kinds.server.priority_levels import conditions
from kapi.kinds.shared import cells, checks, go_view
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.texts import described
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "flowcontrol.apiserver.k8s.io"
_FLOW = "io.k8s.api.flowcontrol.v1."
PRECEDENCE_MAX = 10000
_METHODS = ("ByNamespace", "ByUser")
_SUBJECTS = ("Group", "ServiceAccount", "User")
_VERBS = (
    "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch",
)  # fmt: skip


def _flow_defaults(spec: Json) -> None:
    if not spec.get("matchingPrecedence"):
        spec["matchingPrecedence"] = 1000


class FlowSchemaStrategy(Plain):
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        if context.subresource != "status":
            out += _schema(obj["metadata"].get("name", ""), obj.get("spec") or {})
        return out + conditions(obj.get("status") or {})


def _schema(name: str, spec: Json) -> list[FieldError]:
    out: list[FieldError] = []
    precedence = spec.get("matchingPrecedence", 0)
    if precedence <= 0:
        text = "must be a positive value"
        out.append(invalid_value("spec.matchingPrecedence", precedence, text))
    if precedence > PRECEDENCE_MAX:
        text = f"must not be greater than {PRECEDENCE_MAX}"
        out.append(invalid_value("spec.matchingPrecedence", precedence, text))
    if precedence == 1 and name != "exempt":
        text = "only the schema named 'exempt' may have matchingPrecedence 1"
        out.append(invalid_value("spec.matchingPrecedence", precedence, text))
    method = spec.get("distinguisherMethod")
    if method is not None and method.get("type", "") not in _METHODS:
        shown = checks.go_json({"Type": method.get("type", "")})
        out.append(not_supported("spec.distinguisherMethod.type", shown, _METHODS))
    level = (spec.get("priorityLevelConfiguration") or {}).get("name", "")
    where = "spec.priorityLevelConfiguration.name"
    if level:
        out += checks.dns_subdomain(level, where)
    else:
        out.append(required(where, "must reference a priority level"))
    for i, rule in enumerate(spec.get("rules") or ()):
        out += _policy(rule, f"spec.rules[{i}]")
    fixed = priority_levels.mandatory_spec("flowschemas", name)
    if fixed is not None and spec != fixed:
        shown = go_view.struct(_FLOW + "FlowSchemaSpec", spec)
        text = f"spec of '{name}' must equal the fixed value"
        out.append(invalid_value("spec", shown, text))
    return out


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


# In the order in which those that must not be there are found.
_MEMBERS = {"ServiceAccount": "serviceAccount", "User": "user", "Group": "group"}


def _subject(subject: Json, path: str) -> list[FieldError]:
    kind = subject.get("kind", "")
    out: list[FieldError] = []
    if kind not in _SUBJECTS:
        out.append(not_supported(f"{path}.kind", kind, _SUBJECTS))
        return out
    member = _MEMBERS[kind]
    if subject.get(member) is None:
        text = f"{member} is required when subject kind is '{kind}'"
        out.append(required(f"{path}.{member}", text))
    else:
        out += _member(subject[member], kind, f"{path}.{member}")
    for other, name in _MEMBERS.items():
        if other != kind and subject.get(name) is not None:
            text = f"{name} is forbidden when subject kind is not '{other}'"
            out.append(field_forbidden(f"{path}.{name}", text))
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
    for field, one, many in (
        ("apiGroups", "api group", "api groups"),
        ("resources", "resource", "resources"),
    ):
        values = rule.get(field) or []
        if not values:
            text = f"resource rules must supply at least one {one}"
            out.append(required(f"{path}.{field}", text))
        elif len(values) > 1 and "*" in values:
            text = f"if '*' is present, must not specify other {many}"
            out.append(invalid_value(f"{path}.{field}", values, text))
    namespaces = rule.get("namespaces") or []
    if not namespaces and not rule.get("clusterScope"):
        text = "resource rules that are not cluster scoped must supply at least one namespace"
        out.append(required(f"{path}.namespaces", text))
    elif "*" in namespaces:
        if len(namespaces) > 1:
            text = "if '*' is present, must not specify other namespaces"
            out.append(invalid_value(f"{path}.namespaces", namespaces, text))
    else:
        for i, name in enumerate(namespaces):
            found = [_NAMESPACE_TEXT + text for text in names.dns_label(name)]
            out += checks.each(f"{path}.namespaces[{i}]", name, found)
    return out


_NAMESPACE_TEXT = "each member of this list must be '*' or a DNS-1123 label; "


def _verbs(verbs: list[str], path: str) -> list[FieldError]:
    if not verbs:
        return [required(path, "verbs must contain at least one value")]
    if len(verbs) > 1 and "*" in verbs:
        return [invalid_value(path, verbs, "if '*' is present, must not specify other verbs")]
    if verbs != ["*"] and not set(verbs) <= set(_VERBS):
        return [not_supported(path, verbs, _VERBS)]
    return []


def _url_rule(rule: Json, path: str) -> list[FieldError]:
    urls = rule.get("nonResourceURLs") or []
    out = _verbs(rule.get("verbs") or [], f"{path}.verbs")
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
    if "*" not in url or (url.count("*") == 1 and url.endswith("/*")):
        return []
    text = "wildcard can only do suffix matching"
    return [invalid_value(path, url, text)]


# -- tables -------------------------------------------------------------------------------------


def _dangling(obj: Json, now: float) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Dangling":
            return str(condition.get("status", ""))
    return "?"


DEFAULTS: Mapping[str, Any] = {
    _FLOW + "FlowSchemaSpec": _flow_defaults,
    **priority_levels.DEFAULTS,
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "flowschemas"): FlowSchemaStrategy(),
    (GROUP, "prioritylevelconfigurations"): priority_levels.PriorityLevelStrategy(),
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
    (GROUP, "prioritylevelconfigurations"): priority_levels.COLUMNS,
}
