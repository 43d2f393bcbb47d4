"""Probes and lifecycle hooks of a container: exactly one handler each, and its numbers.

Called by `containers.py` only, for a probe or hook that is there.
https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/
"""

from __future__ import annotations

import re
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks

Json = dict[str, Any]
Findings = list[FieldError]

SCHEMES = ("HTTP", "HTTPS")
_HEADER = re.compile(r"[-A-Za-z0-9]+\Z")
HEADER_NAME = (
    "a valid HTTP header must consist of alphanumeric characters or '-' "
    "(e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')"
)
ONE_HANDLER = "may not specify more than 1 handler type"
_KINDS = ("exec", "httpGet", "tcpSocket", "grpc", "sleep")  # in the order of the server


def validate_port(port: int | str, path: str) -> Findings:
    """A port by number, or by the name it has in the container."""
    if isinstance(port, int):
        return checks.port(port, path)
    return checks.each(path, port, checks.port_name(port))


def _handler(handler: Json, path: str, grace: int | None) -> Findings:
    given = [kind for kind in _KINDS if handler.get(kind) is not None]
    if not given:
        return [errors.required(path, "must specify a handler type")]
    kind, where = given[0], f"{path}.{given[0]}"
    out = _one(kind, handler[kind], where, grace)
    return out + [errors.field_forbidden(f"{path}.{k}", ONE_HANDLER) for k in given[1:]]


def _one(kind: str, action: Json, path: str, grace: int | None) -> Findings:
    out: Findings = []
    if kind == "exec":
        if not action.get("command"):
            out.append(errors.required(f"{path}.command"))
    elif kind == "httpGet":
        if not action.get("path"):
            out.append(errors.required(f"{path}.path"))
        out += validate_port(action.get("port", 0), f"{path}.port")
        scheme = action.get("scheme", "")
        if scheme not in SCHEMES:
            out.append(errors.not_supported(f"{path}.scheme", scheme, SCHEMES))
        for header in action.get("httpHeaders") or ():
            name = header.get("name", "")
            if not _HEADER.match(name):
                out.append(errors.invalid_value(f"{path}.httpHeaders", name, HEADER_NAME))
    elif kind == "tcpSocket":
        out += validate_port(action.get("port", 0), f"{path}.port")
    elif kind == "grpc":
        out += checks.port(action.get("port", 0), f"{path}.port")
    else:
        out += _sleep(action.get("seconds", 0), path, grace)
    return out


def _sleep(seconds: int, path: str, grace: int | None) -> Findings:
    if grace is None or 0 <= seconds <= grace:
        return []
    text = (
        "must be non-negative and less than terminationGracePeriodSeconds "
        f"({grace}). Enable AllowPodLifecycleSleepActionZeroValue feature gate for zero sleep."
    )
    return [errors.invalid_value(path, seconds, text)]


_NUMBERS = (
    "initialDelaySeconds", "timeoutSeconds", "periodSeconds", "successThreshold",
    "failureThreshold",
)  # fmt: skip


def _probe(probe: Json, path: str, grace: int | None) -> Findings:
    out = _handler(probe, path, grace)
    for field in _NUMBERS:
        value = probe.get(field, 0)
        if value < 0:
            out += checks.non_negative(value, f"{path}.{field}")
    own = probe.get("terminationGracePeriodSeconds")
    if own is not None and own <= 0:
        where = f"{path}.terminationGracePeriodSeconds"
        out.append(errors.invalid_value(where, own, "must be greater than 0"))
    return out


def _once(probe: Json, path: str, grace: int | None) -> Findings:
    """A probe that must succeed once."""
    out = _probe(probe, path, grace)
    threshold = probe.get("successThreshold", 0)
    if threshold != 1:
        out.append(errors.invalid_value(f"{path}.successThreshold", threshold, "must be 1"))
    return out


validate_liveness_probe = _once
validate_startup_probe = _once


def validate_readiness_probe(probe: Json, path: str, grace: int | None) -> Findings:
    out = _probe(probe, path, grace)
    own = probe.get("terminationGracePeriodSeconds")
    if own is not None:
        where = f"{path}.terminationGracePeriodSeconds"
        out.append(errors.invalid_value(where, own, "must not be set for readinessProbes"))
    return out


def validate_lifecycle(lifecycle: Json, path: str, grace: int | None) -> Findings:
    out: Findings = []
    for hook in ("postStart", "preStop"):
        if lifecycle.get(hook) is not None:
            out += _handler(lifecycle[hook], f"{path}.{hook}", grace)
    return out
