"""Watches as bytes: frames of every form, where they are shared, and how streams end."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import orjson
import pytest
from served import (
    CREATED,
    PARTIAL,
    PARTIAL_LIST,
    PODS,
    TABLE,
    THINGS,
    UID,
    Handlers,
    World,
    schema,
    settle,
    world,
)

from kapi.codec.negotiate import WITH_CBOR
from kapi.errors import ApiError
from kapi.handlers.frames import Frames
from kapi.messages import Request, Response
from kapi.registry.resource import ResourceType
from kapi.schema import cbor_reading
from kapi.schema.structural import Property, Schema


async def refusal(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


async def until_quiet(w: World, response: Response) -> list[Any]:
    """The events that a stream gives until it has nothing more to say."""
    return [orjson.loads(line) for line in b"".join(await chunks(response)).splitlines()]


async def chunks(response: Response) -> list[bytes]:
    stream: Any = response.body
    out: list[bytes] = []
    async with asyncio.TaskGroup() as group:

        async def read() -> None:
            async for chunk in stream:
                out.append(chunk)

        reading = group.create_task(read())
        await settle(30)
        if not reading.done():
            reading.cancel()
    return out


async def test_frames() -> None:
    async with world() as w:
        revision = await w.put(PODS, "a", "p")
        response = await Handlers(w)("watch", PODS, query="watch=1")
        assert (response.status, response.headers) == (200, [("Content-Type", "application/json")])
        assert (
            b"".join(await chunks(response))
            == (
                '{"type":"ADDED","object":{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p",'
                f'"namespace":"a","uid":"{UID.format(1)}","resourceVersion":"{revision}",'
                f'"creationTimestamp":"{CREATED}"}}}}}}\n'
            ).encode()
        )


async def test_what_is_ready_goes_out_together_but_messages_go_one_by_one() -> None:
    async with world() as w:
        handle = Handlers(w)
        for i in range(3):
            await w.put(PODS, "a", f"p{i}")
        together = await handle("watch", PODS, query="watch=1&resourceVersion=1")
        assert len(await chunks(together)) == 1
        request = handle.request("watch", "watch=1&resourceVersion=1")
        request.websocket = ()
        messages = await handle("watch", PODS, request=request)
        assert messages.status == 101
        out = await chunks(messages)
        assert [orjson.loads(m)["object"]["metadata"]["name"] for m in out] == ["p0", "p1", "p2"]


async def test_cbor_is_a_sequence() -> None:
    async with world() as w:
        handle = Handlers(w, WITH_CBOR)
        for i in range(2):
            await w.put(PODS, "a", f"p{i}")
        query = "watch=1&resourceVersion=1"
        response = await handle("watch", PODS, query=query, accept="application/cbor")
        assert response.headers == [("Content-Type", "application/cbor-seq")]
        [both] = await chunks(response)
        request = handle.request("watch", query, accept="application/cbor")
        request.websocket = ()
        messages = await handle("watch", PODS, request=request)
        assert (messages.status, messages.binary) == (101, True)
        each = await chunks(messages)
        assert b"".join(each) == both
        plain = await until_quiet(w, await handle("watch", PODS, query=query))
        assert [cbor_reading.loads(m) for m in each] == plain


async def test_types_by_selection() -> None:
    async with world() as w:
        await w.put(PODS, "a", "p", {"t": "x"})
        await w.put(PODS, "a", "p", {"t": "y"})
        last = await w.put(PODS, "a", "p", {"t": "x"})
        gone = await w.delete(PODS, "a", "p")
        query = "watch=1&resourceVersion=1&labelSelector=t%3Dx"
        events = await until_quiet(w, await Handlers(w)("watch", PODS, "a", query=query))
        assert [e["type"] for e in events] == ["ADDED", "DELETED", "ADDED", "DELETED"]
        versions = [int(e["object"]["metadata"]["resourceVersion"]) for e in events]
        assert versions == [2, 3, last, gone]
        assert all(e["object"]["metadata"]["labels"] == {"t": "x"} for e in events)


async def test_bytes_of_an_event_are_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    original = Frames.object_frame

    def counting(self: Frames, type_: str, item: Any) -> bytes:
        made.append(type_)
        return original(self, type_, item)

    monkeypatch.setattr(Frames, "object_frame", counting)
    async with world() as w:
        handle = Handlers(w)
        responses = [
            await handle("watch", PODS, query="watch=1&resourceVersion=1") for _ in range(20)
        ]
        await w.put(PODS, "a", "p")
        frames = [await chunks(r) for r in responses]
        assert made == ["ADDED"]
        assert len({id(f[0]) for f in frames}) == 1


async def test_the_end_of_the_initial_state() -> None:
    query = "watch=1&allowWatchBookmarks=1"
    async with world() as w:
        handle = Handlers(w)
        revision = await w.put(THINGS, "a", "t")
        events = await until_quiet(w, await handle("watch", THINGS, query=query))
        assert [e["type"] for e in events] == ["ADDED", "BOOKMARK"]
        assert (
            orjson.dumps(events[1]["object"])
            == (
                '{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"annotations":'
                f'{{"k8s.io/initial-events-end":"true"}},"resourceVersion":"{revision}"}}}}'
            ).encode()
        )
        events = await until_quiet(w, await handle("watch", THINGS, query=query, accept=PARTIAL))
        assert events[1]["object"] == {
            "kind": "PartialObjectMetadata",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {
                "resourceVersion": str(revision),
                "annotations": {"k8s.io/initial-events-end": "true"},
            },
        }


def specified() -> ResourceType:
    """A kind whose empty object is not empty."""
    text, names = Schema("string"), Schema("array", items=Schema("string"))
    spec = Schema(
        "object",
        properties={
            "names": Property("names", names, omit_empty=False),
            "text": Property("text", text),
        },
    )
    whole = Schema("object", properties={"spec": Property("spec", spec)})
    version = replace(PODS.versions["v1"], schema=lambda: whole)
    return replace(PODS, versions={"v1": version}, stored_schema=schema)


async def test_a_bookmark_carries_the_empty_object_of_its_kind() -> None:
    pods = specified()
    async with world(pods) as w:
        response = await Handlers(w)("watch", pods, query="watch=1&allowWatchBookmarks=1")
        assert await chunks(response) == [
            b'{"type":"BOOKMARK","object":{"kind":"Pod","apiVersion":"v1","metadata":'
            b'{"resourceVersion":"1","annotations":{"k8s.io/initial-events-end":"true"}},'
            b'"spec":{"names":null}}}\n'
        ]


async def test_tables_say_their_columns_once() -> None:
    async with world() as w:
        handle = Handlers(w)
        await w.put(PODS, "a", "p")
        await w.put(PODS, "a", "q")
        query = "watch=1&resourceVersion=1&includeObject=None"
        events = await until_quiet(w, await handle("watch", PODS, query=query, accept=TABLE))
        assert [e["object"]["kind"] for e in events] == ["Table", "Table"]
        assert events[0]["object"]["columnDefinitions"][0]["name"] == "Name"
        assert events[1]["object"] == {
            "kind": "Table",
            "apiVersion": "meta.k8s.io/v1",
            "metadata": {"resourceVersion": "3"},
            "columnDefinitions": None,
            "rows": [{"cells": ["q", CREATED], "object": None}],
        }
        error = await refusal(handle("watch", PODS, query="watch=1&includeObject=x", accept=TABLE))
        assert error.code == 400


async def test_an_event_is_no_list() -> None:
    async with world() as w:
        await w.put(PODS, "a", "p")
        response = await Handlers(w)("watch", PODS, query="watch=1", accept=PARTIAL_LIST)
        assert await chunks(response) == []


async def test_yaml_is_refused() -> None:
    async with world() as w:
        handle = Handlers(w)
        request: Request = handle.request("watch", "watch=1", accept="application/yaml")
        error = await refusal(handle("watch", PODS, request=request))
        assert error.message == (
            "only the following media types are accepted: application/json;stream=watch, "
            "application/vnd.kubernetes.protobuf;stream=watch"
        )
        for callback in request.exit:
            callback()
        assert w.cacher.statistics()["watchers"] == 0


async def test_errors_are_events() -> None:
    async with world() as w:
        await w.put(PODS, "a", "p")
        w.cache(PODS).history.clear(2)
        response = await Handlers(w)("watch", PODS, query="watch=1&resourceVersion=1")
        assert await until_quiet(w, response) == [
            {
                "type": "ERROR",
                "object": {
                    "kind": "Status",
                    "apiVersion": "v1",
                    "metadata": {},
                    "status": "Failure",
                    "message": "too old resource version: 1 (2)",
                    "reason": "Expired",
                    "code": 410,
                },
            }
        ]


@pytest.mark.parametrize(
    ("query", "seconds"), [("&timeoutSeconds=7", 7), ("", 3600), ("&timeoutSeconds=0", 3600)]
)
async def test_a_watch_ends_at_its_timeout(query: str, seconds: float) -> None:
    async with world() as w:
        response = await Handlers(w)("watch", PODS, query=f"watch=1&resourceVersion=1{query}")
        await w.clock.advance(min(seconds, 1800) - 1)
        assert w.cacher.statistics()["watchers"] == 1
        await w.clock.advance(seconds)
        assert w.cacher.statistics()["watchers"] == 0
        assert await chunks(response) == []


async def test_a_watch_ends_with_its_client_and_with_the_server() -> None:
    async with world() as w:
        handle = Handlers(w)
        first = handle.request("watch", "watch=1")
        await handle("watch", PODS, request=first)
        second: Any = await handle("watch", PODS, query="watch=1")
        third = await handle("watch", PODS, query="watch=1")
        for callback in first.exit:
            callback()
        await second.body.aclose()
        assert w.cacher.statistics()["watchers"] == 1
        w.cacher.end_watches()
        assert await chunks(third) == []
        late = await handle("watch", PODS, query="watch=1")
        assert await chunks(late) == []


async def test_a_name_in_the_path_and_what_cannot_be_watched() -> None:
    async with world() as w:
        handle = Handlers(w)
        await w.put(PODS, "a", "p")
        await w.put(PODS, "a", "q")
        request = handle.request("watch")
        request.info = replace(request.info, parts=("pods", "q"))
        events = await until_quiet(w, await handle("watch", PODS, "a", "q", request=request))
        assert [e["object"]["metadata"]["name"] for e in events] == ["q"]
        version = replace(PODS.versions["v1"], verbs=("get", "list"))
        still = replace(PODS, versions={"v1": version})
        error = await refusal(handle("watch", still, query="watch=1"))
        assert (error.code, error.reason, error.details) == (
            405,
            "MethodNotAllowed",
            {"kind": "pods"},
        )
        assert error.message == 'watch is not supported on resources of kind "pods"'
