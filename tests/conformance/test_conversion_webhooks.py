"""Conversion webhooks against a whole server: every verb in a version that is not stored, and what
comes of a webhook that fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from server_harness import APPLY_PATCH, Answer, Running, eventually, running
from webhook_server import Hooks, Reply, allow, configuration, webhooks

Json = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
TABLE = {"accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
PARTIAL = {"accept": "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"}


def things(version: str, namespace: str = "default") -> str:
    return f"/apis/x.example.com/{version}/namespaces/{namespace}/things"


def version(name: str, field: str, *, storage: bool) -> Json:
    """A version whose spec has one field of its own."""
    spec = {"type": "object", "properties": {field: {"type": "string"}}}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}},
        "subresources": {"status": {}},
        "additionalPrinterColumns": [
            {"name": field.title(), "type": "string", "jsonPath": f".spec.{field}"}
        ],
    }


def definition(client: Json, stored: str = "v2", *versions: str) -> Json:
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "things.x.example.com"},
        "spec": {
            "group": "x.example.com",
            "scope": "Namespaced",
            "names": {"plural": "things", "kind": "Thing"},
            "versions": [
                version("v1", "host", storage=stored == "v1"),
                version("v2", "address", storage=stored == "v2"),
            ],
            "conversion": {
                "strategy": "Webhook",
                "webhook": {
                    "clientConfig": client,
                    "conversionReviewVersions": list(versions) or ["v1"],
                },
            },
        },
    }


def renamed(obj: Json, api_version: str) -> Json:
    """spec.host of v1 is spec.address of v2, with a scheme before it."""
    spec = dict(obj.get("spec") or {})
    if api_version.endswith("/v2") and "host" in spec:
        spec["address"] = "tcp://" + spec.pop("host")
    elif api_version.endswith("/v1") and "address" in spec:
        spec["host"] = spec.pop("address").removeprefix("tcp://")
    return {**obj, "apiVersion": api_version, "spec": spec}


def convert(request: Json) -> Json:
    wanted = request["desiredAPIVersion"]
    objects = [renamed(obj, wanted) for obj in request["objects"]]
    return {"result": {"status": "Success"}, "convertedObjects": objects}


def thing(version: str, name: str, **spec: str) -> Json:
    kind = {"apiVersion": f"x.example.com/{version}", "kind": "Thing"}
    return {**kind, "metadata": {"name": name}, "spec": spec}


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[tuple[Running, Hooks]]:
    async with webhooks(folder) as hooks, running(alone=False) as run:
        hooks.paths["/convert"] = convert
        yield run, hooks


async def define(run: Running, hooks: Hooks, stored: str = "v2", *versions: str) -> None:
    body = definition(hooks.client("/convert"), stored, *versions)
    await run.client.post(CRDS, body)

    async def served() -> bool:
        return (await run.client("GET", things("v1"))).status == 200

    await eventually(served)


async def test_every_verb_in_both_versions(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        made = await run.client.post(f"{things('v1')}?fieldManager=me", thing("v1", "a", host="h"))
        assert made["apiVersion"] == "x.example.com/v1"
        assert made["spec"] == {"host": "h"}
        assert (await run.client.get(f"{things('v2')}/a"))["spec"] == {"address": "tcp://h"}
        assert await run.client.get(f"{things('v1')}/a") == made
        put = {**made, "spec": {"host": "i"}}
        assert (await run.client.put(f"{things('v1')}/a", put))["spec"] == {"host": "i"}
        patched = await run.client.patch(f"{things('v1')}/a", {"spec": {"host": "j"}})
        assert patched["metadata"]["generation"] == 3
        assert (await run.client.get(f"{things('v2')}/a"))["spec"] == {"address": "tcp://j"}
        status = await run.client("PATCH", f"{things('v1')}/a/status", {"status": {}},
            content_type="application/merge-patch+json")  # fmt: skip
        status.expect(200)
        listed = await run.client.get(things("v1"))
        assert [i["spec"] for i in listed["items"]] == [{"host": "j"}]
        table = await run.client.get(things("v1"), headers=TABLE)
        assert table["rows"][0]["cells"][1] == "j"
        partial = await run.client.get(things("v1"), headers=PARTIAL)
        assert partial["items"][0]["metadata"]["name"] == "a"
        await run.client.post(things("v2"), thing("v2", "b", address="tcp://k"))
        gone = await run.client("DELETE", f"{things('v1')}/b")
        assert gone.expect(200)["status"] == "Success"
        collection = await run.client.delete(things("v1"))
        assert [i["spec"] for i in collection["items"]] == [{"host": "j"}]


async def test_apply_knows_owners_in_both_versions(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)

        async def apply(version: str, manager: str, **spec: str) -> Answer:
            path = f"{things(version)}/a?fieldManager={manager}"
            body = thing(version, "a", **spec)
            return await run.client("PATCH", path, body, content_type=APPLY_PATCH)

        (await apply("v1", "one", host="h")).expect(201)
        refused = await apply("v2", "two", address="tcp://i")
        assert (
            refused.expect(409)["details"]["causes"][0]["field"] == ".spec.host"
        )  # as its owner calls it
        (await apply("v2", "one", address="tcp://i")).expect(200)
        assert (await run.client.get(f"{things('v1')}/a"))["spec"] == {"host": "i"}
        (await apply("v1", "one")).expect(200)
        assert (await run.client.get(f"{things('v2')}/a"))["spec"] == {}


async def test_a_list_is_converted_in_bulk_and_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        for i in range(250):
            await run.client.post(things("v2"), thing("v2", f"t{i:03}", address=f"tcp://h{i}"))
        assert not hooks.asked("/convert")
        listed = await run.client.get(things("v1"))
        assert [i["spec"]["host"] for i in listed["items"]] == [f"h{i}" for i in range(250)]
        assert [len(r["objects"]) for r in hooks.asked("/convert")] == [100, 100, 50]
        assert await run.client.get(things("v1")) == listed
        assert len(hooks.asked("/convert")) == 3


async def test_a_watch_is_converted_once_for_all_watchers(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        await run.client.post(things("v2"), thing("v2", "a", address="tcp://h"))
        path = f"{things('v1')}?watch=1"
        async with run.client.watch(path) as one, run.client.watch(path) as two:
            for watch in (one, two):
                event = await watch.next()
                assert event is not None
                assert event["type"] == "ADDED"
                assert event["object"]["spec"] == {"host": "h"}
            before = len(hooks.asked("/convert"))
            await run.client.patch(f"{things('v2')}/a", {"spec": {"address": "tcp://i"}})
            await run.client.delete(f"{things('v2')}/a")
            for watch in (one, two):
                changed, deleted = await watch.next(), await watch.next()
                assert changed is not None
                assert changed["object"]["spec"] == {"host": "i"}
                assert deleted is not None
                assert deleted["type"] == "DELETED"
                assert deleted["object"]["spec"] == {"host": "i"}
            assert len(hooks.asked("/convert")) - before <= 2


async def test_another_stored_version(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks, "v1")
        await run.client.post(things("v1"), thing("v1", "old", host="h"))
        crd = await run.client.get(f"{CRDS}/things.x.example.com")
        crd["spec"] = definition(hooks.client("/convert"), "v2")["spec"]
        await run.client.put(f"{CRDS}/things.x.example.com", crd)

        async def stored() -> bool:
            found = await run.client.get(f"{CRDS}/things.x.example.com")
            return bool(found["status"]["storedVersions"] == ["v1", "v2"])

        await eventually(stored)
        await run.caught_up()
        hooks.requests.clear()
        assert (await run.client.get(f"{things('v1')}/old"))["spec"] == {"host": "h"}
        assert not hooks.asked("/convert")  # it is stored so
        assert (await run.client.get(f"{things('v2')}/old"))["spec"] == {"address": "tcp://h"}
        patched = await run.client.patch(f"{things('v1')}/old", {"spec": {"host": "i"}})
        assert patched["spec"] == {"host": "i"}
        assert (await run.client.get(f"{things('v2')}/old"))["spec"] == {"address": "tcp://i"}


async def test_labels_may_change_and_nothing_else_of_metadata(tmp_path: Path) -> None:
    def labelled(request: Json) -> Json:
        response = convert(request)
        for obj in response["convertedObjects"]:
            own = {"name": obj["metadata"]["name"], "namespace": "default"}
            own["uid"] = obj["metadata"].get("uid")
            obj["metadata"] = {**own, "labels": {"seen": "yes"}, "generation": 77}
        return response

    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        await run.client.post(things("v2"), thing("v2", "a", address="tcp://h"))
        hooks.paths["/convert"] = labelled
        found = await run.client.get(f"{things('v1')}/a")
        assert found["metadata"]["labels"] == {"seen": "yes"}
        assert found["metadata"]["generation"] == 1
        assert found["metadata"]["managedFields"]


def answering(**changes: Any) -> Reply:
    """A good answer but for some fields of its first object."""

    def reply(request: Json) -> Json:
        response = convert(request)
        first = response["convertedObjects"][0]
        for name, value in changes.items():
            where, _, field = name.rpartition("_")
            (first[where] if where else first)[field] = value
        return response

    return reply


HEAD = "conversion webhook for x.example.com/v2, Kind=Thing "
FAILURES: list[tuple[str, Reply, str]] = [
    ("garbage", lambda r: b"hello", "failed: couldn't get version/kind; json parse error: invalid"
     " character 'h' looking for beginning of value"),
    ("failure", lambda r: {"result": {"status": "Failure", "message": "no way"}}, "failed: no way"),
    ("silent", lambda r: {"result": {"status": "Failure"}},
     "failed: response.result.status was 'Failure', not 'Success'"),
    ("uid", lambda r: {**convert(r), "uid": "other"}, 'failed: expected response.uid="UID", got '
     '"other"'),
    ("none", lambda r: {**convert(r), "convertedObjects": []}, "returned 0 objects, expected 1"),
    ("version", answering(apiVersion="x.example.com/v9"), "returned invalid object at index 0: "
     "invalid groupVersion (expected x.example.com/v1, received x.example.com/v9)"),
    ("kind", answering(kind="Other"),
     "returned invalid object at index 0: invalid kind (expected Thing, received Other)"),
    ("name", answering(metadata_name="b"),
     "returned invalid object: must have the same name: a != b"),
    ("labels", answering(metadata_labels={"a": 1}), "returned invalid metadata: metadata.labels[a]"
     " must be a string, but is int64 in converted object"),
    ("no metadata", answering(metadata=None),
     "returned invalid metadata: missing metadata in converted object"),
]  # fmt: skip


@pytest.mark.parametrize(("reply", "text"), [f[1:] for f in FAILURES], ids=[f[0] for f in FAILURES])
async def test_failures(tmp_path: Path, reply: Reply, text: str) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        made = await run.client.post(things("v2"), thing("v2", "a", address="tcp://h"))
        revision = made["metadata"]["resourceVersion"]
        hooks.requests.clear()
        hooks.paths["/convert"] = reply
        answer = await run.client("GET", f"{things('v1')}/a")
        (asked,) = hooks.asked("/convert")
        said = HEAD + text.replace("UID", asked["uid"])
        undecodable = f"object not decodable revision={revision}: {said}"
        assert undecodable in answer.expect(500)["message"]
        assert answer.reason == "InternalError"
        listed = (await run.client("GET", things("v1"))).expect(500)
        assert listed["reason"] == "StorageReadError"
        patched = await run.client("PATCH", f"{things('v1')}/a", {"spec": {"host": "x"}},
            content_type="application/merge-patch+json")  # fmt: skip
        assert patched.expect(500)["message"].startswith(
            f"object not decodable revision={revision}: "
        )
        async with run.client.watch(f"{things('v1')}?watch=1") as watch:
            event = await watch.next()
            assert event is not None
            assert event["type"] == "ERROR"
        assert (await run.client.get(f"{things('v2')}/a"))["spec"] == {"address": "tcp://h"}
        hooks.paths["/convert"] = convert
        assert (await run.client.get(f"{things('v1')}/a"))["spec"] == {"host": "h"}


DEEP = b'{"a":' * 300 + b"1" + b"}" * 300


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"[]",
        b"null",
        b"\xff\xfe",
        b'{"response":[]}',
        b'{"response":{"uid":[],"result":5}}',
        b'{"apiVersion":5,"kind":[]}',
        b'{"response":{"result":{"status":"Success"},"convertedObjects":{}}}',
        b'{"response":{"result":{"status":"Success"},"convertedObjects":[5]}}',
        b'{"response":{"result":{"status":"Success"},"convertedObjects":[' + DEEP + b"]}}",
        b"[" * 100_000,
    ],
)
@pytest.mark.parametrize("review", ["v1", "v1beta1"])
async def test_hostile_answers(tmp_path: Path, answer: bytes, review: str) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks, "v2", review)
        await run.client.post(things("v2"), thing("v2", "a", address="tcp://h"))
        hooks.paths["/convert"] = lambda request: answer
        got = await run.client("GET", f"{things('v1')}/a")
        assert "object not decodable" in got.expect(500)["message"]
        made = await run.client("POST", things("v1"), thing("v1", "b", host="h"))
        assert "conversion webhook for" in made.expect(500)["message"]


async def test_objects_that_are_too_deep(tmp_path: Path) -> None:
    def deep(request: Json) -> bytes:
        response = convert(request)
        head = b'{"apiVersion":"apiextensions.k8s.io/v1","kind":"ConversionReview","response":'
        obj = response["convertedObjects"][0]
        text = orjson.dumps({**obj, "spec": "HERE"}).replace(b'"HERE"', DEEP)
        body = b'{"uid":"%b","result":{"status":"Success"},"convertedObjects":[%b]}}'
        return head + body % (request["uid"].encode(), text)

    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        await run.client.post(things("v2"), thing("v2", "a", address="tcp://h"))
        hooks.paths["/convert"] = deep
        got = await run.client("GET", f"{things('v1')}/a")
        assert "exceeded max depth" in got.expect(500)["message"]


async def test_a_bad_object_of_many_is_named(tmp_path: Path) -> None:
    def choosy(request: Json) -> Json:
        if any(obj["metadata"]["name"] == "b" for obj in request["objects"]):
            return {"result": {"status": "Failure", "message": "not b"}}
        return convert(request)

    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        for name in "abc":
            await run.client.post(things("v2"), thing("v2", name, address="tcp://h"))
        hooks.paths["/convert"] = choosy
        refused = (await run.client("GET", things("v1"))).expect(500)
        (cause,) = refused["details"]["causes"]
        assert cause["field"] == "/registry/x.example.com/things/default/b"
        assert (await run.client.get(f"{things('v1')}/c"))["spec"] == {"host": "h"}


async def test_a_webhook_out_of_reach_is_asked_once(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        for i in range(250):
            await run.client.post(things("v2"), thing("v2", f"t{i:03}", address="tcp://h"))
        hooks.status, hooks.paths["/convert"] = 503, lambda request: b""
        refused = (await run.client("GET", things("v1"))).expect(500)
        assert len(hooks.asked("/convert")) == 1
        assert "the server is currently unable to handle the request" in refused["message"]
        assert len(refused["details"]["causes"]) == 100


async def test_nothing_is_stored_that_cannot_be_converted(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        hooks.paths["/convert"] = lambda r: {"result": {"status": "Failure", "message": "no"}}
        refused = await run.client("POST", things("v1"), thing("v1", "a", host="h"))
        text = "conversion webhook for x.example.com/v1, Kind=Thing failed: no"
        assert refused.expect(500)["message"] == text
        invalid = {**thing("v1", "a"), "spec": {"host": 5}}
        assert (await run.client("POST", things("v1"), invalid)).status == 422
        assert (await run.client.get(things("v2")))["items"] == []


async def test_one_slow_answer_holds_up_nobody_else(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        await run.client.post(things("v2"), thing("v2", "a", address="tcp://h"))
        release = asyncio.Event()

        async def slow(request: Json) -> Json:
            await release.wait()
            return convert(request)

        hooks.paths["/convert"] = slow
        hooks.requests.clear()
        async with asyncio.TaskGroup() as group:
            waiting = [group.create_task(run.client.get(f"{things('v1')}/a")) for _ in range(20)]
            assert (await run.client.get(f"{things('v2')}/a"))["spec"] == {"address": "tcp://h"}
            await run.client.patch(f"{things('v2')}/a", {"metadata": {"labels": {"a": "b"}}})
            assert not any(task.done() for task in waiting)
            release.set()
        assert {task.result()["spec"]["host"] for task in waiting} == {"h"}
        assert len(hooks.asked("/convert")) == 1


async def test_an_admission_webhook_sees_the_version_it_asks_for(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks)
        hooks.paths["/v"] = allow
        rule = {
            "apiGroups": ["x.example.com"],
            "apiVersions": ["v2"],
            "operations": ["CREATE", "DELETE"],
            "resources": ["things"],
        }
        hook = {"name": "v.example.com", "clientConfig": hooks.client("/v"), "rules": [rule]}
        plural = "validatingwebhookconfigurations"
        await run.client.post(
            f"/apis/admissionregistration.k8s.io/v1/{plural}",
            configuration("Validating", "c", hook),
        )
        await run.caught_up()
        await run.client.post(things("v1"), thing("v1", "a", host="h"))
        await run.client.delete(f"{things('v1')}/a")
        made, deleted = hooks.asked("/v")
        assert made["object"]["spec"] == {"address": "tcp://h"}
        assert made["requestKind"]["version"] == "v1"
        assert deleted["oldObject"]["spec"] == {"address": "tcp://h"}


async def test_the_older_review(tmp_path: Path) -> None:
    async with serving(tmp_path) as (run, hooks):
        await define(run, hooks, "v2", "v1beta1")
        hooks.paths["/convert"] = lambda r: {**convert(r), "uid": "whatever"}
        await run.client.post(things("v1"), thing("v1", "a", host="h"))
        assert (await run.client.get(f"{things('v1')}/a"))["spec"] == {"host": "h"}
