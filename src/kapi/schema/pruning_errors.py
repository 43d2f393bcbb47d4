"""The words of decoding a custom kind: what in its metadata does not fit, which fields are unknown.

The slow twin of `pruning.py`, run over the exact document when that one complained. Unknown fields
are told in the order of the real server: those of metadata as they stand, then all others sorted,
then those of embedded metadata; repeated ones before them, as they stand.
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi.codec.json_format import JsonNumber, JsonObject
from kapi.errors import invalid_value
from kapi.schema import decoding_errors
from kapi.schema.custom_parsing import META_FIELDS, TYPE_META
from kapi.schema.pruning import lets_through
from kapi.schema.structural import Schema

REPEATED_MAX = decoding_errors.STRICT_ERRORS_MAX


def type_error(schema: Schema, document: Any) -> str:
    """Why metadata does not fit, at the root or in an embedded resource; empty if it does."""
    if not isinstance(document, dict):
        return ""
    meta = schema.properties.get("metadata")
    if meta is not None and meta.schema.typed:
        found = decoding_errors.type_error(meta.schema, document.get("metadata"))
        if found:
            return found
    return _embedded_error(schema, document, "")


def _embedded_error(schema: Schema | None, value: Any, path: str) -> str:
    if schema is None or schema.typed:
        return ""
    if isinstance(value, list):
        found = (_embedded_error(schema.items, x, f"{path}[{i}]") for i, x in enumerate(value))
        return next(filter(None, found), "")
    if not isinstance(value, dict):
        return ""
    if schema.embedded_resource and (words := _own_error(schema, value, path)):
        return words
    for name, x in value.items():
        p = schema.properties.get(name)
        below = p.schema if p is not None else schema.values
        if words := _embedded_error(below, x, _join(path, name)):
            return words
    return ""


def _own_error(schema: Schema, value: Any, path: str) -> str:
    for name in TYPE_META:
        x = value.get(name)
        if name in value and (isinstance(x, JsonNumber) or not isinstance(x, str)):
            return str(invalid_value(_join(path, name), plain(x), "must be a string"))
    words = decoding_errors.type_error(schema.properties["metadata"].schema, value.get("metadata"))
    if not words:
        return ""
    return str(invalid_value(_join(path, "metadata"), plain(value["metadata"]), words))


def plain(value: Any) -> Any:
    """A value of an exact document as one of JSON."""
    if isinstance(value, JsonNumber):
        return orjson.loads(str(value))
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    return [plain(v) for v in value] if isinstance(value, list) else value


# -- strict -------------------------------------------------------------------------------------


def strict_errors(schema: Schema, document: Any) -> list[str]:
    """`duplicate field "a.b"` and `unknown field "spec.x[0].y"`."""
    repeated: list[str] = []
    _repeated(document, "", repeated)
    meta: list[str] = []
    found: list[str] = []
    embedded: list[str] = []
    if isinstance(document, dict):
        own = schema.properties.get("metadata")
        if own is not None and own.schema.typed:
            _unknown_meta(own.schema, document.get("metadata"), "metadata", meta)
        _unknown(schema, document, "", found, embedded)
    unknown = [*meta, *sorted(found), *sorted(embedded)]
    return [
        *list(dict.fromkeys(repeated))[:REPEATED_MAX],
        *(f'unknown field "{path}"' for path in dict.fromkeys(unknown)),
    ]


def _repeated(value: Any, path: str, found: list[str]) -> None:
    if isinstance(value, list):
        for i, x in enumerate(value):
            _repeated(x, f"{path}[{i}]", found)
    if not isinstance(value, dict):
        return
    seen: set[str] = set()
    for name, x in value.pairs if isinstance(value, JsonObject) else value.items():
        at = _join(path, name)
        if name in seen:
            found.append(f'duplicate field "{at}"')
        seen.add(name)
        _repeated(x, at, found)


def _unknown_meta(schema: Schema, value: Any, path: str, found: list[str]) -> None:
    for text in decoding_errors.strict_errors(schema, value):
        what, _, name = text.rstrip('"').partition(' field "')
        if what == "unknown":
            found.append(_join(path, name))


def _unknown(
    schema: Schema | None, value: Any, path: str, found: list[str], embedded: list[str]
) -> None:
    if isinstance(value, list):
        items = schema.items if schema is not None else None
        if items is None and schema is not None and schema.preserve_unknown:
            return
        for i, x in enumerate(value):
            _unknown(items, x, f"{path}[{i}]", found, embedded)
        return
    if not isinstance(value, dict):
        return
    if schema is None:
        found += [_join(path, name) for name in value]
        return
    is_kind = schema.embedded_resource or not path
    for name, x in value.items():
        at = _join(path, name)
        p = schema.properties.get(name)
        if p is not None and p.schema.typed:
            if path:
                _unknown_meta(p.schema, x, at, embedded)
        elif p is not None:
            _unknown(p.schema, x, at, found, embedded)
        elif schema.values is not None:
            below = None if lets_through(schema.values) else schema.values
            _unknown(below, x, at, found, embedded)
        elif not schema.preserve_unknown and not (is_kind and name in META_FIELDS):
            found.append(at)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
