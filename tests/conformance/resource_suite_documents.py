"""What discovery and OpenAPI say of every resource: see `resource_suite.py`."""

from __future__ import annotations

from typing import Any

from resource_suite import Check, Sample
from server_harness import Running

Json = dict[str, Any]
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
VERBS = {"create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"}


async def plain_discovery(run: Running, s: Sample, ns: str) -> None:
    found = await run.client.get(s.root())
    entries = {r["name"]: r for r in found["resources"]}
    mine = entries[s.plural]
    assert mine["kind"] == s.kind
    assert mine["namespaced"] is s.namespaced
    assert set(mine["verbs"]) == VERBS
    assert tuple(mine.get("shortNames", ())) == s.short_names
    for name in s.subresources:
        assert f"{s.plural}/{name}" in entries
    if not s.group:
        return
    groups = {g["name"]: g for g in (await run.client.get("/apis"))["groups"]}
    versions = [v["version"] for v in groups[s.group]["versions"]]
    assert s.version in versions
    if s.other_version:
        assert s.other_version in versions
    assert await run.client.get(f"/apis/{s.group}") == {
        "kind": "APIGroup",
        "apiVersion": "v1",
        **groups[s.group],
    }


def _aggregated(document: Json, s: Sample) -> Json | None:
    for group in document["items"]:
        for version in group["versions"]:
            for resource in version["resources"]:
                names = (group["metadata"].get("name", ""), version["version"])
                if (*names, resource["resource"]) == (s.group, s.version, s.plural):
                    found: Json = resource
                    return found
    return None


async def aggregated_discovery(run: Running, s: Sample, ns: str) -> None:
    path = "/apis" if s.group else "/api"
    answer = await run.client("GET", path, headers={"accept": AGGREGATED})
    mine = _aggregated(answer.expect(200), s)
    assert mine is not None
    assert mine["responseKind"]["kind"] == s.kind
    assert mine["scope"] == ("Namespaced" if s.namespaced else "Cluster")
    assert set(mine["verbs"]) == VERBS
    assert {x["subresource"] for x in mine.get("subresources", ())} == set(s.subresources)
    etag = answer.header("etag")
    again = await run.client("GET", path, headers={"accept": AGGREGATED, "if-none-match": etag})
    assert again.status == 304


async def openapi_v3(run: Running, s: Sample, ns: str) -> None:
    index = await run.client.get("/openapi/v3")
    entry = index["paths"][s.root()[1:]]["serverRelativeURL"]
    document = await run.client.get(entry)
    paths = document["paths"]
    place = "namespaces/{namespace}/" if s.namespaced else ""
    collection = f"{s.root()}/{place}{s.plural}"
    assert {"get", "post", "delete"} <= paths[collection].keys()
    assert {"get", "put", "patch", "delete"} <= paths[collection + "/{name}"].keys()
    for name in s.subresources:
        assert f"{collection}/{{name}}/{name}" in paths
    kinds = [
        gvk["kind"]
        for schema in document["components"]["schemas"].values()
        for gvk in schema.get("x-kubernetes-group-version-kind", ())
        if (gvk["group"], gvk["version"]) == (s.group, s.version)
    ]
    assert {s.kind, f"{s.kind}List"} <= set(kinds)


async def openapi_v2(run: Running, s: Sample, ns: str) -> None:
    document = await run.client.get("/openapi/v2")
    place = "namespaces/{namespace}/" if s.namespaced else ""
    assert f"{s.root()}/{place}{s.plural}" in document["paths"]
    gvk = {"group": s.group, "version": s.version, "kind": s.kind}
    found = [
        d
        for d in document["definitions"].values()
        if gvk in d.get("x-kubernetes-group-version-kind", ())
    ]
    assert len(found) == 1


async def all_documents_without(run: Running, s: Sample) -> None:
    """Nothing says that it is there. Not among `CHECKS`: for a resource that was taken away."""
    c = run.client
    assert (await c("GET", s.all())).status == 404
    assert s.group not in {g["name"] for g in (await c.get("/apis"))["groups"]}
    assert (await c("GET", f"/apis/{s.group}")).status == 404
    answer = await c("GET", "/apis", headers={"accept": AGGREGATED})
    assert _aggregated(answer.json, s) is None
    assert s.root()[1:] not in (await c.get("/openapi/v3"))["paths"]
    document = await c.get("/openapi/v2")
    assert not [p for p in document["paths"] if p.startswith(f"/apis/{s.group}")]


CHECKS: tuple[Check, ...] = (plain_discovery, aggregated_discovery, openapi_v3, openapi_v2)
