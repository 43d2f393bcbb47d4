"""Discovery against the packaged facts of the real server, and while the table changes."""

import dataclasses
import importlib.resources
import json
from typing import Any

import pytest

from kapi.errors import ApiError
from kapi.handlers.documents import discovery_documents as documents
from kapi.handlers.documents.discovery import Discovery
from kapi.handlers.encoder import Encoder
from kapi.kinds.catalog import Catalog
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, Response
from kapi.registry.resource import GroupVersionKind, ResourceTable, Version

AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
CATALOG = Catalog()
ENCODER = Encoder(CATALOG.schema_of, CATALOG.object_meta())


def table(**config: bool) -> ResourceTable:
    out = ResourceTable()
    for resource in CATALOG.resources({k.replace("_", "/"): v for k, v in config.items()}):
        out.add(resource)
    return out


def serve(live: ResourceTable) -> Discovery:
    return Discovery(live, lambda: "127.0.0.1:6443", ENCODER)


def request(path: str, accept: str = "", method: str = "GET", **headers: str) -> Request:
    path, _, query = path.partition("?")
    items = [("accept", accept)] + [(k.replace("_", "-"), v) for k, v in headers.items()]
    return Request(method, path, path, Query(query), Headers(items), EmptyBody(), Peer())


def body(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


@pytest.mark.parametrize(("facts", "config"), [("default", {}), ("all", {"api_all": True})])
def test_aggregated_is_the_real_servers(facts: str, config: dict[str, bool]) -> None:
    text = importlib.resources.files("kapi").joinpath("data", f"discovery-{facts}.json").read_text()
    want = json.loads(text)
    served = documents.served(table(**config))
    core = documents.aggregated({"": served.pop("")})
    assert core["items"] == want["api"]["items"]
    assert documents.aggregated(served)["items"] == want["apis"]["items"]


async def test_plain_documents() -> None:
    discovery = serve(table())
    assert body(await discovery.handle(request("/api"))) == {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [
            {"clientCIDR": "0.0.0.0/0", "serverAddress": "127.0.0.1:6443"}
        ],
    }
    group = await discovery.handle(request("/apis/autoscaling/", "application/yaml"))
    assert group.headers == [("Content-Type", "application/yaml")]
    assert group.body == (
        b"apiVersion: v1\nkind: APIGroup\nname: autoscaling\npreferredVersion:\n"
        b"  groupVersion: autoscaling/v2\n  version: v2\nversions:\n"
        b"- groupVersion: autoscaling/v2\n  version: v2\n"
        b"- groupVersion: autoscaling/v1\n  version: v1\n"
    )
    core = body(await discovery.handle(request("/api/v1")))
    assert "apiVersion" not in core
    by_name = {r["name"]: r for r in core["resources"]}
    assert by_name["configmaps"]["storageVersionHash"] == "qFsyl6wFWjQ="
    assert list(by_name["pods/eviction"].items()) == [
        ("name", "pods/eviction"),
        ("singularName", ""),
        ("namespaced", True),
        ("group", "policy"),
        ("version", "v1"),
        ("kind", "Eviction"),
        ("verbs", ["create"]),
    ]
    assert "storageVersionHash" not in by_name["componentstatuses"]
    groups = body(await discovery.handle(request("/apis", method="POST")))["groups"]
    assert [g["name"] for g in groups[:3]] == ["apiregistration.k8s.io", "apps", "events.k8s.io"]


async def test_aggregated_headers_and_etag() -> None:
    discovery = serve(table())
    first = await discovery.handle(request("/apis?timeout=32s", f"text/plain,{AGGREGATED};q=0.1"))
    headers = dict(first.headers)
    assert headers["Content-Type"] == AGGREGATED
    assert (headers["Vary"], headers["Cache-Control"]) == ("Accept", "public")
    etag = headers["ETag"]
    assert len(etag) == 130
    assert etag == etag.upper()
    again = await discovery.handle(request("/apis", AGGREGATED, if_none_match=etag))
    assert (again.status, again.body, dict(again.headers)["ETag"]) == (304, b"", etag)
    assert "Content-Type" not in dict(again.headers)
    for other in ("*", f"W/{etag}", f'"nope", {etag}'):
        assert (
            await discovery.handle(request("/apis", AGGREGATED, if_none_match=other))
        ).status == 200
    plain = await discovery.handle(request("/apis", "*/*", if_none_match=etag))
    assert (plain.status, body(plain)["kind"]) == (200, "APIGroupList")


@pytest.mark.parametrize(
    ("path", "accept"),
    [
        ("/apis/", AGGREGATED),
        ("/apis/apps", AGGREGATED),
        ("/apis", "application/json;g=apidiscovery.k8s.io;v=v2"),
        ("/api", AGGREGATED.replace("v=v2", "v=v2beta1")),
    ],
)
async def test_aggregated_elsewhere_is_not_acceptable(path: str, accept: str) -> None:
    with pytest.raises(ApiError) as caught:
        await serve(table()).handle(request(path, accept))
    assert caught.value.code == 406


@pytest.mark.parametrize(
    ("path", "method", "code"),
    [
        ("/api", "POST", 405),
        ("/api/v1/", "DELETE", 405),
        ("/apis/apps/v1", "HEAD", 405),
        ("/apis/apps/v2", "GET", 404),
        ("/api/v2", "POST", 404),
    ],
)
async def test_refused_with_a_status(path: str, method: str, code: int) -> None:
    with pytest.raises(ApiError) as caught:
        await serve(table()).handle(request(path, method=method))
    assert (caught.value.code, caught.value.details) == (code, {})


@pytest.mark.parametrize("path", ["/apis/nope", "/apis/v1", "/apis/nope/v1/things", "/apis//v1"])
async def test_unknown_groups_are_no_status(path: str) -> None:
    response = await serve(table()).handle(request(path))
    assert (response.status, response.body) == (404, b"404 page not found\n")


async def test_follows_the_table() -> None:
    live = table()
    discovery = serve(live)
    before = dict((await discovery.handle(request("/apis", AGGREGATED))).headers)["ETag"]
    assert not discovery.serves_group("example.com")
    model = live.get("batch", "jobs")
    assert model is not None
    versions = {
        name: Version(
            name=name,
            kind=GroupVersionKind("example.com", name, "Gadget"),
            schema=model.versions["v1"].schema,
            verbs=("delete", "get", "list", "create", "watch"),
        )
        for name in ("v1beta1", "v1", "v10alpha1", "v2beta1")
    }
    custom = dataclasses.replace(
        model,
        group="example.com",
        plural="gadgets",
        singular="gadget",
        kind="Gadget",
        versions=versions,
        stored=GroupVersionKind("example.com", "v1", "Gadget"),
        custom=True,
    )
    live.add(custom)
    group = body(await discovery.handle(request("/apis/example.com")))
    assert [v["version"] for v in group["versions"]] == ["v1", "v2beta1", "v1beta1", "v10alpha1"]
    after = await discovery.handle(request("/apis", AGGREGATED))
    assert dict(after.headers)["ETag"] != before
    last = body(after)["items"][-1]
    assert last["metadata"] == {"name": "example.com"}
    assert last["versions"][0]["resources"][0]["responseKind"] == {
        "group": "example.com",
        "version": "v1",
        "kind": "Gadget",
    }
    live.remove("example.com", "gadgets")
    assert dict((await discovery.handle(request("/apis", AGGREGATED))).headers)["ETag"] == before
