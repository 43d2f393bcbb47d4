"""OpenAPI documents against the packaged facts, and how they are served."""

import asyncio
import collections
import dataclasses
import gzip
import importlib.resources
import json
from typing import Any

import pytest

from kapi.clock import SystemClock
from kapi.handlers.aside import Aside
from kapi.handlers.documents.openapi import OpenApi
from kapi.handlers.documents.openapi_documents import Documents, with_embedded_fields
from kapi.handlers.documents.openapi_proto_v2 import encode_v2
from kapi.handlers.documents.openapi_proto_v3 import encode_v3
from kapi.kinds.catalog import Catalog
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, Response
from kapi.registry.resource import GroupVersionKind, ResourceTable, Subresource, Version
from kapi.schema.openapi import references
from kapi.schema.structural import Constraints, Property, Schema

CATALOG = Catalog()


def table(**config: bool) -> ResourceTable:
    out = ResourceTable()
    for resource in CATALOG.resources({k.replace("_", "/"): v for k, v in config.items()}):
        out.add(resource)
    return out


def with_gadget(live: ResourceTable, schema: Schema) -> None:
    model = live.get("batch", "jobs")
    assert model is not None
    kind = GroupVersionKind("my-group.example.com", "v1", "Gadget")
    version = Version(
        name="v1",
        kind=kind,
        schema=lambda: schema,
        verbs=("delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"),
        subresources={
            "status": Subresource(name="status", verbs=("get", "patch", "update"), kind=kind)
        },
    )
    live.add(
        dataclasses.replace(
            model,
            group="my-group.example.com",
            plural="gadgets",
            kind="Gadget",
            list_kind="GadgetList",
            versions={"v1": version},
            stored=kind,
            custom=True,
        )
    )


GADGET = Schema(
    type="object",
    typed=False,
    properties={
        "spec": Property(
            "spec",
            Schema(
                type="object",
                typed=False,
                properties={
                    "size": Property(
                        "size",
                        Schema("integer", typed=False, constraints=Constraints(minimum=1)),
                        required=True,
                        default=3,
                    ),
                    "port": Property("port", Schema("any", format="int-or-string", typed=False)),
                    "tags": Property(
                        "tags",
                        Schema(
                            "array",
                            typed=False,
                            list_type="map",
                            list_keys=("k",),
                            items=Schema("map", typed=False, values=Schema("string", typed=False)),
                        ),
                    ),
                },
                rules=({"rule": "self.size > 0"},),
            ),
        )
    },
)


def request(path: str, method: str = "GET", **headers: str) -> Request:
    path, _, query = path.partition("?")
    items = [(k.replace("_", "-"), v) for k, v in headers.items()]
    return Request(method, path, path, Query(query), Headers(items), EmptyBody(), Peer())


def body(response: Response) -> Any:
    assert isinstance(response.body, bytes)
    return json.loads(response.body)


def test_operations_are_the_real_servers() -> None:
    text = importlib.resources.files("kapi").joinpath("data", "openapi-paths.json").read_text()
    facts = json.loads(text)
    documents = Documents(table(api_all=True))
    found: dict[str, Any] = {}
    for key in documents.index():
        document = documents.v3(key)
        assert document is not None
        found.update(document["paths"])
    assert facts.keys() <= found.keys()
    ids: collections.Counter[str] = collections.Counter()
    for path, methods in facts.items():
        item = {m: op for m, op in found[path].items() if m != "parameters"}
        assert item.keys() == methods.keys(), path
        for method, want in methods.items():
            operation = item[method]
            ids[operation["operationId"]] += 1
            assert operation.get("x-kubernetes-action") == want["action"]
            assert operation.get("x-kubernetes-group-version-kind") == want["gvk"]
            names = [p["name"] for p in operation.get("parameters", ())]
            assert names == want["parameters"], (path, method)
    assert max(ids.values()) == 1


