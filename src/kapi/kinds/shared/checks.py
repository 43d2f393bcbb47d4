"""Checks that many kinds share: names at a path, label selectors, addresses, ports, quantities,
unions.

Called by the strategies of every group. Each gives the findings of one value at one path, in the
real server's words and order; an absent value is empty, as in a Go struct. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any

import orjson

from kapi.codec.spelled import same
from kapi.errors import (
    FieldError,
    GoText,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from kapi.registry import names
from kapi.registry.allocation.addresses import (
    canonical_cidr as canonical_cidr,
)
from kapi.registry.allocation.addresses import (
    canonical_ip as canonical_ip,
)
from kapi.registry.allocation.addresses import (
    cidr as cidr,
)
from kapi.registry.allocation.addresses import (
    interface_address as interface_address,
)
from kapi.registry.allocation.addresses import (
    ip as ip,
)
from kapi.registry.allocation.addresses import (
    non_special_ip as non_special_ip,
)
from kapi.registry.allocation.addresses import (
    parse_cidr as parse_cidr,
)
from kapi.registry.allocation.addresses import (
    parse_ip as parse_ip,
)
from kapi.schema.quantity import QuantityError
from kapi.schema.quantity import value as quantity_value

Json = dict[str, Any]

IMMUTABLE = "field is immutable"
NEGATIVE = "must be greater than or equal to 0"
PORT = "must be between 1 and 65535, inclusive"
PROTOCOLS = ("SCTP", "TCP", "UDP")
CONFIG_KEY_MAX = 253  # characters of a key of a ConfigMap or Secret
PORT_NAME_MAX = 15  # characters, RFC 6335
CONDITION_REASON_MAX, CONDITION_MESSAGE_MAX = 1024, 32 * 1024  # bytes
_CONFIG_KEY = re.compile(r"[-._a-zA-Z0-9]+\Z")
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_PORT_NAME = re.compile(r"[-a-z0-9]+\Z")
_REASON = re.compile(r"[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?\Z")
_PATH_FREE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")


# -- text ---------------------------------------------------------------------------------------


def each(path: str, value: Any, complaints: Iterable[str]) -> list[FieldError]:
    """One finding for each complaint about a value."""
    return [invalid_value(path, value, text) for text in complaints]


def dns_label(value: str, path: str) -> list[FieldError]:
    return each(path, value, names.dns_label(value))


def dns_subdomain(value: str, path: str) -> list[FieldError]:
    return each(path, value, names.dns_subdomain(value))


def qualified_name(value: str, path: str) -> list[FieldError]:
    return each(path, value, names.qualified_name(value))


def label_value(value: str, path: str) -> list[FieldError]:
    return each(path, value, names.label_value(value))


def labels(values: Mapping[str, str] | None, path: str) -> list[FieldError]:
    """A map of labels: keys are qualified names, values label values; all findings stand at the
    map.
    """
    out: list[FieldError] = []
    for key, value in (values or {}).items():
        out += qualified_name(key, path)
        out += label_value(value, path)
    return out


def config_key(key: str) -> list[str]:
    """Complaints about a key of a ConfigMap or Secret: a file name."""
    out = []
    if len(key) > CONFIG_KEY_MAX:
        out.append(names.max_length(CONFIG_KEY_MAX))
    if not _CONFIG_KEY.match(key):
        out.append(
            "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. "
            "'key.name',  or "
            "'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        )
    if key == ".":
        out.append("must not be '.'")
    elif key == "..":
        out.append("must not be '..'")
    elif key.startswith(".."):
        out.append("must not start with '..'")
    return out


def port_name(name: str) -> list[str]:
    """Complaints about a port's name as IANA would register it."""
    out = []
    if len(name) > PORT_NAME_MAX:
        out.append(names.max_length(PORT_NAME_MAX))
    if not _PORT_NAME.match(name):
        out.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not any("a" <= c <= "z" for c in name):
        out.append("must contain at least one letter (a-z)")
    if "--" in name:
        out.append("must not contain consecutive hyphens")
    if name[:1] == "-" or name[-1:] == "-":
        out.append("must not begin or end with a hyphen")
    return out


def domain_prefixed_path(value: str, path: str) -> list[FieldError]:
    """`example.com/some/path`: the name of a signer, a controller."""
    if not value:
        return [required(path)]
    host, slash, rest = value.partition("/")
    if not slash or not host or not rest:
        return [
            invalid_value(path, value, 'must be a domain-prefixed path (such as "acme.io/foo")')
        ]
    out = each(path, host, names.dns_subdomain(host))
    if not re.fullmatch(_HTTP_PATH, rest):
        text = f"Invalid path (regex used for validation is '{_HTTP_PATH}')"
        out.append(invalid_value(path, rest, text))
    return out


def c_identifier(value: str) -> bool:
    return bool(_PATH_FREE.match(value))


# -- selectors ----------------------------------------------------------------------------------


def label_selector(
    selector: Json | None, path: str, *, allow_invalid_values: bool = False
) -> list[FieldError]:
    """A LabelSelector; None has no findings."""
    if selector is None:
        return []
    out = labels(selector.get("matchLabels"), f"{path}.matchLabels")
    for i, requirement in enumerate(selector.get("matchExpressions") or ()):
        out += _requirement(requirement, f"{path}.matchExpressions[{i}]", allow_invalid_values)
    return out


