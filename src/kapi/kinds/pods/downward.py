"""Selectors of the downward API: fields of the pod and resources of a container, as env variables
and as files.

Called by `containers.py` (env) and `volumes.py` (files).
https://kubernetes.io/docs/concepts/workloads/pods/downward-api/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks
from kapi.registry import names

Json = dict[str, Any]
Findings = list[FieldError]

ENV_FIELDS = frozenset(
    {
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
        "spec.nodeName",
        "spec.serviceAccountName",
        "status.hostIP",
        "status.hostIPs",
        "status.podIP",
        "status.podIPs",
    }
)
VOLUME_FIELDS = frozenset(
    {
        "metadata.annotations",
        "metadata.labels",
        "metadata.name",
        "metadata.namespace",
        "metadata.uid",
    }
)
# Fields that can be named at all, if not everywhere.
_KNOWN = (ENV_FIELDS | VOLUME_FIELDS) | {
    "spec.restartPolicy", "spec.schedulerName", "status.phase",
}  # fmt: skip
_SUBSCRIPTED = ("metadata.annotations", "metadata.labels")

RESOURCES = (
    "limits.cpu", "limits.ephemeral-storage", "limits.memory", "requests.cpu",
    "requests.ephemeral-storage", "requests.memory",
)  # fmt: skip
_HUGE_PAGES = ("limits.hugepages-", "requests.hugepages-")
_SIZE_UNITS = ("1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei")
_SIZES = f"only divisor's values {', '.join(_SIZE_UNITS)} are supported with the"


def _subscript(path: str) -> tuple[str, str] | None:
    """`metadata.labels['a']` → (metadata.labels, a)."""
    if not path.endswith("']"):
        return None
    base, found, key = path[:-2].partition("['")
    return (base, key) if found and base else None


def validate_field_selector(selector: Json, supported: frozenset[str], path: str) -> Findings:
    version, field = selector.get("apiVersion"), selector.get("fieldPath")
    if not version:
        return [errors.required(f"{path}.apiVersion")]
    if not field:
        return [errors.required(f"{path}.fieldPath")]
    if version == "v1" and field in supported:
        return []
    complaint, where = _conversion(version, field), f"{path}.fieldPath"
    if complaint:
        text = f"error converting fieldPath: {complaint}"
        return [errors.invalid_value(where, field, text)]
    parts = _subscript(field)
    if parts is not None:
        base, key = parts
        asked = key.lower() if base == "metadata.annotations" else key
        return checks.each(path, key, names.qualified_name(asked))
    field = "spec.nodeName" if field == "spec.host" else field
    return [] if field in supported else [errors.not_supported(where, field, sorted(supported))]


def _conversion(version: str, field: str) -> str:
    """Why the server cannot read a field path; empty if it can."""
    if version != "v1":
        return f"unsupported pod version: {version}"
    parts = _subscript(field)
    if parts is not None:
        known = parts[0] in _SUBSCRIPTED
        return "" if known else f"field label does not support subscript: {field}"
    if field in _KNOWN or field == "spec.host":
        return ""
    return f"field label not supported: {field}"


def validate_resource_selector(selector: Json, path: str, *, volume: bool) -> Findings:
    out: Findings = []
    resource = selector.get("resource", "")
    if volume and not selector.get("containerName"):
        out.append(errors.required(f"{path}.containerName"))
    elif not resource:
        out.append(errors.required(f"{path}.resource"))
    elif resource not in RESOURCES and not resource.startswith(_HUGE_PAGES):
        out.append(errors.not_supported(f"{path}.resource", resource, RESOURCES))
    divisor = selector.get("divisor", "0")
    if divisor != "0":
        out += _divisor(resource, divisor, f"{path}.divisor")
    return out


def _divisor(resource: str, divisor: str, path: str) -> Findings:
    kind = resource.partition(".")[2]
    text = ""
    if kind == "cpu":
        if divisor not in ("1m", "1"):
            text = "only divisor's values 1m and 1 are supported with the cpu resource"
    elif divisor not in _SIZE_UNITS:
        if kind == "memory":
            text = f"{_SIZES} memory resource"
        elif kind == "ephemeral-storage":
            text = f"{_SIZES} local ephemeral storage resource"
        elif kind.startswith("hugepages-"):
            text = f"{_SIZES} hugepages resource"
    return [errors.invalid_value(path, resource, text)] if text else []
