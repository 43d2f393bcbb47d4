"""String formats of OpenAPI that the real server checks in custom objects; others mean nothing.

A format is looked up without its dashes. https://swagger.io/docs/specification/data-models/
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Callable
from datetime import date

from kapi.gonet.urls import UrlError, parse_request_uri
from kapi.schema.scalars import parse_duration

# Formats of numbers; these say which numbers fit.
NUMBER_FORMATS = frozenset({"int32", "int64", "uint32", "uint64", "float", "double"})
HOSTNAME_BYTES_MAX = 255
LABEL_BYTES_MAX = 63


def known(name: str) -> bool:
    """Whether a format is looked at; one that is not is as if it were not there."""
    return name in NUMBER_FORMATS or normal(name) in CHECKS


def normal(name: str) -> str:
    return name.replace("-", "")


def check(name: str) -> Callable[[str], bool] | None:
    """Tells whether a text has the format; None for a format that is not one of texts."""
    return CHECKS.get(normal(name))


def _matching(pattern: str) -> Callable[[str], bool]:
    match = re.compile(pattern).match
    return lambda text: match(text) is not None


_DATE_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt\s](\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:[Zz]|[+-]\d\d:?\d\d)?\Z"
)
_WORDS = (
    r"\s*(?:\d+\s*(?:nanoseconds?|nanos?|nsec|ns|microseconds?|micros?|usec|us|µs|milliseconds?|"
    r"millis?|msec|ms|seconds?|sec|s|minutes?|min|m|hours?|hr|h|days?|d|weeks?|wk|w)\s*)+\Z"
)
_DURATION_WORDS = re.compile(_WORDS, re.IGNORECASE)
_HEX = "[0-9a-fA-F]"
_LABEL = r"[^\W_](?:[-\w]*[^\W_])?"
_HOSTNAME = re.compile(rf"(?:{_LABEL}(?:\.(?!\d*\Z){_LABEL})+|[^\W_]-?[^\W_]*)\Z")
_ADDRESS = re.compile(r"[^\s<>@,;:\"()\[\]\\]+@[^\s<>@,;:\"()\[\]\\]+\Z")
_NAMED_ADDRESS = re.compile(r"[^<>@]*<([^<>]+)>\s*\Z")
_DNS_LABEL = r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?"


def _date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == len("2006-01-02")


def _date_time(text: str) -> bool:
    found = _DATE_TIME.match(text)
    if found is None or not _date(found[1]):
        return False
    hour, minute, second = (int(found[i]) for i in (2, 3, 4))
    return hour <= 23 and minute <= 59 and second <= 59


def _duration(text: str) -> bool:
    try:
        parse_duration(text)
    except ValueError:
        return bool(_DURATION_WORDS.match(text))
    return True


def _uri(text: str) -> bool:
    """What Go's url.ParseRequestURI takes: an absolute URI or an absolute path."""
    try:
        parse_request_uri(text)
    except UrlError:
        return False
    return True


def _hostname(text: str) -> bool:
    if not _HOSTNAME.match(text) or len(text.encode()) > HOSTNAME_BYTES_MAX:
        return False
    return all(len(label.encode()) <= LABEL_BYTES_MAX for label in text.split("."))


def _email(text: str) -> bool:
    named = _NAMED_ADDRESS.match(text)
    return bool(_ADDRESS.match(named[1] if named else text.strip()))


def _address(version: int) -> Callable[[str], bool]:
    def is_address(text: str) -> bool:
        try:
            found = ipaddress.ip_address(text)
        except ValueError:
            return False
        return found.version == version and "%" not in text

    return is_address


def _cidr(text: str) -> bool:
    if "/" not in text or "%" in text or not text.rpartition("/")[2].isdigit():
        return False
    try:
        ipaddress.ip_interface(text)
    except ValueError:
        return False
    return True


def _base64(text: str) -> bool:
    try:
        return bool(text) and bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def _digits(text: str) -> str:
    return re.sub(r"[\s-]", "", text)


def _isbn10(text: str) -> bool:
    text = _digits(text)
    if not re.match(r"\d{9}[\dX]\Z", text):
        return False
    numbers = [10 if c == "X" else int(c) for c in text]
    return sum(n * (i + 1) for i, n in enumerate(numbers)) % 11 == 0


def _isbn13(text: str) -> bool:
    text = _digits(text)
    if not re.match(r"\d{13}\Z", text):
        return False
    return sum(int(c) * (3 if i % 2 else 1) for i, c in enumerate(text)) % 10 == 0


def _credit_card(text: str) -> bool:
    text = re.sub(r"[^0-9]+", "", text)
    if not 13 <= len(text) <= 19:
        return False
    total = 0
    for i, c in enumerate(reversed(text)):
        n = int(c) * (2 if i % 2 else 1)
        total += n - 9 if n > 9 else n
    return total % 10 == 0


def _uuid(version: str, variant: str) -> Callable[[str], bool]:
    third = f"-?{version}{_HEX}{{3}}" if version else f"-?{_HEX}{{4}}"
    fourth = f"-?{variant}{_HEX}{{3}}" if variant else f"-?{_HEX}{{4}}"
    return _matching(rf"{_HEX}{{8}}-?{_HEX}{{4}}{third}{fourth}-?{_HEX}{{12}}\Z")


_long_name = _matching(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
_short_name = _matching(rf"{_DNS_LABEL}\Z")
_RGB = r"(?:0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matching(rf"{_HEX}{{24}}\Z"),
    "byte": _base64,
    "cidr": _cidr,
    "creditcard": _credit_card,
    "date": _date,
    "datetime": _date_time,
    "duration": _duration,
    "email": _email,
    "hexcolor": _matching(rf"#?(?:{_HEX}{{3}}|{_HEX}{{6}})\Z"),
    "hostname": _hostname,
    "ipv4": _address(4),
    "ipv6": _address(6),
    "isbn": lambda text: _isbn10(text) or _isbn13(text),
    "isbn10": _isbn10,
    "isbn13": _isbn13,
    "k8slongname": lambda text: len(text) <= 253 and _long_name(text),
    "k8sshortname": lambda text: len(text) <= LABEL_BYTES_MAX and _short_name(text),
    "mac": _matching(
        rf"(?:{_HEX}{{2}}(?:(?::{_HEX}{{2}}){{5}}|(?::{_HEX}{{2}}){{7}}|(?:-{_HEX}{{2}}){{5}}|"
        rf"(?:-{_HEX}{{2}}){{7}})|{_HEX}{{4}}(?:(?:\.{_HEX}{{4}}){{2}}|(?:\.{_HEX}{{4}}){{3}}))\Z"
    ),
    "password": lambda text: True,
    "rgbcolor": _matching(rf"rgb\(\s*{_RGB}\s*,\s*{_RGB}\s*,\s*{_RGB}\s*\)\Z"),
    "ssn": _matching(r"\d{3}[- ]?\d{2}[- ]?\d{4}\Z"),
    "uri": _uri,
    "uuid": _uuid("", ""),
    "uuid3": _uuid("3", ""),
    "uuid4": _uuid("4", "[89abAB]"),
    "uuid5": _uuid("5", "[89abAB]"),
}
