"""The discovery documents, made from the live ResourceTable: pure functions, table in, JSON value
out.

Order is the real server's: groups by priority, then by name; versions by maturity and number;
resources by name, each followed by its subresources. `discovery.py` serves and caches
them. https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from kapi.registry.resource import (
    GroupVersionKind,
    ResourceTable,
    ResourceType,
    Subresource,
    Version,
    version_order,
)

Json = dict[str, Any]

# Of the built-in groups, as their APIServices have it; apiregistration always comes first.
GROUP_PRIORITIES: Mapping[str, int] = {
    "apiregistration.k8s.io": 20_000,
    "apps": 17_800,
    "events.k8s.io": 17_750,
    "authentication.k8s.io": 17_700,
    "authorization.k8s.io": 17_600,
    "autoscaling": 17_500,
    "batch": 17_400,
    "certificates.k8s.io": 17_300,
    "networking.k8s.io": 17_200,
    "policy": 17_100,
    "rbac.authorization.k8s.io": 17_000,
    "storage.k8s.io": 16_800,
    "admissionregistration.k8s.io": 16_700,
    "apiextensions.k8s.io": 16_700,
    "scheduling.k8s.io": 16_600,
    "coordination.k8s.io": 16_500,
    "node.k8s.io": 16_300,
    "discovery.k8s.io": 16_200,
    "resource.k8s.io": 16_200,
    "flowcontrol.apiserver.k8s.io": 16_100,
    "internal.apiserver.k8s.io": 16_000,
    "storagemigration.k8s.io": 15_800,
}
CUSTOM_GROUP_PRIORITY = 1_000


# -- the tree of what is served -------------------------------------------------------------------

Resources = list[tuple[ResourceType, Version]]


def served(table: ResourceTable) -> dict[str, dict[str, Resources]]:
    """Group → version → resources, all in the order of discovery; the core group is ""."""
    groups: dict[str, dict[str, Resources]] = {}
    for resource in sorted(table, key=lambda r: r.plural):
        for version in resource.versions.values():
            versions = groups.setdefault(resource.group, {})
            versions.setdefault(version.name, []).append((resource, version))
    return {
        group: {v: groups[group][v] for v in sorted(groups[group], key=version_order)}
        for group in sorted(groups, key=_group_order)
    }


def _group_order(group: str) -> tuple[int, str]:
    return (-GROUP_PRIORITIES.get(group, CUSTOM_GROUP_PRIORITY), group)


# -- plain discovery ------------------------------------------------------------------------------


def api_versions(versions: Iterable[str], address: str) -> Json:
    """`/api`."""
    return {
        "kind": "APIVersions",
        "versions": list(versions),
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def group_list(groups: Mapping[str, Iterable[str]]) -> Json:
    """`/apis`."""
    listed = [_group(name, versions) for name, versions in groups.items() if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": listed}


def api_group(group: str, versions: Iterable[str]) -> Json:
    """`/apis/<group>`."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(group, versions)}


def _group(group: str, versions: Iterable[str]) -> Json:
    names = [{"groupVersion": f"{group}/{v}", "version": v} for v in versions]
    return {"name": group, "versions": names, "preferredVersion": names[0]}


def resource_list(group: str, version: str, resources: Resources) -> Json:
    """`/api/v1` or `/apis/<group>/<version>`."""
    out: Json = {"kind": "APIResourceList"}
    if group:
        out["apiVersion"] = "v1"  # the core group's list has none
    out["groupVersion"] = f"{group}/{version}" if group else version
    out["resources"] = [entry for r, v in resources for entry in _api_resources(r, v)]
    return out


def _api_resources(resource: ResourceType, version: Version) -> Iterator[Json]:
    entry: Json = {
        "name": resource.plural,
        "singularName": resource.singular,
        "namespaced": resource.namespaced,
        "kind": version.kind.kind,
        "verbs": list(version.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    if "watch" in version.verbs:  # without storage there is nothing to watch
        entry["storageVersionHash"] = storage_version_hash(resource.in_shared_store)
    yield entry
    for subresource in _subresources(resource, version):
        yield {
            "name": f"{resource.plural}/{subresource.name}",
            "singularName": "",
            "namespaced": resource.namespaced,
            **_foreign(subresource.kind, version.kind),
            "kind": subresource.kind.kind,
            "verbs": list(subresource.verbs),
        }


def _subresources(resource: ResourceType, version: Version) -> list[Subresource]:
    found = list(version.subresources.values())
    return found if resource.custom else sorted(found, key=lambda s: s.name)


def _foreign(kind: GroupVersionKind, own: GroupVersionKind) -> Json:
    """Group and version of a subresource's kind, where they are not the resource's."""
    if (kind.group, kind.version) == (own.group, own.version):
        return {}
    return {k: v for k, v in (("group", kind.group), ("version", kind.version)) if v}


def storage_version_hash(stored: GroupVersionKind) -> str:
    """A short digest of the stored form, by which clients see that it changed."""
    text = f"{stored.group}/{stored.version}/{stored.kind}"
    return base64.b64encode(hashlib.sha256(text.encode()).digest()[:8]).decode()


# -- aggregated discovery -------------------------------------------------------------------------


class Discovered(Protocol):
    """A group version of another server."""

    def discovered(self) -> Json: ...


def aggregated(groups: Mapping[str, Mapping[str, Resources | Discovered]]) -> Json:
    """All groups with all resources in one document: v2 of `/api` (the core group) or `/apis`."""
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": "apidiscovery.k8s.io/v2",
        "metadata": {},
        "items": [
            {
                "metadata": {"name": group} if group else {},
                "versions": [_version_discovery(v, found) for v, found in versions.items()],
            }
            for group, versions in groups.items()
        ],
    }


def _version_discovery(version: str, found: Resources | Discovered) -> Json:
    if not isinstance(found, list):
        return found.discovered()
    resources = [_resource_discovery(r, v) for r, v in found]
    return {"version": version, "resources": resources, "freshness": "Current"}


def _resource_discovery(resource: ResourceType, version: Version) -> Json:
    entry: Json = {
        "resource": resource.plural,
        "responseKind": _response_kind(version.kind, resource, version),
        "scope": "Namespaced" if resource.namespaced else "Cluster",
        "singularResource": resource.singular,
        "verbs": list(version.verbs),
    }
    if resource.short_names:
        entry["shortNames"] = list(resource.short_names)
    if resource.categories:
        entry["categories"] = list(resource.categories)
    subresources = _subresources(resource, version)
    if subresources:
        entry["subresources"] = [
            {
                "subresource": s.name,
                "responseKind": _response_kind(s.kind, resource, version),
                "verbs": list(s.verbs),
            }
            for s in subresources
        ]
    return entry


def _response_kind(kind: GroupVersionKind, resource: ResourceType, version: Version) -> Json:
    """Built-in kinds leave out their own group and version, custom ones say them."""
    own = not resource.custom and (kind.group, kind.version) == (
        version.kind.group,
        version.kind.version,
    )
    group, name = ("", "") if own else (kind.group, kind.version)
    return {"group": group, "version": name, "kind": kind.kind}
