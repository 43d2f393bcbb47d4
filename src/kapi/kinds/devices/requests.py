"""What claims ask for: requests, constraints and configurations, which claims, templates and
classes share.

What the types declare of the same fields is in `declarations.py`.
https://kubernetes.io/docs/concepts/scheduling-eviction/dynamic-resource-allocation/
"""

from __future__ import annotations

from typing import Any

from kapi.codec.spelled import text_of
from kapi.errors import FieldError, invalid_value, required, too_long
from kapi.kinds.shared import checks

Json = dict[str, Any]

REQUESTS_MAX = CONSTRAINTS_MAX = CONFIGS_MAX = SELECTORS_MAX = 32
EXPRESSION_BYTES_MAX = 10 * 1024  # of a selector
SUBREQUESTS_MAX = 8
PARAMETERS_BYTES_MAX = 10 * 1024
_UNKNOWN_REQUEST = (
    "must be the name of a request in the claim or the name of a request and a subrequest "
    "separated by '/'"
)
Names = dict[str, set[str]]  # request -> its alternatives, empty for one that has none


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


def request_names(claim: Json) -> Names:
    return {
        request.get("name", ""): {
            sub.get("name", "") for sub in request.get("firstAvailable") or ()
        }
        for request in claim.get("requests") or ()
    }


def _known(name: str, known: Names) -> bool:
    first, slash, second = name.partition("/")
    return first in known and (not slash or second in known[first])


def device_claim(claim: Json, path: str) -> list[FieldError]:
    """The `devices` of a claim. A list that is too long is not looked into."""
    out: list[FieldError] = []
    known = request_names(claim)
    requests = claim.get("requests") or []
    if len(requests) <= REQUESTS_MAX:
        for i, request in enumerate(requests):
            out += _request(request, f"{path}.requests[{i}]")
    constraints = claim.get("constraints") or []
    if len(constraints) <= CONSTRAINTS_MAX:
        for i, constraint in enumerate(constraints):
            out += _constraint(constraint, f"{path}.constraints[{i}]", known)
    configs = claim.get("config") or []
    if len(configs) <= CONFIGS_MAX:
        for i, config in enumerate(configs):
            where = f"{path}.config[{i}]"
            out += references(config.get("requests") or [], f"{where}.requests", known)
            out += configuration(config, where)
    return out


def _request(request: Json, path: str) -> list[FieldError]:
    out = checks.dns_label(request.get("name", ""), f"{path}.name")
    exactly, alternatives = request.get("exactly"), request.get("firstAvailable") or []
    text = "exactly one of `exactly` or `firstAvailable` is required"
    if exactly is None and not alternatives:
        return [*out, required(path, text)]
    if exactly is not None and alternatives:
        return [*out, invalid_value(path, None, f"{text}, but multiple fields are set")]
    if exactly is not None:
        name = exactly.get("deviceClassName", "")
        where = f"{path}.exactly.deviceClassName"
        out += checks.dns_subdomain(name, where) if name else [required(where)]
        return out + _details(exactly, f"{path}.exactly")
    if len(alternatives) <= SUBREQUESTS_MAX:
        for i, sub in enumerate(alternatives):
            where = f"{path}.firstAvailable[{i}]"
            out += checks.dns_label(sub.get("name", ""), f"{where}.name")
            out += _details(sub, where)
    return out


def _details(request: Json, path: str) -> list[FieldError]:
    out = selectors(request.get("selectors") or [], f"{path}.selectors")
    mode, count = request.get("allocationMode", ""), request.get("count", 0)
    if mode == "ExactCount" and count <= 0:
        out.append(invalid_value(f"{path}.count", count, "must be greater than zero"))
    elif mode == "All" and count:
        text = "must not be specified when allocationMode is 'All'"
        out.append(invalid_value(f"{path}.count", count, text))
    return out + tolerations(request.get("tolerations") or [], f"{path}.tolerations")


def tolerations(listed: list[Json], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for i, toleration in enumerate(listed):
        operator, value = toleration.get("operator", ""), toleration.get("value", "")
        if operator == "Exists" and value:
            text = "must be empty for operator `Exists`"
            out.append(invalid_value(f"{path}[{i}].value", value, text))
        elif operator == "Equal":
            out += checks.label_value(value, f"{path}[{i}].value")
    return out


def selectors(listed: list[Json], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    for i, selector in enumerate(listed if len(listed) <= SELECTORS_MAX else ()):
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


def references(listed: list[str], path: str, known: Names) -> list[FieldError]:
    out: list[FieldError] = []
    for i, name in enumerate(listed if len(listed) <= REQUESTS_MAX else ()):
        out += reference(name, f"{path}[{i}]", known)
    return out


def reference(name: str, path: str, known: Names) -> list[FieldError]:
    """The name of a request, or of a request and one of its alternatives."""
    parts = name.split("/")
    if len(parts) > 2:
        return [invalid_value(path, name, _UNKNOWN_REQUEST)]
    out: list[FieldError] = []
    for part in parts:
        out += checks.dns_label(part, path)
    if not _known(name, known):
        out.append(invalid_value(path, name, _UNKNOWN_REQUEST))
    return out


def _constraint(constraint: Json, path: str, known: Names) -> list[FieldError]:
    out = references(constraint.get("requests") or [], f"{path}.requests", known)
    if constraint.get("matchAttribute") is None and constraint.get("distinctAttribute") is None:
        text = (
            'exactly one of "matchAttribute" or "distinctAttribute" is required, but multiple '
            "fields are set"
        )
        out.append(required(path, text))
    return out


def configuration(config: Json, path: str) -> list[FieldError]:
    """Parameters for a driver, which nobody else reads."""
    opaque = config.get("opaque")
    if opaque is None:
        return [required(f"{path}.opaque")]
    return raw_object(opaque.get("parameters"), f"{path}.opaque.parameters")


def raw_object(value: Any, path: str) -> list[FieldError]:
    """A JSON object of any content."""
    if value is None:
        return [required(path)]
    if len(text_of(value)) > PARAMETERS_BYTES_MAX:
        return [too_long(path, PARAMETERS_BYTES_MAX)]
    if not isinstance(value, dict):
        return [invalid_value(path, "<value omitted>", "must be a valid JSON object")]
    return []