def _requirement(requirement: Json, path: str, allow_invalid_values: bool) -> list[FieldError]:
    out: list[FieldError] = []
    operator = requirement.get("operator", "")
    values = requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if not values:
            out.append(
                required(f"{path}.values", "must be specified when `operator` is 'In' or 'NotIn'")
            )
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            out.append(field_forbidden(f"{path}.values", text))
    else:
        out.append(invalid_value(f"{path}.operator", operator, "not a valid selector operator"))
    out += qualified_name(requirement.get("key", ""), f"{path}.key")
    if not allow_invalid_values:
        for i, value in enumerate(values):
            out += label_value(value, f"{path}.values[{i}]")
    return out


# -- numbers ------------------------------------------------------------------------------------


def port(value: int, path: str) -> list[FieldError]:
    return [] if 1 <= value <= 65535 else [invalid_value(path, value, PORT)]


def non_negative(value: int, path: str) -> list[FieldError]:
    return [] if value >= 0 else [invalid_value(path, value, NEGATIVE)]


def positive(value: int, path: str) -> list[FieldError]:
    return [] if value > 0 else [invalid_value(path, value, "must be greater than 0")]


def number(text: str) -> Decimal:
    """The value of a quantity that was decoded; 0 for what is none."""
    try:
        return quantity_value(text)
    except QuantityError:
        return Decimal(0)


# -- choices and changes ------------------------------------------------------------------------


def one_of(value: str, path: str, supported: Sequence[str]) -> list[FieldError]:
    """A value of an enumeration."""
    return [] if value in supported else [not_supported(path, value, supported)]


def immutable(
    new: Any, old: Any, path: str, shown: Callable[[Any], Any] | None = None
) -> list[FieldError]:
    """A field that may not change; `shown` gives what the finding prints for the new value."""
    if same(new, old):
        return []
    return [invalid_value(path, new if shown is None else shown(new), IMMUTABLE)]


# -- conditions ---------------------------------------------------------------------------------


def conditions(found: Sequence[Json], path: str) -> list[FieldError]:
    """Conditions of the type that the newer kinds share, metav1.Condition."""
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, condition in enumerate(found):
        kind = condition.get("type", "")
        if kind in seen:
            out.append(duplicate(f"{path}[{i}]", kind))
        seen.add(kind)
        out += _condition(condition, f"{path}[{i}]")
    return out


def _condition(condition: Json, path: str) -> list[FieldError]:
    kind, status = condition.get("type", ""), condition.get("status", "")
    out = (
        qualified_name(kind, f"{path}.type") if kind else [required(f"{path}.type", "is required")]
    )
    if not status:
        out.append(required(f"{path}.status"))
    else:
        out += one_of(status, f"{path}.status", ("False", "True", "Unknown"))
    generation, reason = condition.get("observedGeneration", 0), condition.get("reason", "")
    if generation < 0:
        text = "must be greater than or equal to zero"
        out.append(invalid_value(f"{path}.observedGeneration", generation, text))
    if not condition.get("lastTransitionTime"):
        out.append(required(f"{path}.lastTransitionTime"))
    if not reason:
        out.append(required(f"{path}.reason"))
    else:
        out += each(f"{path}.reason", reason, condition_reason(reason))
        if len(reason.encode()) > CONDITION_REASON_MAX:
            out.append(too_long(f"{path}.reason", CONDITION_REASON_MAX))
    if len(condition.get("message", "").encode()) > CONDITION_MESSAGE_MAX:
        out.append(too_long(f"{path}.message", CONDITION_MESSAGE_MAX))
    return out


def condition_reason(reason: str) -> list[str]:
    """Complaints about the form of a condition's reason."""
    if _REASON.match(reason):
        return []
    return [
        "a condition reason must start with alphabetic character, optionally followed by a "
        "string of alphanumeric characters or '_,:', and must end with an alphanumeric "
        "character or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName',  or "
        "'ReasonA,ReasonB',  or 'ReasonA:ReasonB', regex used for validation is "
        "'[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?')"
    ]


# -- Go structs in messages ---------------------------------------------------------------------


def go_json(value: Any) -> GoText:
    """A value as Go marshals it: fields in their order, `<`, `>` and `&` escaped."""
    text = orjson.dumps(value).decode()
    return GoText(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


_ZERO: Mapping[str, Any] = {"s": "", "i": 0, "b": False, "p": None}


def go_fields(obj: Json | None, spec: str) -> Json | None:
    """The fields of a struct without JSON names, as messages show it:
    `Name:s Port:i AppProtocol:p`.

    The letter says what an absent field is: s text, i number, b false, p null. `Go=json:s` where
    the names differ by more than their first letter.
    """
    if obj is None:
        return None
    out: Json = {}
    for item in spec.split():
        name, _, kind = item.partition(":")
        go, _, key = name.partition("=")
        value = obj.get(key or go[0].lower() + go[1:])
        out[go] = _ZERO[kind] if value is None else value
    return out
