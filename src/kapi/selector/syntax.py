"""What label keys and values may look like. Pure; complaints in the real words.

Used by `labels.py` to check a selector's text.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
"""

from __future__ import annotations

import re

PART_MAX_BYTES = 63  # of a key's name, and of a value
PREFIX_MAX_BYTES = 253  # of the DNS subdomain before the slash

_SUBDOMAIN = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*"
_PART = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = rf"({_PART})?"
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN + r"\Z")
_PART_RE = re.compile(_PART + r"\Z")
_VALUE_RE = re.compile(_VALUE + r"\Z")

_PART_SHAPE = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    f"validation is '{_PART}')"
)
_PREFIX_SHAPE = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    f"for validation is '{_SUBDOMAIN}')"
)
_VALUE_SHAPE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or "
    f"'my_value',  or '12345', regex used for validation is '{_VALUE}')"
)


def _too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def subdomain_complaints(text: str) -> list[str]:
    """What is wrong with a DNS subdomain of RFC 1123; nothing if it is one."""
    out: list[str] = []
    if len(text.encode()) > PREFIX_MAX_BYTES:
        out.append(_too_long(PREFIX_MAX_BYTES))
    if not _SUBDOMAIN_RE.match(text):
        out.append(_PREFIX_SHAPE)
    return out


def key_complaints(key: str) -> list[str]:
    """What is wrong with a label key; nothing if it is one."""
    prefix, slash, name = key.rpartition("/")
    if "/" in prefix:
        return [
            f"a valid label key {_PART_SHAPE} with an optional DNS subdomain prefix and '/' "
            "(e.g. 'example.com/MyName')"
        ]
    out: list[str] = []
    if slash and not prefix:
        out.append("prefix part must be non-empty")
    elif slash:
        if len(prefix.encode()) > PREFIX_MAX_BYTES:
            out.append(f"prefix part {_too_long(PREFIX_MAX_BYTES)}")
        if not _SUBDOMAIN_RE.match(prefix):
            out.append(f"prefix part {_PREFIX_SHAPE}")
    if not name:
        out.append("name part must be non-empty")
    elif len(name.encode()) > PART_MAX_BYTES:
        out.append(f"name part {_too_long(PART_MAX_BYTES)}")
    if not _PART_RE.match(name):
        out.append(f"name part {_PART_SHAPE}")
    return out


def value_complaints(value: str) -> list[str]:
    """What is wrong with a label value; nothing if it is one."""
    out: list[str] = []
    if len(value.encode()) > PART_MAX_BYTES:
        out.append(_too_long(PART_MAX_BYTES))
    if not _VALUE_RE.match(value):
        out.append(_VALUE_SHAPE)
    return out
