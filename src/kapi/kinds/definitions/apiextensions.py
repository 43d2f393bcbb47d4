"""apiextensions.k8s.io: CustomResourceDefinition, as a stored kind: names, versions, its table.

What it makes the server serve is in `apiextensions/`.
https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, invalid_value, quote
from kapi.kinds.definitions import spec as definition_spec
from kapi.kinds.definitions.conditions import (
    CLEANUP,
    ESTABLISHED,
    TERMINATING,
    approval_finding,
    condition_of,
    is_true,
    set_condition,
)
from kapi.kinds.definitions.schemas import Requirements, RuleChecks
from kapi.kinds.shared import cells
from kapi.kinds.shared.bases import SPEC_ONLY, Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, NameRule, Strategy
from kapi.schema.structural import SchemaSource

Json = dict[str, Any]

GROUP = "apiextensions.k8s.io"
PLURAL = "customresourcedefinitions"
_MUST_BE = 'must be spec.names.plural+"."+spec.group'
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_PENDING = (
    "InstanceDeletionPending",
    "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon",
)


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
    generates_names = True
    unconditional_update = False
    own_deletion = True
    propagates = False  # but in a collection
    metadata_checks = 2  # its own rules say it again
    # The real server means to put metadata back, too, but puts back what came.
    reset_status = SPEC_ONLY

    def __init__(self, object_meta: SchemaSource, rules: RuleChecks | None = None) -> None:
        """`object_meta`: the schema of every kind's metadata. `rules`: checks
        x-kubernetes-validations; None: they are taken as they are.
        """
        self._required = Requirements(object_meta=object_meta, rules=rules)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {
                "conditions": None,
                "acceptedNames": {"plural": "", "kind": ""},
                "storedVersions": None,
            }
        elif not context.subresource:
            obj["status"] = copy.deepcopy(old.get("status") or {})
        if context.subresource:
            return
        storage = next((v for v in _versions(obj) if v.get("storage")), None)
        stored = obj["status"].get("storedVersions") or []
        if storage is not None and storage.get("name", "") not in stored:
            obj["status"]["storedVersions"] = [*stored, storage.get("name", "")]

    def name_rule_of(self, obj: Json) -> NameRule:
        spec = obj.get("spec") or {}
        wanted = f"{(spec.get('names') or {}).get('plural', '')}.{spec.get('group', '')}"

        def rule(name: str, prefix: bool) -> list[str]:
            found = names.dns_subdomain(name, prefix)
            return found if name == wanted else [*found, _MUST_BE]

        return rule

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if context.subresource:
            return []
        found = definition_spec.unknown_formats(obj.get("spec") or {})
        if found and old is not None:
            known = definition_spec.unknown_formats(old.get("spec") or {})
            found = [name for name in found if name not in known]
        return [f"unrecognized format {quote(name)}" for name in found]

    def mark_deleted(self, obj: Json, now: str) -> bool:
        """A definition that is deleted by name stays until its instances are gone."""
        meta, status = obj["metadata"], obj.setdefault("status", {})
        meta["deletionTimestamp"] = now
        finalizers = meta.setdefault("finalizers", [])
        if CLEANUP not in finalizers:
            finalizers.append(CLEANUP)
        set_condition(status, condition_of(TERMINATING, "True", *_PENDING), now)
        return True

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        accepted = (obj.get("status") or {}).get("acceptedNames") or {}
        if context.subresource == "status":
            return definition_spec.name_findings(accepted, "status.acceptedNames")
        spec = obj.get("spec") or {}
        found: list[FieldError] = []
        needed = self._required
        before: Json = {}
        if old is not None:
            before = old.get("spec") or {}
            established = is_true(old, ESTABLISHED)
            needed = definition_spec.requirements(before, needed, established=established)
        found += definition_spec.findings(spec, needed)
        if old is not None:
            found += definition_spec.immutable(spec, before, needed)
        found += definition_spec.name_findings(accepted, "status.acceptedNames")
        found += _stored_versions(obj)
        found += approval_finding(obj, old)
        if spec.get("preserveUnknownFields") and not before.get("preserveUnknownFields"):
            text = (
                "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in "
                "spec.versions[*].schema instead"
            )
            found.append(invalid_value("spec.preserveUnknownFields", True, text))
        return found


def _stored_versions(obj: Json) -> list[FieldError]:
    path = "status.storedVersions"
    stored: list[str] | None = (obj.get("status") or {}).get("storedVersions")
    if not stored:
        return [invalid_value(path, stored, "must have at least one stored version")]
    found: list[FieldError] = []
    listed = {v.get("name", "") for v in _versions(obj)}
    for version in _versions(obj):
        name = version.get("name", "")
        if version.get("storage") and name not in stored:
            found.append(invalid_value(path, stored, f"must have the storage version {name}"))
    for name, i in {name: i for i, name in enumerate(stored)}.items():
        if name not in listed:
            text = (
                f"missing from spec.versions; {name} was previously a storage version, and must "
                "remain in spec.versions until a storage migration ensures no data remains "
                f"persisted in {name} and removes {name} from status.storedVersions"
            )
            found.append(invalid_value(f"{path}[{i}]", name, text))
    return found


def _versions(obj: Json) -> list[Json]:
    return list((obj.get("spec") or {}).get("versions") or ())


def _served(obj: Json, now: float) -> str:
    out = []
    versions = sorted(_versions(obj), key=lambda v: str(v.get("name", "")))
    for version in versions:
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


def strategies(
    object_meta: SchemaSource, rules: RuleChecks | None = None
) -> Mapping[tuple[str, str], Strategy]:
    """Those that need to know of the built-in schemas."""
    return {(GROUP, PLURAL): DefinitionStrategy(object_meta, rules)}


COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, PLURAL): (
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
