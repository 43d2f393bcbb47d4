"""apiregistration.k8s.io: APIService.
https://kubernetes.io/docs/concepts/extend-kubernetes/api-extension/apiserver-aggregation/

Whether a service answers is found out elsewhere; one that is served here is available from the
start.
"""

from __future__ import annotations

import base64
import copy
from collections.abc import Mapping
from typing import Any

from kapi.clock import rfc3339
from kapi.errors import FieldError, invalid_value, not_supported, required
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "apiregistration.k8s.io"
_PACKAGE = "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1."
_STATUSES = ("True", "False", "Unknown")
GROUP_PRIORITY_MAX, VERSION_PRIORITY_MAX = 20000, 1000


def any_name(name: str, prefix: bool = False) -> list[str]:
    """What the name must be hangs on the spec, and is checked there."""
    return []


class APIServiceStrategy(Plain):
    standard_finalizers = False
    name_rule = staticmethod(any_name)
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is not None:
            if not context.subresource:
                obj["status"] = copy.deepcopy(old.get("status") or {})
            return
        obj["status"] = {}
        if (obj.get("spec") or {}).get("service") is None:
            available = {
                "type": "Available",
                "status": "True",
                "lastTransitionTime": rfc3339(context.now),
                "reason": "Local",
                "message": "Local APIServices are always available",
            }
            obj["status"] = {"conditions": [available]}

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _status(obj.get("status") or {})
        spec = obj.get("spec") or {}
        out: list[FieldError] = []
        group, version = spec.get("group", ""), spec.get("version", "")
        wanted = f"{version}.{group}"
        for field in ("generateName", "name"):
            name = obj["metadata"].get(field, "")
            found = names.path_segment(name, field == "generateName")
            if not found and name != wanted:
                found = [f'must be `spec.version+"."+spec.group`: "{wanted}"']
            if name:
                out += checks.each(f"metadata.{field}", name, found)
        if not group and version != "v1":
            text = "only v1 may have an empty group and it better be legacy kube"
            out.append(required("spec.group", text))
        if group:
            out += checks.dns_subdomain(group, "spec.group")
        out += checks.each("spec.version", version, names.dns_1035_label(version))
        for field, most in (
            ("groupPriorityMinimum", GROUP_PRIORITY_MAX),
            ("versionPriority", VERSION_PRIORITY_MAX),
        ):
            value = spec.get(field, 0)
            if not 0 < value <= most:
                text = f"must be positive and less than {most}"
                out.append(invalid_value(f"spec.{field}", value, text))
        return out + _backend(spec)


def _status(status: Json) -> list[FieldError]:
    return [
        not_supported(f"status.conditions[{i}].status", value, _STATUSES)
        for i, condition in enumerate(status.get("conditions") or ())
        if (value := condition.get("status", "")) not in _STATUSES
    ]


def _backend(spec: Json) -> list[FieldError]:
    service, insecure = spec.get("service"), bool(spec.get("insecureSkipTLSVerify"))
    bundle = spec.get("caBundle") or ""
    out: list[FieldError] = []
    if service is None:
        if bundle:
            size = f"{len(base64.b64decode(bundle))} bytes"
            text = "local APIServices may not have a caBundle"
            out.append(invalid_value("spec.caBundle", size, text))
        if insecure:
            text = "local APIServices may not have insecureSkipTLSVerify"
            out.append(invalid_value("spec.insecureSkipTLSVerify", True, text))
        return out
    for name in ("namespace", "name"):
        if not service.get(name):
            out.append(required(f"spec.service.{name}"))
    port = service.get("port", 443)
    if not 1 <= port <= 65535:
        text = f"port is not valid: {checks.PORT}"
        out.append(invalid_value("spec.service.port", port, text))
    if insecure and bundle:
        text = "may not be true if caBundle is present"
        out.append(invalid_value("spec.insecureSkipTLSVerify", True, text))
    return out


def _service(obj: Json, now: float) -> str:
    service = (obj.get("spec") or {}).get("service")
    return f"{service.get('namespace', '')}/{service.get('name', '')}" if service else "Local"


def _available(obj: Json, now: float) -> str:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == "Available":
            status = str(condition.get("status", ""))
            if status == "True":
                return status
            return f"{status} ({condition.get('reason', '')})"
    return "Unknown"


DEFAULTS: Mapping[str, Any] = {_PACKAGE + "ServiceReference": {"port": 443}}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "apiservices"): APIServiceStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "apiservices"): (
        cells.name_column(),
        cells.column(
            "Service",
            "string",
            _service,
            "The reference to the service that hosts this API endpoint.",
        ),
        cells.column("Available", "string", _available, "Whether this service is available."),
        cells.age_column(),
    ),
}
