"""JSONSchemaProps, as a CustomResourceDefinition carries them, become `Schema` nodes.

Called on the first use of a version of a custom kind (`apiextensions/serving.py`) and where a
definition is checked. Prose is left out: OpenAPI is made of the document itself. What stands only
in a junctor (allOf, anyOf, oneOf, not) becomes a schema under `Constraints`, so that one tree
serves pruning, defaults, validation and field sets.

Objects with a kind of their own (the root, embedded resources) have the properties apiVersion, kind
and metadata whatever the document says; their metadata is the typed ObjectMeta, and what the
document asks of it beyond that is `Schema.meta`.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from typing import Any

from kapi.schema.structural import Constraints, Property, Schema, SchemaType

Json = dict[str, Any]
TYPE_META = ("apiVersion", "kind")
META_FIELDS = (*TYPE_META, "metadata")
_TYPES: dict[str, SchemaType] = {
    "object": "object",
    "array": "array",
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
}
_NUMBERS = (
    ("minimum", "minimum"),
    ("maximum", "maximum"),
    ("multipleOf", "multiple_of"),
    ("minLength", "min_length"),
    ("maxLength", "max_length"),
    ("minItems", "min_items"),
    ("maxItems", "max_items"),
    ("minProperties", "min_properties"),
    ("maxProperties", "max_properties"),
)
_FLAGS = (
    ("exclusiveMinimum", "exclusive_minimum"),
    ("exclusiveMaximum", "exclusive_maximum"),
    ("uniqueItems", "unique_items"),
)
_JUNCTORS = (("allOf", "all_of"), ("anyOf", "any_of"), ("oneOf", "one_of"))


def parse(props: Json, object_meta: Schema) -> Schema:
    """The schema of a custom kind; `object_meta` is the typed one of metadata."""
    root = parse_node(props, object_meta)
    _with_meta(root, props, object_meta)
    return root


def parse_node(props: Json, object_meta: Schema) -> Schema:
    """A schema anywhere below the root."""
    schema = Schema(
        type=_type(props),
        typed=False,
        format=_format(props),
        nullable=bool(props.get("nullable")),
        preserve_unknown=bool(props.get("x-kubernetes-preserve-unknown-fields")),
        enum=tuple(props.get("enum") or ()),
        rules=tuple(props.get("x-kubernetes-validations") or ()),
        default=props.get("default"),
    )
    _members(schema, props, object_meta)
    schema.constraints = _constraints(props, object_meta)
    list_type = props.get("x-kubernetes-list-type")
    if list_type in ("set", "map"):
        schema.list_type = list_type
        schema.list_keys = tuple(props.get("x-kubernetes-list-map-keys") or ())
    if props.get("x-kubernetes-map-type") == "atomic":
        schema.map_type = "atomic"
    if props.get("x-kubernetes-embedded-resource"):
        schema.embedded_resource = True
        _with_meta(schema, props, object_meta)
    return schema


def _type(props: Json) -> SchemaType:
    if props.get("x-kubernetes-int-or-string"):
        return "any"
    found = _TYPES.get(props.get("type", ""), "any")
    if found == "object" and not props.get("properties") and "additionalProperties" in props:
        return "map"
    return found


def _format(props: Json) -> str:
    if props.get("x-kubernetes-int-or-string"):
        return "int-or-string"
    return str(props.get("format", ""))


def _members(schema: Schema, props: Json, object_meta: Schema) -> None:
    required = set(props.get("required") or ())
    for name, child in (props.get("properties") or {}).items():
        schema.properties[name] = Property(
            name=name,
            schema=parse_node(child, object_meta),
            required=name in required,
            default=child.get("default"),
        )
    additional = props.get("additionalProperties")
    if isinstance(additional, dict):
        schema.values = parse_node(additional, object_meta)
    elif additional is not None:
        schema.values = Schema(type="any", typed=False)
    items = props.get("items")
    if isinstance(items, dict):
        schema.items = parse_node(items, object_meta)


def _constraints(props: Json, object_meta: Schema) -> Constraints | None:
    found: Json = {}
    for key, field in _NUMBERS:
        if props.get(key) is not None:
            found[field] = props[key]
    for key, field in _FLAGS:
        if props.get(key):
            found[field] = True
    if props.get("pattern"):
        found["pattern"] = props["pattern"]
    if props.get("required"):
        found["required"] = tuple(props["required"])
    if props.get("additionalProperties") is False:
        found["closed"] = True
    for key, field in _JUNCTORS:
        if props.get(key):
            found[field] = tuple(parse_node(p, object_meta) for p in props[key])
    if isinstance(props.get("not"), dict):
        found["not_"] = parse_node(props["not"], object_meta)
    return Constraints(**found) if found else None


def _with_meta(schema: Schema, props: Json, object_meta: Schema) -> None:
    """Give an object the fields that every kind has."""
    for name in TYPE_META:
        if name not in schema.properties:
            text = Schema(type="string", typed=False)
            schema.properties[name] = Property(name=name, schema=text)
    given = schema.properties.get("metadata")
    schema.meta = given.schema if given is not None else None
    schema.properties["metadata"] = Property(
        name="metadata",
        schema=object_meta,
        required=given is not None and given.required,
        default=given.default if given is not None else None,
    )
