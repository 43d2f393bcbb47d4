"""ConfigMap, Secret, ServiceAccount, Namespace, LimitRange, ResourceQuota: what their schemas
cannot say.

https://kubernetes.io/docs/reference/kubernetes-api/config-and-storage-resources/
https://kubernetes.io/docs/reference/kubernetes-api/policy-resources/
"""

from __future__ import annotations

import base64
import binascii
import copy
from collections.abc import Mapping
from typing import Any

from kapi.codec import json_scanner
from kapi.errors import (
    FieldError,
    field_forbidden,
    invalid_value,
    required,
    too_long,
)
from kapi.kinds.cluster.key_pairs import key_pair_problem
from kapi.kinds.cluster.quotas import LimitRangeStrategy, ResourceQuotaStrategy, limit_defaults
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.amounts import rounding
from kapi.kinds.shared.texts import described
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
SECRET_BYTES_MAX = (
    1024 * 1024
)  # of all values of a Secret or ConfigMap: what a store's value can hold
NAMESPACE_LABEL = "kubernetes.io/metadata.name"
_FROZEN = "field is immutable when `immutable` is set"


def decoded_size(text: str | None) -> int:
    """The bytes that a base64 text stands for; Go's nil has none."""
    if text is None:
        return 0
    return len(text) * 3 // 4 - text.count("=", max(0, len(text) - 2))


class ConfigMapStrategy(Strategy):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        if old is not None and old.get("immutable"):
            out += _frozen(obj, old, ("data", "binaryData"))
        data = obj.get("data") or {}
        binary = obj.get("binaryData") or {}
        size = 0
        for key, value in data.items():
            out += checks.each(f"data[{key}]", key, checks.config_key(key))
            if key in binary:
                text = "duplicate of key present in binaryData"
                out.append(invalid_value(f"data[{key}]", key, text))
            size += len(value.encode())
        for key, value in binary.items():
            out += checks.each(f"binaryData[{key}]", key, checks.config_key(key))
            size += decoded_size(value)
        if size > SECRET_BYTES_MAX:
            out.append(too_long("", SECRET_BYTES_MAX))
        return out


def _frozen(obj: Json, old: Json, fields: tuple[str, ...]) -> list[FieldError]:
    out = []
    if not obj.get("immutable"):
        out.append(field_forbidden("immutable", _FROZEN))
    for name in fields:
        if (obj.get(name) or {}) != (old.get(name) or {}):
            out.append(field_forbidden(name, _FROZEN))
    return out


# -- secrets ------------------------------------------------------------------------------------


def _secret_defaults(obj: Json) -> None:
    """`stringData` is write-only: it becomes `data` on reading."""
    if not obj.get("type"):
        obj["type"] = "Opaque"
    texts = obj.pop("stringData", None)
    if texts:
        data = dict(obj.get("data") or {})
        for key, value in texts.items():
            data[key] = base64.b64encode(value.encode()).decode()
        obj["data"] = dict(sorted(data.items()))


class SecretStrategy(Strategy):
    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        if old is not None:
            out += checks.immutable(obj.get("type", ""), old.get("type", ""), "type")
            if old.get("immutable"):
                out += _frozen(obj, old, ("data",))
        data = obj.get("data") or {}
        size = 0
        for key, value in data.items():
            out += checks.each(f"data[{key}]", key, checks.config_key(key))
            size += decoded_size(value)
        if size > SECRET_BYTES_MAX:
            out.append(too_long("data", SECRET_BYTES_MAX))
        return out + _typed_secret(obj.get("type", ""), data, obj["metadata"])

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        if obj.get("type") != "kubernetes.io/tls":
            return []
        data = obj.get("data") or {}
        problem = key_pair_problem(_plain(data.get("tls.crt")), _plain(data.get("tls.key")))
        return [problem] if problem else []


def _plain(encoded: str | None) -> bytes:
    return base64.b64decode(encoded or "")


