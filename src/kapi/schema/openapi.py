"""OpenAPI schemas of kinds: built-in ones from packaged facts, others from their `Schema`.

`Definitions` reads two tables in `kapi/data`, one named type a line: `openapi-schemas.tsv` (facts,
always there) and `descriptions.tsv.gz` (prose, only where the wheel was built with it). Nothing big
is kept: each call reads the lines it needs. Key order is that of the real server's documents.

Called by `handlers/documents/openapi_documents.py`. Schemas are in OpenAPI v3 form; `to_v2` makes
the older one.
"""

from __future__ import annotations

import gzip
import importlib.resources
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from kapi.schema.structural import Constraints, Property, Schema

Json = dict[str, Any]

V3_REF = "#/components/schemas/"
V2_REF = "#/definitions/"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
OBJECT_META = f"{META}ObjectMeta"

_KEY_ORDER = (
    *("$ref", "description", "type", "nullable", "format", "title", "default"),
    *("maximum", "exclusiveMaximum", "minimum", "exclusiveMinimum", "maxLength", "minLength"),
    *("pattern", "maxItems", "minItems", "uniqueItems", "multipleOf", "enum", "maxProperties"),
    *("minProperties", "required", "items", "allOf", "oneOf", "anyOf", "not", "properties"),
    "additionalProperties",
)
_RANK = {key: rank for rank, key in enumerate(_KEY_ORDER)}
_TEXT = {"type": "string"}
_EMPTY_TEXT = {"type": "string", "default": ""}


def _info() -> Json:
    required = "major minor gitVersion gitCommit gitTreeState buildDate goVersion compiler platform"
    optional = "emulationMajor emulationMinor minCompatibilityMajor minCompatibilityMinor"
    properties = {
        **dict.fromkeys(required.split(), _EMPTY_TEXT),
        **dict.fromkeys(optional.split(), _TEXT),
    }
    return {
        "type": "object",
        "required": required.split(),
        "properties": dict(sorted(properties.items())),
    }


def _discovery(kind: str, required: list[str], **lists: Json) -> Json:
    properties = {
        name: {"type": "array", "items": items, "x-kubernetes-list-type": "atomic"}
        for name, items in lists.items()
    }
    return {
        "type": "object",
        "required": required,
        "properties": dict(sorted({"apiVersion": _TEXT, "kind": _TEXT, **properties}.items())),
        "x-kubernetes-group-version-kind": [{"group": "", "kind": kind, "version": "v1"}],
    }


def _extra() -> dict[str, Json]:
    """Types that the real server serves but that are no part of a group's document."""
    addresses = {"$ref": f"{V3_REF}{META}ServerAddressByClientCIDR"}
    return {
        "io.k8s.apimachinery.pkg.version.Info": _info(),
        f"{META}APIVersions": _discovery(
            "APIVersions",
            ["versions", "serverAddressByClientCIDRs"],
            serverAddressByClientCIDRs=addresses,
            versions=_EMPTY_TEXT,
        ),
        f"{META}APIGroupList": _discovery(
            "APIGroupList", ["groups"], groups={"$ref": f"{V3_REF}{META}APIGroup"}
        ),
    }


class Definitions:
    """The named types of the built-in API. Keeps only an index of kinds."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str, str], str] | None = None

    def name_of(self, group: str, version: str, kind: str) -> str | None:
        """The type of a built-in kind: `io.k8s.api.core.v1.Pod`; None for other kinds."""
        if self._names is None:
            names: dict[tuple[str, str, str], str] = {}
            for name, text in _lines(_facts()):
                if b"group-version-kind" in text:
                    for gvk in orjson.loads(text)["x-kubernetes-group-version-kind"]:
                        key = (gvk["group"], gvk["version"], gvk["kind"])
                        names[key] = name
            self._names = names  # whole, for whoever looks from another thread
        return self._names.get((group, version, kind))

    def closure(self, names: Iterable[str], also: Iterable[Json] = ()) -> dict[str, Json]:
        """The named types, and all that they and the schemas `also` refer to; sorted by name."""
        facts = dict(_lines(_facts()))
        prose = dict(_lines(_descriptions()))
        extra = _extra()
        found: dict[str, Json] = {}
        pending = [*names, *(ref for schema in also for ref in references(schema))]
        while pending:
            name = pending.pop()
            if name in found:
                continue
            if name in facts:
                schema = orjson.loads(facts[name])
            elif name in extra:
                schema = extra[name]
            else:
                continue
            pending.extend(references(schema))
            found[name] = _described(schema, orjson.loads(prose.get(name, b"{}")))
        return {name: found[name] for name in sorted(found)}

    def prose(self, name: str) -> dict[str, str]:
        """The descriptions of a type: "" is its own, other keys are its fields'."""
        found: dict[str, str] = orjson.loads(dict(_lines(_descriptions())).get(name, b"{}"))
        return found

    def all_names(self) -> list[str]:
        return [name for name, _ in _lines(_facts())]