def test_documents_are_complete() -> None:
    documents = Documents(table(api_all=True))
    for key in documents.index():
        document = documents.v3(key)
        assert document is not None
        schemas = document["components"].get("schemas", {})
        assert set(references(document)) <= schemas.keys(), key
    v2 = documents.v2()
    assert set(references(v2)) <= v2["definitions"].keys()
    pod = v2["definitions"]["io.k8s.api.core.v1.Pod"]
    assert pod["properties"]["spec"]["$ref"] == "#/definitions/io.k8s.api.core.v1.PodSpec"
    post = v2["paths"]["/api/v1/namespaces/{namespace}/pods"]["post"]
    assert post["parameters"][0]["in"] == "body"
    assert post["produces"][0] == "application/json"


def test_ids_and_shape_of_an_operation() -> None:
    document = Documents(table()).v3("apis/rbac.authorization.k8s.io/v1")
    assert document is not None
    assert list(document) == ["openapi", "info", "paths", "components"]
    item = document["paths"][
        "/apis/rbac.authorization.k8s.io/v1/namespaces/{namespace}/roles/{name}"
    ]
    assert [p["name"] for p in item["parameters"]] == ["name", "namespace", "pretty"]
    patch = item["patch"]
    assert patch["operationId"] == "patchRbacAuthorizationV1NamespacedRole"
    assert patch["tags"] == ["rbacAuthorization_v1"]
    assert list(patch["responses"]) == ["200", "201", "401"]
    schema = document["components"]["schemas"]["io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions"]
    assert [g["group"] for g in schema["x-kubernetes-group-version-kind"]] == [
        "",
        "rbac.authorization.k8s.io",
    ]


def test_custom_kinds() -> None:
    live = table()
    with_gadget(live, GADGET)
    document = Documents(live).v3("apis/my-group.example.com/v1")
    assert document is not None
    assert document["info"]["title"] == "Kubernetes CRD Swagger"
    schema = document["components"]["schemas"]["com.example.my-group.v1.Gadget"]
    assert list(schema["properties"]) == ["apiVersion", "kind", "metadata", "spec"]
    assert schema["properties"]["spec"] == {
        "type": "object",
        "required": ["size"],
        "properties": {
            "port": {"x-kubernetes-int-or-string": True},
            "size": {"type": "integer", "default": 3, "minimum": 1},
            "tags": {
                "type": "array",
                "items": {"type": "object", "additionalProperties": {"type": "string"}},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["k"],
            },
        },
        "x-kubernetes-validations": [{"rule": "self.size > 0"}],
    }
    path = "/apis/my-group.example.com/v1/namespaces/{namespace}/gadgets"
    assert document["paths"][path]["get"]["operationId"] == (
        "listMyGroupExampleComV1NamespacedGadget"
    )
    assert f"{path}/{{name}}/status" in document["paths"]
    assert not any("/watch/" in p for p in document["paths"])


async def test_index_and_hashes() -> None:
    live = table()
    served = OpenApi(live, SystemClock())
    index = await served.handle_v3_index(request("/openapi/v3", "POST"))
    assert index.headers == [("Content-Type", "text/plain; charset=utf-8")]
    paths = body(index)["paths"]
    assert list(paths) == sorted(paths)
    assert {"api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"} <= paths.keys()
    url = paths["apis/apps/v1"]["serverRelativeURL"]
    right = await served.handle_v3(request(url))
    headers = dict(right.headers)
    assert right.status == 200
    assert headers["Cache-Control"] == "public, immutable"
    assert headers["ETag"] == '"' + url.partition("hash=")[2] + '"'
    wrong = await served.handle_v3(request("/openapi/v3/apis/apps/v1?hash=0123"))
    assert (wrong.status, dict(wrong.headers)["Location"], wrong.body) == (301, url, b"")
    with_gadget(live, GADGET)
    after = body(await served.handle_v3_index(request("/openapi/v3")))["paths"]
    assert after["apis/apps/v1"] == paths["apis/apps/v1"]
    before = after["apis/my-group.example.com/v1"]
    with_gadget(live, Schema("object", typed=False))
    changed = body(await served.handle_v3_index(request("/openapi/v3")))["paths"]
    assert changed["apis/my-group.example.com/v1"] != before