_NEEDED: Mapping[str, tuple[str, ...]] = {
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_JSON_KEYS: Mapping[str, str] = {
    "kubernetes.io/dockercfg": ".dockercfg",
    "kubernetes.io/dockerconfigjson": ".dockerconfigjson",
}


def _typed_secret(kind: str, data: Json, metadata: Json) -> list[FieldError]:
    """What each known type of Secret must hold."""
    if kind == "kubernetes.io/service-account-token":
        key = "kubernetes.io/service-account.name"
        if not (metadata.get("annotations") or {}).get(key):
            return [required(f"metadata.annotations[{key}]")]
    elif kind in _JSON_KEYS:
        key = _JSON_KEYS[kind]
        if key not in data:
            return [required(f"data[{key}]")]
        problem = json_object_problem(data[key])
        if problem:
            return [invalid_value(f"data[{key}]", "<secret contents redacted>", problem)]
    elif kind == "kubernetes.io/basic-auth":
        if "username" not in data and "password" not in data:
            return [required("data[username]"), required("data[password]")]
    elif kind in _NEEDED:
        empty = kind == "kubernetes.io/ssh-auth"  # where the key alone does not do
        return [
            required(f"data[{key}]")
            for key in _NEEDED[kind]
            if key not in data or (empty and not data[key])
        ]
    return []


def json_object_problem(encoded: str | None) -> str:
    """Why the bytes behind a base64 text are no JSON object, as Go says it; empty if they are."""
    try:
        text = base64.b64decode(encoded or "")
    except (binascii.Error, ValueError):
        return "illegal base64 data at input byte 0"
    try:
        value = json_scanner.parse(text, exact=True)
    except json_scanner.JsonSyntaxError as error:
        return str(error)
    if value is None or isinstance(value, dict):
        return ""
    found = {bool: "bool", str: "string", list: "array"}.get(type(value), "number")
    return f"json: cannot unmarshal {found} into Go value of type map[string]interface {{}}"


# -- service accounts, namespaces ---------------------------------------------------------------


class ServiceAccountStrategy(Strategy):
    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        for reference in obj.get("secrets") or ():
            name = reference.get("name")
            reference.clear()
            if name:
                reference["name"] = name

    def warnings(self, obj: Json, old: Json | None, context: Context) -> list[str]:
        key = "kubernetes.io/enforce-mountable-secrets"
        annotations = obj["metadata"].get("annotations") or {}
        before = (old or {}).get("metadata", {}).get("annotations") or {}
        if key in annotations and key not in before:
            return [
                f"metadata.annotations[{key}]: deprecated in v1.32+; prefer separate namespaces "
                "to isolate access to "
                "mounted secrets"
            ]
        return []


def _namespace_defaults(obj: Json) -> None:
    name = obj["metadata"].get("name")
    if name:
        labels = obj["metadata"].setdefault("labels", {})
        labels[NAMESPACE_LABEL] = name


class NamespaceStrategy(Strategy):
    own_deletion = True
    name_rule = staticmethod(names.dns_label)
    reset_status = (("spec",),)

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["status"] = {"phase": "Active"}
            finalizers = list((obj.get("spec") or {}).get("finalizers") or ())
            if "kubernetes" not in finalizers:
                finalizers.append("kubernetes")
            obj["spec"] = {**(obj.get("spec") or {}), "finalizers": finalizers}
        elif not context.subresource:
            obj["spec"] = copy.deepcopy(old.get("spec") or {})
        elif context.subresource == "finalize":
            obj["status"] = copy.deepcopy(old.get("status") or {})
        _namespace_defaults(obj)

    def mark_deleted(self, obj: Json, now: str) -> bool:
        """A namespace waits, terminating, until nobody holds it by a finalizer in its spec."""
        obj["metadata"].setdefault("deletionTimestamp", now)
        obj.setdefault("status", {})["phase"] = "Terminating"
        return self.held(obj) or bool(obj["metadata"].get("finalizers"))

    def held(self, obj: Json) -> bool:
        return bool((obj.get("spec") or {}).get("finalizers"))

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        finalizers = (obj.get("spec") or {}).get("finalizers") or ()
        if old is None:
            for name in finalizers:
                out += finalizer_name(name, "spec.finalizers")
        elif context.subresource == "finalize":
            for i, name in enumerate(finalizers):
                out += finalizer_name(name, f"spec.finalizers[{i}]")
        elif context.subresource == "status":
            phase = (obj.get("status") or {}).get("phase", "")
            if obj["metadata"].get("deletionTimestamp"):
                if phase != "Terminating":
                    text = "may only be 'Terminating' if `deletionTimestamp` is not empty"
                    out.append(invalid_value("status.Phase", phase, text))
            elif phase != "Active":
                text = "may only be 'Active' if `deletionTimestamp` is empty"
                out.append(invalid_value("status.Phase", phase, text))
        return out


_STANDARD_FINALIZERS = ("kubernetes", "orphan", "foregroundDeletion")


def finalizer_name(name: str, path: str) -> list[FieldError]:
    """A finalizer of a namespace: qualified, or one of the standard names."""
    out = checks.qualified_name(name, path)
    if "/" not in name and name not in _STANDARD_FINALIZERS:
        text = "name is neither a standard finalizer name nor is it fully qualified"
        out.append(invalid_value(path, name, text))
    return out


# -- tables -------------------------------------------------------------------------------------

_REQUEST_TEXT = "Request represents a minimum amount of cpu/memory that a container may consume."
_LIMIT_TEXT = (
    "Limits control the maximum amount of cpu/memory that a container may use "
    "independent of contention on the node."
)


def _data_count(obj: Json, now: float) -> int:
    return len(obj.get("data") or ()) + len(obj.get("binaryData") or ())


def _quota_cell(limits: bool) -> cells.Cell:
    def cell(obj: Json, now: float) -> str:
        hard = (obj.get("status") or {}).get("hard") or {}
        used = (obj.get("status") or {}).get("used") or {}
        shown = [k for k in sorted(hard) if k.startswith("limits.") == limits]
        return ", ".join(f"{k}: {used.get(k, '0')}/{hard[k]}" for k in shown)

    return cell


DEFAULTS: Mapping[str, Any] = {
    _CORE + "Secret": _secret_defaults,
    _CORE + "Namespace": _namespace_defaults,
    _CORE + "NamespaceStatus": {"phase": "Active"},
    _CORE + "LimitRangeItem": limit_defaults,
    _CORE + "ResourceQuotaSpec": rounding("hard"),
    _CORE + "ResourceQuotaStatus": rounding("hard", "used"),
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    ("", "configmaps"): ConfigMapStrategy(),
    ("", "secrets"): SecretStrategy(),
    ("", "serviceaccounts"): ServiceAccountStrategy(),
    ("", "namespaces"): NamespaceStrategy(),
    ("", "limitranges"): LimitRangeStrategy(),
    ("", "resourcequotas"): ResourceQuotaStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("", "configmaps"): (
        cells.name_column(),
        cells.column("Data", "string", _data_count, described(_CORE + "ConfigMap", "data")),
        cells.age_column(),
    ),
    ("", "secrets"): (
        cells.name_column(),
        cells.column("Type", "string", cells.field("type"), described(_CORE + "Secret", "type")),
        cells.column("Data", "string", _data_count, described(_CORE + "Secret", "data")),
        cells.age_column(),
    ),
    ("", "serviceaccounts"): (cells.name_column(), cells.age_column()),
    ("", "namespaces"): (
        cells.name_column(),
        cells.column(
            "Status", "string", cells.field("status", "phase"), "The status of the namespace"
        ),
        cells.age_column(),
    ),
    ("", "resourcequotas"): (
        cells.name_column(),
        cells.column("Request", "string", _quota_cell(False), _REQUEST_TEXT),
        cells.column("Limit", "string", _quota_cell(True), _LIMIT_TEXT),
        cells.age_column(),
    ),
}
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    ("", "secrets"): {"type": lambda obj: obj.get("type", "")},
    ("", "namespaces"): {"status.phase": lambda obj: (obj.get("status") or {}).get("phase", "")},
}
