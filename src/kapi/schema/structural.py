"""The schema model: an immutable tree (with shared, possibly recursive nodes), parsed once per
type.

Two families share the model. *Typed* schemas describe built-in kinds and decode like the Go
structs they come from: unknown fields are dropped, empty optional fields vanish, zero values of
plain fields appear, fields stand in the order of the struct. *Untyped* ones (custom kinds) keep
what they are given, and prune.

Every walk over objects (decode, default, validate, merge, field sets, OpenAPI, protobuf) is a
function over (Schema, value) in its own module; hot ones compile closures and keep them by schema
identity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SchemaType = Literal["object", "map", "array", "string", "integer", "number", "boolean", "any"]
# Formats with a meaning of their own here; other formats of custom kinds pass through by name.
#   int32 int64 double byte              as in OpenAPI ("byte": base64 text)
#   date-time micro-time duration        metav1.Time, MicroTime, Duration
#   quantity int-or-string               resource.Quantity, intstr.IntOrString
#   raw                                  any JSON kept as it is (RawExtension, FieldsV1, JSON)


@dataclass(slots=True, eq=False)
class Property:
    """A field of an object: its schema and what belongs to the place rather than to the type."""

    name: str
    schema: Schema
    required: bool = False
    pointer: bool = False  # typed: null means absent, a zero value is kept
    omit_empty: bool = True  # typed: Go's omitempty
    omit_zero: bool = False  # typed: Go's omitzero: an all-zero struct vanishes too
    default: Any = None  # what defaulting puts here; None: nothing
    patch_strategy: tuple[str, ...] = ()  # of merge, replace, retainKeys
    merge_key: str = ""
    go_type: str = ""  # as JSON decoding errors name it: *v1.Probe
    embedded: str = ""  # the inlined Go structs this field came through: VolumeSource, or A.B
    number: int = 0  # protobuf field number
    wire: str = ""  # protobuf wire form
    repeated: bool = False
    inline: tuple[
        tuple[str, int], ...
    ] = ()  # protobuf: the inlined messages (name, number) on the way


@dataclass(slots=True, eq=False)
class Constraints:
    """Value validation that OpenAPI can say. All of them None or empty: nothing to check."""

    minimum: float | None = None
    maximum: float | None = None
    exclusive_minimum: bool = False
    exclusive_maximum: bool = False
    multiple_of: float | None = None
    min_length: int | None = None
    max_length: int | None = None
    pattern: str = ""
    min_items: int | None = None
    max_items: int | None = None
    unique_items: bool = False
    min_properties: int | None = None
    max_properties: int | None = None
    required: tuple[str, ...] = ()  # in the order of the document
    closed: bool = False  # additionalProperties: false
    all_of: tuple[Schema, ...] = ()
    any_of: tuple[Schema, ...] = ()
    one_of: tuple[Schema, ...] = ()
    not_: Schema | None = None


@dataclass(slots=True, eq=False)
class Schema:
    type: SchemaType
    typed: bool = True  # decodes like a Go struct (built-in kinds)
    format: str = ""
    name: str = ""  # of a named type: io.k8s.api.core.v1.Pod; the `$ref` in OpenAPI
    go_type: str = ""  # as JSON decoding errors name it: v1.Pod, []string, map[string]string
    properties: dict[str, Property] = field(
        default_factory=dict
    )  # object: in the order of the wire
    values: Schema | None = None  # map
    items: Schema | None = None  # array
    items_pointer: bool = False  # typed: an array or map of pointers
    list_type: Literal["atomic", "set", "map"] = "atomic"  # array
    list_keys: tuple[str, ...] = ()  # array of list_type map
    map_type: Literal["granular", "atomic"] = "granular"  # object, map
    nullable: bool = False
    preserve_unknown: bool = False
    embedded_resource: bool = False
    enum: tuple[Any, ...] = ()
    constraints: Constraints | None = None
    rules: tuple[Mapping[str, Any], ...] = ()  # x-kubernetes-validations
    unions: tuple[Mapping[str, Any], ...] = ()  # x-kubernetes-unions
    default: Any = None  # of items or map values; of fields it stands on the Property
    # Of an object with a kind of its own: what its definition says of metadata beyond ObjectMeta.
    meta: Schema | None = None
    defaulter: Callable[[dict[str, Any]], None] | None = (
        None  # defaults that depend on other fields; before those of the children
    )

    @property
    def struct(self) -> str:
        """The Go struct without its package, as JSON decoding errors name it: Pod."""
        return self.go_type.rpartition(".")[2]


def untyped_nodes(schema: Schema) -> Iterator[Schema]:
    """A custom kind's schema and all in it that is its own, each once."""
    pending: list[Schema | None] = [schema]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if node is None or node.typed or id(node) in seen:
            continue
        seen.add(id(node))
        yield node
        pending += [p.schema for p in node.properties.values()]
        pending += [node.values, node.items, node.meta]
        if (c := node.constraints) is not None:
            pending += [*c.all_of, *c.any_of, *c.one_of, c.not_]


SchemaSource = Callable[[], Schema]  # built on first use, then the same one
