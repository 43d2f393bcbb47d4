"""OpenAPI path items of what is no resource: discovery, the version, the issuer's documents."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from kapi.codec.negotiate import JSON, Offer
from kapi.handlers.documents.openapi_operations import group_id, group_tag, types_of
from kapi.schema.openapi import META, V3_REF

Json = dict[str, Any]
# Group versions that register the kinds of meta.v1, served or not: what documents of custom groups
# say of DeleteOptions and WatchEvent.
_META_KINDS_IN = """
v1 admissionregistration.k8s.io/v1,v1alpha1,v1beta1 apps/v1,v1beta1,v1beta2
authentication.k8s.io/v1,v1alpha1,v1beta1 authorization.k8s.io/v1,v1beta1 autoscaling/v1,v2
batch/v1,v1beta1 certificates.k8s.io/v1,v1alpha1,v1beta1 coordination.k8s.io/v1,v1alpha2,v1beta1
discovery.k8s.io/v1,v1beta1 events.k8s.io/v1,v1beta1 extensions/v1beta1
flowcontrol.apiserver.k8s.io/v1,v1beta1,v1beta2,v1beta3 internal.apiserver.k8s.io/v1alpha1
lifecycle.k8s.io/v1alpha1 networking.k8s.io/v1,v1beta1 node.k8s.io/v1,v1alpha1,v1beta1
policy/v1,v1beta1 rbac.authorization.k8s.io/v1,v1alpha1,v1beta1
resource.k8s.io/v1,v1alpha3,v1beta1,v1beta2 scheduling.k8s.io/v1,v1alpha3,v1beta1
storage.k8s.io/v1,v1alpha1,v1beta1 storagemigration.k8s.io/v1,v1beta1
"""


def knowing_meta_kinds() -> list[tuple[str, str]]:
    """(group, version) of every built-in group version, in the order of documents."""
    found = []
    for entry in _META_KINDS_IN.split():
        group, _, versions = entry.rpartition("/")
        found += [(group, version) for version in versions.split(",")]
    return found


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


def root_paths(key: str, offer: Offer) -> Json:
    tag, kind = ("core", "APIVersions") if key == "api" else ("apis", "APIGroupList")
    operation = f"get{'Core' if key == 'api' else ''}APIVersions"
    item = _get(tag, "get available API versions", operation, types_of(offer), meta(kind))
    return {f"/{key}/": item}


def group_paths(group: str, offer: Offer) -> Json:
    operation = f"get{group_id(group)}APIGroup"
    text, types = "get information of a group", types_of(offer)
    item = _get(group_tag(group), text, operation, types, meta("APIGroup"))
    return {f"/apis/{group}/": item}


def version_paths(group: str, version: str, offer: Offer) -> Json:
    path = f"/apis/{group}/{version}/" if group else f"/api/{version}/"
    item = _get(
        f"{group_tag(group)}_{version}",
        "get available resources",
        f"get{group_id(group, version)}APIResources",
        types_of(offer),
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
