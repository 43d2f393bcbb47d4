"""Named formats: what a text must look like to be a name, a label value, a date …

https://kubernetes.io/docs/reference/using-api/cel/#kubernetes-format-library
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from kapi.cel.declarations import Library
from kapi.cel.values import NONE, Optional
from kapi.errors import quote
from kapi.registry import names
from kapi.schema import formats

Check = Callable[[str], list[str]]


class NamedFormat:
    __slots__ = ("check", "name")
    cel_type: ClassVar[str] = "kubernetes.NamedFormat"

    def __init__(self, name: str, check: Check) -> None:
        self.name = name
        self.check = check

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NamedFormat) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def _known(name: str, trouble: str) -> Check:
    good = formats.CHECKS[name]
    return lambda text: [] if good(text) else [trouble]


def _uri(text: str) -> list[str]:
    if formats.CHECKS["uri"](text):
        return []
    return [f"parse {quote(text)}: {'invalid URI for request' if text else 'empty url'}"]


_FORMATS: dict[str, Check] = {
    "dns1123Label": names.dns_label,
    "dns1123Subdomain": names.dns_subdomain,
    "dns1035Label": names.dns_1035_label,
    "dns1123LabelPrefix": lambda text: names.dns_label(text, True),
    "dns1123SubdomainPrefix": lambda text: names.dns_subdomain(text, True),
    "dns1035LabelPrefix": lambda text: names.dns_1035_label(text, True),
    "qualifiedName": names.qualified_name,
    "labelValue": names.label_value,
    "uri": _uri,
    "uuid": _known("uuid", "does not match the UUID format"),
    "byte": _known("byte", "invalid base64"),
    "date": _known("date", "invalid date"),
    "datetime": _known("datetime", "invalid datetime"),
}
_NAMED = "kubernetes.NamedFormat"
TABLE = "\n".join(
    [
        *(f"format.{name} format_{name} -> {_NAMED}" for name in _FORMATS),
        f"format.named format-named string -> optional({_NAMED})",
        f"validate format-validate {_NAMED}.(string) -> optional(list(string))",
    ]
)


def _validate(wanted: NamedFormat, text: str) -> Optional:
    found = wanted.check(text)
    return Optional(True, found) if found else NONE


def _named(name: str) -> Optional:
    check = _FORMATS.get(name)
    return Optional(True, NamedFormat(name, check)) if check is not None else NONE


def library() -> Library:
    runs: dict[str, Any] = {"format-named": _named, "format-validate": _validate}
    for name, check in _FORMATS.items():
        runs[f"format_{name}"] = lambda made=NamedFormat(name, check): made
    return Library(TABLE, runs)
