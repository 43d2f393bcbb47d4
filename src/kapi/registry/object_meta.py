"""What every object's metadata obeys, on create and on update, in the order and the words of the
real server.

Called by `registry/write.py` before a kind's own `Strategy.validate`; the findings of both stand in
one answer. Pod templates and claim templates inside other objects use the parts (`validate_labels`,
`validate_annotations`). Pure functions over decoded metadata: types are right, absent means empty.
Nothing is built until something is wrong.
https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/object-meta/
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.registry import names

Json = dict[str, Any]
NameRule = Callable[[str, bool], list[str]]

ANNOTATIONS_BYTES_MAX = 262144  # keys and values together
GENERATED_BASE_MAX = 58  # characters of generateName that stay: five random ones make 63
MANAGER_CHARACTERS_MAX = 128
SUBRESOURCE_CHARACTERS_MAX = 256

ORPHAN = "orphan"
FOREGROUND = "foregroundDeletion"
STANDARD_FINALIZERS = frozenset({"kubernetes", ORPHAN, FOREGROUND})
NOT_A_FINALIZER = "name is neither a standard finalizer name nor is it fully qualified"

IMMUTABLE = "field is immutable"
NOT_NEGATIVE = "must be greater than or equal to 0"

# Kinds that come and go by themselves and may not own anything.
_BANNED_OWNERS = frozenset({("", "v1", "Event")})


def validate_create(
    meta: Json,
    *,
    namespaced: bool,
    name_rule: NameRule,
    path: str = "metadata",
    standard_finalizers: bool = True,
) -> list[FieldError]:
    """Findings about the metadata of a new object, its name already generated.

    `standard_finalizers`: names without a domain must be ones that Kubernetes knows (built-in
    kinds).
    """
    out: list[FieldError] = []
    generate_name = meta.get("generateName")
    if generate_name:
        complaints = name_rule(generate_name, True)
        if complaints:
            where = f"{path}.generateName"
            out += [errors.invalid_value(where, generate_name, c) for c in complaints]
    name = meta.get("name")
    if not name:
        out.append(errors.required(f"{path}.name", "name or generateName is required"))
    else:
        complaints = name_rule(name, False)
        if complaints:
            out += [errors.invalid_value(f"{path}.name", name, c) for c in complaints]
    _namespace(meta.get("namespace"), namespaced, path, out)
    if meta.get("generation", 0) < 0:
        out.append(errors.invalid_value(f"{path}.generation", meta["generation"], NOT_NEGATIVE))
    _maps_and_owners(meta, path, out)
    finalizers = meta.get("finalizers")
    if finalizers:
        out += _finalizers(finalizers, f"{path}.finalizers")
    if meta.get("managedFields"):
        out += validate_managed_fields(meta["managedFields"], f"{path}.managedFields")
    if finalizers and standard_finalizers:
        out += _kube_finalizers(finalizers, f"{path}.finalizers")
    return out


_FIXED = (
    "name",
    "namespace",
    "uid",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
)
_POINTERS = frozenset({"creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"})


def validate_update(
    new: Json, old: Json, path: str = "metadata", *, standard_finalizers: bool = True
) -> list[FieldError]:
    """Findings about changed metadata, after what the server keeps by itself was put back.

    That a resourceVersion is there where one is needed is for the caller to see.
    """
    out: list[FieldError] = []
    finalizers = new.get("finalizers") or ()
    if old.get("deletionTimestamp") and finalizers:
        added = sorted(set(finalizers) - set(old.get("finalizers") or ()))
        if added:
            listed = ", ".join(errors.quote(f) for f in added)
            out.append(
                errors.field_forbidden(
                    f"{path}.finalizers",
                    "no new finalizers can be added if the object is being deleted, "
                    f"found new finalizers []string{{{listed}}}",
                )
            )
    if new.get("generation", 0) < old.get("generation", 0):
        where = f"{path}.generation"
        out.append(errors.invalid_value(where, new.get("generation", 0), "must not be decremented"))
    for field in _FIXED:
        if new.get(field) != old.get(field):
            value = new.get(field, None if field in _POINTERS else "")
            out.append(errors.invalid_value(f"{path}.{field}", value, IMMUTABLE))
    _maps_and_owners(new, path, out)
    if new.get("managedFields"):
        out += validate_managed_fields(new["managedFields"], f"{path}.managedFields")
    if finalizers and standard_finalizers:
        out += _kube_finalizers(finalizers, f"{path}.finalizers")
    return out


def _namespace(namespace: str | None, namespaced: bool, path: str, out: list[FieldError]) -> None:
    if namespaced:
        if not namespace:
            out.append(errors.required(f"{path}.namespace"))
            return
        complaints = names.dns_label(namespace)
        if complaints:
            where = f"{path}.namespace"
            out += [errors.invalid_value(where, namespace, c) for c in complaints]
    elif namespace:
        out.append(errors.field_forbidden(f"{path}.namespace", "not allowed on this type"))


def _maps_and_owners(meta: Json, path: str, out: list[FieldError]) -> None:
    labels = meta.get("labels")
    if labels:
        out += validate_labels(labels, f"{path}.labels")
    annotations = meta.get("annotations")
    if annotations:
        out += validate_annotations(annotations, f"{path}.annotations")
    owners = meta.get("ownerReferences")
    if owners:
        out += _owners(owners, f"{path}.ownerReferences")


def validate_labels(labels: Mapping[str, str], path: str) -> list[FieldError]:
    """Findings about a map of labels; a value that two labels share is found once."""
    out: list[FieldError] = []
    seen: set[str] = set()
    for key, value in labels.items():
        complaints = names.qualified_name(key)
        if complaints:
            out += [errors.invalid_value(path, key, c) for c in complaints]
        complaints = names.label_value(value)
        if complaints and value not in seen:
            seen.add(value)
            out += [errors.invalid_value(path, value, c) for c in complaints]
    return out


def validate_annotations(annotations: Mapping[str, str], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    size = 0
    for key, value in annotations.items():
        complaints = names.qualified_name(key.lower())
        if complaints:
            out += [errors.invalid_value(path, key, c) for c in complaints]
        size += _bytes(key) + _bytes(value)
    if size > ANNOTATIONS_BYTES_MAX:
        out.append(errors.too_long(path, ANNOTATIONS_BYTES_MAX))
    return out


def _bytes(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def _owners(owners: Sequence[Json], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    controller = ""
    for i, owner in enumerate(owners):
        _owner(owner, path, i, out)
        if owner.get("controller"):
            this = f"{owner.get('kind', '')}/{owner.get('name', '')}"
            if controller:
                text = (
                    "Only one reference can have Controller set to true. "
                    f'Found "true" in references for {controller} and {this}'
                )
                out.append(errors.invalid_value(path, list(owners), text))
            else:
                controller = this
    return out


def _owner(owner: Json, path: str, index: int, out: list[FieldError]) -> None:
    api_version = owner.get("apiVersion", "")
    group, _, version = api_version.rpartition("/")
    if not version or api_version.count("/") > 1:
        where = f"{path}[{index}].apiVersion"
        out.append(errors.invalid_value(where, api_version, "version must not be empty"))
    for field in ("kind", "name", "uid"):
        if not owner.get(field):
            out.append(errors.required(f"{path}[{index}].{field}", "must not be empty"))
    if (group, version, owner.get("kind")) in _BANNED_OWNERS:
        text = f"{group}/{version}, Kind={owner['kind']} is disallowed from being an owner"
        out.append(errors.invalid_value(f"{path}[{index}]", owner, text))


def _finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for i, finalizer in enumerate(finalizers):
        complaints = names.qualified_name(finalizer)
        if complaints:
            out += [errors.invalid_value(f"{path}[{i}]", finalizer, c) for c in complaints]
    if ORPHAN in finalizers and FOREGROUND in finalizers:
        text = f"finalizer {ORPHAN} and {FOREGROUND} cannot be both set"
        out.append(errors.invalid_value(path, list(finalizers), text))
    return out


def _kube_finalizers(finalizers: Sequence[str], path: str) -> list[FieldError]:
    return [
        errors.invalid_value(f"{path}[{i}]", finalizer, NOT_A_FINALIZER)
        for i, finalizer in enumerate(finalizers)
        if "/" not in finalizer and finalizer not in STANDARD_FINALIZERS
    ]


def validate_managed_fields(entries: Sequence[Json], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for i, entry in enumerate(entries):
        operation = entry.get("operation", "")
        if operation not in ("Apply", "Update"):
            where = f"{path}[{i}].operation"
            out.append(errors.invalid_value(where, operation, "must be `Apply` or `Update`"))
        fields_type = entry.get("fieldsType", "")
        if fields_type and fields_type != "FieldsV1":
            where = f"{path}[{i}].fieldsType"
            out.append(errors.invalid_value(where, fields_type, "must be `FieldsV1`"))
        manager = entry.get("manager", "")
        if manager:
            out += validate_field_manager(manager, f"{path}[{i}].manager")
        if len(entry.get("subresource", "")) > SUBRESOURCE_CHARACTERS_MAX:
            where = f"{path}[{i}].subresource"
            out.append(errors.too_long(where, SUBRESOURCE_CHARACTERS_MAX))
    return out


def validate_field_manager(manager: str, path: str) -> list[FieldError]:
    """The name of who writes: short and printable."""
    out: list[FieldError] = []
    if _bytes(manager) > MANAGER_CHARACTERS_MAX:
        out.append(errors.too_long(path, MANAGER_CHARACTERS_MAX))
    if not manager.isprintable():
        position = 0
        for c in manager:
            if not c.isprintable():
                text = f"invalid character U+{ord(c):04X} (at position {position})"
                out.append(errors.invalid_value(path, manager, text))
            position += len(c.encode())
    return out
