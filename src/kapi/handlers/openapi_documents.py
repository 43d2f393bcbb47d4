"""The OpenAPI documents, made from the live ResourceTable: one of v3 for each path prefix, one of
v2 for all.

Building reads the packaged tables anew and keeps nothing; `handlers/openapi.py` keeps the
compressed bytes. `digest` tells whether a document would change without building it: that is what
the index needs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import kapi
from kapi.codec import json_format
from kapi.handlers.discovery_documents import Resources, served
from kapi.handlers.openapi_operations import (
    BUILT_IN_TYPES,
    JSON,
    Names,
    Paths,
    group_id,
    group_tag,
)
from kapi.registry.resource import ResourceTable, ResourceType, Version
from kapi.schema.openapi import (
    OBJECT_META,
    V3_REF,
    Definitions,
    from_structural,
    has_descriptions,
    to_v2,
)

Json = dict[str, Any]

INFO = {"title": "Kubernetes", "version": "1.37"}
CUSTOM_INFO = {"title": "Kubernetes CRD Swagger", "version": "v0.1.0"}

_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_TOKEN = {
    "type": "apiKey",
    "description": "Bearer Token authentication",
    "name": "authorization",
    "in": "header",
}


class Documents:
    """Builds documents for one table."""

    def __init__(self, table: ResourceTable) -> None:
        self._table = table
        self._definitions = Definitions()
        self._generation = -1
        self._served: dict[str, dict[str, Resources]] = {}
        # What was computed for a custom version, with the object it was computed from.
        self._custom_digests: dict[tuple[str, str, str], tuple[ResourceType, str]] = {}

    def _groups(self) -> dict[str, dict[str, Resources]]:
        if self._generation != self._table.generation:
            self._generation = self._table.generation
            self._served = served(self._table)
        return self._served

    def index(self) -> list[str]:
        """The keys of the v3 index: `api/v1`, `apis/apps`, `version` …"""
        found = [*_FIXED, "api", "apis"]
        for group, versions in self._groups().items():
            if group:
                found.append(f"apis/{group}")
            found.extend(f"apis/{group}/{v}" if group else f"api/{v}" for v in versions)
        return sorted(found)

    def digest(self, key: str) -> str | None:
        """A hash that changes when the document does; None for a key that is not served."""
        if key in _FIXED or key in ("api", "apis"):
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
        if key in _FIXED:
            return self._small(_FIXED[key]())
        if key in ("api", "apis"):
            return self._small(_root_paths(key))
        group, version = _split(key)
        groups = self._groups().get(group)
        if groups is None or (version and version not in groups):
            return None
        if not version:
            return self._small(_group_paths(group))
        paths, schemas, names = self._resources(groups[version])
        custom = all(r.custom for r, _ in groups[version])
        if not custom:
            paths = {**_version_paths(group, version), **paths}
        # What the paths refer to comes along.
        schemas.update(
            {
                name: schema
                for name, schema in self._definitions.closure(names, also=(paths, schemas)).items()
                if name not in schemas
            }
        )
        return _v3_document(paths, schemas, custom=custom)

    def _small(self, paths: Json) -> Json:
        return _v3_document(paths, self._definitions.closure((), also=(paths,)), custom=False)

    def _resources(self, resources: Resources) -> tuple[Json, Json, list[str]]:
        """Paths, schemas of what is not built in, and the names of what is."""
        paths: Json = {}
        schemas: Json = {}
        names: list[str] = []
        for resource, version in resources:
            name = self._built_in(resource, version)
            if name is None:
                name = custom_name(version)
                schemas.update(_custom_schemas(name, resource, version))
            else:
                names += [name, f"{name}List"]
            subresources = {}
            for s in version.subresources.values():
                gvk = s.kind
                own = gvk.kind == version.kind.kind and gvk.group == version.kind.group
                found = self._definitions.name_of(gvk.group, gvk.version, gvk.kind)
                subresources[s.name] = name if own or found is None else found
            paths.update(Paths(resource, version, Names(name, f"{name}List", subresources)).build())
        return paths, schemas, names

    # -- v2 -----------------------------------------------------------------------------------

    def v2(self) -> Json:
        """The document of everything."""
        paths: Json = {}
        schemas: Json = {}
        for key in (*_FIXED, "api", "apis"):
            paths.update(_FIXED[key]() if key in _FIXED else _root_paths(key))
        for group, versions in self._groups().items():
            if group:
                paths.update(_group_paths(group))
            for version, resources in versions.items():
                found, own, _ = self._resources(resources)
                paths.update(_version_paths(group, version))
                paths.update(found)
                schemas.update(own)
        schemas.update(
            self._definitions.closure(self._definitions.all_names(), also=(paths, schemas))
        )
        return {
            "swagger": "2.0",
            "info": INFO,
            "paths": {path: _v2_path(paths[path]) for path in sorted(paths)},
            "definitions": {name: to_v2(schemas[name]) for name in sorted(schemas)},
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


# -- paths that are no resource's -----------------------------------------------------------------


def _get(tag: str, description: str, operation_id: str, types: Iterable[str], schema: Json) -> Json:
    content = {t: {"schema": schema} for t in types}
    return {
        "get": {
            "tags": [tag],
            "description": description,
            "operationId": operation_id,
            "responses": {
                "200": {"description": "OK", "content": content},
                "401": {"description": "Unauthorized"},
            },
        }
    }


def _meta(kind: str) -> Json:
    return {"$ref": f"{V3_REF}{_META}{kind}"}


def _root_paths(key: str) -> Json:
    tag, kind = ("core", "APIVersions") if key == "api" else ("apis", "APIGroupList")
    operation = f"get{'Core' if key == 'api' else ''}APIVersions"
    item = _get(tag, "get available API versions", operation, BUILT_IN_TYPES, _meta(kind))
    return {f"/{key}/": item}


def _group_paths(group: str) -> Json:
    operation = f"get{group_id(group)}APIGroup"
    item = _get(
        group_tag(group), "get information of a group", operation, BUILT_IN_TYPES, _meta("APIGroup")
    )
    return {f"/apis/{group}/": item}


def _version_paths(group: str, version: str) -> Json:
    path = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    item = _get(
        f"{group_tag(group)}_{version}",
        "get available resources",
        f"get{group_id(group, version)}APIResources",
        BUILT_IN_TYPES,
        _meta("APIResourceList"),
    )
    return {path: item}


def _version_path() -> Json:
    schema = {"$ref": f"{V3_REF}io.k8s.apimachinery.pkg.version.Info"}
    text = "get the version information for this server"
    return {"/version/": _get("version", text, "getCodeVersion", (JSON,), schema)}


def _issuer_path() -> Json:
    text = "get service account issuer OpenID configuration, also known as the 'OIDC discovery doc'"
    operation = "getServiceAccountIssuerOpenIDConfiguration"
    item = _get("WellKnown", text, operation, (JSON,), {"type": "string"})
    return {"/.well-known/openid-configuration/": item}


def _keys_path() -> Json:
    text = (
        "get service account issuer OpenID JSON Web Key Set "
        "(contains public token verification keys)"
    )
    operation = "getServiceAccountIssuerOpenIDKeyset"
    types = ("application/jwk-set+json",)
    return {"/openid/v1/jwks/": _get("openid", text, operation, types, {"type": "string"})}


_FIXED: dict[str, Callable[[], Json]] = {
    ".well-known/openid-configuration": _issuer_path,
    "openid/v1/jwks": _keys_path,
    "version": _version_path,
}

# -- kinds that are not built in ------------------------------------------------------------------


def custom_name(version: Version) -> str:
    """`io.argoproj.v1alpha1.AppProject`: the group reversed, as Java packages are named."""
    gvk = version.kind
    reverse = ".".join(reversed(gvk.group.split(".")))
    return f"{reverse}.{gvk.version}.{gvk.kind}"


def _custom_schema(version: Version) -> Json:
    if version.openapi is not None:
        return version.openapi()
    return from_structural(version.schema(), root=True)


def _custom_schemas(name: str, resource: ResourceType, version: Version) -> Json:
    gvk = version.kind
    base = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}}
    schema = dict(_custom_schema(version))
    schema["properties"] = {
        **schema.get("properties", {}),
        **base,
        "metadata": {"allOf": [{"$ref": V3_REF + OBJECT_META}]},
    }
    schema["properties"] = dict(sorted(schema["properties"].items()))
    schema.setdefault("type", "object")
    schema["x-kubernetes-group-version-kind"] = _kinds(gvk.group, gvk.kind, gvk.version)
    items = {"type": "array", "items": {"$ref": V3_REF + name}}
    listed = {
        "type": "object",
        "required": ["items"],
        "properties": {
            "apiVersion": base["apiVersion"],
            "items": items,
            "kind": base["kind"],
            "metadata": {"allOf": [_meta("ListMeta")]},
        },
        "x-kubernetes-group-version-kind": _kinds(gvk.group, resource.list_kind, gvk.version),
    }
    return {name: schema, f"{name}List": listed}


def _kinds(group: str, kind: str, version: str) -> list[Json]:
    return [{"group": group, "kind": kind, "version": version}]


# -- v3 paths to v2 -------------------------------------------------------------------------------


def _v2_path(item: Json) -> Json:
    out: Json = {}
    for key, value in item.items():
        out[key] = _v2_parameters(value) if key == "parameters" else _v2_operation(value)
    return out


def _v2_operation(operation: Json) -> Json:
    body = operation.get("requestBody", {})
    types = list(dict.fromkeys(_response_types(operation)))
    consumes = list(body.get("content", {})) or ["*/*"]
    parameters = list(operation.get("parameters", ()))
    out: Json = {
        "description": operation["description"],
        "consumes": consumes,
        "produces": types,
        "schemes": ["https"],
        "tags": operation["tags"],
        "operationId": operation["operationId"],
        "parameters": [],
        "responses": {c: _v2_response(r) for c, r in operation["responses"].items()},
        **{k: v for k, v in operation.items() if k.startswith("x-")},
    }
    if body:
        schema = to_v2(next(iter(body["content"].values()))["schema"])
        entry: Json = {"name": "body", "in": "body", "schema": schema}
        if body.get("required"):
            entry["required"] = True
        out["parameters"].append(entry)
    out["parameters"] += _v2_parameters(parameters)
    if not out["parameters"]:
        del out["parameters"]
    return out


def _response_types(operation: Json) -> Iterator[str]:
    for response in operation["responses"].values():
        yield from response.get("content", ())


def _v2_response(response: Json) -> Json:
    content = response.get("content")
    if not content:
        return response
    return {
        "description": response["description"],
        "schema": to_v2(next(iter(content.values()))["schema"]),
    }


def _v2_parameters(parameters: list[Json]) -> list[Json]:
    return [{**{k: v for k, v in p.items() if k != "schema"}, **p["schema"]} for p in parameters]
