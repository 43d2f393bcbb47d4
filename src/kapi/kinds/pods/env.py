"""Environment variables of a container: their names and where their values come from.

Called by `containers.py` only.
https://kubernetes.io/docs/tasks/inject-data-application/define-environment-variable-container/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.downward import (
    ENV_FIELDS,
    validate_field_selector,
    validate_resource_selector,
)
from kapi.kinds.pods.volume_sources import non_reserved_path
from kapi.kinds.shared import checks
from kapi.registry import names

Json = dict[str, Any]
Findings = list[FieldError]

ENV_NAME = (
    "a valid environment variable name must consist only of printable ASCII characters other "
    "than '='"
)
ONE_SOURCE = "may not have more than one field specified at a time"


def _env_name(name: str) -> list[str]:
    if name.isascii() and name.isprintable() and "=" not in name:
        return []
    return [ENV_NAME]


def validate_env(variables: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    for i, variable in enumerate(variables):
        name = variable.get("name")
        if not name:
            out.append(errors.required(f"{path}[{i}].name"))
        elif _env_name(name):
            out += checks.each(f"{path}[{i}].name", name, _env_name(name))
        source = variable.get("valueFrom")
        if source is not None:
            out += _value_from(variable, source, f"{path}[{i}].valueFrom")
    return out


def _value_from(variable: Json, source: Json, path: str) -> Findings:
    out: Findings = []
    field, resource = source.get("fieldRef"), source.get("resourceFieldRef")
    if field is not None:
        out += validate_field_selector(field, ENV_FIELDS, f"{path}.fieldRef")
    if resource is not None:
        out += validate_resource_selector(resource, f"{path}.resourceFieldRef", volume=False)
    for kind in ("configMapKeyRef", "secretKeyRef"):
        ref = source.get(kind)
        if ref is not None:
            out += _key_ref(ref, f"{path}.{kind}")
    if source.get("fileKeyRef") is not None:
        out += _file_key_ref(source["fileKeyRef"], f"{path}.fileKeyRef")
    count = len(source)
    if count == 0:
        text = (
            "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, "
            "`secretKeyRef` or `fileKeyRef`"
        )
        out.append(errors.invalid_value(path, "", text))
    if variable.get("value"):
        if count:
            text = "may not be specified when `value` is not empty"
            out.append(errors.invalid_value(path, "", text))
    elif count > 1:
        out.append(errors.invalid_value(path, "", ONE_SOURCE))
    return out


def _key_ref(ref: Json, path: str) -> Findings:
    out: Findings = []
    name, key = ref.get("name", ""), ref.get("key", "")
    complaints = names.dns_subdomain(name)
    if complaints:
        out += checks.each(f"{path}.name", name, complaints)
    if not key:
        out.append(errors.required(f"{path}.key"))
    else:
        complaints = checks.config_key(key)
        if complaints:
            out += checks.each(f"{path}.key", key, complaints)
    return out


def _file_key_ref(ref: Json, path: str) -> Findings:
    out: Findings = []
    key, volume, file = ref.get("key", ""), ref.get("volumeName", ""), ref.get("path", "")
    if not key:
        out.append(errors.required(f"{path}.key"))
    elif _env_name(key):
        out += checks.each(f"{path}.key", key, _env_name(key))
    if not volume:
        out.append(errors.required(f"{path}.volumeName"))
    else:
        out += checks.dns_label(volume, f"{path}.volumeName")
    if not file:
        out.append(errors.required(f"{path}.path"))
    else:
        out += non_reserved_path(file, f"{path}.path")
    return out


def validate_env_from(sources: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    for i, source in enumerate(sources):
        prefix = source.get("prefix")
        if prefix and _env_name(prefix):
            out += checks.each(f"{path}[{i}].prefix", prefix, _env_name(prefix))
        count = 0
        for kind in ("configMapRef", "secretRef"):
            ref = source.get(kind)
            if ref is None:
                continue
            count += 1
            name = ref.get("name", "")
            if not name:
                out.append(errors.required(f"{path}[{i}].{kind}.name"))
                continue
            complaints = names.dns_subdomain(name)
            if complaints:
                out += checks.each(f"{path}[{i}].{kind}.name", name, complaints)
        if count == 0:
            text = "must specify one of: `configMapRef` or `secretRef`"
            out.append(errors.invalid_value(path, "", text))
        elif count > 1:
            out.append(errors.invalid_value(path, "", ONE_SOURCE))
    return out