def _facts() -> bytes:
    return importlib.resources.files("kapi").joinpath("data", "openapi-schemas.tsv").read_bytes()


def _descriptions() -> bytes:
    path = importlib.resources.files("kapi").joinpath("data", "descriptions.tsv.gz")
    return gzip.decompress(path.read_bytes()) if path.is_file() else b""


def has_descriptions() -> bool:
    """Whether this installation carries the prose."""
    return importlib.resources.files("kapi").joinpath("data", "descriptions.tsv.gz").is_file()


def _lines(table: bytes) -> Iterator[tuple[str, bytes]]:
    for line in table.splitlines():
        name, _, text = line.partition(b"\t")
        yield name.decode(), text


def _described(schema: Json, prose: Json) -> Json:
    """The schema with its prose: "" is the type's own, other keys are its fields'."""
    out = dict(schema)
    if "" in prose:
        out["description"] = prose[""]
    if "properties" in out:
        out["properties"] = {
            name: ordered({**child, "description": prose[name]} if name in prose else child)
            for name, child in out["properties"].items()
        }
    return ordered(out)


def ordered(schema: Json) -> Json:
    """The schema with its keys in the real server's order; children as they are."""
    keys = sorted(schema, key=lambda k: (_RANK.get(k, len(_RANK)), k))
    return {k: schema[k] for k in keys}


_RULE_KEYS = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")


def deeply_ordered(schema: Any) -> Any:
    """As `ordered`, the children too: for schemas that users wrote."""
    if not isinstance(schema, dict):
        return schema
    out = ordered(schema)
    for key, child in out.items():
        if key == "properties":
            out[key] = {name: deeply_ordered(child[name]) for name in sorted(child)}
        elif key in ("items", "additionalProperties", "not"):
            out[key] = deeply_ordered(child)
        elif key in ("allOf", "anyOf", "oneOf"):
            out[key] = [deeply_ordered(c) for c in child]
        elif key == "x-kubernetes-validations":
            out[key] = [{k: rule[k] for k in _RULE_KEYS if k in rule} for rule in child]
    return out


