"""`TypeTable`: the packaged facts about Go types become `Schema` nodes, each on first use.

Two tables are joined: go-types.tsv (fields in the order of the struct, Go types, protobuf
numbers, what is omitted when empty) and openapi-schemas.tsv (enums, list and map semantics, merge
keys, required). Per-kind defaults come from the group modules. Made by `scripts/facts.py`. Used
by `kinds/catalog.py` and by OpenAPI."""

from __future__ import annotations

import importlib.resources
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import orjson

from kapi.schema.made import Made
from kapi.schema.structural import Property, Schema, SchemaType

Json = dict[str, Any]
# Static defaults by field, a function over the object, or both.
Defaults = (
    Mapping[str, Any] | Callable[[Json], None] | tuple[Mapping[str, Any], Callable[[Json], None]]
)


class FactTable:
    """A file of `name<TAB>json` lines; an entry is parsed when it is asked for."""

    def __init__(self, name: str) -> None:
        self._data = importlib.resources.files("kapi").joinpath("data", name).read_bytes()
        self._at: dict[str, tuple[int, int]] = {}
        start = 0
        data = self._data
        while start < len(data):
            tab = data.index(b"\t", start)
            end = data.index(b"\n", tab)
            self._at[data[start:tab].decode()] = (tab + 1, end)
            start = end + 1

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def __iter__(self) -> Iterator[str]:
        return iter(self._at)

    def get(self, name: str) -> Json:
        """The entry, freshly parsed; an empty one where the table has none."""
        at = self._at.get(name)
        if at is None:
            return {}
        entry: Json = orjson.loads(memoryview(self._data)[at[0] : at[1]])
        return entry


# Types with a JSON form of their own, which reflection over their fields would miss.
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."
_OWN_FORMAT: Mapping[str, tuple[SchemaType, str]] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": ("string", "quantity"),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": ("any", "int-or-string"),
    _META + "Time": ("string", "date-time"),
    _META + "MicroTime": ("string", "micro-time"),
    _META + "Duration": ("string", "duration"),
    _META + "FieldsV1": ("any", "raw"),
    "io.k8s.apimachinery.pkg.runtime.RawExtension": ("any", "raw"),
    _CRD + "JSON": ("any", "raw"),
    _CRD + "JSONSchemaPropsOrArray": ("any", "raw"),
    _CRD + "JSONSchemaPropsOrBool": ("any", "raw"),
    _CRD + "JSONSchemaPropsOrStringArray": ("any", "raw"),
}
_SCALARS: Mapping[str, tuple[SchemaType, str]] = {
    "string": ("string", ""),
    "bool": ("boolean", ""),
    "int32": ("integer", "int32"),
    "int64": ("integer", "int64"),
    "int": ("integer", "int64"),
    "float64": ("number", "double"),
    "bytes": ("string", "byte"),
    "interface": ("any", "raw"),
}