async def test_conditions_and_ranges() -> None:
    served = OpenApi(table(), SystemClock())
    first = await served.handle_v3(request("/openapi/v3/version"))
    etag = dict(first.headers)["ETag"]
    assert "Cache-Control" not in dict(first.headers)
    for condition in (etag, f'"x", W/{etag}', "*"):
        again = await served.handle_v3(request("/openapi/v3/version", if_none_match=condition))
        assert (again.status, again.body) == (304, b"")
        assert "Content-Type" not in dict(again.headers)
    assert (
        await served.handle_v3(request("/openapi/v3/version", if_none_match='"x"'))
    ).status == 200
    assert isinstance(first.body, bytes)
    for wanted, part in (("0-9", first.body[:10]), ("-5", first.body[-5:]), ("5-", first.body[5:])):
        ranged = await served.handle_v3(request("/openapi/v3/version", range=f"bytes={wanted}"))
        assert (ranged.status, ranged.body) == (206, part)
    beyond = await served.handle_v3(request("/openapi/v3/version", range="bytes=99999999-"))
    assert beyond.status == 416


async def test_media_types() -> None:
    served = OpenApi(table(), SystemClock())
    for path in ("/openapi/v3/apis/nope/v1", "/openapi/v3/", "/openapi/v3/apis/apps/v1/x"):
        assert (await served.handle_v3(request(path))).status == 404
    for accept in ("application/yaml", "text/plain"):
        refused = await served.handle_v3(request("/openapi/v3/version", accept=accept))
        assert (refused.status, refused.headers) == (406, [("Vary", "Accept")])
        assert (await served.handle_v2(request("/openapi/v2", accept=accept))).status == 406
    ok = await served.handle_v3(request("/openapi/v3/version", accept="application/*"))
    assert ok.status == 200
    plain = await served.handle_v2(request("/openapi/v2"))
    packed = await served.handle_v2(request("/openapi/v2", accept_encoding="br, gzip"))
    assert dict(packed.headers)["Content-Encoding"] == "gzip"
    assert isinstance(packed.body, bytes)
    assert gzip.decompress(packed.body) == plain.body
    proto = await served.handle_v2(
        request("/openapi/v2", accept="application/com.github.proto-openapi.spec.v2@v1.0+protobuf")
    )
    assert dict(proto.headers)["Content-Type"] == (
        "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
    )