def references(schema: Any) -> Iterator[str]:
    """The names of all types that a schema refers to."""
    if isinstance(schema, dict):
        ref = schema.get("$ref")
        if isinstance(ref, str):
            yield ref.rpartition("/")[2]
        for key, child in schema.items():
            if key == "properties":
                for member in child.values():
                    yield from references(member)
            elif key not in ("default", "enum"):
                yield from references(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from references(child)


# -- schemas of other kinds -----------------------------------------------------------------------


def from_structural(schema: Schema, *, root: bool = False) -> Json:
    """OpenAPI v3 of a Schema; built-in named types become references, unless at the root."""
    if schema.name and schema.typed and not root:
        return {"$ref": V3_REF + schema.name}
    out: Json = {}
    if schema.format == "int-or-string":
        out["x-kubernetes-int-or-string"] = True
    elif schema.type != "any":
        out["type"] = "object" if schema.type == "map" else schema.type
        if schema.format and schema.format != "raw":
            out["format"] = schema.format
    if schema.nullable:
        out["nullable"] = True
    if schema.enum:
        out["enum"] = list(schema.enum)
    if schema.constraints is not None:
        _constraints(schema.constraints, out)
    if schema.type == "object":
        _members(schema, out)
    elif schema.values is not None:
        out["additionalProperties"] = from_structural(schema.values)
    elif schema.items is not None:
        out["items"] = from_structural(schema.items)
    _extensions(schema, out)
    return ordered(out)


def _members(schema: Schema, out: Json) -> None:
    required = [p.name for p in schema.properties.values() if p.required]
    if required:
        out["required"] = required
    if schema.properties:
        out["properties"] = {
            name: _member(schema.properties[name]) for name in sorted(schema.properties)
        }


def _member(prop: Property) -> Json:
    child = from_structural(prop.schema)
    if "$ref" in child:
        child = {"allOf": [child]}  # beside a `$ref` nothing else counts
    default = prop.default if prop.default is not None else prop.schema.default
    if default is not None:
        child["default"] = default
    if prop.merge_key:
        child["x-kubernetes-patch-merge-key"] = prop.merge_key
    if prop.patch_strategy:
        child["x-kubernetes-patch-strategy"] = ",".join(prop.patch_strategy)
    return ordered(child)


def _constraints(constraints: Constraints, out: Json) -> None:
    for key, value in (
        ("minimum", constraints.minimum),
        ("maximum", constraints.maximum),
        ("exclusiveMinimum", constraints.exclusive_minimum or None),
        ("exclusiveMaximum", constraints.exclusive_maximum or None),
        ("multipleOf", constraints.multiple_of),
        ("minLength", constraints.min_length),
        ("maxLength", constraints.max_length),
        ("pattern", constraints.pattern or None),
        ("minItems", constraints.min_items),
        ("maxItems", constraints.max_items),
        ("uniqueItems", constraints.unique_items or None),
        ("minProperties", constraints.min_properties),
        ("maxProperties", constraints.max_properties),
    ):
        if value is not None:
            out[key] = value
    for key, schemas in (
        ("allOf", constraints.all_of),
        ("anyOf", constraints.any_of),
        ("oneOf", constraints.one_of),
    ):
        if schemas:
            out[key] = [from_structural(s) for s in schemas]
    if constraints.not_ is not None:
        out["not"] = from_structural(constraints.not_)


def _extensions(schema: Schema, out: Json) -> None:
    if schema.type == "array" and schema.list_type != "atomic":
        out["x-kubernetes-list-type"] = schema.list_type
        if schema.list_keys:
            out["x-kubernetes-list-map-keys"] = list(schema.list_keys)
    if schema.map_type == "atomic":
        out["x-kubernetes-map-type"] = "atomic"
    if schema.preserve_unknown or (schema.type == "any" and not schema.format):
        out["x-kubernetes-preserve-unknown-fields"] = True
    if schema.embedded_resource:
        out["x-kubernetes-embedded-resource"] = True
    if schema.rules:
        out["x-kubernetes-validations"] = [dict(rule) for rule in schema.rules]


# -- OpenAPI v2 -----------------------------------------------------------------------------------

_V3_ONLY = ("default", "nullable", "oneOf", "anyOf", "not")


def to_v2(schema: Json, *, defaults: bool = False) -> Json:
    """A v3 schema in v2 form: plain references, no unions, and `defaults` only if asked for."""
    out: Json = {}
    for key, value in schema.items():
        if key == "$ref":
            out[key] = value.replace(V3_REF, V2_REF)
        elif key == "properties":
            out[key] = {name: to_v2(child, defaults=defaults) for name, child in value.items()}
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = to_v2(value, defaults=defaults)
        elif key == "allOf" and len(value) == 1 and "$ref" in value[0]:
            out["$ref"] = value[0]["$ref"].replace(V3_REF, V2_REF)
        elif key not in (*_V3_ONLY, "allOf") or (defaults and key == "default"):
            out[key] = value
    if "oneOf" in schema and "type" not in schema:
        out["type"] = "string"  # quantities, and numbers that may be names
    return ordered(out)


def for_old_clients(schema: Json) -> Json:
    """A schema that a user wrote, still in v3 form, without what clients of v2 cannot read: unions
    and junctors, types of what may be null, and members beside fields that nobody names. Defaults
    stay, unlike those of built-in types.
    """
    if schema.get("x-kubernetes-preserve-unknown-fields") is True:  # they forbid what is not listed
        return {"type": "object"}
    return _for_old_clients(schema)


_JUNCTORS = ("allOf", "anyOf", "oneOf", "not")


def _for_old_clients(schema: Json) -> Json:
    out = {key: value for key, value in schema.items() if key not in (*_JUNCTORS, "nullable")}
    keeps = schema.get("x-kubernetes-preserve-unknown-fields") is True
    untyped = schema.get("nullable") is True
    if untyped or keeps:
        out.pop("items", None)
        out.pop("properties", None)
    if untyped or (out.get("type") == "array" and "items" not in out):
        out.pop("type", None)
    if keeps and out.get("type") == "object":
        del out["type"]
    members: Json = out.get("properties", {})
    required = [name for name in out.get("required", ()) if not _nullable(members.get(name))]
    values = out.get("additionalProperties")
    out.pop("required", None)
    if required and not _nullable(values):
        out["required"] = required
    if members:
        out["properties"] = {name: _for_old_clients(child) for name, child in members.items()}
    if isinstance(out.get("items"), dict):
        out["items"] = _for_old_clients(out["items"])
    if isinstance(values, dict):
        out["additionalProperties"] = _for_old_clients(values)
    return out


def _nullable(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.get("nullable") is True
