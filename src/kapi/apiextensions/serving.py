"""A CustomResourceDefinition becomes a `ResourceType`: the whole of what serving a custom kind is.

Kept small, since there may be thousands: what is kept of a definition are its bytes; schemas are
parsed, and compiled, when something of the kind is first decoded. All closures are over one
`Blueprint` and die with its ResourceType; what others compiled for its schemas is dropped by
`forget`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.apiextensions.columns import printer_columns
from kapi.apiextensions.conversion import Converter, Hook, HookConversions
from kapi.apiextensions.json_path import JsonPath, LookupFailed, PathError
from kapi.apiextensions.strategy import Checked, Checks, CustomStrategy
from kapi.managedfields.manager import FieldManager
from kapi.registry.go_text import go_text
from kapi.registry.resource import (
    Convert,
    GroupVersionKind,
    ResourceType,
    ScalePaths,
    Subresource,
    Version,
    version_order,
)
from kapi.registry.versions import Versions
from kapi.schema.custom_parsing import parse
from kapi.schema.structural import Schema, SchemaSource

Json = dict[str, Any]
# In the order in which the real server lists them.
VERBS = ("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch")
SUBRESOURCE_VERBS = ("get", "patch", "update")
SCALE = GroupVersionKind("autoscaling", "v1", "Scale")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all custom kinds of a server are made with."""

    versions: Versions
    fields: FieldManager
    checks: Checks
    object_meta: Schema
    scale: SchemaSource
    converter: Converter


