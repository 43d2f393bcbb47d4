"""Field selectors of custom kinds: each version has its own, over objects as that version shows
them, also where a webhook converts.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from server_harness import Running, eventually, running
from webhook_server import Hooks, webhooks

Json = dict[str, Any]
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
NOT_SUPPORTED = "field label not supported: "


def places(version: str, query: str = "", namespace: str = "/namespaces/default") -> str:
    return f"/apis/x.example.com/{version}{namespace}/places{query}"


def selected(version: str, selector: str, more: str = "") -> str:
    return places(version, f"?fieldSelector={selector.replace('=', '%3D')}{more}")


def watched(version: str, selector: str, more: str = "") -> str:
    return selected(version, selector, f"&watch=1{more}")


def version(name: str, *fields: str, storage: bool) -> Json:
    properties = {field: {"type": "string"} for field in (*fields, "note")}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
        "selectableFields": [{"jsonPath": f".{field}"} for field in fields],
    }


def definition(stored: str, client: Json | None) -> Json:
    conversion: Json = {"strategy": "None"}
    if client is not None:
        webhook = {"clientConfig": client, "conversionReviewVersions": ["v1"]}
        conversion = {"strategy": "Webhook", "webhook": webhook}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": "places.x.example.com"},
        "spec": {
            "group": "x.example.com",
            "scope": "Namespaced",
            "names": {"plural": "places", "kind": "Place"},
            "versions": [
                version("v1", "address", storage=stored == "v1"),
                version("v2", "host", "port", storage=stored == "v2"),
            ],
            "conversion": conversion,
        },
    }


def convert(request: Json) -> Json:
    """address of v1 is host and port of v2."""
    out = []
    for given in request["objects"]:
        obj = {**given, "apiVersion": request["desiredAPIVersion"]}
        if "address" in obj:
            obj["host"], _, obj["port"] = obj.pop("address").partition(":")
        elif "host" in obj:
            obj["address"] = f"{obj.pop('host')}:{obj.pop('port')}"
        out.append(obj)
    return {"result": {"status": "Success"}, "convertedObjects": out}


def broken(request: Json) -> Json:
    return {"result": {"status": "Failure", "message": "out of order"}}


def place(name: str, host: str, port: str, **labels: str) -> Json:
    kind = {"apiVersion": "x.example.com/v2", "kind": "Place"}
    return {**kind, "metadata": {"name": name, "labels": labels}, "host": host, "port": port}


async def define(run: Running, stored: str, client: Json | None) -> None:
    await run.client.post(CRDS, definition(stored, client))

    async def served() -> bool:
        return (await run.client("GET", places("v1"))).status == 200

    await eventually(served)


@asynccontextmanager
async def serving(folder: Path, stored: str) -> AsyncIterator[tuple[Running, Hooks]]:
    async with webhooks(folder) as hooks, running(alone=False) as run:
        hooks.paths["/convert"] = convert
        await define(run, stored, hooks.client("/convert"))
        yield run, hooks


async def populate(run: Running) -> None:
    for name, host, port in (("a", "h1", "80"), ("b", "h1", "8080"), ("c", "h2", "80")):
        await run.client.post(places("v2"), place(name, host, port, team=host))


async def names(run: Running, path: str) -> Sequence[str]:
    return [i["metadata"]["name"] for i in (await run.client.get(path))["items"]]


@pytest.mark.parametrize("stored", ["v1", "v2"])
async def test_lists_by_the_fields_of_their_version(tmp_path: Path, stored: str) -> None:
    async with serving(tmp_path, stored) as (run, _):
        await populate(run)
        assert await names(run, selected("v2", "host=h1")) == ["a", "b"]
        assert await names(run, selected("v2", "host=h1,port=80")) == ["a"]
        assert await names(run, selected("v2", "host!=h1")) == ["c"]
        assert await names(run, selected("v2", "port=80,metadata.name=c")) == ["c"]
        assert await names(run, selected("v2", "port=80", "&labelSelector=team%3Dh2")) == ["c"]
        assert await names(run, selected("v1", "address=h1:8080")) == ["b"]
        assert await names(run, selected("v1", "address!=h1:8080")) == ["a", "c"]
        listed = await run.client.get(selected("v2", "host=h2"))
        assert (listed["items"][0]["host"], listed["items"][0]["port"]) == ("h2", "80")


@pytest.mark.parametrize("verb", ["GET", "DELETE"])
async def test_a_field_of_another_version_is_refused(tmp_path: Path, verb: str) -> None:
    async with serving(tmp_path, "v1") as (run, _):
        for version, field in (("v1", "host"), ("v2", "address"), ("v2", "note")):
            refused = await run.client(verb, selected(version, f"{field}=x"))
            assert refused.expect(400)["message"] == NOT_SUPPORTED + field
        watch = await run.client("GET", watched("v2", "address=x"))
        assert watch.expect(400)["message"] == NOT_SUPPORTED + "address"


@pytest.mark.parametrize("stored", ["v1", "v2"])
async def test_pages_are_full_of_what_is_selected(tmp_path: Path, stored: str) -> None:
    async with serving(tmp_path, stored) as (run, _):
        for i in range(7):
            await run.client.post(places("v2"), place(f"p{i}", f"h{i % 2}", "1"))
        first = await run.client.get(selected("v2", "host=h0", "&limit=3"))
        assert [i["metadata"]["name"] for i in first["items"]] == ["p0", "p2", "p4"]
        await run.client.post(places("v2"), place("p9", "h0", "1"))  # so the store is read
        token = first["metadata"]["continue"]
        rest = await run.client.get(selected("v2", "host=h0", f"&limit=3&continue={token}"))
        assert [i["metadata"]["name"] for i in rest["items"]] == ["p6"]
        assert not rest["metadata"].get("continue")
        exact = (
            f"&resourceVersionMatch=Exact&resourceVersion={first['metadata']['resourceVersion']}"
        )
        assert await names(run, selected("v2", "host=h1", exact)) == ["p1", "p3", "p5"]
        assert await names(run, selected("v2", "host=h0", f"&limit=2{exact}")) == ["p0", "p2"]


@pytest.mark.parametrize("stored", ["v1", "v2"])
async def test_a_watch_sees_objects_come_and_go(tmp_path: Path, stored: str) -> None:
    async with serving(tmp_path, stored) as (run, _):
        await populate(run)
        async with (
            run.client.watch(watched("v2", "host=h1")) as by_host,
            run.client.watch(watched("v1", "address=h1:80")) as by_address,
        ):
            assert await by_host.take(2) == [("ADDED", "a"), ("ADDED", "b")]
            assert await by_address.take(1) == [("ADDED", "a")]
            await run.client.patch(f"{places('v2')}/a", {"note": "seen"})
            await run.client.patch(f"{places('v2')}/a", {"port": "81"})
            await run.client.patch(f"{places('v2')}/c", {"note": "not seen"})
            await run.client.patch(f"{places('v1')}/c", {"address": "h1:80"})
            await run.client.patch(f"{places('v2')}/b", {"host": "h3"})
            await run.client.delete(f"{places('v2')}/a")
            await run.client.delete(f"{places('v2')}/b")
            assert await by_host.take(5) == [
                ("MODIFIED", "a"),
                ("MODIFIED", "a"),
                ("ADDED", "c"),
                ("DELETED", "b"),
                ("DELETED", "a"),
            ]
            assert await by_address.take(3) == [
                ("MODIFIED", "a"),
                ("DELETED", "a"),
                ("ADDED", "c"),
            ]
            await run.client.post(places("v2"), place("d", "h1", "80"))
            for watch in (by_host, by_address):
                assert await watch.take(1) == [("ADDED", "d")], "nothing else came"


async def test_who_leaves_is_shown_as_it_was_selected(tmp_path: Path) -> None:
    async with serving(tmp_path, "v1") as (run, _):
        await populate(run)
        async with run.client.watch(watched("v2", "host=h2")) as watch:
            assert await watch.take(1) == [("ADDED", "c")]
            changed = await run.client.patch(f"{places('v2')}/c", {"host": "h9"})
            event = await watch.next()
            assert event is not None
            assert (event["type"], event["object"]["host"]) == ("DELETED", "h2")
            version = changed["metadata"]["resourceVersion"]
            assert event["object"]["metadata"]["resourceVersion"] == version


async def test_a_watch_from_the_past_and_one_that_marks_the_present(tmp_path: Path) -> None:
    async with serving(tmp_path, "v1") as (run, _):
        start = (await run.client.get(places("v1")))["metadata"]["resourceVersion"]
        await populate(run)
        await run.client.patch(f"{places('v2')}/c", {"host": "h1"})
        await run.client.delete(f"{places('v2')}/b")
        past = watched("v2", "host=h1", f"&resourceVersion={start}")
        async with run.client.watch(past) as watch:
            assert await watch.take(4) == [
                ("ADDED", "a"),
                ("ADDED", "b"),
                ("ADDED", "c"),
                ("DELETED", "b"),
            ]
        streamed = (
            "&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true"
        )
        async with run.client.watch(watched("v2", "port=80", streamed)) as watch:
            assert await watch.take(3) == [("ADDED", "a"), ("ADDED", "c"), ("BOOKMARK", "")]
        async with run.client.watch(watched("v2", "port=none", streamed)) as watch:
            assert await watch.take(1) == [("BOOKMARK", "")]


@pytest.mark.parametrize("stored", ["v1", "v2"])
async def test_only_what_is_selected_is_deleted(tmp_path: Path, stored: str) -> None:
    async with serving(tmp_path, stored) as (run, _):
        await populate(run)
        await run.client.delete(selected("v2", "host=h1,port=80"))
        assert await names(run, places("v1")) == ["b", "c"]
        await run.client.delete(selected("v1", "address=h2:80"))
        assert await names(run, places("v1")) == ["b"]


async def test_who_cannot_be_converted_is_not_passed_over(tmp_path: Path) -> None:
    async with serving(tmp_path, "v1") as (run, hooks):
        kind = {"apiVersion": "x.example.com/v1", "kind": "Place"}
        await run.client.post(places("v1"), {**kind, "metadata": {"name": "a"}, "address": "h:1"})
        hooks.paths["/convert"] = broken
        failed = await run.client("GET", selected("v2", "host=h"))
        assert failed.expect(500)["reason"] == "StorageReadError"
        async with run.client.watch(watched("v2", "host=h")) as watch:
            event = await watch.next()
            assert event is not None
            assert event["type"] == "ERROR"
            assert await watch.ended()
        assert await names(run, selected("v1", "address=h:1")) == ["a"]  # nobody is asked
        hooks.paths["/convert"] = convert
        assert await names(run, selected("v2", "host=h")) == ["a"]


async def test_the_webhook_is_asked_once_for_all_watches_that_select(tmp_path: Path) -> None:
    async with serving(tmp_path, "v1") as (run, hooks):
        kind = {"apiVersion": "x.example.com/v1", "kind": "Place"}
        for name, address in (("a", "h1:80"), ("b", "h2:8080")):
            body = {**kind, "metadata": {"name": name}, "address": address}
            await run.client.post(places("v1"), body)
        one, two = watched("v2", "host=h1"), watched("v2", "port=80")
        async with run.client.watch(one) as by_host, run.client.watch(two) as by_port:
            assert await by_host.take(1) == [("ADDED", "a")]
            assert await by_port.take(1) == [("ADDED", "a")]
            before = len(hooks.asked("/convert"))
            await run.client.patch(f"{places('v1')}/a", {"note": "x"})
            assert await by_host.take(1) == [("MODIFIED", "a")]
            assert await by_port.take(1) == [("MODIFIED", "a")]
            assert len(hooks.asked("/convert")) - before == 1


async def test_objects_stored_in_an_older_version(tmp_path: Path) -> None:
    async with serving(tmp_path, "v1") as (run, hooks):
        await populate(run)
        crd = await run.client.get(f"{CRDS}/places.x.example.com")
        crd["spec"] = definition("v2", hooks.client("/convert"))["spec"]
        await run.client.put(f"{CRDS}/places.x.example.com", crd)

        async def selects() -> bool:
            return await names(run, selected("v2", "host=h1")) == ["a", "b"]

        await eventually(selects)
        async with run.client.watch(watched("v2", "host=h1")) as watch:
            assert await watch.take(2) == [("ADDED", "a"), ("ADDED", "b")]
            await run.client.patch(f"{places('v2')}/b", {"host": "h3"})
            assert await watch.take(1) == [("DELETED", "b")]
        assert await names(run, selected("v1", "address=h1:80")) == ["a"]


async def test_versions_without_webhook_have_fields_of_their_own() -> None:
    async with running(alone=False) as run:
        await define(run, "v1", None)
        kind = {"apiVersion": "x.example.com/v1", "kind": "Place"}
        await run.client.post(places("v1"), {**kind, "metadata": {"name": "a"}, "address": "h:1"})
        assert await names(run, selected("v1", "address=h:1")) == ["a"]
        assert await names(run, selected("v2", "host=h")) == []
        assert await names(run, selected("v2", "host=")) == ["a"]
        refused = await run.client("GET", selected("v2", "address=h:1"))
        assert refused.expect(400)["message"] == NOT_SUPPORTED + "address"
        async with run.client.watch(watched("v1", "address=h:2")) as watch:
            await run.client.patch(f"{places('v1')}/a", {"address": "h:2"})
            assert await watch.take(1) == [("ADDED", "a")]


async def test_the_documents_say_which_fields_a_version_has() -> None:
    async with running(alone=False) as run:
        await define(run, "v1", None)
        for version, fields in (("v1", ["address"]), ("v2", ["host", "port"])):
            document = await run.client.get(f"/openapi/v3/apis/x.example.com/{version}")
            schema = document["components"]["schemas"][f"com.example.x.{version}.Place"]
            found = schema["x-kubernetes-selectable-fields"]
            assert [f["fieldPath"] for f in found] == fields
