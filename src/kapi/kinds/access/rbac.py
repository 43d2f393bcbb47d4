"""rbac.authorization.k8s.io: roles, bindings, and their aggregation.

Whether somebody may grant what a role says is checked in `authorization/`, not here.
https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, invalid_value, not_supported, required
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
_RBAC = "io.k8s.api.rbac.v1."
_SUBJECTS = ("ServiceAccount", "User", "Group")


def _role_ref_defaults(reference: Json) -> None:
    if not reference.get("apiGroup"):
        reference["apiGroup"] = GROUP


def _subject_defaults(subject: Json) -> None:
    if not subject.get("apiGroup") and subject.get("kind") in ("User", "Group"):
        subject["apiGroup"] = GROUP


class RoleStrategy(Plain):
    name_rule = staticmethod(names.path_segment)
    create_on_update = True

    def __init__(self, *, namespaced: bool) -> None:
        self._namespaced = namespaced

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        silent: list[FieldError] = []  # the schema's own findings, after the others
        for i, rule in enumerate(obj.get("rules") or ()):
            out += _rule(rule, f"rules[{i}]", self._namespaced)
            if not rule.get("verbs"):
                silent.append(required(f"rules[{i}].verbs"))
        aggregation = obj.get("aggregationRule")
        if aggregation is not None:
            out += _aggregation(aggregation.get("clusterRoleSelectors") or [])
        return out + silent


def _rule(rule: Json, path: str, namespaced: bool) -> list[FieldError]:
    out: list[FieldError] = []
    urls = rule.get("nonResourceURLs")
    if urls:
        where = f"{path}.nonResourceURLs"
        if namespaced:
            text = "namespaced rules cannot apply to non-resource URLs"
            out.append(invalid_value(where, urls, text))
        if any(rule.get(name) for name in ("apiGroups", "resources", "resourceNames")):
            text = "rules cannot apply to both regular resources and non-resource URLs"
            out.append(invalid_value(where, urls, text))
        return out
    if not rule.get("apiGroups"):
        text = "resource rules must supply at least one api group"
        out.append(required(f"{path}.apiGroups", text))
    if not rule.get("resources"):
        text = "resource rules must supply at least one resource"
        out.append(required(f"{path}.resources", text))
    return out


def _aggregation(selectors: list[Json]) -> list[FieldError]:
    where = "aggregationRule.clusterRoleSelectors"
    if not selectors:
        text = "at least one clusterRoleSelector required if aggregationRule is non-nil"
        return [required(where, text)]
    out: list[FieldError] = []
    for i, selector in enumerate(selectors):
        found = checks.label_selector(selector, f"{where}[{i}]")
        out += found
        if found:
            # What could not be made of it is shown: nothing.
            out.append(invalid_value(f"{where}[{i}]", None, "invalid label selector."))
    return out


class BindingStrategy(Plain):
    name_rule = staticmethod(names.path_segment)
    create_on_update = True

    def __init__(self, *, namespaced: bool) -> None:
        self._namespaced = namespaced

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        silent: list[FieldError] = []
        reference = obj.get("roleRef") or {}
        if reference.get("apiGroup") != GROUP:
            out.append(not_supported("roleRef.apiGroup", reference.get("apiGroup", ""), (GROUP,)))
        kinds = ("Role", "ClusterRole") if self._namespaced else ("ClusterRole",)
        out += checks.one_of(reference.get("kind", ""), "roleRef.kind", kinds)
        name = reference.get("name", "")
        if name:
            out += checks.each("roleRef.name", name, names.path_segment(name))
        for i, subject in enumerate(obj.get("subjects") or ()):
            out += _subject(subject, f"subjects[{i}]", self._namespaced)
            if not subject.get("name"):
                silent.append(required(f"subjects[{i}].name"))
        if not name:
            silent.append(required("roleRef.name"))
        if old is not None and reference != (old.get("roleRef") or {}):
            shown = checks.go_fields(reference, "APIGroup=apiGroup:s Kind:s Name:s")
            silent.append(invalid_value("roleRef", checks.go_json(shown), checks.IMMUTABLE))
        return out + silent


def _subject(subject: Json, path: str, namespaced: bool) -> list[FieldError]:
    kind, name, group = (subject.get(key, "") for key in ("kind", "name", "apiGroup"))
    if kind not in _SUBJECTS:
        return [not_supported(f"{path}.kind", kind, _SUBJECTS)]
    out: list[FieldError] = []
    if kind == "ServiceAccount":
        if name:
            out += checks.dns_subdomain(name, f"{path}.name")
        if group:
            out.append(not_supported(f"{path}.apiGroup", group, ("",)))
        if not namespaced and not subject.get("namespace"):
            out.append(required(f"{path}.namespace"))
    elif group != GROUP:
        out.append(not_supported(f"{path}.apiGroup", group, (GROUP,)))
    return out


# -- tables -------------------------------------------------------------------------------------


def _role(obj: Json, now: float) -> str:
    reference = obj.get("roleRef") or {}
    return f"{reference.get('kind', '')}/{reference.get('name', '')}"


def _subjects(kind: str) -> cells.Cell:
    def cell(obj: Json, now: float) -> str:
        found = [s for s in obj.get("subjects") or () if s.get("kind") == kind]
        if kind == "ServiceAccount":
            return ", ".join(f"{s.get('namespace', '')}/{s.get('name', '')}" for s in found)
        return ", ".join(s.get("name", "") for s in found)

    return cell


_UNRESOLVED = "If the RoleRef cannot be resolved, the Authorizer must return an error."


def _binding_columns(kind: str, reference: str) -> tuple[Column, ...]:
    return (
        cells.name_column(),
        cells.column("Role", "string", _role, f"{reference} {_UNRESOLVED}"),
        cells.age_column(),
        cells.column("Users", "string", _subjects("User"), f"Users in the {kind}", wide=True),
        cells.column("Groups", "string", _subjects("Group"), f"Groups in the {kind}", wide=True),
        cells.column(
            "ServiceAccounts",
            "string",
            _subjects("ServiceAccount"),
            f"ServiceAccounts in the {kind}",
            wide=True,
        ),
    )


DEFAULTS: Mapping[str, Any] = {
    _RBAC + "RoleRef": _role_ref_defaults,
    _RBAC + "Subject": _subject_defaults,
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "roles"): RoleStrategy(namespaced=True),
    (GROUP, "clusterroles"): RoleStrategy(namespaced=False),
    (GROUP, "rolebindings"): BindingStrategy(namespaced=True),
    (GROUP, "clusterrolebindings"): BindingStrategy(namespaced=False),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "rolebindings"): _binding_columns(
        "roleBinding",
        "roleRef can reference a Role in the current namespace or a ClusterRole in the global "
        "namespace.",
    ),
    (GROUP, "clusterrolebindings"): _binding_columns(
        "clusterRoleBinding",
        "roleRef can only reference a ClusterRole in the global namespace.",
    ),
}
