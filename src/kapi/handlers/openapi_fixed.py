"""OpenAPI path items of what is no resource: discovery, the version, the issuer's documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kapi.handlers.openapi_operations import BUILT_IN_TYPES, JSON, group_id, group_tag
from kapi.schema.openapi import META, V3_REF

Json = dict[str, Any]


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


def meta(kind: str) -> Json:
    return {"$ref": f"{V3_REF}{META}{kind}"}


def root_paths(key: str) -> Json:
    tag, kind = ("core", "APIVersions") if key == "api" else ("apis", "APIGroupList")
    operation = f"get{'Core' if key == 'api' else ''}APIVersions"
    item = _get(tag, "get available API versions", operation, BUILT_IN_TYPES, meta(kind))
    return {f"/{key}/": item}


def group_paths(group: str) -> Json:
    operation = f"get{group_id(group)}APIGroup"
    item = _get(
        group_tag(group), "get information of a group", operation, BUILT_IN_TYPES, meta("APIGroup")
    )
    return {f"/apis/{group}/": item}


def version_paths(group: str, version: str) -> Json:
    path = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    item = _get(
        f"{group_tag(group)}_{version}",
        "get available resources",
        f"get{group_id(group, version)}APIResources",
        BUILT_IN_TYPES,
        meta("APIResourceList"),
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


FIXED: Mapping[str, Callable[[], Json]] = {
    ".well-known/openid-configuration": _issuer_path,
    "openid/v1/jwks": _keys_path,
    "version": _version_path,
}
