"""Requests for devices, and the devices on offer: what claims, templates, classes and slices share.

https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

import re
from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    required,
    too_long,
    too_many,
)
from kapi.kinds.shared import checks, claim_specs
from kapi.registry import names

Json = dict[str, Any]

REQUESTS_MAX = CONSTRAINTS_MAX = CONFIGS_MAX = SELECTORS_MAX = 32
EXPRESSION_BYTES_MAX = 10 * 1024  # of a selector
SUBREQUESTS_MAX = 8
DEVICES_MAX = 128
ATTRIBUTES_MAX = 32
ID_BYTES_MAX = 32  # of the name of an attribute, without its domain
TEXT_BYTES_MAX = 64  # of an attribute's value
PARAMETERS_BYTES_MAX = 10 * 1024
_MODES = ("All", "ExactCount")
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "
    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "
    "validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
_UNKNOWN_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)


# -- defaults -----------------------------------------------------------------------------------


def request_defaults(request: Json) -> None:
    """One device, where nobody said how many."""
    if not request.get("allocationMode"):
        request["allocationMode"] = "ExactCount"
    if request["allocationMode"] == "ExactCount" and not request.get("count"):
        request["count"] = 1


def flat_request_defaults(request: Json) -> None:
    """Of v1beta1, where a request with alternatives has none of the fields of a plain one."""
    if not request.get("firstAvailable"):
        request_defaults(request)


# -- claims -------------------------------------------------------------------------------------


def device_claim(claim: Json, path: str) -> list[FieldError]:
    """The `devices` of a claim, but for repeated requests: see `repeated_requests`."""
    out: list[FieldError] = []
    requests = claim.get("requests") or []
    known: set[str] = set()
    for request in requests:
        name = request.get("name", "")
        if not names.dns_label(name):
            known.add(name)
        for sub in request.get("firstAvailable") or ():
            known.add(f"{name}/{sub.get('name', '')}")
    if len(requests) > REQUESTS_MAX:
        return [too_many(f"{path}.requests", len(requests), REQUESTS_MAX)]
    for i, request in enumerate(requests):
        out += _request(request, f"{path}.requests[{i}]")
    constraints = claim.get("constraints") or []
    if len(constraints) > CONSTRAINTS_MAX:
        out.append(too_many(f"{path}.constraints", len(constraints), CONSTRAINTS_MAX))
    for i, constraint in enumerate(constraints):
        out += _constraint(constraint, f"{path}.constraints[{i}]", known)
    configs = claim.get("config") or []
    if len(configs) > CONFIGS_MAX:
        out.append(too_many(f"{path}.config", len(configs), CONFIGS_MAX))
    for i, config in enumerate(configs):
        where = f"{path}.config[{i}]"
        out += _references(config.get("requests") or [], f"{where}.requests", known)
        out += configuration(config, where)
    return out


def repeated_requests(claim: Json, path: str) -> list[FieldError]:
    """The schema's own findings, which come after all others."""
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, request in enumerate(claim.get("requests") or ()):
        name = request.get("name", "")
        if name in seen:
            out.append(duplicate(f"{path}.requests[{i}]", checks.go_json(request)))
        seen.add(name)
    return out