def fields(data: bytes) -> list[tuple[int, Any]]:
    """The fields of a Protocol Buffers message, one level deep."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (data[at] & 0x7F) << shift
            shift += 7
            at += 1
            if data[at - 1] < 0x80:
                return value, at

    out: list[tuple[int, Any]] = []
    at = 0
    while at < len(data):
        key, at = varint(at)
        if key & 7 == 0:
            value, at = varint(at)
            out.append((key >> 3, value))
        elif key & 7 == 1:
            out.append((key >> 3, data[at : at + 8]))
            at += 8
        else:
            size, at = varint(at)
            out.append((key >> 3, data[at : at + size]))
            at += size
    return out


def test_protobuf_of_v2() -> None:
    document = {
        "swagger": "2.0",
        "definitions": {
            "a.B": {
                "type": "object",
                "required": ["x"],
                "properties": {"x": {"type": "integer", "minimum": 1, "maxLength": 300}},
                "x-kubernetes-group-version-kind": [{"kind": "B"}],
            }
        },
    }
    top = fields(encode_v2(document))
    assert top[0] == (1, b"2.0")
    named = dict(fields(dict(fields(top[1][1]))[1]))
    assert named[1] == b"a.B"
    schema = fields(named[2])
    assert [number for number, _ in schema] == [22, 19, 25, 31]
    assert fields(schema[0][1]) == [(1, b"object")]
    member = dict(fields(dict(fields(schema[2][1]))[1]))
    assert member[1] == b"x"
    assert dict(fields(member[2]))[11] == 300
    extension = dict(fields(schema[3][1]))
    assert extension[1] == b"x-kubernetes-group-version-kind"
    assert json.loads(dict(fields(extension[2]))[2]) == [{"kind": "B"}]


def test_protobuf_of_v3() -> None:
    leaf = {"type": "string", "default": "x", "nullable": True}
    document = {
        "openapi": "3.0.0",
        "paths": {"/a": {"get": {"responses": {"200": {"description": "OK"}}}}},
        "components": {
            "schemas": {
                "B": {
                    "properties": {"c": {"allOf": [{"$ref": "#/d"}], "default": {}}},
                    "additionalProperties": leaf,
                    "x-kubernetes-list-type": "set",
                }
            }
        },
    }
    top = dict(fields(encode_v3(document)))
    assert top[1] == b"3.0.0"
    path = dict(fields(dict(fields(top[4]))[1]))
    assert path[1] == b"/a"
    responses = dict(fields(dict(fields(dict(fields(path[2]))[4]))[8]))
    ok = dict(fields(responses[2]))
    assert ok[1] == b"200"
    assert fields(dict(fields(ok[2]))[1]) == [(1, b"OK")]
    named = dict(fields(dict(fields(dict(fields(top[5]))[1]))[1]))
    schema = dict(fields(dict(fields(named[2]))[1]))  # a schema, no reference
    member = dict(fields(dict(fields(schema[31]))[1]))
    assert member[1] == b"c"
    inner = dict(fields(dict(fields(member[2]))[1]))
    assert dict(fields(dict(fields(inner[26]))[2])) == {1: b"#/d"}
    assert inner[33] == b""
    more = fields(dict(fields(dict(fields(schema[32]))[1]))[1])
    assert more == [(25, b"string"), (33, b"\x1a\x01x"), (1, 1)]
    assert dict(fields(schema[36]))[1] == b"x-kubernetes-list-type"


@pytest.mark.parametrize("key", ["api", "apis", "apis/node.k8s.io", "openid/v1/jwks"])
def test_small_documents(key: str) -> None:
    document = Documents(table()).v3(key)
    assert document is not None
    (path, item), *others = document["paths"].items()
    assert path == f"/{key}/"
    assert not others
    assert list(item) == ["get"]


async def test_documents_that_take_long_are_built_aside_and_once() -> None:
    """Two that ask at once get the same document, and others have their turn meanwhile."""
    aside = Aside()
    try:
        served = OpenApi(table(), SystemClock(), aside=aside)
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:  # until cancelled
                await asyncio.sleep(0)
                turns += 1

        async with asyncio.TaskGroup() as group:
            counting = group.create_task(count())
            asked = [group.create_task(served.handle_v2(request("/openapi/v2"))) for _ in range(2)]
            bodies = [(await task).body for task in asked]
            counting.cancel()
        assert bodies[0] == bodies[1]
        at_once = await OpenApi(table(), SystemClock()).handle_v2(request("/openapi/v2"))
        assert bodies[0] == at_once.body
        assert turns > 10
    finally:
        aside.close()


def test_a_resource_within_a_resource_shows_the_fields_that_all_have() -> None:
    given: dict[str, Any] = {
        "type": "object",
        "properties": {
            "parts": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["spec", "kind"],
                    "properties": {"spec": {"type": "object"}},
                    "x-kubernetes-embedded-resource": True,
                },
            }
        },
    }
    before = json.dumps(given)
    part = with_embedded_fields(given)["properties"]["parts"]["items"]
    assert part["required"] == ["spec", "kind", "apiVersion"]
    assert sorted(part["properties"]) == ["apiVersion", "kind", "metadata", "spec"]
    (meta,) = part["properties"]["metadata"]["allOf"]
    assert meta["$ref"].endswith(".meta.v1.ObjectMeta")
    assert json.dumps(given) == before
