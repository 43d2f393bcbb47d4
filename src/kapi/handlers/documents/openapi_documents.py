"""The OpenAPI documents, made from the live ResourceTable: one of v3 for each path prefix, one of
v2 for all.

Building reads the packaged tables anew and keeps nothing, and may be done by another thread;
`openapi.py` keeps the compressed bytes. `digest` tells whether a document would change
without building it: that is what the index needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import kapi
from kapi.codec import json_format
from kapi.codec.negotiate import PLAIN, Offer
from kapi.handlers.documents import openapi_fixed as paths_of
from kapi.handlers.documents.discovery_documents import Resources, served
from kapi.handlers.documents.openapi_operations import (
    DELETE_OPTIONS,
    WATCH_EVENT,
    Names,
    Paths,
)
from kapi.handlers.documents.openapi_v2 import v2_path
from kapi.registry.resource import ResourceTable, ResourceType, Version
from kapi.schema.openapi import (
    OBJECT_META,
    V3_REF,
    Definitions,
    deeply_ordered,
    for_old_clients,
    from_structural,
    has_descriptions,
    ordered,
    to_v2,
)

Json = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "1.37"}
CUSTOM_INFO = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}

_TOKEN = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}


class Documents:
    """Builds documents for one table."""

    def __init__(self, table: ResourceTable, offer: Offer = PLAIN) -> None:
        self._offer = offer
        self._table = table
        self._definitions = Definitions()
        self._prose: dict[str, dict[str, str]] = {}  # of the types that custom kinds speak like
        self._generation = -1
        self._served: dict[str, dict[str, Resources]] = {}
        # What was computed for a custom version, with the object it was computed from.
        self._custom_digests: dict[tuple[str, str, str], tuple[ResourceType, str]] = {}

    def _groups(self) -> dict[str, dict[str, Resources]]:
        generation = self._table.generation
        if self._generation != generation:  # in this order: another thread may be reading
            self._served = served(self._table)
            self._generation = generation
        return self._served

    def index(self) -> list[str]:
        """The keys of the v3 index: `api/v1`, `apis/apps`, `version` …"""
        found = [*paths_of.FIXED, "api", "apis"]
        for group, versions in self._groups().items():
            if group:
                found.append(f"apis/{group}")
            found.extend(f"apis/{group}/{v}" if group else f"api/{v}" for v in versions)
        return sorted(found)

    def digest(self, key: str) -> str | None:
        """A hash that changes when the document does; None for a key that is not served."""
        if key in paths_of.FIXED or key in ("api", "apis"):
            return _hash(key)
        group, version = _split(key)
        groups = self._groups().get(group)
        if groups is None:
            return None
        if not version:
            return _hash(key, *groups)
        if version not in groups:
            return None
        return _hash(key, *(self._resource_digest(r, v) for r, v in groups[version]))

    def kinds(self, key: str) -> int:
        """How many kinds a document is about: what it costs to build."""
        group, version = _split(key)
        if key == "v2":
            return sum(len(r) for versions in self._groups().values() for r in versions.values())
        return len(self._groups().get(group, {}).get(version, ()))

    def digest_of_all(self) -> str:
        return _hash("v2", *(self.digest(key) or "" for key in self.index()))

    def _resource_digest(self, resource: ResourceType, version: Version) -> str:
        text = repr(
            (
                *(resource.plural, resource.kind, resource.namespaced, resource.custom),
                (version.verbs, resource.returns_deleted),
                *((s.name, s.kind, s.verbs) for s in version.subresources.values()),
            )
        )
        if self._built_in(resource, version):
            return text
        key = (resource.group, resource.plural, version.name)
        known = self._custom_digests.get(key)
        if known is None or known[0] is not resource:
            schema = json_format.dumps(_custom_schema(version))
            known = (resource, hashlib.sha512(schema).hexdigest())
            self._custom_digests[key] = known
        return text + known[1]

    def _built_in(self, resource: ResourceType, version: Version) -> str | None:
        gvk = version.kind
        return self._definitions.name_of(gvk.group, gvk.version, gvk.kind)

    # -- v3 -----------------------------------------------------------------------------------

    def v3(self, key: str) -> Json | None:
        """The document of a key; None for a key that is not served."""
        if key in paths_of.FIXED:
            return self._small(paths_of.FIXED[key]())
        if key in ("api", "apis"):
            return self._small(paths_of.root_paths(key, self._offer))
        group, version = _split(key)
        groups = self._groups().get(group)
        if groups is None or (version and version not in groups):
            return None
        if not version:
            return self._small(paths_of.group_paths(group, self._offer))
        paths, schemas, names = self._resources(groups[version])
        custom = all(r.custom for r, _ in groups[version])
        if not custom:
            paths = {**paths_of.version_paths(group, version, self._offer), **paths}
        # What the paths refer to comes along.
        schemas.update(
            {
                name: schema
                for name, schema in self._definitions.closure(names, also=(paths, schemas)).items()
                if name not in schemas
            }
        )
        for name in (DELETE_OPTIONS, WATCH_EVENT):  # each document speaks for its own group
            if name in schemas and custom:
                kind = name.rpartition(".")[2]
                everywhere = [_kinds(g, kind, v)[0] for g, v in paths_of.knowing_meta_kinds()]
                schemas[name]["x-kubernetes-group-version-kind"] = everywhere
            elif name in schemas:
                own = _kinds(group, name.rpartition(".")[2], version)
                core = _kinds("", name.rpartition(".")[2], "v1")
                schemas[name]["x-kubernetes-group-version-kind"] = core + (own if group else [])
        return _v3_document(paths, schemas, custom=custom)

    def _small(self, paths: Json) -> Json:
        return _v3_document(paths, self._definitions.closure((), also=(paths,)), custom=False)

    def _resources(
        self, resources: Resources, *, old: bool = False
    ) -> tuple[Json, Json, list[str]]:
        """Paths, schemas of what is not built in, and the names of what is; `old` for v2."""
        paths: Json = {}
        schemas: Json = {}
        names: list[str] = []
        for resource, version in resources:
            name = self._built_in(resource, version)
            if name is None:
                name = custom_name(version)
                schemas.update(self._custom_schemas(name, resource, version, old=old))
            else:
                names += [name, f"{name}List"]
            subresources = {}
            for s in version.subresources.values():
                gvk = s.kind
                own = gvk.kind == version.kind.kind and gvk.group == version.kind.group
                found = self._definitions.name_of(gvk.group, gvk.version, gvk.kind)
                subresources[s.name] = name if own or found is None else found
            spoken = Names(name, f"{name}List", subresources)
            paths.update(Paths(resource, version, spoken, self._offer).build())
        return paths, schemas, names

    def _custom_schemas(
        self, name: str, resource: ResourceType, version: Version, *, old: bool
    ) -> Json:
        """A kind that is not built in, and its list; what all kinds share has their prose."""
        gvk = version.kind
        prose = self._prose_of("io.k8s.api.apps.v1.Deployment")
        base = {
            "apiVersion": _described(prose, "apiVersion", type="string"),
            "kind": _described(prose, "kind", type="string"),
        }
        schema = deeply_ordered(_custom_schema(version, old=old))
        if not (old and _open(version)):  # of which v2 can only say: an object
            meta = [{"$ref": V3_REF + OBJECT_META}]
            members = {
                **schema.get("properties", {}),
                **base,
                "metadata": _described(prose, "metadata", allOf=meta),
            }
            schema["properties"] = {name: members[name] for name in sorted(members)}
        schema.setdefault("type", "object")
        schema["x-kubernetes-group-version-kind"] = _kinds(gvk.group, gvk.kind, gvk.version)
        prose = self._prose_of("io.k8s.api.core.v1.PodList")
        listed = {
            "description": f"{resource.list_kind} is a list of {gvk.kind}",
            "type": "object",
            "required": ["items"],
            "properties": {
                "apiVersion": base["apiVersion"],
                "items": {
                    "description": f"List of {resource.plural}. More info: {_CONVENTIONS}",
                    "type": "array",
                    "items": {"$ref": V3_REF + name},
                },
                "kind": base["kind"],
                "metadata": _described(prose, "metadata", allOf=[paths_of.meta("ListMeta")]),
            },
            "x-kubernetes-group-version-kind": _kinds(gvk.group, resource.list_kind, gvk.version),
        }
        if version.field_selectors:
            fields = [{"fieldPath": path} for path in version.field_selectors]
            for described in (schema, listed):
                described["x-kubernetes-selectable-fields"] = fields
        return {name: ordered(schema), f"{name}List": listed}

    def _prose_of(self, name: str) -> dict[str, str]:
        """Kept: looking it up reads the whole table of descriptions."""
        found = self._prose.get(name)
        if found is None:
            found = self._prose[name] = self._definitions.prose(name)
        return found

    # -- v2 -----------------------------------------------------------------------------------

    def v2(self) -> Json:
        """The document of everything."""
        paths: Json = {}
        schemas: Json = {}
        for key in (*paths_of.FIXED, "api", "apis"):
            paths.update(
                paths_of.FIXED[key]()
                if key in paths_of.FIXED
                else paths_of.root_paths(key, self._offer)
            )
        for group, versions in self._groups().items():
            if group:
                paths.update(paths_of.group_paths(group, self._offer))
            for version, resources in versions.items():
                found, own, _ = self._resources(resources, old=True)
                paths.update(paths_of.version_paths(group, version, self._offer))
                paths.update(found)
                schemas.update(own)
        custom = set(schemas)
        schemas.update(
            self._definitions.closure(self._definitions.all_names(), also=(paths, schemas))
        )
        return {
            "swagger": "2.0",
            "info": INFO,
            "paths": {path: v2_path(paths[path]) for path in sorted(paths)},
            "definitions": {
                name: to_v2(schemas[name], defaults=name in custom) for name in sorted(schemas)
            },
            "securityDefinitions": {"BearerToken": _TOKEN},
            "security": [{"BearerToken": []}],
        }


def _hash(*parts: str) -> str:
    text = "\n".join((kapi.__version__, str(has_descriptions()), *parts))
    return hashlib.sha512(text.encode()).hexdigest().upper()


def _split(key: str) -> tuple[str, str]:
    """Group and version of a key; `\\0` as the group of what is none."""
    parts = key.split("/")
    if parts[0] == "api" and len(parts) == 2 and parts[1]:
        return "", parts[1]
    if parts[0] == "apis" and len(parts) in (2, 3) and all(parts):
        return parts[1], parts[2] if len(parts) == 3 else ""
    return "\0", ""


def _v3_document(paths: Json, schemas: Json, *, custom: bool) -> Json:
    components: Json = {}
    if schemas:
        components["schemas"] = {name: schemas[name] for name in sorted(schemas)}
    if not custom:
        components["securitySchemes"] = {"BearerToken": _TOKEN}
    return {
        "openapi": "3.0.0",
        "info": CUSTOM_INFO if custom else INFO,
        "paths": {path: paths[path] for path in sorted(paths)},
        "components": components,
    }


# -- kinds that are not built in ------------------------------------------------------------------


def custom_name(version: Version) -> str:
    """`io.argoproj.v1alpha1.AppProject`: the group reversed, as Java packages are named."""
    gvk = version.kind
    reverse = ".".join(reversed(gvk.group.split(".")))
    return f"{reverse}.{gvk.version}.{gvk.kind}"


def _custom_schema(version: Version, *, old: bool = False) -> Json:
    """What its definition says of a kind; `old` for clients of v2."""
    if version.openapi is not None:
        own = version.openapi()
        given: Json = with_embedded_fields(for_old_clients(own) if old else own, closed_only=old)
        return given
    return from_structural(version.schema(), root=True)


def _open(version: Version) -> bool:
    """Whether fields may stand at the root that nobody names."""
    given: Json = version.openapi() if version.openapi is not None else {}
    return given.get("x-kubernetes-preserve-unknown-fields") is True


def with_embedded_fields(schema: Any, *, closed_only: bool = False) -> Any:
    """The schema, with the fields that every resource has wherever one may stand within another
    (`x-kubernetes-embedded-resource`). What is given is not changed. `closed_only`: but where
    fields may stand that nobody names, for clients that take a list for complete.
    """
    if not isinstance(schema, dict):
        return schema
    out = dict(schema)

    def within(child: Any) -> Any:
        return with_embedded_fields(child, closed_only=closed_only)

    if "properties" in out:
        out["properties"] = {n: within(c) for n, c in out["properties"].items()}
    for key in ("items", "additionalProperties"):
        if key in out:
            out[key] = within(out[key])
    open_ = closed_only and out.get("x-kubernetes-preserve-unknown-fields") is True
    if out.get("x-kubernetes-embedded-resource") is True and not open_:
        texts = {
            "apiVersion": "apiVersion defines the versioned schema of this representation of an "
            f"object. More info: {_CONVENTIONS}#resources",
            "kind": "kind is a string value representing the type of this object. In CamelCase. "
            f"More info: {_CONVENTIONS}#types-kinds",
        }
        members: Json = {n: {"description": text, "type": "string"} for n, text in texts.items()}
        members["metadata"] = {
            "description": f"Standard object's metadata. More info: {_CONVENTIONS}#metadata",
            "allOf": [{"$ref": V3_REF + OBJECT_META}],
        }
        out["properties"] = {**out.get("properties", {}), **members}
        required = list(out.get("required", ()))
        out["required"] = required + [n for n in ("kind", "apiVersion") if n not in required]
    return out


_CONVENTIONS = "https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md"


def _described(prose: Mapping[str, str], field: str, **schema: Any) -> Json:
    return {"description": prose[field], **schema} if field in prose else schema


def _kinds(group: str, kind: str, version: str) -> list[Json]:
    return [{"group": group, "kind": kind, "version": version}]
