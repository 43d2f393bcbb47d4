"""Custom kinds in a whole server: what the OpenAPI documents say of them, and configurations that
say a key twice."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from server_harness import Client, eventually, running

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/docs.example.com/v1/namespaces/default/things"
NAME = "com.example.docs.v1.Thing"
Json = dict[str, Any]


def definition(schema: Json, *versions: str) -> Json:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.docs.example.com"},
        "spec": {
            "group": "docs.example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                {"name": v, "served": True, "storage": v == "v1",
                 "schema": {"openAPIV3Schema": schema}}
                for v in versions or ("v1",)
            ],
        },
    }  # fmt: skip


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with running() as run:
        yield run.client


async def served(client: Client, schema: Json, *versions: str) -> None:
    await client.post(CRDS, definition(schema, *versions))

    async def there() -> bool:
        return (await client("GET", THINGS)).status == 200

    await eventually(there)


async def defined(client: Client) -> Json:
    answer = await client("GET", "/openapi/v2")
    assert answer.status == 200
    found: Json = orjson.loads(answer.body)["definitions"]
    return found


async def test_old_documents_say_nothing_of_the_fields_of_open_kinds(client: Client) -> None:
    await served(client, {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    gvk = {"group": "docs.example.com", "kind": "Thing", "version": "v1"}
    assert (await defined(client))[NAME] == {
        "type": "object",
        "x-kubernetes-group-version-kind": [gvk],
    }


async def test_old_documents_show_closed_kinds_with_the_fields_that_all_have(
    client: Client,
) -> None:
    spec = {"type": "object", "properties": {"n": {"type": "integer", "default": 3}}}
    await served(client, {"type": "object", "properties": {"spec": spec}})
    shown = (await defined(client))[NAME]
    assert list(shown["properties"]) == ["apiVersion", "kind", "metadata", "spec"]
    assert shown["properties"]["metadata"]["$ref"].endswith("ObjectMeta")
    assert shown["properties"]["spec"] == spec


async def test_documents_follow_versions_that_are_renamed_or_not_served(client: Client) -> None:
    await served(client, {"type": "object"}, "v1", "v2")
    assert "com.example.docs.v2.Thing" in await defined(client)
    renamed = [{"op": "replace", "path": "/spec/versions/1/name", "value": "v3"}]
    path = f"{CRDS}/things.docs.example.com"
    json_patch = "application/json-patch+json"
    assert (await client("PATCH", path, renamed, content_type=json_patch)).status == 200

    async def shown(name: str, there: bool) -> bool:
        return (name in await defined(client)) is there

    await eventually(lambda: shown("com.example.docs.v3.Thing", there=True))
    await eventually(lambda: shown("com.example.docs.v2.Thing", there=False))
    unserved = [{"op": "replace", "path": "/spec/versions/1/served", "value": False}]
    assert (await client("PATCH", path, unserved, content_type=json_patch)).status == 200
    await eventually(lambda: shown("com.example.docs.v3.Thing", there=False))
    assert NAME in await defined(client)


TWICE = """apiVersion: docs.example.com/v1
kind: Thing
metadata:
  name: t
spec:
  a: x
  a: z
"""
APPLY = "application/apply-patch+yaml"
SAID = 'line 7: key "a" already set in map'


@pytest.mark.parametrize("mode", ["Strict", "Warn", "Ignore", ""])
async def test_a_configuration_that_says_a_key_twice(client: Client, mode: str) -> None:
    await served(client, {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    query = f"?fieldManager=m&fieldValidation={mode}" if mode else "?fieldManager=m"
    answer = await client("PATCH", f"{THINGS}/t{query}", TWICE.encode(), content_type=APPLY)
    if mode == "Strict":
        assert answer.status == 400
        assert answer.message == (
            "error strict decoding YAML: error converting YAML to JSON: yaml: unmarshal errors:\n"
            f"  {SAID}"
        )
        assert (await client("GET", f"{THINGS}/t")).status == 404
        return
    assert answer.status == 201
    assert answer.json["spec"] == {"a": "z"}
    said = SAID.replace('"', '\\"')
    assert answer.headers.get("warning", []) == ([] if mode == "Ignore" else [f'299 - "{said}"'])


async def test_a_conflict_is_told_before_what_is_said_twice(client: Client) -> None:
    await served(client, {"type": "object", "x-kubernetes-preserve-unknown-fields": True})
    one = TWICE.replace("  a: z\n", "").encode()
    first = await client("PATCH", f"{THINGS}/t?fieldManager=m", one, content_type=APPLY)
    assert first.status == 201
    query = "?fieldManager=other&fieldValidation=Strict"
    answer = await client("PATCH", f"{THINGS}/t{query}", TWICE.encode(), content_type=APPLY)
    assert answer.status == 409
