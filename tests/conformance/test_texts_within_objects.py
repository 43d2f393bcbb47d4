"""JSON within an object keeps its text: through the store, in messages, where it is compared; an
IntOrString both its values; a time its year."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from server_harness import (
    APPLY_PATCH,
    JSON_PATCH,
    MERGE_PATCH,
    STRATEGIC_PATCH,
    Answer,
    Client,
    running,
)

from kapi.codec.protobuf_format import open_envelope, sealed, span
from kapi.storage.sqlite import SqliteStorage

REVISIONS = "/apis/apps/v1/namespaces/default/controllerrevisions"
CLAIMS = "/apis/resource.k8s.io/{}/namespaces/default/resourceclaims"
SERVICES = "/api/v1/namespaces/default/services"
PROTOBUF = "application/vnd.kubernetes.protobuf"
TEXT = b'{"z": 1.50,  "a":[1e2, "<\\u0041" ]}'
COMPACT = b'{"z":1.50,"a":[1e2,"\\u003c\\u0041"]}'
SORTED = b'{"a":[100,"\\u003cA"],"z":1.5}'


def revision(text: bytes, more: bytes = b"") -> bytes:
    return b'{"metadata":{"name":"r"%b},"data": %b,"revision":1}' % (more, text)


async def message(client: Client, path: str) -> bytes:
    """The message of an object."""
    answer = await client("GET", path, headers={"accept": PROTOBUF})
    assert answer.status == 200
    return open_envelope(answer.body).raw


async def text(client: Client) -> bytes:
    """What a message says of the data of the revision: field 2, a message whose field 1 it is."""
    raw = await message(client, f"{REVISIONS}/r")
    _, start = span(raw, 1, len(raw))  # behind the metadata
    assert raw[start] == 0x12
    start, stop = span(raw, start + 1, len(raw))
    assert raw[start] == 0x0A
    start, end = span(raw, start + 1, stop)
    assert end == stop
    return raw[start:end]


async def patch(client: Client, form: str, body: Any) -> Answer:
    query = "?fieldManager=m&force=true" if form == APPLY_PATCH else ""
    return await client("PATCH", f"{REVISIONS}/r{query}", body, content_type=form)


async def test_json_shows_it_compact_and_messages_as_it_came() -> None:
    async with running() as run:
        made = await run.client("POST", REVISIONS, revision(TEXT))
        made.expect(201)
        got = await run.client("GET", f"{REVISIONS}/r")
        listed = await run.client("GET", REVISIONS)
        for answer in (made, got, listed):
            assert b'"data":' + COMPACT in answer.body
        assert await text(run.client) == TEXT


async def test_a_server_that_starts_finds_it(tmp_path: Path) -> None:
    async with running(storage=await SqliteStorage.open(tmp_path)) as run:
        (await run.client("POST", REVISIONS, revision(TEXT))).expect(201)
    async with running(storage=await SqliteStorage.open(tmp_path)) as run:
        assert await text(run.client) == TEXT
        assert b'"data":' + COMPACT in (await run.client("GET", f"{REVISIONS}/r")).body


async def test_a_watch_shows_what_a_get_shows() -> None:
    async with running() as run:
        (await run.client("POST", REVISIONS, revision(TEXT))).expect(201)
        async with run.client.watch(f"{REVISIONS}?watch=true") as watch:
            event = await watch.next()
        assert event is not None
        assert event["object"]["data"] == orjson.loads(TEXT)


async def test_another_text_is_another_value() -> None:
    async with running() as run:
        first = (await run.client("POST", REVISIONS, revision(TEXT))).expect(201)
        again = await run.client("PUT", f"{REVISIONS}/r", revision(TEXT))
        assert again.expect(200)["metadata"] == first["metadata"]  # nothing was written
        other = await run.client("PUT", f"{REVISIONS}/r", revision(COMPACT))
        assert "data: Invalid value" in other.message
        labelled = revision(TEXT, b',"labels":{"a":"b"}')
        (await run.client("PUT", f"{REVISIONS}/r", labelled)).expect(200)
        assert await text(run.client) == TEXT


@pytest.mark.parametrize(
    ("form", "body"),
    [
        (MERGE_PATCH, {"metadata": {"labels": {"a": "b"}}}),
        (STRATEGIC_PATCH, {"metadata": {"labels": {"a": "b"}}}),
        (JSON_PATCH, [{"op": "add", "path": "/metadata/labels", "value": {"a": "b"}}]),
        (
            APPLY_PATCH,
            {
                "apiVersion": "apps/v1",
                "kind": "ControllerRevision",
                "metadata": {"labels": {"a": "b"}},
            },
        ),
    ],
)
async def test_a_patch_spells_it_anew_which_is_a_change(form: str, body: Any) -> None:
    sorts = form in (STRATEGIC_PATCH, APPLY_PATCH)
    async with running() as run:
        (await run.client("POST", REVISIONS, revision(TEXT))).expect(201)
        assert "data: Invalid value" in (await patch(run.client, form, body)).message
        await run.client("DELETE", f"{REVISIONS}/r")
        kept = SORTED if sorts else COMPACT
        (await run.client("POST", REVISIONS, revision(kept))).expect(201)
        (await patch(run.client, form, body)).expect(200)
        assert await text(run.client) == kept


async def test_an_apply_of_what_is_there_changes_owners_only() -> None:
    async with running() as run:
        (await run.client("POST", REVISIONS, revision(TEXT))).expect(201)
        body = {
            "apiVersion": "apps/v1",
            "kind": "ControllerRevision",
            "data": orjson.loads(TEXT),
            "revision": 1,
        }
        applied = (await patch(run.client, APPLY_PATCH, body)).expect(200)
        assert len(applied["metadata"]["managedFields"]) == 2
        assert await text(run.client) == TEXT


def claim(parameters: bytes, api_version: bytes = b"v1") -> bytes:
    return (
        b'{"apiVersion":"resource.k8s.io/%b","kind":"ResourceClaim","metadata":{"name":"c"},'
        b'"spec":{"devices":{"requests":[{"name":"r"%b}],"config":[{"opaque":'
        b'{"driver":"d.example.com","parameters": %b}}]}}}'
    ) % (
        api_version,
        b',"exactly":{"deviceClassName":"k"}'
        if api_version == b"v1"
        else b',"deviceClassName":"k"',
        parameters,
    )


async def test_parameters_of_devices_in_every_version() -> None:
    async with running(runtime_config={"api/all": "true"}) as run:
        body = claim(TEXT, b"v1beta1")
        (await run.client("POST", CLAIMS.format("v1beta1"), body)).expect(201)
        for version in ("v1", "v1beta1", "v1beta2"):
            path = f"{CLAIMS.format(version)}/c"
            assert TEXT in await message(run.client, path)
            assert COMPACT in (await run.client("GET", path)).body
        path = f"{CLAIMS.format('v1')}/c"
        assert "immutable" in (await run.client("PUT", path, claim(COMPACT))).message
        (await run.client("PUT", path, claim(TEXT))).expect(200)
        status = {"conditions": [], "data": {"x": 1}, "driver": "d", "pool": "p", "device": "e"}
        await run.client(
            "PATCH", f"{path}/status", {"status": {"devices": [status]}}, content_type=MERGE_PATCH
        )
        assert TEXT in await message(run.client, path)  # whatever became of the status


def service(target: bytes) -> bytes:
    """A service with a port 80 and an IntOrString."""
    port = b"\x18\x50\x22" + bytes((len(target),)) + target
    spec = b"\x0a" + bytes((len(port),)) + port
    return sealed("v1", "Service", b"\x0a\x03\x0a\x01s\x12" + bytes((len(spec),)) + spec)


async def test_a_port_keeps_its_number_and_its_name() -> None:
    both = b"\x08\x01\x10\x05\x1a\x04http"
    async with running() as run:
        made = await run.client("POST", SERVICES, service(both), content_type=PROTOBUF)
        assert made.expect(201)["spec"]["ports"][0]["targetPort"] == "http"
        assert both in await message(run.client, f"{SERVICES}/s")


async def test_a_port_of_no_number_with_a_name_is_not_the_default() -> None:
    async with running() as run:
        odd = b"\x08\x00\x10\x00\x1a\x04http"
        answer = await run.client("POST", SERVICES, service(odd), content_type=PROTOBUF)
        assert answer.message.endswith("Invalid value: 0: must be between 1 and 65535, inclusive")


async def test_times_of_any_year_are_kept() -> None:
    leases = "/apis/coordination.k8s.io/v1/namespaces/default/leases"
    time = b"\x08\x80\x83\xd1\xff\xaf\x07\x10\x00"  # the year 10000
    raw = b"\x0a\x03\x0a\x01l\x12\x0b\x22\x09" + time
    body = sealed("coordination.k8s.io/v1", "Lease", raw)
    async with running() as run:
        made = await run.client("POST", leases, body, content_type=PROTOBUF)
        assert made.expect(201)["spec"]["renewTime"] == "10000-01-01T00:00:00.000000Z"
        assert time in await message(run.client, f"{leases}/l")
        again = await run.client("PUT", f"{leases}/l", made.json)
        assert again.status == 400  # JSON has no such years


async def test_spaces_count_in_the_size_of_parameters() -> None:
    async with running() as run:
        body = claim(b'{"a":' + b" " * 11_000 + b"1}")
        answer = await run.client("POST", CLAIMS.format("v1"), body)
        assert answer.message.endswith("parameters: Too long: may not be more than 10240 bytes")
