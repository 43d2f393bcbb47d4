"""What names may look like: DNS labels and subdomains, qualified names, path segments. Pure;
complaints in the real words.

Each `rule(name, prefix)` returns complaints; with `prefix` the name is a generateName (may end in a
dash).
https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
"""

from __future__ import annotations

import re

DNS_LABEL_MAX = 63
DNS_SUBDOMAIN_MAX = 253

_LABEL = r"[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_LABEL_RE = re.compile(_LABEL + r"\Z")
_SUBDOMAIN_RE = re.compile(_LABEL + r"(\." + _LABEL + r")*\Z")
_LABEL_1035 = r"[a-z]([-a-z0-9]*[a-z0-9])?"
_LABEL_1035_RE = re.compile(_LABEL_1035 + r"\Z")
_QUALIFIED = r"([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_QUALIFIED_RE = re.compile(_QUALIFIED + r"\Z")
# A short key or value without anything to complain of: the usual case, in one match.
_PLAIN_KEY_RE = re.compile(
    rf"(?:{_LABEL}(?:\.{_LABEL})*/)?{_QUALIFIED}\Z".replace("(", "(?:").replace("(?:?:", "(?:")
)
_VALUE_RE = re.compile(r"((" + _QUALIFIED + r")?)\Z")


def max_length(limit: int, unit: str = "characters") -> str:
    return f"must be no more than {limit} {unit}"


def _regex(message: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{e}', " for e in examples)  # the doubled blank is the real server's
    more = f"e.g. {shown}" if examples else ""
    return f"{message} ({more}regex used for validation is '{pattern}')"


DNS_LABEL_MESSAGE = _regex(
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
    "and must start and end with an alphanumeric character",
    _LABEL,
    "my-name",
    "123-abc",
)
DNS_SUBDOMAIN_MESSAGE = _regex(
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', "
    "and must start and end with an alphanumeric character",
    _LABEL + r"(\." + _LABEL + r")*",
    "example.com",
)
DNS_1035_MESSAGE = _regex(
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
    "alphabetic "
    "character, and end with an alphanumeric character",
    _LABEL_1035,
    "my-name",
    "abc-123",
)
QUALIFIED_MESSAGE = _regex(
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character",
    _QUALIFIED,
    "MyName",
    "my.name",
    "123-abc",
)
VALUE_MESSAGE = _regex(
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and "
    "end with an alphanumeric character",
    "(" + _QUALIFIED + ")?",
    "MyValue",
    "my_value",
    "12345",
)


def _masked(name: str, prefix: bool) -> str:
    """A generateName may end in a dash: read that dash as a letter."""
    return name[:-1] + "a" if prefix and len(name) > 1 and name.endswith("-") else name


def dns_label(name: str, prefix: bool = False) -> list[str]:
    name = _masked(name, prefix)
    out = []
    if len(name.encode()) > DNS_LABEL_MAX:
        out.append(max_length(DNS_LABEL_MAX))
    if not _LABEL_RE.match(name):
        dotted = _SUBDOMAIN_RE.match(name)
        out.append("must not contain dots" if dotted else DNS_LABEL_MESSAGE)
    return out


def dns_1035_label(name: str, prefix: bool = False) -> list[str]:
    name = _masked(name, prefix)
    out = []
    if len(name.encode()) > DNS_LABEL_MAX:
        out.append(max_length(DNS_LABEL_MAX))
    if not _LABEL_1035_RE.match(name):
        out.append(DNS_1035_MESSAGE)
    return out


def dns_subdomain(name: str, prefix: bool = False) -> list[str]:
    name = _masked(name, prefix)
    out = []
    if len(name.encode()) > DNS_SUBDOMAIN_MAX:
        out.append(max_length(DNS_SUBDOMAIN_MAX))
    if not _SUBDOMAIN_RE.match(name):
        out.append(DNS_SUBDOMAIN_MESSAGE)
    return out


_NO_SEGMENT = (("/", "/"), ("%", "%"), ("\0", "\\x00"))


def path_segment(name: str, prefix: bool = False) -> list[str]:
    """A name that can stand in a URL path, and nothing more (RBAC objects)."""
    if not prefix and name in (".", ".."):
        return [f"may not be '{name}'"]
    # NUL the real server takes; a key in the store cannot hold it.
    return [f"may not contain '{shown}'" for c, shown in _NO_SEGMENT if c in name]


def qualified_name(value: str) -> list[str]:
    """`name` or `prefix/name`: label keys, annotation keys, finalizers."""
    if len(value) <= DNS_LABEL_MAX and _PLAIN_KEY_RE.match(value):
        return []
    parts = value.split("/")
    out: list[str] = []
    if len(parts) == 2:
        if not parts[0]:
            out.append("prefix part must be non-empty")
        else:
            limit = max_length(DNS_SUBDOMAIN_MAX)
            in_bytes = max_length(DNS_SUBDOMAIN_MAX, "bytes")  # what labels count in
            prefix = [in_bytes if m == limit else m for m in dns_subdomain(parts[0])]
            out += [f"prefix part {m}" for m in prefix]
    elif len(parts) > 2:
        return [
            "a valid label key "
            + QUALIFIED_MESSAGE
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
        ]
    name = parts[-1]
    if not name:
        out.append("name part must be non-empty")
    elif len(name.encode()) > DNS_LABEL_MAX:
        out.append(f"name part {max_length(DNS_LABEL_MAX, 'bytes')}")
    if not _QUALIFIED_RE.match(name):
        out.append(f"name part {QUALIFIED_MESSAGE}")
    return out


def label_value(value: str) -> list[str]:
    out = []
    if len(value.encode()) > DNS_LABEL_MAX:
        out.append(max_length(DNS_LABEL_MAX, "bytes"))
    if not _VALUE_RE.match(value):
        out.append(VALUE_MESSAGE)
    return out
