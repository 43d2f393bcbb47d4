"""Is the schema of a definition structural? Every field that is named anywhere must have its type
in the skeleton outside of allOf, anyOf, oneOf and not; inside, nothing but value checks may stand.

Works on JSONSchemaProps as the definition has them. Called by `schemas.py`.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#specifying-a-structural-schema
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kapi.errors import FieldError, field_forbidden, invalid_value, required
from kapi.kinds.definitions import go_form
from kapi.schema.go_regex import GoRegexError, compile_go

Json = dict[str, Any]
ROOT, ITEM, FIELD = "at the root", "for specified array items", "for specified object fields"
METADATA = (
    "must not specify anything other than name and generateName, but metadata is implicitly "
    "specified"
)
_PRESERVE = "x-kubernetes-preserve-unknown-fields"
_EMBEDDED = "x-kubernetes-embedded-resource"
_INT_OR_STRING = "x-kubernetes-int-or-string"
_EITHER = [{"type": "integer"}, {"type": "string"}]
_JUNCTORS = ("anyOf", "allOf", "oneOf")
# What a schema in a junctor may not say, and what it must be instead.
_FORBIDDEN_INSIDE: Mapping[str, str] = {
    "type": "empty",
    "additionalProperties": "undefined",
    "default": "undefined",
    "title": "empty",
    "description": "empty",
    "nullable": "false",
    _PRESERVE: "false",
    _EMBEDDED: "false",
    _INT_OR_STRING: "false",
    "x-kubernetes-list-map-keys": "empty",
    "x-kubernetes-list-type": "undefined",
    "x-kubernetes-map-type": "undefined",
    "x-kubernetes-validations": "empty",
}
# Of these the mere presence counts.
_POINTERS = frozenset(
    ("additionalProperties", "default", "x-kubernetes-list-type", "x-kubernetes-map-type")
)
# Lists that are built anew, so that an empty one is none.
_BUILT = frozenset(("enum", *_JUNCTORS))
# Outside of a junctor these say something about a value and not about its structure.
_VALUE_CHECKS = frozenset(
    (
        "format", "maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength",
        "minLength", "pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "enum",
        "maxProperties", "minProperties", "required", "allOf", "oneOf", "anyOf", "not",
    )
)  # fmt: skip


def findings(props: Json, path: str) -> list[FieldError]:
    """In the order of their texts, as the real server sorts them."""
    found = [*_invariants(props, ROOT, path), *_complete(props, props, path, path)]
    return sorted(found, key=str)


# -- invariants ---------------------------------------------------------------------------------


def _invariants(s: Json, level: str, path: str) -> Iterator[FieldError]:
    kind = s.get("type", "")
    items = s.get("items")
    if kind == "array" and not isinstance(items, dict):
        yield required(f"{path}.items", "must be specified")
    if isinstance(items, dict):
        yield from _invariants(items, ITEM, f"{path}.items")
    for name, child in (s.get("properties") or {}).items():
        yield from _invariants(child, FIELD, f"{path}.properties[{name}]")
    additional = s.get("additionalProperties")
    if additional is not None:
        if level == ROOT:
            yield field_forbidden(f"{path}.additionalProperties", "must not be used at the root")
        if isinstance(additional, dict):
            yield from _invariants(additional, FIELD, f"{path}.additionalProperties")
    yield from _extensions(s, path)
    yield from _values(s, path, either=_is_either(s), first_either=_first_is_either(s))
    yield from _types(s, kind, level, path)
    yield from _meta(s, level, path)


def _extensions(s: Json, path: str) -> Iterator[FieldError]:
    if not s.get(_INT_OR_STRING):
        return
    for name in (_PRESERVE, _EMBEDDED):
        if s.get(name):
            text = f"must be false if {_INT_OR_STRING} is true"
            yield invalid_value(f"{path}.{name}", True, text)


def _types(s: Json, kind: str, level: str, path: str) -> Iterator[FieldError]:
    where = f"{path}.type"
    if s.get(_EMBEDDED) and kind != "object":
        text = f"must be object if {_EMBEDDED} is true"
        yield invalid_value(where, kind, text) if kind else required(where, text)
    elif not kind and not s.get(_INT_OR_STRING) and not s.get(_PRESERVE):
        yield required(where, f"must not be empty {level}")
    if s.get(_EMBEDDED) and s.get("additionalProperties") is not None:
        text = f"must not be used if {_EMBEDDED} is set"
        yield field_forbidden(f"{path}.additionalProperties", text)
    if level == ROOT and kind not in ("", "object"):
        yield invalid_value(where, kind, "must be object at the root")


def _meta(s: Json, level: str, path: str) -> Iterator[FieldError]:
    own = level == ROOT or s.get(_EMBEDDED)
    properties = s.get("properties") or {}
    for name in ("kind", "apiVersion"):
        if own and name in properties and properties[name].get("type") != "string":
            where = f"{path}.properties[{name}].type"
            yield invalid_value(where, properties[name].get("type", ""), "must be string")
    metadata = properties.get("metadata")
    if metadata is not None:
        where = f"{path}.properties[metadata]"
        if own and metadata.get("type") != "object":
            yield invalid_value(f"{where}.type", metadata.get("type", ""), "must be object")
        if level == ROOT and not _names_only(metadata):
            yield field_forbidden(where, METADATA)
    if s.get(_EMBEDDED) and not s.get(_PRESERVE) and not properties:
        text = f"must not be empty if {_EMBEDDED} is true without {_PRESERVE}"
        yield required(f"{path}.properties", text)


def _said(props: Json) -> Json:
    """What a schema says, without what is as if it were not there."""
    return {
        key: value
        for _, key, kind in go_form.FIELDS
        if not go_form.is_zero(value := props.get(key), kind) and (value or key not in _BUILT)
    }


def _names_only(metadata: Json) -> bool:
    """Whether a schema of metadata asks for nothing but names."""
    rest = set(_said(metadata))
    rest -= {"type", "default", "externalDocs", "example"}
    properties = metadata.get("properties") or {}
    if properties.keys() <= {"name", "generateName"}:
        rest.discard("properties")
    return not rest


# -- inside of junctors -------------------------------------------------------------------------


def _is_either(s: Json) -> bool:
    """The one way to say "integer or string" by types in a junctor."""
    return [_said(inner) for inner in s.get("anyOf") or ()] == _EITHER


def _first_is_either(s: Json) -> bool:
    all_of: list[Json] = s.get("allOf") or []
    return bool(all_of) and _is_either(all_of[0])


def _values(s: Json, path: str, *, either: bool, first_either: bool) -> Iterator[FieldError]:
    for junctor in _JUNCTORS:
        if junctor == "anyOf" and either:
            continue
        for i, inner in enumerate(s.get(junctor) or ()):
            skip = junctor == "allOf" and first_either and i == 0
            yield from _nested(inner, f"{path}.{junctor}[{i}]", either=skip)
    if isinstance(s.get("not"), dict):
        yield from _nested(s["not"], f"{path}.not", either=False)
    pattern = s.get("pattern")
    if pattern:
        try:
            compile_go(pattern)
        except GoRegexError as e:
            text = f"must be a valid regular expression, but isn't: {e}"
            yield invalid_value(f"{path}.pattern", pattern, text)


def _nested(v: Json, path: str, *, either: bool) -> Iterator[FieldError]:
    yield from _values(v, path, either=either, first_either=False)
    if isinstance(v.get("items"), dict):
        yield from _nested(v["items"], f"{path}.items", either=False)
    properties = v.get("properties") or {}
    for name, child in properties.items():
        yield from _nested(child, f"{path}.properties[{name}]", either=False)
    for name, instead in _FORBIDDEN_INSIDE.items():
        value = v.get(name)
        if value if name not in _POINTERS else value is not None:
            yield field_forbidden(f"{path}.{name}", f"must be {instead} to be structural")
    if "metadata" in properties:
        where = f"{path}.properties[metadata]"
        yield field_forbidden(where, "must not be specified in a nested context")


# -- completeness -------------------------------------------------------------------------------


def _complete(v: Json, s: Json | None, s_path: str, v_path: str) -> Iterator[FieldError]:
    """What the junctors of `v` speak of must stand in the skeleton `s`."""
    if s is None:
        if _VALUE_CHECKS & v.keys():
            yield required(s_path, f"because it is defined in {v_path}")
        return
    if isinstance(v.get("not"), dict):
        yield from _nested_complete(v["not"], s, s_path, f"{v_path}.not")
    for junctor in ("allOf", "anyOf", "oneOf"):
        for i, inner in enumerate(v.get(junctor) or ()):
            yield from _nested_complete(inner, s, s_path, f"{v_path}.{junctor}[{i}]")


def _nested_complete(v: Json, s: Json | None, s_path: str, v_path: str) -> Iterator[FieldError]:
    if s is None:
        yield required(s_path, f"because it is defined in {v_path}")
        return
    yield from _complete(v, s, s_path, v_path)
    if isinstance(v.get("items"), dict):
        below = s.get("items")
        below = below if isinstance(below, dict) else None
        yield from _nested_complete(v["items"], below, f"{s_path}.items", f"{v_path}.items")
    known = s.get("properties") or {}
    for name, child in (v.get("properties") or {}).items():
        at, of = f"{s_path}.properties[{name}]", f"{v_path}.properties[{name}]"
        if name not in known:
            yield required(at, f"because it is defined in {of}")
        else:
            yield from _nested_complete(child, known[name], at, of)
