"""What a JSON patch says twice, how a definition is deleted, and logs that nobody can give."""

from __future__ import annotations

from typing import Any

import pytest
from server_harness import JSON_PATCH, MERGE_PATCH, Client, eventually, running

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NOWHERE = "00000000-0000-0000-0000-000000000000"
TWICE = (
    b'[{"op":"add","path":"/nope","value":1},'
    b'{"op":"add","path":"/metadata/annotations","value":{"a":"<1","a":"<2"}},'
    b'{"op":"add","path":"/data","value":{"x":"y"},"more":1}]'
)
FOUND = [
    'json patch unknown field "[2].more"',
    'json patch duplicate field "[1].value.a"',
    'duplicate field "metadata.annotations.a"',
    'unknown field "nope"',
]


@pytest.mark.parametrize("directive", ["Warn", "Strict", "Ignore"])
async def test_a_json_patch_that_repeats_a_name(directive: str) -> None:
    async with running() as run:
        (await run.client("POST", MAPS, {"metadata": {"name": "c"}})).expect(201)
        path = f"{MAPS}/c?fieldValidation={directive}"
        answer = await run.client("PATCH", path, TWICE, content_type=JSON_PATCH)
        if directive == "Strict":
            assert answer.status == 422
            assert answer.message.endswith(f"strict decoding error: {', '.join(FOUND)}")
            # The result is quoted as Go writes it, and the text of the value is in it.
            shown = answer.message.replace("\\", "")
            assert '"annotations":{"a":"u003c1","a":"u003c2"}' in shown
            return
        assert answer.expect(200)["metadata"]["annotations"] == {"a": "<2"}
        assert sorted(answer.warnings) == sorted(FOUND if directive == "Warn" else [])


async def test_a_merge_patch_quotes_its_result_escaped() -> None:
    async with running() as run:
        made = {"metadata": {"name": "c"}, "data": {"a": "<&"}}
        (await run.client("POST", MAPS, made)).expect(201)
        path = f"{MAPS}/c?fieldValidation=Strict"
        answer = await run.client("PATCH", path, {"nope": 1}, content_type=MERGE_PATCH)
        assert "\\\\u003c\\\\u0026" in answer.message


def definition(plural: str) -> Json:
    schema = {"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}}
    version = {"name": "v1", "served": True, "storage": True, "schema": schema}
    return {
        "metadata": {"name": f"{plural}.example.com", "labels": {"app": "x"}},
        "spec": {
            "group": "example.com",
            "scope": "Cluster",
            "names": {"plural": plural, "kind": plural.title()},
            "versions": [version],
        },
    }


async def answers(client: Client, plural: str, status: int) -> bool:
    return (await client("GET", f"/apis/example.com/v1/{plural}")).status == status


async def define(client: Client, plural: str) -> str:
    (await client("POST", DEFINITIONS, definition(plural))).expect(201)
    await eventually(lambda: answers(client, plural, 200))
    return f"{DEFINITIONS}/{plural}.example.com"


async def test_a_definition_is_deleted_in_its_own_way() -> None:
    async with running() as run:
        at = await define(run.client, "things")
        wrong = await run.client("DELETE", at, {"preconditions": {"uid": NOWHERE}})
        assert wrong.status == 409
        assert f"precondition failed: UID in precondition: {NOWHERE}, UID in" in wrong.message
        assert wrong.json["details"]["kind"] == "customresourcedefinitions"
        other = {"metadata": {"uid": NOWHERE}}
        refused = await run.client("PATCH", at, other, content_type=MERGE_PATCH)
        assert len(refused.json["details"]["causes"]) == 2
        assert refused.message.count("field is immutable") == 1


async def test_of_a_collection_definitions_go_as_anything_else() -> None:
    async with running() as run:
        at = await define(run.client, "things")
        selected = f"{DEFINITIONS}?labelSelector=app%3Dx"
        await run.client("DELETE", selected, {"propagationPolicy": "Orphan"})
        meta = (await run.client("GET", at)).expect(200)["metadata"]
        assert (meta["finalizers"], meta["generation"]) == (["orphan"], 2)
        none = {"metadata": {"finalizers": None}}
        (await run.client("PATCH", at, none, content_type=MERGE_PATCH)).expect(200)
        assert (await run.client("GET", at)).status == 404
        await define(run.client, "others")
        (await run.client("DELETE", selected)).expect(200)
        assert (await run.client("GET", f"{DEFINITIONS}/others.example.com")).status == 404
        await eventually(lambda: answers(run.client, "others", 404))


async def test_logs_that_nobody_can_give() -> None:
    async with running(disable_admission_plugins="ServiceAccount") as run:
        spec = {"containers": [{"name": "c", "image": "i"}], "nodeName": "n"}
        (await run.client("POST", PODS, {"metadata": {"name": "p"}, "spec": spec})).expect(201)
        for place in ("log", "exec?command=x", "attach"):
            answer = await run.client("GET", f"{PODS}/p/{place}")
            assert (answer.status, answer.message) == (404, 'pods "n" not found')
        odd = await run.client("GET", f"{PODS}/x/log", headers={"accept": "application/xml"})
        assert odd.status == 406
        assert "Available representations: text/plain, application/json" in odd.message