class Blueprint:
    """One state of one definition."""

    def __init__(self, definition: Json, state: bytes, around: Surroundings) -> None:
        """`state`: what tells this state from another one."""
        spec = definition["spec"]
        self.state = state
        self.terminating = False
        self._around = around
        self._names: Json = definition["status"]["acceptedNames"]
        self.group: str = spec["group"]
        self.plural: str = self._names["plural"]
        self.kind: str = self._names["kind"]
        self._revision = int(definition["metadata"]["resourceVersion"])
        self._namespaced = spec["scope"] == "Namespaced"
        self._conversions = self._hook(definition["metadata"]["name"], spec)
        self._spec = orjson.dumps(spec)
        self._schemas: dict[str, Schema] = {}
        self._names_of_versions = frozenset(v["name"] for v in spec["versions"] if v.get("served"))
        self.stored = next(v["name"] for v in spec["versions"] if v.get("storage"))
        storage = next(v for v in spec["versions"] if v["name"] == self.stored)
        self.storage_version = self._version(storage, spec)
        self.resource = self._build(spec)

    def forget(self) -> None:
        """Drop what was compiled for its schemas."""
        schemas, self._schemas = self._schemas, {}
        for schema in schemas.values():
            self._around.versions.forget(schema)
            self._around.fields.walkers.forget(schema)
            self._around.checks.validators.forget(schema)
            self._around.checks.list_types.forget(schema)
            if self._around.checks.rules is not None:
                self._around.checks.rules.forget(schema)

    # -- schemas ----------------------------------------------------------------------------------

    def _props(self, version: str) -> Json:
        """The schema of a version as the definition has it."""
        versions = orjson.loads(self._spec)["versions"]
        found = next(v for v in versions if v["name"] == version)
        props: Json = (found.get("schema") or {}).get("openAPIV3Schema") or {"type": "object"}
        return props

    def _schema(self, version: str) -> Schema:
        found = self._schemas.get(version)
        if found is None:
            found = parse(self._props(version), self._around.object_meta)
            self._schemas[version] = found
        return found

    def _source(self, version: str) -> SchemaSource:
        return lambda: self._schema(version)

    # -- conversion -------------------------------------------------------------------------------

    def _hook(self, name: str, spec: Json) -> HookConversions | None:
        """The webhook that converts, if one does."""
        conversion = spec.get("conversion") or {}
        if conversion.get("strategy") != "Webhook":
            return None
        webhook = conversion["webhook"]
        versions = tuple(webhook.get("conversionReviewVersions") or ())
        hook = Hook(name, webhook.get("clientConfig") or {}, versions)
        return HookConversions(self._around.converter, hook, self)

    def api_version(self, version: str) -> str:
        return f"{self.group}/{version}"

    def as_read(self, obj: Json) -> Json:
        """A stored object, pruned and defaulted as its own version wants it; the caller's own."""
        own: Json = orjson.loads(orjson.dumps(obj))
        name = own.get("apiVersion", "").rpartition("/")[2]
        if name in self._names_of_versions:
            own = self.shaped(own, name)
            self._around.versions.defaulters.default(self._schema(name), own)
        return own

    def shaped(self, obj: Json, version: str) -> Json:
        """An object without what its version does not know."""
        return self._pruned(obj, version)

    def _pruned(self, obj: Json, version: str) -> Json:
        pruned, _ = self._around.versions.decoders.decode(self._schema(version), obj)
        out: Json = pruned
        return out

    def _converted(self, obj: Json, version: str) -> Json:
        """Raises Unconverted, ConversionFailed."""
        api_version = self.api_version(version)
        if self._conversions is not None and obj.get("apiVersion") != api_version:
            return self._conversions.convert(obj, api_version)
        return {**obj, "apiVersion": api_version}

    def _from_stored(self, version: str) -> Convert:
        def convert(obj: Json) -> Json:
            return self._pruned(self._converted(obj, version), version)

        return convert

    def _default(self, version: str) -> Callable[[Json], None]:
        return lambda obj: self._around.versions.defaulters.default(self._schema(version), obj)

    def _to_stored(self, obj: Json) -> Json:
        """Pruned and defaulted as the stored version wants it."""
        own: Json = self._converted(orjson.loads(orjson.dumps(obj)), self.stored)
        own = self._pruned(own, self.stored)
        self._default(self.stored)(own)
        return own

    def _renew(self, obj: Json) -> Json:
        """What was stored under another state of the definition, as this one would store it."""
        own: Json = orjson.loads(orjson.dumps(obj))
        name = own.get("apiVersion", "").rpartition("/")[2]
        if name != self.stored:
            own = self.as_read(own)
        return self._to_stored(own)

    # -- the record -------------------------------------------------------------------------------

    def _build(self, spec: Json) -> ResourceType:
        served = [v for v in spec["versions"] if v.get("served")]
        served.sort(key=lambda v: version_order(v["name"]))
        versions = {v["name"]: self._version(v, spec) for v in served}
        strategy = CustomStrategy(
            self.kind,
            {v["name"]: self._checked(v, versions[v["name"]]) for v in served},
            self._around.checks,
        )
        names = self._names
        return ResourceType(
            group=self.group,
            plural=self.plural,
            singular=names.get("singular", ""),
            kind=self.kind,
            list_kind=names.get("listKind") or f"{self.kind}List",
            namespaced=self._namespaced,
            versions=versions,
            stored=GroupVersionKind(self.group, self.stored, self.kind),
            stored_schema=self._source(self.stored),
            storage_prefix=f"{self.group}/{self.plural}",
            strategy=strategy,
            short_names=tuple(names.get("shortNames") or ()),
            categories=tuple(names.get("categories") or ()),
            custom=True,
            renew=self._renew,
            renewed_after=self._revision,
            conversions=self._conversions,
        )

    def _version(self, version: Json, spec: Json) -> Version:
        name: str = version["name"]
        kind = GroupVersionKind(self.group, name, self.kind)
        other = name != self.stored
        return Version(
            name=name,
            kind=kind,
            schema=self._source(name),
            verbs=VERBS,
            subresources=self._subresources(version, kind),
            to_stored=self._to_stored if other else None,
            from_stored=self._from_stored(name) if other else None,
            deprecation=_deprecation(version, spec) if version.get("deprecated") else "",
            openapi=lambda: self._props(name),
            columns=printer_columns(version.get("additionalPrinterColumns") or ()),
            field_selectors=_selectors(version),
        )

    def _subresources(self, version: Json, kind: GroupVersionKind) -> Mapping[str, Subresource]:
        given = version.get("subresources") or {}
        found = {}
        if given.get("status") is not None:
            found["status"] = Subresource(name="status", verbs=SUBRESOURCE_VERBS, kind=kind)
        if given.get("scale") is not None:
            found["scale"] = Subresource(
                name="scale",
                verbs=SUBRESOURCE_VERBS,
                kind=SCALE,
                schema=self._around.scale,
                scale=_scale_paths(given["scale"]),
            )
        return found

    def _checked(self, given: Json, version: Version) -> Checked:
        scale = version.subresources.get("scale")
        return Checked(
            schema=version.schema,
            default=self._default(version.name),
            has_status="status" in version.subresources,
            scale=scale.scale if scale is not None else None,
        )


def _path(text: str | None) -> tuple[str, ...]:
    return tuple(text.removeprefix(".").split(".")) if text else ()


def _scale_paths(scale: Json) -> ScalePaths:
    return ScalePaths(
        _path(scale["specReplicasPath"]),
        _path(scale["statusReplicasPath"]),
        _path(scale.get("labelSelectorPath")),
    )


def _selectors(version: Json) -> Mapping[str, Callable[[Json], str]]:
    """The fields that objects of a version can be selected by."""
    found: dict[str, Callable[[Json], str]] = {}
    for field in version.get("selectableFields") or ():
        text = field.get("jsonPath", "")
        try:
            found[text.removeprefix(".")] = _text_at(JsonPath(text))
        except PathError:
            continue
    return found


def _text_at(path: JsonPath) -> Callable[[Json], str]:
    def text(obj: Json) -> str:
        try:
            found = path.find(obj)
        except LookupFailed:
            return ""
        return go_text(found[0]) if found and found[0] is not None else ""

    return text


def _deprecation(version: Json, spec: Json) -> str:
    if version.get("deprecationWarning") is not None:
        return str(version["deprecationWarning"])
    group, kind = spec["group"], spec["names"]["kind"]
    text = f"{group}/{version['name']} {kind} is deprecated"
    better = [v["name"] for v in spec["versions"] if v.get("served") and not v.get("deprecated")]
    if better:
        text += f"; use {group}/{min(better, key=version_order)} {kind}"
    return text