def _request(request: Json, path: str) -> list[FieldError]:
    out = checks.dns_label(request.get("name", ""), f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not alternatives:
        out.append(required(path, text))
    elif exactly is not None and alternatives:
        out.append(invalid_value(path, None, f"{text}, but multiple fields are set"))
    if exactly is not None:
        out += _details(exactly, f"{path}.exactly")
    if len(alternatives) > SUBREQUESTS_MAX:
        out.append(too_many(f"{path}.firstAvailable", len(alternatives), SUBREQUESTS_MAX))
    seen: set[str] = set()
    for i, sub in enumerate(alternatives):
        where, name = f"{path}.firstAvailable[{i}]", sub.get("name", "")
        out += checks.dns_label(name, f"{where}.name")
        out += _details(sub, where)
        if name in seen:
            out.append(duplicate(where, checks.go_json(sub)))
        seen.add(name)
    return out


def _details(request: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    name, mode, count = (
        request.get("deviceClassName", ""),
        request.get("allocationMode", ""),
        request.get("count", 0),
    )
    if name:
        out += checks.dns_subdomain(name, f"{path}.deviceClassName")
    else:
        out.append(required(f"{path}.deviceClassName"))
    out += selectors(request.get("selectors") or [], f"{path}.selectors")
    if mode == "ExactCount":
        if count <= 0:
            out.append(invalid_value(f"{path}.count", count, "must be greater than zero"))
    elif mode == "All":
        if count:
            text = "must not be specified when allocationMode is 'All'"
            out.append(invalid_value(f"{path}.count", count, text))
    else:
        out.append(not_supported(f"{path}.allocationMode", mode, _MODES))
    for i, toleration in enumerate(request.get("tolerations") or ()):
        out += _toleration(toleration, f"{path}.tolerations[{i}]")
    return out


def _toleration(toleration: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    key, operator, value = (toleration.get(name, "") for name in ("key", "operator", "value"))
    if key:
        out += checks.qualified_name(key, f"{path}.key")
    if operator == "Exists":
        if value:
            text = "must be empty for operator `Exists`"
            out.append(invalid_value(f"{path}.value", value, text))
    elif operator == "Equal":
        out += checks.label_value(value, f"{path}.value")
    elif not operator:
        out.append(required(f"{path}.operator"))
    else:
        out.append(not_supported(f"{path}.operator", operator, ("Equal", "Exists")))
    effect = toleration.get("effect", "")
    if effect and effect not in ("NoExecute", "NoSchedule", "None"):
        known = ("NoExecute", "NoSchedule", "None")
        out.append(not_supported(f"{path}.effect", effect, known))
    return out


def selectors(listed: list[Json], path: str) -> list[FieldError]:
    if len(listed) > SELECTORS_MAX:
        return [too_many(path, len(listed), SELECTORS_MAX)]
    out: list[FieldError] = []
    for i, selector in enumerate(listed):
        where = f"{path}[{i}].cel"
        cel = selector.get("cel")
        if cel is None:
            out.append(required(where))
            continue
        text = cel.get("expression", "")
        if len(text.encode()) > EXPRESSION_BYTES_MAX:
            out.append(too_long(f"{where}.expression", EXPRESSION_BYTES_MAX))
            continue
        from kapi.cel import devices  # here, because most servers never need the engine

        out += devices.findings(text, f"{where}.expression")
    return out


def _references(listed: list[str], path: str, known: set[str]) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, name in enumerate(listed):
        where = f"{path}[{i}]"
        parts = name.split("/")
        if len(parts) > 2:
            out.append(invalid_value(where, name, _UNKNOWN_REQUEST))
            continue
        for part in parts:
            out += checks.dns_label(part, where)
        if name not in known:
            out.append(invalid_value(where, name, _UNKNOWN_REQUEST))
        if name in seen:
            out.append(duplicate(where, name))
        seen.add(name)
    return out


def _constraint(constraint: Json, path: str, known: set[str]) -> list[FieldError]:
    out = _references(constraint.get("requests") or [], f"{path}.requests", known)
    same, distinct = constraint.get("matchAttribute"), constraint.get("distinctAttribute")
    if same is not None:
        out += full_attribute(same, f"{path}.matchAttribute")
    if distinct is not None:
        out += full_attribute(distinct, f"{path}.distinctAttribute")
    if (same is None) == (distinct is None):
        text = (
            'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
            "fields are set"
        )
        out.append(required(path, text) if same is None else invalid_value(path, None, text))
    return out


def full_attribute(name: str, path: str) -> list[FieldError]:
    """`example.com/memory`."""
    out = attribute_name(name, path)
    if "/" not in name:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        out.append(invalid_value(path, name, text))
    return out


def attribute_name(name: str, path: str) -> list[FieldError]:
    """`memory` or `example.com/memory`."""
    parts = name.split("/")
    if len(parts) == 1:
        return _identifier(name, path) if name else [required(path, "name is required")]
    if len(parts) > 2:
        text = "a fully qualified name must be a domain and a name separated by a slash"
        return [invalid_value(path, name, text)]
    out: list[FieldError] = []
    if parts[0]:
        out += claim_specs.validate_csi_driver_name(parts[0], path)
    else:
        out.append(required(path, "the domain must not be empty"))
    if parts[1]:
        out += _identifier(parts[1], path)
    else:
        out.append(required(path, "the name must not be empty"))
    return out


def _identifier(name: str, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    if len(name.encode()) > ID_BYTES_MAX:
        out.append(too_long(path, ID_BYTES_MAX))
    if not _IDENTIFIER.match(name):
        out.append(invalid_value(path, name, _IDENTIFIER_TEXT))
    return out


def configuration(config: Json, path: str) -> list[FieldError]:
    """Parameters for a driver, which nobody else reads."""
    opaque = config.get("opaque")
    if opaque is None:
        return [required(f"{path}.opaque")]
    out = claim_specs.validate_csi_driver_name(opaque.get("driver", ""), f"{path}.opaque.driver")
    parameters = opaque.get("parameters")
    where = f"{path}.opaque.parameters"
    if parameters is None:
        out.append(required(where))
    elif not isinstance(parameters, dict):
        out.append(invalid_value(where, "<value omitted>", "must be a JSON object"))
    elif len(checks.go_json(parameters).encode()) > PARAMETERS_BYTES_MAX:
        out.append(too_long(where, PARAMETERS_BYTES_MAX))
    return out


# -- devices ------------------------------------------------------------------------------------


def devices(listed: list[Json], path: str) -> list[FieldError]:
    if len(listed) > DEVICES_MAX:
        return [too_many(path, len(listed), DEVICES_MAX)]
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, device in enumerate(listed):
        where, name = f"{path}[{i}]", device.get("name", "")
        out += checks.dns_label(name, f"{where}.name")
        if name in seen:
            out.append(duplicate(where, name))
        seen.add(name)
        attributes, capacity = device.get("attributes") or {}, device.get("capacity") or {}
        if len(attributes) + len(capacity) > ATTRIBUTES_MAX:
            count = len(attributes) + len(capacity)
            text = f"the total number of attributes and capacities must not exceed {ATTRIBUTES_MAX}"
            out.append(invalid_value(where, count, text))
        for key, value in attributes.items():
            out += attribute_name(key, f"{where}.attributes")
            out += _attribute(value, f"{where}.attributes[{key}]")
        for key in capacity:
            out += attribute_name(key, f"{where}.capacity")
    return out


def _attribute(value: Json, path: str) -> list[FieldError]:
    given = [name for name in value if value[name] is not None]
    if not given:
        return [required(path, "exactly one value must be specified")]
    if len(given) > 1:
        text = "exactly one value must be specified"
        return [invalid_value(path, checks.go_json(value), text)]
    for name in ("string", "version"):
        if len((value.get(name) or "").encode()) > TEXT_BYTES_MAX:
            return [too_long(f"{path}.{name}", TEXT_BYTES_MAX)]
    return []
