"""GET of objects and lists: the exact bytes, in every form, for typed and for custom kinds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from served import (
    CREATED,
    NODES,
    PARTIAL,
    PARTIAL_LIST,
    PODS,
    TABLE,
    THINGS,
    UID,
    Handlers,
    body_of,
    object_of,
    resource,
    world,
)

from kapi.codec import yaml_format
from kapi.errors import ApiError
from kapi.handlers import respond as module
from kapi.handlers.target import Target
from kapi.registry.resource import Column, ResourceType


async def refusal(call: Any) -> ApiError:
    with pytest.raises(ApiError) as caught:
        await call
    return caught.value


def moved(obj: dict[str, Any]) -> dict[str, Any]:
    return {**obj, "moved": obj["spec"], "spec": {"was": "v1"}}


def in_three_versions(*, custom: bool) -> ResourceType:
    """v1 is stored, v2 is another form, v3 differs by name only."""
    made = resource("twos", "Two", group="g.io", custom=custom, versions=("v1", "v2", "v3"))
    other = replace(made.versions["v2"], from_stored=moved)
    return replace(made, versions={**made.versions, "v2": other})


async def test_one_object() -> None:
    async with world() as w:
        handle = Handlers(w)
        revision = await w.put(PODS, "a", "p", {"x": "y"}, spec={"b": 1, "a": 2})
        response = await handle("get", PODS, "a", "p")
        assert (response.status, response.headers) == (200, [("Content-Type", "application/json")])
        assert (
            body_of(response)
            == (
                '{"kind":"Pod","apiVersion":"v1","metadata":{"name":"p","namespace":"a",'
                f'"uid":"{UID.format(1)}","resourceVersion":"{revision}",'
                f'"creationTimestamp":"{CREATED}","labels":{{"x":"y"}}}},"spec":{{"b":1,"a":2}}}}\n'
            ).encode()
        )


async def test_one_custom_object_is_sorted() -> None:
    async with world() as w:
        handle = Handlers(w)
        revision = await w.put(THINGS, "a", "t", spec={"b": 1, "a": 2})
        assert (
            body_of(await handle("get", THINGS, "a", "t"))
            == (
                '{"apiVersion":"example.com/v1","kind":"Thing","metadata":{'
                f'"creationTimestamp":"{CREATED}","name":"t","namespace":"a",'
                f'"resourceVersion":"{revision}","uid":"{UID.format(1)}"}},'
                '"spec":{"a":2,"b":1}}\n'
            ).encode()
        )


async def test_lists() -> None:
    async with world() as w:
        handle = Handlers(w)
        assert body_of(await handle("list", PODS)) == (
            b'{"kind":"PodList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}\n'
        )
        assert body_of(await handle("list", THINGS)) == (
            b'{"apiVersion":"example.com/v1","items":[],"kind":"ThingList",'
            b'"metadata":{"continue":"","resourceVersion":"1"}}\n'
        )
        for i in range(3):
            await w.put(PODS, "a", f"p{i}")
            await w.put(THINGS, "a", f"t{i}")
        found = object_of(await handle("list", PODS, query="limit=2"))
        assert [i["metadata"]["name"] for i in found["items"]] == ["p0", "p1"]
        assert all(list(i) == ["metadata"] for i in found["items"])
        assert list(found["metadata"]) == ["resourceVersion", "continue", "remainingItemCount"]
        assert found["metadata"]["remainingItemCount"] == 1
        found = object_of(await handle("list", THINGS, query="limit=2"))
        assert [i["kind"] for i in found["items"]] == ["Thing", "Thing"]
        assert list(found["metadata"]) == ["continue", "remainingItemCount", "resourceVersion"]


async def test_a_list_is_made_of_the_bytes_that_the_cache_holds() -> None:
    async with world() as w:
        handle = Handlers(w)
        await w.put(PODS, "a", "p")
        await w.put(PODS, "a", "q")
        response = await handle("list", PODS)
        assert isinstance(response.body, list)
        held = [item.tail for item in w.cache(PODS).list()]
        assert [piece for piece in response.body if any(piece is h for h in held)] == held


async def test_long_lists_are_made_in_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STORED_PER_STEP", 3)
    monkeypatch.setattr(module, "DECODED_PER_STEP", 2)
    async with world() as w:
        handle = Handlers(w)
        for i in range(7):
            await w.put(PODS, "a", f"p{i}")
        names = [f"p{i}" for i in range(7)]
        found = object_of(await handle("list", PODS))
        assert [i["metadata"]["name"] for i in found["items"]] == names
        found = object_of(await handle("list", PODS, accept=PARTIAL_LIST))
        assert [i["metadata"]["name"] for i in found["items"]] == names
        found = object_of(await handle("list", PODS, accept=TABLE))
        assert [r["cells"][0] for r in found["rows"]] == names


async def test_yaml_and_indented() -> None:
    async with world() as w:
        handle = Handlers(w)
        await w.put(PODS, "a", "p", spec={"a": "<b>"})
        plain = object_of(await handle("get", PODS, "a", "p"))
        response = await handle("get", PODS, "a", "p", accept="application/yaml")
        assert response.headers == [("Content-Type", "application/yaml")]
        assert body_of(response) == yaml_format.dumps(plain)
        response = await handle("get", PODS, "a", "p", query="pretty=1")
        assert body_of(response).startswith(b'{\n  "kind": "Pod",\n  "apiVersion": "v1",\n')
        assert not body_of(response).endswith(b"\n")
        assert object_of(response) == plain
        response = await handle("list", PODS, query="pretty=1")
        assert object_of(response)["items"][0]["spec"] == {"a": "<b>"}
        response = await handle("list", PODS, accept="application/yaml")
        assert body_of(response).startswith(b"apiVersion: v1\nitems:\n- metadata:\n")


@pytest.mark.parametrize("custom", [False, True])
async def test_versions(custom: bool) -> None:
    two = in_three_versions(custom=custom)
    async with world(two) as w:
        handle = Handlers(w)
        await w.put(two, "a", "t", spec={"z": 1})
        for version, spec in (("v1", {"z": 1}), ("v2", {"was": "v1"}), ("v3", {"z": 1})):
            one = object_of(await handle("get", two, "a", "t", version=version))
            assert one["apiVersion"] == f"g.io/{version}"
            assert (one["kind"], one["spec"]) == ("Two", spec)
            found = object_of(await handle("list", two, version=version))
            assert found["apiVersion"] == f"g.io/{version}"
            element = dict(one)
            if not custom:
                del element["kind"], element["apiVersion"]
            else:
                assert list(one) == sorted(one)
            assert found["items"] == [element]


async def test_partial_metadata() -> None:
    async with world() as w:
        handle = Handlers(w)
        revision = await w.put(THINGS, "a", "t", {"x": "y"}, spec={})
        one = await handle("get", THINGS, "a", "t", accept=PARTIAL)
        expected = (
            '{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","metadata":{"name":"t",'
            f'"namespace":"a","uid":"{UID.format(1)}","resourceVersion":"{revision}",'
            f'"creationTimestamp":"{CREATED}","labels":{{"x":"y"}}}}}}'
        )
        assert body_of(one) == expected.encode() + b"\n"
        many = await handle("list", THINGS, accept=PARTIAL_LIST.replace("v=v1", "v=v1beta1"))
        assert (
            body_of(many)
            == (
                '{"kind":"PartialObjectMetadataList","apiVersion":"meta.k8s.io/v1beta1",'
                f'"metadata":{{"resourceVersion":"{revision}"}},"items":['
                + expected.replace("meta.k8s.io/v1", "meta.k8s.io/v1beta1")
                + "]}\n"
            ).encode()
        )


@pytest.mark.parametrize(
    ("verb", "r", "accept", "text"),
    [
        ("get", PODS, PARTIAL_LIST, "List, but the requested object is not a list (*core.Pod)"),
        ("list", PODS, PARTIAL, ", but the requested object is a list (*core.PodList)"),
        (
            "list",
            THINGS,
            PARTIAL,
            ", but the requested object is a list (*unstructured.UnstructuredList)",
        ),
    ],
)
async def test_an_object_is_no_list(verb: str, r: Any, accept: str, text: str) -> None:
    async with world() as w:
        await w.put(r, "a", "p")
        error = await refusal(Handlers(w)(verb, r, "a", "p", accept=accept))
        assert (error.code, error.reason) == (406, "NotAcceptable")
        assert error.message == f"you requested PartialObjectMetadata{text}"


async def test_tables() -> None:
    columns = (
        Column(name="Name", type="string", cell=lambda o, now: o["metadata"]["name"]),
        Column(name="Now", type="integer", cell=lambda o, now: int(now), priority=1),
    )
    shown = resource("shown", "Shown", columns=columns)
    async with world(shown) as w:
        handle = Handlers(w)
        revision = await w.put(shown, "a", "s")
        await w.put(shown, "a", "t")
        one = object_of(await handle("get", shown, "a", "s", accept=TABLE))
        assert list(one) == ["kind", "apiVersion", "metadata", "columnDefinitions", "rows"]
        assert one["metadata"] == {"resourceVersion": str(revision)}
        assert one["columnDefinitions"][1] == {
            "name": "Now",
            "type": "integer",
            "format": "",
            "description": "",
            "priority": 1,
        }
        (row,) = one["rows"]
        assert row["cells"] == ["s", int(w.clock.now())]
        assert row["object"]["kind"] == "PartialObjectMetadata"
        for include, kind in (("Object", "Shown"), ("Metadata", "PartialObjectMetadata")):
            query = f"includeObject={include}"
            found = object_of(await handle("list", shown, query=query, accept=TABLE))
            assert [r["object"]["kind"] for r in found["rows"]] == [kind, kind]
        found = object_of(await handle("list", shown, query="includeObject=None", accept=TABLE))
        assert [r["object"] for r in found["rows"]] == [None, None]
        found = object_of(await handle("list", shown, "b", accept=TABLE))
        assert found["rows"] == []
        error = await refusal(handle("list", shown, query="includeObject=x", accept=TABLE))
        assert error.message == (
            "Unable to convert to Table as requested: includeObject: Invalid value: "
            "\"x\": must be 'Metadata', 'Object', 'None', or empty"
        )


async def test_columns_of_who_declares_none() -> None:
    async with world() as w:
        await w.put(NODES, "", "n")
        found = object_of(await Handlers(w)("list", NODES, accept=TABLE))
        assert [c["name"] for c in found["columnDefinitions"]] == ["Name", "Created At"]
        assert [r["cells"] for r in found["rows"]] == [["n", CREATED]]


async def test_objects_that_are_no_items() -> None:
    async with world(THINGS) as w:
        handle = Handlers(w)
        version = THINGS.versions["v1"]
        target = Target(THINGS, version, "a", "t")
        obj = {"kind": "Thing", "apiVersion": "example.com/v1", "metadata": {"name": "t"}}
        request = handle.request("create", accept=TABLE)
        accepted = handle.respond.negotiate(request, transforms=True, target=target)
        made = object_of(handle.respond.object(request, target, obj, accepted, status=201))
        assert made["metadata"] == {}
        assert made["rows"][0]["cells"] == ["t", None]
        request = handle.request("create")
        accepted = handle.respond.negotiate(request, transforms=True, target=target)
        response = handle.respond.object(request, target, obj, accepted, status=201)
        assert response.status == 201
        assert body_of(response) == (
            b'{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"t"}}\n'
        )
