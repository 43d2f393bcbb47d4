"""apiextensions.k8s.io: CustomResourceDefinition, as a stored kind: names, versions, its table.

What it makes the server serve, and the conditions that say so, are not here.
https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, invalid_value, not_supported, required
from kapi.kinds import cells, checks
from kapi.kinds.apiregistration import any_name
from kapi.kinds.bases import SPEC_AND_METADATA, Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "apiextensions.k8s.io"
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_SCOPES = ("Cluster", "Namespaced")


def _spec_defaults(spec: Json) -> None:
    if spec.get("conversion") is None:
        spec["conversion"] = {"strategy": "None"}
    given = spec.get("names") or {}
    if given.get("kind"):
        if not given.get("singular"):
            given["singular"] = given["kind"].lower()
        if not given.get("listKind"):
            given["listKind"] = f"{given['kind']}List"


class DefinitionStrategy(Plain):
    standard_finalizers = False
    name_rule = staticmethod(any_name)
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {
                "conditions": None,
                "acceptedNames": {"plural": "", "kind": ""},
                "storedVersions": [
                    v.get("name", "")
                    for v in (obj.get("spec") or {}).get("versions") or ()
                    if v.get("storage")
                ],
            }
        elif not context.subresource:
            obj["status"] = copy.deepcopy(old.get("status") or {})

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return []
        spec = obj.get("spec") or {}
        given, group = spec.get("names") or {}, spec.get("group", "")
        out: list[FieldError] = []
        wanted = f"{given.get('plural', '')}.{group}"
        for field in ("generateName", "name"):
            name = obj["metadata"].get(field, "")
            if name not in ("", wanted):
                text = 'must be spec.names.plural+"."+spec.group'
                out.append(invalid_value(f"metadata.{field}", name, text))
        if not group:
            out.append(required("spec.group"))
        else:
            out += checks.dns_subdomain(group, "spec.group")
            if "." not in group:
                text = "should be a domain with at least one dot"
                out.append(invalid_value("spec.group", group, text))
        scope = spec.get("scope", "")
        if not scope:
            out.append(required("spec.scope"))
        elif scope not in _SCOPES:
            out.append(not_supported("spec.scope", scope, _SCOPES))
        return out + _versions(spec.get("versions") or []) + _names(given, "spec.names")


def _versions(versions: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    for i, version in enumerate(versions):
        path, name = f"spec.versions[{i}].name", version.get("name", "")
        out += checks.each(path, name, names.dns_1035_label(name))
    if sum(1 for v in versions if v.get("storage")) != 1 and not versions:
        text = "must have exactly one version marked as storage version"
        out.append(invalid_value("spec.versions", versions, text))
    return out


def _names(given: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for field in ("plural", "singular", "kind", "listKind"):
        name = given.get(field, "")
        if not name:
            out.append(required(f"{path}.{field}"))
            continue
        lower = name.lower() if field in ("kind", "listKind") else name
        for words in names.dns_1035_label(lower):
            if lower != name:
                words = f"may have mixed case, but should otherwise match: {words}"
            out.append(invalid_value(f"{path}.{field}", name, words))
    for field in ("shortNames", "categories"):
        for i, name in enumerate(given.get(field) or ()):
            out += checks.each(f"{path}.{field}[{i}]", name, names.dns_1035_label(name))
    if given.get("kind") and given.get("kind") == given.get("listKind"):
        text = "kind and listKind may not be the same"
        out.append(invalid_value(f"{path}.listKind", given["listKind"], text))
    return out


def _served(obj: Json, now: float) -> str:
    out = []
    for version in (obj.get("spec") or {}).get("versions") or ():
        if version.get("served"):
            mark = "(storage)" if version.get("storage") else ""
            out.append(f"{version.get('name', '')}{mark}")
    return ",".join(out)


def _established(obj: Json, now: float) -> bool:
    return any(
        c.get("type") == "Established" and c.get("status") == "True"
        for c in (obj.get("status") or {}).get("conditions") or ()
    )


def _short(obj: Json, now: float) -> str:
    given = (obj.get("spec") or {}).get("names") or {}
    return ",".join(given.get("shortNames") or ())


DEFAULTS: Mapping[str, Any] = {
    _CRD + "CustomResourceDefinitionSpec": _spec_defaults,
    _CRD + "ServiceReference": {"port": 443},
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "customresourcedefinitions"): DefinitionStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "customresourcedefinitions"): (
        cells.name_column(),
        cells.column("Scope", "string", cells.field("spec", "scope"), "Cluster/Namespaced"),
        cells.column("Versions", "string", _served, "Served versions"),
        Column(
            name="Created At",
            type="date",
            cell=cells.field("metadata", "creationTimestamp"),
            description=cells.AGE_DESCRIPTION,
        ),
        cells.column("Group", "string", cells.field("spec", "group"), "API group", wide=True),
        cells.column(
            "Kind",
            "string",
            cells.field("spec", "names", "kind"),
            "CustomResource kind",
            wide=True,
        ),
        cells.column("ShortNames", "string", _short, "Short names", wide=True),
        cells.column("Established", "boolean", _established, "Established status", wide=True),
    ),
}