class TypeTable:
    """Schemas of built-in types by name, made once and shared."""

    def __init__(self, defaults: Mapping[str, Defaults] | None = None) -> None:
        self._go = FactTable("go-types.tsv")
        self._openapi = FactTable("openapi-schemas.tsv")
        self._defaults = defaults or {}
        self._made: Made[str, Schema] = Made()

    def __contains__(self, name: str) -> bool:
        return name in self._go

    def introduced(self, name: str) -> tuple[int, int]:
        """The release that first served a kind, by its Go type; (0, 0) if that is not known."""
        major, _, minor = self._go.get(name).get("introduced", "0.0").partition(".")
        return int(major), int(minor)

    def schema(self, name: str) -> Schema:
        """The schema of a Go type, as `io.k8s.api.core.v1.Pod`. Raises KeyError for an unknown
        one.
        """
        found = self._made.known.get(name)
        if found is not None:
            return found
        if name not in self._go:
            raise KeyError(name)
        with self._made as under_way:
            return under_way.find(name) or self._make(name)

    def _make(self, name: str) -> Schema:
        facts = self._go.get(name)
        if name in _OWN_FORMAT:
            kind, form = _OWN_FORMAT[name]
            made = Schema(type=kind, format=form, name=name, go_type=facts["go"])
            self._made.put(name, made)
            if name.startswith(f"{_CRD}JSONSchemaProps"):  # a schema, or something simpler
                made.items = self.schema(f"{_CRD}JSONSchemaProps")
            return made
        if "alias" in facts:
            made = self._expression(facts["alias"], facts["go"], {})
            self._made.put(name, made)
            return made
        made = Schema(type="object", name=name, go_type=facts["go"])
        self._made.put(name, made)  # before its fields: a type may contain itself
        self._fill(made, name, facts)
        return made

    def _fill(self, schema: Schema, name: str, facts: Json) -> None:
        openapi = self._openapi.get(name)
        if openapi.get("x-kubernetes-map-type") == "atomic":
            schema.map_type = "atomic"
        schema.unions = tuple(openapi.get("x-kubernetes-unions", ()))
        static, schema.defaulter = _split(self._defaults.get(name))
        fields = openapi.get("properties", {})
        required = set(openapi.get("required", ()))
        for f in facts.get("fields") or ():
            self._field(schema, f, fields, required, static, "", ())

    def _field(
        self,
        schema: Schema,
        facts: list[Any],
        openapi: Json,
        required: set[str],
        static: Mapping[str, Any],
        embedded: str,
        inline: tuple[tuple[str, int], ...],
    ) -> None:
        name, expression, go_type, number, wire, flags = facts
        if name == "-":
            return
        if "i" in flags:  # an inlined message: its fields stand among ours
            inner = f"{embedded}.{name}" if embedded else name
            inherited, own = _split(self._defaults.get(expression))
            if own is not None:
                schema.defaulter = _both(schema.defaulter, own)
            for f in self._go.get(expression).get("fields") or ():
                self._field(
                    schema, f, openapi, required, {**inherited, **static}, inner,
                    (*inline, (expression, number)),
                )  # fmt: skip
            return
        about = openapi.get(name, {})
        default = static.get(name)
        if default is None and about.get("default") not in (None, "", 0, False, {}, []):
            default = about["default"]
        strategy = about.get("x-kubernetes-patch-strategy", "")
        schema.properties[name] = Property(
            name=name,
            schema=self._expression(expression, go_type, about),
            required=name in required,
            pointer="p" in flags,
            omit_empty="o" in flags,
            omit_zero="z" in flags,
            default=default,
            patch_strategy=tuple(strategy.split(",")) if strategy else (),
            merge_key=about.get("x-kubernetes-patch-merge-key", ""),
            go_type=go_type,
            embedded=embedded,
            number=number,
            wire=wire,
            repeated="r" in flags,
            inline=inline,
        )

    def _expression(self, expression: str, go_type: str, about: Json) -> Schema:
        """The schema of a field: `string`, `[]T`, `map[string]T`, a named type."""
        go_type = go_type.lstrip("*")
        if expression.startswith("[]"):
            element = go_type[2:] if go_type.startswith("[]") else expression[2:]
            return Schema(
                type="array",
                go_type=go_type,
                items=self._expression(expression[2:], element, about.get("items", {})),
                list_type=about.get("x-kubernetes-list-type", "atomic"),
                list_keys=tuple(about.get("x-kubernetes-list-map-keys", ())),
            )
        if expression.startswith("map["):
            _, _, inner = expression.partition("]")
            element = go_type.partition("]")[2] if go_type.startswith("map[") else inner
            return Schema(
                type="map",
                go_type=go_type,
                values=self._expression(inner, element, about.get("additionalProperties", {})),
                map_type=about.get("x-kubernetes-map-type", "granular"),
            )
        if expression in _SCALARS:
            kind, form = _SCALARS[expression]
            enum = tuple(about.get("enum", ()))
            return Schema(type=kind, format=form, go_type=go_type, enum=enum)
        named = self.schema(expression)
        if about.get("x-kubernetes-map-type") == "atomic" and named.map_type != "atomic":
            return _atomic(named)
        return named


def _atomic(named: Schema) -> Schema:
    """The same type where the field that holds it is atomic."""
    return Schema(
        type=named.type,
        format=named.format,
        name=named.name,
        go_type=named.go_type,
        properties=named.properties,
        map_type="atomic",
        unions=named.unions,
        defaulter=named.defaulter,
    )


def _split(
    defaults: Defaults | None,
) -> tuple[Mapping[str, Any], Callable[[Json], None] | None]:
    if defaults is None:
        return {}, None
    if isinstance(defaults, tuple):
        return defaults
    if callable(defaults):
        return {}, defaults
    return defaults, None


def _both(
    first: Callable[[Json], None] | None, second: Callable[[Json], None]
) -> Callable[[Json], None]:
    if first is None:
        return second

    def run(obj: Json) -> None:
        first(obj)
        second(obj)

    return run
