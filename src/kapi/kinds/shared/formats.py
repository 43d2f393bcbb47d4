"""Formats that the API's types declare of texts: names, labels, identifiers.

Checks for the tables of `declared.py`. Their words are not always those of `checks.py`: a length is
one of bytes, and a part of a name says which part it is. Pure.
https://kubernetes.io/docs/reference/using-api/declarative-validation/
"""

from __future__ import annotations

import re

from kapi.errors import FieldError, invalid_value, too_long
from kapi.kinds.shared import checks
from kapi.registry import names

ID_BYTES_MAX = 32  # of the name of an attribute, without its domain
DOMAIN_BYTES_MAX = 63  # of the domain of an attribute
POOL_BYTES_MAX = 253
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
IDENTIFIER_TEXT = (
    "a valid C identifier must start with alphabetic character or '_', followed by a string of "
    "alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for "
    "validation is '[A-Za-z_][A-Za-z0-9_]*')"
)
_CASELESS_TEXT = names.DNS_SUBDOMAIN_MESSAGE.replace("a lowercase RFC", "an RFC", 1)
_CASELESS_TEXT = _CASELESS_TEXT.replace("of lower case alpha", "of alpha", 1)
_CASELESS_TEXT = _CASELESS_TEXT.replace("example.com", "Example.com", 1)


def _in_bytes(complaints: list[str]) -> list[str]:
    """A length counted in bytes; it makes no difference but in words."""
    limits = (names.DNS_LABEL_MAX, names.DNS_SUBDOMAIN_MAX)
    words = {names.max_length(most): names.max_length(most, "bytes") for most in limits}
    return [words.get(text, text) for text in complaints]


def long_name_complaints(name: str, prefix: bool = False) -> list[str]:
    return _in_bytes(names.dns_subdomain(name, prefix))


def short_name(value: str, path: str) -> list[FieldError]:
    """A DNS label."""
    return checks.each(path, value, _in_bytes(names.dns_label(value)))


def long_name(value: str, path: str) -> list[FieldError]:
    """A DNS subdomain."""
    return checks.each(path, value, long_name_complaints(value))


def long_name_caseless(value: str, path: str) -> list[FieldError]:
    """A DNS subdomain in letters of any case: the name of a driver."""
    found = _in_bytes(names.dns_subdomain(value.lower()))
    plain = names.DNS_SUBDOMAIN_MESSAGE
    return checks.each(path, value, [_CASELESS_TEXT if t == plain else t for t in found])


def label_key(value: str, path: str) -> list[FieldError]:
    return checks.qualified_name(value, path)


def max_characters(most: int, value: str, path: str) -> list[FieldError]:
    if len(value) <= most:
        return []
    found = too_long(path, most)
    return [FieldError(path, found.reason, detail=found.detail.replace("byte", "character"))]


def driver_length(value: str, path: str) -> list[FieldError]:
    """The name of a driver has at most 63 characters."""
    return max_characters(names.DNS_LABEL_MAX, value, path)


def uuid(value: str, path: str) -> list[FieldError]:
    if _UUID.match(value):
        return []
    return [invalid_value(path, value, "must be a lowercase UUID in 8-4-4-4-12 format")]


def pool_name(value: str, path: str) -> list[FieldError]:
    """DNS subdomains with slashes between them."""
    out = [too_long(path, POOL_BYTES_MAX)] if len(value.encode()) > POOL_BYTES_MAX else []
    for i, part in enumerate(value.split("/")):
        if not part:
            out.append(invalid_value(path, value, f"segment {i}: must not be empty"))
            continue
        found = [f"segment {i}: {text}" for text in long_name_complaints(part)]
        out += checks.each(path, part, found)
    return out


def extended_resource(value: str, path: str) -> list[FieldError]:
    """`example.com/gpu`: what a container may ask for, and a quota count."""
    found = []
    if "/" not in value:
        found.append("a name must be a domain-prefixed path, such as 'example.com/my-prop'")
    elif "kubernetes.io/" in value:
        found.append('must not have "kubernetes.io/" domain')
    if value.startswith("requests."):
        found.append('must not have "requests." prefix')
    return checks.each(path, value, found + names.qualified_name(f"requests.{value}"))


def identifier(value: str, path: str) -> list[FieldError]:
    """A C identifier of at most 32 bytes."""
    out = [too_long(path, ID_BYTES_MAX)] if len(value.encode()) > ID_BYTES_MAX else []
    if not _IDENTIFIER.match(value):
        out.append(invalid_value(path, value, IDENTIFIER_TEXT))
    return out


def attribute(value: str, path: str) -> list[FieldError]:
    """`example.com/memory`: the full name of an attribute of a device."""
    out: list[FieldError] = []
    parts = value.split("/")
    if len(parts) == 1:
        out += identifier(parts[0], path)
        text = "a fully qualified name must be a domain and a name separated by a slash"
        return [*out, invalid_value(path, value, text)]
    if len(parts) > 2:
        return out  # the real server looks no closer
    domain, name = parts
    if not domain:
        out.append(invalid_value(path, "", "prefix must not be empty"))
    else:
        if len(domain.encode()) > DOMAIN_BYTES_MAX:
            out.append(too_long(path, DOMAIN_BYTES_MAX))
        found = [f"prefix: {text}" for text in long_name_complaints(domain)]
        out += checks.each(path, domain, found)
    if not name:
        out.append(invalid_value(path, "", "name must not be empty"))
    else:
        out += identifier(name, path)
    return out
