"""The OpenAPI schema of a definition's version: is it structural, are its defaults right, does it
keep to what custom kinds may say?

Called by `spec.py` for each schema, under the path that findings name. Rules in
x-kubernetes-validations are looked at as texts only; compiling them is for `RuleChecks`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kapi.errors import (
    FieldError,
    bounded_findings,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)
from kapi.kinds.definitions import defaults as definition_defaults
from kapi.kinds.definitions import go_form
from kapi.kinds.definitions import lists as definition_lists
from kapi.kinds.definitions import structural as definition_structural
from kapi.kinds.definitions.field_paths import PathError, field_at
from kapi.schema import formats
from kapi.schema.structural import SchemaSource

Json = dict[str, Any]
TYPES = ("array", "boolean", "integer", "number", "object", "string")
_META_FIELDS = ("metadata", "kind", "apiVersion")
_UNSUPPORTED = (
    ("id", "id"),
    ("additionalItems", "additionalItems"),
    ("patternProperties", "patternProperties"),
    ("definitions", "definitions"),
    ("dependencies", "dependencies"),
    ("$ref", "$ref"),
)
_NEVER = (
    "id", "$schema", "$ref", "patternProperties", "dependencies", "additionalItems", "definitions",
)  # fmt: skip
_REASONS = ("FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired")
_EXTENSIONS = (
    "x-kubernetes-embedded-resource", "x-kubernetes-int-or-string", "x-kubernetes-list-map-keys",
    "x-kubernetes-validations",
)  # fmt: skip
_EXTENSION_POINTERS = ("x-kubernetes-preserve-unknown-fields", "x-kubernetes-list-type")
_POINTERS = ("additionalItems", "$ref", "dependencies")  # refused even if nothing is in them
# What a root schema may have where status is a subresource, by the names of the Go struct.
_AT_ROOT = (
    "Description", "Type", "Format", "Title", "Maximum", "ExclusiveMaximum", "Minimum",
    "ExclusiveMinimum", "MaxLength", "MinLength", "Pattern", "MaxItems", "MinItems",
    "UniqueItems", "MultipleOf", "Required", "Items", "Properties", "ExternalDocs", "Example",
    "XPreserveUnknownFields", "XValidations",
)  # fmt: skip
# (structural schema, path, what is wrong with it otherwise) -> findings of the rules in it.
RuleChecks = Callable[[Json, str, Sequence[FieldError]], list[FieldError]]


@dataclass(frozen=True, slots=True)
class Requirements:
    """What an update may leave as wrong as it was (everything is required of a new definition)."""

    structural: bool = True
    valid_types: bool = True
    pruned_defaults: bool = True
    atomic_sets: bool = True
    map_keys: bool = True
    schema: bool = True
    review_version: bool = True
    ca_bundle: bool = False  # of a definition that is served
    immutable_names: bool = False
    object_meta: SchemaSource | None = None
    rules: RuleChecks | None = None
    judged: tuple[Json, ...] = ()  # schemas whose rules were accepted before
    default_reason: str = field(default="", kw_only=True)  # why defaults may not stand here
    inside_meta: bool = field(default=False, kw_only=True)


def findings(props: Json, path: str, needed: Requirements, *, has_status: bool) -> list[FieldError]:
    """About one schema and all in it."""
    found: list[FieldError] = []
    if has_status:
        found += _at_root(props, path)
    if props.get("nullable"):
        found.append(field_forbidden(f"{path}.nullable", "nullable cannot be true at the root"))
    sound = False
    unfit = trouble(props) if needed.structural else ""
    if needed.structural and not unfit:
        found_here = definition_structural.findings(props, path)
        if not found_here and needed.object_meta is not None:
            found_here = definition_defaults.findings(
                props, path, needed.object_meta(), pruned=needed.pruned_defaults
            )
        found += found_here
        sound = not found_here
    found += _node(props, path, needed, root=True)
    if unfit and not found:
        found.append(invalid_value(path, "", unfit))
    if sound and needed.rules is not None and props not in needed.judged:
        found += needed.rules(props, path, found)
    return found


def _at_root(props: Json, path: str) -> list[FieldError]:
    """The first field, in the order of the struct, that may not stand there."""
    for go, key, kind in go_form.FIELDS:
        value = props.get(key)
        if go_form.is_zero(value, kind):
            continue
        if key == "type":
            if value != "object":
                text = (
                    'only "object" is allowed as the type at the root of the schema if the status '
                    "subresource is enabled"
                )
                return [invalid_value(f"{path}.type", value, text)]
        elif go not in _AT_ROOT:
            text = (
                f"only [{' '.join(_AT_ROOT)}] fields are allowed at the root of the schema if the "
                "status subresource is enabled"
            )
            return [invalid_value(path, go_form.shown(go_form.schema(props)), text)]
    return []


def trouble(props: Json) -> str:
    """Why a schema cannot be made a structural one; empty if it can. All but `$schema` is told of
    by `findings`, too.
    """
    for name in _NEVER:
        if props.get(name) or (name == "additionalItems" and props.get(name) is not None):
            shown = "schema" if name == "$schema" else name
            return f"OpenAPIV3Schema '{shown}' is not supported"
    if props.get("x-kubernetes-preserve-unknown-fields") is False:
        return "internal error: 'x-kubernetes-preserve-unknown-fields' must be true or undefined"
    if isinstance(props.get("items"), list) and props["items"]:
        return "OpenAPIV3Schema 'items' must be a schema, but is an array"
    return next(filter(None, map(trouble, children(props))), "")


def children(props: Json) -> Iterator[Json]:
    """The schemas right below one."""
    items = props.get("items")
    yield from (x for x in (items if isinstance(items, list) else [items]) if isinstance(x, dict))
    for name in ("allOf", "anyOf", "oneOf"):
        yield from props.get(name) or ()
    if isinstance(props.get("not"), dict):
        yield props["not"]
    yield from (props.get("properties") or {}).values()
    if isinstance(props.get("additionalProperties"), dict):
        yield props["additionalProperties"]
    yield from (props.get("patternProperties") or {}).values()
    if isinstance(props.get("additionalItems"), dict):
        yield props["additionalItems"]
    yield from (props.get("definitions") or {}).values()
    yield from (x for x in (props.get("dependencies") or {}).values() if isinstance(x, dict))


def _node(props: Json, path: str, needed: Requirements, *, root: bool) -> list[FieldError]:
    found = list(_standard(props, path, needed))
    if props.get("uniqueItems"):
        text = "uniqueItems cannot be set to true since the runtime complexity becomes quadratic"
        found.append(field_forbidden(f"{path}.uniqueItems", text))
    found += _below(props, path, needed, root=root)
    preserve = props.get("x-kubernetes-preserve-unknown-fields")
    if preserve is False:
        where = f"{path}.x-kubernetes-preserve-unknown-fields"
        found.append(invalid_value(where, False, "must be true or undefined"))
    found += definition_lists.findings(
        props, path, atomic_sets=needed.atomic_sets, map_keys=needed.map_keys
    )
    found += _rule_texts(props, path)
    return found


def _standard(props: Json, path: str, needed: Requirements) -> Iterator[FieldError]:
    kind = props.get("type", "")
    if needed.valid_types and kind and kind not in TYPES:
        yield not_supported(f"{path}.type", kind, TYPES)
    if props.get("default") is not None and needed.default_reason:
        yield field_forbidden(f"{path}.default", f"must not be set {needed.default_reason}")
    for name, shown in _UNSUPPORTED:
        if props.get(name) or (name in _POINTERS and props.get(name) is not None):
            yield field_forbidden(f"{path}.{shown}", f"{shown} is not supported")
    if kind == "null":
        text = "type cannot be set to null, use nullable as an alternative"
        yield field_forbidden(f"{path}.type", text)
    if isinstance(props.get("items"), list) and props["items"]:
        text = "items must be a schema object and not an array"
        yield field_forbidden(f"{path}.items", text)
    if needed.inside_meta and props.get("x-kubernetes-embedded-resource"):
        where = f"{path}.x-kubernetes-embedded-resource"
        yield field_forbidden(where, "must not be used inside of resource meta")


def _below(props: Json, path: str, needed: Requirements, *, root: bool) -> list[FieldError]:
    found: list[FieldError] = []
    additional, properties = props.get("additionalProperties"), props.get("properties") or {}
    if additional is not None:
        where = f"{path}.additionalProperties"
        if properties and additional is not True:
            text = "additionalProperties and properties are mutual exclusive"
            found.append(field_forbidden(where, text))
        if isinstance(additional, dict):
            inner = needed
            if needed.inside_meta:
                reason = "inside additionalProperties applying to object metadata"
                inner = replace(needed, default_reason=reason)
            found += _node(additional, where, inner, root=False)
    is_kind = root or props.get("x-kubernetes-embedded-resource")
    for name, child in properties.items():
        inner = needed
        if is_kind and name in _META_FIELDS:
            inner = replace(needed, inside_meta=True)
            if root:
                inner = replace(inner, default_reason=f"in top-level {name}")
        found += _node(child, f"{path}.properties[{name}]", inner, root=False)
    if isinstance(props.get("not"), dict):
        found += _node(props["not"], f"{path}.not", needed, root=False)
    for junctor in ("allOf", "oneOf", "anyOf"):
        for i, child in enumerate(props.get(junctor) or ()):
            found += _node(child, f"{path}.{junctor}[{i}]", needed, root=False)
    for name, child in (props.get("definitions") or {}).items():
        found += _node(child, f"{path}.definitions[{name}]", needed, root=False)
    items = props.get("items")
    if isinstance(items, dict):
        found += _node(items, f"{path}.items", needed, root=False)
    elif isinstance(items, list):
        for i, child in enumerate(items):
            if isinstance(child, dict):  # others are not decoded
                found += _node(child, f"{path}.items[{i}]", needed, root=False)
    for name, child in (props.get("dependencies") or {}).items():
        if isinstance(child, dict):
            found += _node(child, f"{path}.dependencies[{name}]", needed, root=False)
    return found


def _rule_texts(props: Json, path: str) -> Iterator[FieldError]:
    for i, rule in enumerate(props.get("x-kubernetes-validations") or ()):
        where = f"{path}.x-kubernetes-validations[{i}]"
        text, message = rule.get("rule", ""), rule.get("message", "")
        expression = rule.get("messageExpression", "")
        if not text.strip():
            yield required(f"{where}.rule", "rule is not specified")
        elif message and not message.strip():
            words = "must be non-empty if specified"
            yield invalid_value(f"{where}.message", message, words)
        elif _has_newlines(message.strip()):
            words = "must not contain line breaks"
            yield invalid_value(f"{where}.message", message, words)
        elif _has_newlines(text.strip()) and not message.strip():
            words = "must be specified if rule contains line breaks"
            yield required(f"{where}.message", words)
        if expression and not expression.strip():
            words = "must be non-empty if specified"
            yield required(f"{where}.messageExpression", words)
        reason = rule.get("reason")
        if reason is not None and reason not in _REASONS:
            yield not_supported(f"{where}.reason", reason, _REASONS)
        place = rule.get("fieldPath", "")
        if place and not place.strip():
            words = "must be non-empty if specified"
            yield invalid_value(f"{where}.fieldPath", place, words)
        if _has_newlines(place):
            yield invalid_value(f"{where}.fieldPath", place, "must not contain line breaks")
        if place and not _leads_somewhere(props, place):
            yield invalid_value(f"{where}.fieldPath", place, "must be a valid path")


def _leads_somewhere(props: Json, path: str) -> bool:
    if trouble(props):
        return True  # nobody can tell
    try:
        field_at(props, path)
    except PathError:
        return False
    return True


def _has_newlines(text: str) -> bool:
    return "\n" in text or "\r" in text


# -- what an old definition fulfils ---------------------------------------------------------------


def fulfilled(schemas: list[Json], needed: Requirements) -> Requirements:
    """The requirements that the schemas of a definition keep: others are not made of its update."""
    with bounded_findings(told=False):
        structural = all(
            not trouble(s) and not definition_structural.findings(s, "") for s in schemas
        )
    nodes = [node for s in schemas for node in every(s)]
    object_meta = needed.object_meta
    return replace(
        needed,
        structural=structural,
        valid_types=all(n.get("type", "") in ("", *TYPES) for n in nodes),
        pruned_defaults=not structural
        or object_meta is None
        or not any(definition_defaults.unpruned(s, object_meta()) for s in schemas),
        atomic_sets=not any(list(definition_lists.non_atomic_set(n, "")) for n in nodes),
        map_keys=not any(list(definition_lists.later_rules(n, "")) for n in nodes),
    )


def every(props: Json) -> Iterator[Json]:
    """A schema and all in it."""
    yield props
    for child in children(props):
        yield from every(child)


def any_node(schemas: Iterable[Json], what: Callable[[Json], bool]) -> bool:
    return any(what(node) for props in schemas for node in every(props))


def has_default(props: Json) -> bool:
    return props.get("default") is not None


def has_extension(props: Json) -> bool:
    """Whether it says what only structural schemas may."""
    return any(props.get(name) for name in _EXTENSIONS) or any(
        props.get(name) is not None for name in _EXTENSION_POINTERS
    )


def unknown_formats(schemas: Iterable[Json]) -> list[str]:
    """Formats of texts that nobody checks, each once."""
    found = {
        node["format"]: None
        for props in schemas
        for node in every(props)
        if node.get("format") and node.get("type") == "string" and not formats.check(node["format"])
    }
    return list(found)
