"""Which kind a body says it is, read before anything else of it, in the words of the real server.

For JSON and YAML; used where such bodies are read: `decode.py`, `delete.py`.
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.codec import json_format
from kapi.codec.json_format import JsonSyntaxError
from kapi.handlers.body_words import summarize
from kapi.registry.resource import GroupVersionKind
from kapi.schema.complaints import type_error
from kapi.schema.structural import Schema

Json = dict[str, Any]
UNREADABLE_KIND = "couldn't get version/kind; json parse error: "
# Go prints the type it wanted to read the kind into.
_META_STRUCT = (
    'struct { APIVersion string "json:\\"apiVersion,omitempty\\""; '
    'Kind string "json:\\"kind,omitempty\\"" }'
)
_STRING = Schema(type="string", go_type="string")


def kind_of(value: Any, data: bytes, default: GroupVersionKind) -> GroupVersionKind:
    """The kind a document calls itself, completed by the default; `data`: the body it came in.
    Raises JsonSyntaxError, ApiError.
    """
    if value is None:
        value = {}
    if not isinstance(value, dict):
        what = (
            "bool" if isinstance(value, bool)
            else "number" if isinstance(value, int | float)
            else "string" if isinstance(value, str)
            else "array"
        )  # fmt: skip
        raise JsonSyntaxError(f"json: cannot unmarshal {what} into Go value of type {_META_STRUCT}")
    texts = []
    for name in ("apiVersion", "kind"):
        x = value.get(name)
        if x is None:
            x = _any_case(value, name)
        if not isinstance(x, str):
            what = type_error(_STRING, json_format.loads_exact(json_format.dumps(x)))
            what = what.partition(" into ")[0] if what else "json: cannot unmarshal object"
            raise JsonSyntaxError(f"{what} into Go struct field .{name} of type string")
        texts.append(x)
    api_version, kind = texts
    if api_version.count("/") > 1:
        raise errors.bad_request(
            f"the object provided is unrecognized (must be of type {default.kind}): "
            f"unexpected GroupVersion string: {api_version} ({summarize(data)})"
        )
    group, _, version = api_version.rpartition("/")
    if not api_version:
        group, version = default.group, default.version
    if not kind:
        kind = default.kind
        if not version:
            version = default.version
    return GroupVersionKind(group, version, kind)


def _any_case(value: Json, name: str) -> Any:
    """The kind and version are looked for before the strict reader, and in any case."""
    lower = name.lower()
    found = [x for key, x in value.items() if x is not None and key.lower() == lower]
    return found[-1] if found else ""
