"""CBOR over HTTP: the forms of answers, watches, bodies and patches, what is said of bad ones, and
that none of it is there without the gate."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from random import Random
from typing import Any

import orjson
import pytest
import pytest_asyncio
from cbor_client import APPLY_CBOR, CBOR, running_cbor
from cbor_vectors import VECTORS
from server_harness import APPLY_PATCH, Answer, Client, Running, eventually, running
from spoiled_bytes import spoiled

from kapi.codec.cbor_format import SELF_DESCRIBED, dumps, dumps_sorted, tagged
from kapi.schema.cbor_reading import loads

Json = dict[str, Any]
SPACE = "/api/v1/namespaces/default"
MAPS = f"{SPACE}/configmaps"
SECRETS = f"{SPACE}/secrets"
SERVICES = f"{SPACE}/services"
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
THINGS = "/apis/cbor.example.com/v1/namespaces/default/things"
NOW = "2026-11-24T10:00:00Z"
TABLE = "application/cbor;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/cbor;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIALS = "application/cbor;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"

DEFINITION: Json = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "things.cbor.example.com"},
    "spec": {
        "group": "cbor.example.com",
        "scope": "Namespaced",
        "names": {"plural": "things", "kind": "Thing"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {
                    "status": {},
                    "scale": {
                        "specReplicasPath": ".spec.replicas",
                        "statusReplicasPath": ".status.replicas",
                    },
                },
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "properties": {
                                    "replicas": {"type": "integer", "default": 3},
                                    "share": {"type": "number"},
                                    "note": {"type": "string", "format": "byte"},
                                },
                            },
                            "status": {
                                "type": "object",
                                "properties": {"replicas": {"type": "integer"}},
                            },
                        },
                    }
                },
            }
        ],
    },
}


def config_map(name: str, **data: Any) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name},
        "data": data or {"a": "1"},
    }


def thing(name: str, **spec: Any) -> Json:
    return {
        "apiVersion": "cbor.example.com/v1",
        "kind": "Thing",
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def run() -> AsyncIterator[Running]:
    async with running_cbor() as made:
        await made.client.post(CRDS, DEFINITION)

        async def there() -> bool:
            return (await made.client("GET", THINGS)).status == 200

        await eventually(there)
        yield made


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def raw(
    run: Running, method: str, path: str, body: bytes = b"", accept: str = CBOR, kind: str = CBOR
) -> Answer:
    """A request as it is, and its answer as it is."""
    client = Client(run.client.app)
    answer = await client(method, path, body or None, content_type=kind, headers={"accept": accept})
    assert not client.crashes
    return answer


def cbor(answer: Answer, status: int = 200) -> Any:
    """What an answer in CBOR says."""
    assert answer.status == status, answer.body[:500]
    assert answer.header("content-type") == CBOR
    assert answer.body.startswith(SELF_DESCRIBED)
    return loads(answer.body)


# -- without the gate -----------------------------------------------------------------------------


async def test_without_the_gate_nobody_speaks_it() -> None:
    async with running() as run:
        body = tagged(dumps(config_map("off")))
        refused = await raw(run, "POST", MAPS, body, accept="*/*")
        assert refused.status == 415
        assert refused.message == (
            "the body of the request was in an unknown format - accepted media types include: "
            "application/json, application/yaml, application/vnd.kubernetes.protobuf"
        )
        refused = await raw(run, "GET", MAPS)
        assert refused.status == 406
        assert "application/cbor" not in refused.message
        assert refused.header("content-type") == "application/json"
        refused = await raw(run, "PATCH", f"{MAPS}/x", body, accept="*/*", kind=APPLY_CBOR)
        assert refused.status == 415
        assert "cbor" not in refused.message
        both = await raw(run, "GET", MAPS, accept="application/cbor, application/json;q=0.1")
        assert both.header("content-type") == "application/json"
        assert b"cbor" not in (await raw(run, "GET", "/openapi/v2", accept="*/*")).body


async def test_without_the_gate_nothing_of_it_is_loaded() -> None:
    script = """
import asyncio, sys
from pathlib import Path
sys.path[:0] = [{here!r}]
from server_harness import running

async def main() -> None:
    async with running() as run:
        path = "/api/v1/namespaces/default/configmaps"
        body = {{"metadata": {{"name": "a"}}, "data": {{"b": "c"}}}}
        await run.client.post(path, body)
        await run.client.get(path)
        await run.client("GET", path, headers={{"accept": "application/cbor"}})
        await run.client("POST", path, b"\\xa0", content_type="application/cbor")
        async with run.client.watch(path + "?watch=1&resourceVersion=1") as watch:
            await watch.take(1)

asyncio.run(main())
print([name for name in sys.modules if "cbor" in name])
"""
    here = str(Path(__file__).parent)
    found = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script.format(here=here), stdout=subprocess.PIPE
    )
    out, _ = await found.communicate()
    assert out == b"[]\n"


# -- negotiation ----------------------------------------------------------------------------------


async def test_what_is_offered(run: Running) -> None:
    body = tagged(dumps(config_map("x")))
    types = "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    refused = await raw(run, "POST", MAPS, body, accept="*/*", kind="application/x")
    assert refused.status == 415
    assert refused.message.endswith(f"media types include: {types}, application/cbor")
    refused = await raw(run, "GET", MAPS, accept="application/x")
    assert refused.status == 406
    assert refused.message.endswith(
        f"representations: {types}, application/cbor, application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch, application/cbor-seq"
    )
    refused = await raw(run, "GET", THINGS, accept="application/x")
    assert refused.message == (
        f"only the following media types are accepted: {types}, application/cbor"
    )
    refused = await raw(run, "PATCH", f"{MAPS}/x", body, accept="*/*", kind="application/x")
    assert refused.status == 415


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("application/cbor", CBOR),
        ("application/cbor, application/json", CBOR),
        ("application/json, application/cbor", "application/json"),
        ("application/json;q=0.5, application/cbor;q=0.9", CBOR),
        ("application/json;q=0.9, application/cbor;q=0.5", "application/json"),
        ("application/nope, application/cbor;q=0.1", CBOR),
        ("*/*", "application/json"),
        ("", "application/json"),
    ],
)
async def test_forms_by_quality(run: Running, accept: str, kind: str) -> None:
    for path in (MAPS, THINGS, "/apis"):
        answer = await raw(run, "GET", path, accept=accept)
        assert answer.status == 200
        assert answer.header("content-type") == kind


async def test_a_sequence_is_for_watches_only(run: Running) -> None:
    refused = await raw(run, "GET", f"{MAPS}?watch=1", accept="application/cbor-seq")
    assert refused.status == 406


async def test_documents(run: Running) -> None:
    for path, kind in (
        ("/api", "APIVersions"),
        ("/apis", "APIGroupList"),
        ("/apis/apps", "APIGroup"),
        ("/api/v1", "APIResourceList"),
        ("/apis/cbor.example.com/v1", "APIResourceList"),
    ):
        answer = await raw(run, "GET", path)
        found = cbor(answer)
        assert found["kind"] == kind
        assert answer.body == tagged(dumps_sorted(found))
        assert found == (await raw(run, "GET", path, accept="application/json")).json
    whole = await raw(
        run,
        "GET",
        "/apis",
        accept="application/cbor;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
    )
    assert loads(whole.body)["kind"] == "APIGroupDiscoveryList"
    spec = orjson.loads((await raw(run, "GET", "/openapi/v2", accept="*/*")).body)
    operation = spec["paths"]["/api/v1/namespaces/{namespace}/configmaps"]["get"]
    assert "application/cbor" in operation["produces"]
    assert "application/cbor-seq" in operation["produces"]
    patch = spec["paths"]["/api/v1/namespaces/{namespace}/configmaps/{name}"]["patch"]
    assert "application/apply-patch+cbor" in patch["consumes"]


async def test_errors(run: Running) -> None:
    for path, code in ((f"{MAPS}/none", 404), (f"{THINGS}/none", 404), (f"{MAPS}?limit=x", 400)):
        status = cbor(await raw(run, "GET", path), code)
        assert (status["kind"], status["code"]) == ("Status", code)
    client = Client(run.client.app, token="nobody")
    answer = await client("GET", MAPS, headers={"accept": CBOR})
    assert cbor(answer, 401)["reason"] == "Unauthorized"
    client = Client(run.client.app, token="alice-token")
    answer = await client("GET", MAPS, headers={"accept": CBOR})
    assert cbor(answer, 403)["details"] == {"kind": "configmaps"}


# -- objects --------------------------------------------------------------------------------------


async def test_every_verb_of_a_built_in_kind(run: Running) -> None:
    made = cbor(await raw(run, "POST", MAPS, tagged(dumps(config_map("verbs")))), 201)
    assert (made["kind"], made["apiVersion"], made["data"]) == ("ConfigMap", "v1", {"a": "1"})
    path = f"{MAPS}/verbs"
    assert cbor(await raw(run, "GET", path)) == made
    assert (await raw(run, "GET", path, accept="application/json")).json == made
    put = cbor(await raw(run, "PUT", path, tagged(dumps({**made, "data": {"b": "2"}}))))
    assert put["data"] == {"b": "2"}
    [found] = [
        x for x in cbor(await raw(run, "GET", MAPS))["items"] if x["metadata"]["name"] == "verbs"
    ]
    assert "kind" not in found
    assert found["data"] == {"b": "2"}
    patched = await raw(
        run, "PATCH", path, b'{"data":{"c":"3"}}', kind="application/merge-patch+json"
    )
    assert cbor(patched)["data"] == {"b": "2", "c": "3"}
    options: Json = {"preconditions": {"uid": "other"}}
    refused = await raw(run, "DELETE", path, tagged(dumps(options)))
    assert cbor(refused, 409)["reason"] == "Conflict"
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0}
    assert cbor(await raw(run, "DELETE", path, tagged(dumps(options))))["status"] == "Success"


async def test_every_verb_of_a_custom_kind(run: Running) -> None:
    body = thing("verbs", share=1.5, note="aGk=", gone=1)
    made = cbor(await raw(run, "POST", THINGS, tagged(dumps(body))), 201)
    assert made["spec"] == {"replicas": 3, "share": 1.5, "note": "aGk="}
    path = f"{THINGS}/verbs"
    assert cbor(await raw(run, "GET", path)) == made
    assert (await raw(run, "GET", path, accept="application/json")).json == made
    scale = cbor(await raw(run, "GET", f"{path}/scale"))
    assert (scale["kind"], scale["spec"]) == ("Scale", {"replicas": 3})
    scale["spec"]["replicas"] = 5
    assert cbor(await raw(run, "PUT", f"{path}/scale", tagged(dumps(scale))))["spec"] == {
        "replicas": 5
    }
    body = {**cbor(await raw(run, "GET", path)), "status": {"replicas": 4}}
    put = cbor(await raw(run, "PUT", f"{path}/status", tagged(dumps(body))))
    assert put["status"] == {"replicas": 4}
    assert put["spec"]["replicas"] == 5
    listed = cbor(await raw(run, "GET", THINGS))["items"]
    [item] = [i for i in listed if i["metadata"]["name"] == "verbs"]
    assert item == put
    assert cbor(await raw(run, "DELETE", path))["status"] == "Success"
    # Every byte of a base64 text, too, whether it is a text or bytes in a tag.
    note = bytes.fromhex("d6 42 6869".replace(" ", ""))
    data = dumps(thing("bytes", note="@@@@")).replace(b"\x44@@@@", note)
    assert cbor(await raw(run, "POST", THINGS, tagged(data)), 201)["spec"]["note"] == "aGk="


async def test_bytes_of_built_in_kinds(run: Running) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "bytes"},
        "data": {"a": "/wA="},
    }
    # A byte string that is in no tag is base64; one in a tag is the bytes.
    inside = bytes.fromhex("d642ff00")
    for n, data in enumerate((dumps(body), dumps(body).replace(b"\x44/wA=", inside))):
        name = f"bytes{n}"
        data = data.replace(b"\x45bytes", b"\x46" + name.encode())
        answer = await raw(run, "POST", SECRETS, tagged(data))
        assert cbor(answer, 201)["data"] == {"a": "/wA="}
        assert inside in answer.body
    text = dumps(body).replace(b"\x44/wA=", b"\x64/wA=")
    refused = await raw(run, "POST", SECRETS, text)
    assert cbor(refused, 400)["message"] == (
        'Secret in version "v1" cannot be handled as a Secret: cbor: cannot unmarshal UTF-8 text '
        "string into Go struct field v1.Secret.data of type []uint8"
    )


async def test_raw_fields(run: Running) -> None:
    """They come as JSON by way of a map, and go as what their JSON says."""
    revisions = "/apis/apps/v1/namespaces/default/controllerrevisions"
    revision = {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": "raw"},
        "data": {"b": [1, 2.5], "a": "<"},
        "revision": 1,
    }
    made = cbor(await raw(run, "POST", revisions, tagged(dumps(revision))), 201)
    assert made["data"] == revision["data"]
    for accept in ("application/json", "application/vnd.kubernetes.protobuf"):
        answer = await raw(run, "GET", f"{revisions}/raw", accept=accept)
        assert b'{"a":"\\u003c","b":[1,2.5]}' in answer.body
    text = orjson.dumps({**revision, "metadata": {"name": "text"}}).replace(b'"b":', b'"b" :')
    made = cbor(await raw(run, "POST", revisions, text, kind="application/json"), 201)
    assert made["data"] == revision["data"]
    assert cbor(await raw(run, "GET", f"{revisions}/text")) == made


async def test_other_forms_of_objects(run: Running) -> None:
    await raw(run, "POST", MAPS, tagged(dumps(config_map("forms"))))
    await raw(run, "POST", THINGS, tagged(dumps(thing("forms"))))
    for path in (MAPS, THINGS):
        for at, accept in (
            (path, TABLE),
            (f"{path}/forms", TABLE),
            (f"{path}?includeObject=Object", TABLE),
            (f"{path}?includeObject=None", TABLE),
            (path, PARTIALS),
            (f"{path}?labelSelector=no=no", PARTIALS),
            (f"{path}/forms", PARTIAL),
        ):
            found = cbor(await raw(run, "GET", at, accept=accept))
            in_json = await raw(run, "GET", at, accept=accept.replace(CBOR, "application/json"))
            assert found == in_json.json
        for at, accept in ((path, PARTIAL), (f"{path}/forms", PARTIALS)):
            assert (await raw(run, "GET", at, accept=accept)).status == 406
    made = cbor(await raw(run, "POST", MAPS, tagged(dumps(config_map("row"))), accept=TABLE), 201)
    assert (made["kind"], len(made["rows"])) == ("Table", 1)


async def test_apply(run: Running) -> None:
    for path, body in (
        (f"{MAPS}/applied", config_map("applied")),
        (f"{THINGS}/applied", thing("applied", replicas=1)),
    ):
        at = f"{path}?fieldManager=me"
        answer = await raw(run, "PATCH", at, tagged(dumps(body)), kind=APPLY_CBOR)
        made = cbor(answer, 201)
        assert [x["operation"] for x in made["metadata"]["managedFields"]] == ["Apply"]
        assert made["metadata"]["managedFields"][0]["fieldsV1"]
        again = cbor(await raw(run, "PATCH", at, tagged(dumps(body)), kind=APPLY_CBOR))
        assert again == made
        yaml = await raw(run, "PATCH", at, orjson.dumps(body), kind=APPLY_PATCH)
        assert cbor(yaml) == made
    path = f"{MAPS}/applied?fieldManager=me"
    for data, words in (
        (b"\xd9\xd9\xf7\xa1", "error decoding patch: unexpected EOF"),
        (b"\x01", "error decoding YAML: cbor: cannot unmarshal positive integer into Go value of "
         "type map[string]interface {}"),
        (b"\xa2\x41a\x01\x41a\x01", 'error decoding patch: cbor: found duplicate map key "a" at '
         "map element index 1"),
    ):  # fmt: skip
        answer = await raw(run, "PATCH", path, data, kind=APPLY_CBOR)
        status = cbor(answer, 400)
        assert status["message"].startswith(words), status


@pytest.mark.parametrize("path", [MAPS, THINGS])
async def test_watches(run: Running, path: str) -> None:
    made = config_map("watched") if path == MAPS else thing("watched")
    before = cbor(await raw(run, "GET", path))["metadata"]["resourceVersion"]
    query = f"{path}?watch=1&resourceVersion={before}&allowWatchBookmarks=true"
    bodies: list[tuple[str, Json]] = []
    async with (
        run.client.watch(query) as plain,
        run.client.watch(query, headers={"accept": PARTIAL}) as partial,
        run.client.watch(query, headers={"accept": TABLE}) as table,
    ):
        created = cbor(await raw(run, "POST", path, tagged(dumps(made))), 201)
        await raw(run, "DELETE", f"{path}/watched")
        for _ in range(2):
            event = await plain.next()
            assert event is not None
            bodies.append((event["type"], event["object"]))
        assert [type_ for type_, _ in bodies] == ["ADDED", "DELETED"]
        assert bodies[0][1] == created
        event = await partial.next()
        assert event is not None
        assert event["object"]["kind"] == "PartialObjectMetadata"
        assert event["object"]["metadata"] == created["metadata"]
        rows = [await table.next() for _ in range(2)]
        assert all(x is not None and x["object"]["kind"] == "Table" for x in rows)
        first, second = (x["object"] for x in rows if x is not None)
        assert first["columnDefinitions"]
        assert not second["columnDefinitions"]
        assert first["rows"][0]["object"]["metadata"]["name"] == "watched"
    # The same in JSON says the same.
    client = Client(run.client.app)
    async with client.watch(query) as other:
        for type_, obj in bodies:
            event = await other.next()
            assert event == {"type": type_, "object": obj}


async def test_errors_are_events() -> None:
    async with running_cbor() as run:
        await raw(run, "POST", MAPS, tagged(dumps(config_map("old"))))
        cacher = run.server.cacher
        resource = next(r for r in run.server.table if r.plural == "configmaps")
        assert cacher is not None
        cache = cacher.cache(resource)
        assert cache is not None
        cache.history.clear(await run.storage.current_revision())
        async with run.client.watch(f"{MAPS}?watch=1&resourceVersion=1") as watch:
            event = await watch.next()
            assert event is not None
            assert (event["type"], event["object"]["reason"]) == ("ERROR", "Expired")


# -- bodies that are wrong ------------------------------------------------------------------------

POD = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}
WRONG: list[tuple[str, bytes, str]] = [
    ("nothing", SELF_DESCRIBED,
     "unable to determine group/version/kind: unexpected EOF"),
    ("a number", b"\x01",
     "unable to determine group/version/kind: cbor: cannot unmarshal positive integer into Go "
     "value of type v1.TypeMeta"),
    ("a list", b"\x80",
     "unable to determine group/version/kind: cbor: cannot unmarshal array into Go value of type "
     "v1.TypeMeta (cannot decode CBOR array to struct without toarray option)"),
    ("cut", tagged(dumps(config_map("a")))[:-1],
     "unable to determine group/version/kind: unexpected EOF"),
    ("more", tagged(dumps(config_map("a"))) + b"\x00",
     "unable to determine group/version/kind: cbor: 1 bytes of extraneous data"),
    ("NaN", b"\xa1\x41a\xf9\x7e\x00",
     "unable to determine group/version/kind: cbor: data item of cbor type primitives is not "
     "accepted by protocol: floating-point NaN"),
    ("a large number", b"\xa1\x41a\xc2\x49\x01" + b"\0" * 8,
     "unable to determine group/version/kind: cbor: data item of cbor type tag is not accepted by "
     "protocol: bignum"),
    ("JSON", orjson.dumps(config_map("a")),
     "unable to determine group/version/kind: "),
    ("deep", b"\x81" * 100_000 + b"\x00",
     "unable to determine group/version/kind: cbor: exceeded max nested level 10000"),
    ("a name twice", b"\xa2\x44kind\x43Foo\x44kind\x43Foo",
     'unable to determine group/version/kind: cbor: found duplicate map key "kind" at map element '
     "index 1"),
]  # fmt: skip


@pytest.mark.parametrize("path", [MAPS, THINGS])
@pytest.mark.parametrize(("name", "body", "words"), WRONG, ids=[x[0] for x in WRONG])
async def test_what_is_no_object(
    run: Running, path: str, name: str, body: bytes, words: str
) -> None:
    status = cbor(await raw(run, "POST", path, body), 400)
    assert (status["status"], status["reason"]) == ("Failure", "BadRequest")
    assert words in status["message"]


async def test_values_that_json_lacks(run: Running) -> None:
    words = (
        'Thing in version "v1" cannot be handled as a Thing: cbor: data item of cbor type '
        "primitives is not accepted by protocol: simple value 23 is not recognized"
    )
    body = dumps(thing("undefined", share=True)).replace(b"\x45share\xf5", b"\x45share\xf7")
    assert cbor(await raw(run, "POST", THINGS, body), 400)["message"] == words
    body = dumps(thing("large", replicas=1)).replace(b"\x01", b"\x1b\xff" + b"\0" * 7)
    status = cbor(await raw(run, "POST", THINGS, body), 400)
    assert status["message"].endswith(
        "cbor: cannot unmarshal positive integer into Go value of type int64 "
        "(18374686479671623680 overflows Go's int64)"
    )


async def test_other_kinds(run: Running) -> None:
    status = cbor(await raw(run, "POST", MAPS, tagged(dumps(POD))), 400)
    in_json = await raw(run, "POST", MAPS, orjson.dumps(POD), kind="application/json")
    assert status["message"] == loads(in_json.body)["message"]
    status = cbor(await raw(run, "POST", THINGS, tagged(dumps({"metadata": {"name": "a"}}))), 400)
    assert status["message"] == (
        "the object provided is unrecognized (must be of type Thing): Object 'Kind' is missing in "
        "'55799({'metadata': {'name': 'a'}})' (d9d9f7a1486d65746164617461a1446e616d654161)"
    )
    # Of a built-in kind neither is needed.
    nameless = {"metadata": {"name": "nameless"}}
    made = cbor(await raw(run, "POST", MAPS, tagged(dumps(nameless))), 201)
    assert made["kind"] == "ConfigMap"


async def test_unknown_fields(run: Running) -> None:
    body = {**config_map("unknown"), "more": 1, "other": 2}
    data = tagged(dumps(body))
    place = list(body).index("more")
    words = f"cbor: found unknown field at map element index {place}"
    status = cbor(await raw(run, "POST", f"{MAPS}?fieldValidation=Strict&dryRun=All", data), 400)
    assert status["message"].endswith(f"strict decoding error: {words}")
    warned = await raw(run, "POST", f"{MAPS}?dryRun=All", data)
    assert cbor(warned, 201)["data"] == {"a": "1"}
    assert warned.warnings == [words]
    silent = await raw(run, "POST", f"{MAPS}?fieldValidation=Ignore&dryRun=All", data)
    assert silent.status == 201
    assert not silent.warnings
    # Of a custom kind they are dropped without a word.
    query = f"{THINGS}?fieldValidation=Strict&dryRun=All"
    made = await raw(run, "POST", query, tagged(dumps(thing("unknown", more=1))))
    assert cbor(made, 201)["spec"] == {"replicas": 3}


async def test_options_that_are_wrong(run: Running) -> None:
    await raw(run, "POST", MAPS, tagged(dumps(config_map("stays"))))
    path = f"{MAPS}/stays"
    for body in (
        b"\x01",
        b"\xa1",
        tagged(dumps({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": "x"})),
        tagged(dumps({"kind": "Pod", "apiVersion": "v1"})),
    ):
        assert cbor(await raw(run, "DELETE", path, body), 400)["kind"] == "Status"
    assert (await raw(run, "GET", path)).status == 200


async def test_no_bytes_make_a_server_fail(run: Running) -> None:
    """Right documents with some bytes spoiled, to every verb that takes a body."""
    random = Random(11)
    kinds = {
        "ConfigMap": (MAPS, "POST", CBOR),
        "Secret": (SECRETS, "PUT", CBOR),
        "Service": (SERVICES, "PATCH", APPLY_CBOR),
        "Thing": (THINGS, "POST", CBOR),
        "Event": (f"{SPACE}/events", "POST", CBOR),
    }
    encoded = {x["json"]["kind"]: x["json"] for x in VECTORS["encoded"]}
    codes = set()
    for kind, (path, method, content_type) in kinds.items():
        obj = thing("full", share=2.5) if kind == "Thing" else encoded[kind]
        data = tagged(dumps({**obj, "metadata": {"name": "full"}}))
        at = path if method == "POST" else f"{path}/full?fieldManager=me"
        for _ in range(120):
            answer = await raw(run, method, at, spoiled(data, random), kind=content_type)
            codes.add(answer.status)
            if answer.status == 500:  # so the real one says that a patch does not fit the schema
                assert b"failed to create typed patch object" in answer.body
                continue
            assert answer.status < 500, answer.body
            if answer.header("content-type") == CBOR:
                loads(answer.body)
        assert (await raw(run, "GET", path)).status == 200
    assert {201, 400, 422} <= codes


# -- storage --------------------------------------------------------------------------------------


async def test_what_was_written_in_one_form_is_read_in_all(run: Running) -> None:
    text = {"a": "é\u4e16\U0001f600", "b": "", "c": "x" * 70_000}
    cbor(await raw(run, "POST", MAPS, tagged(dumps(config_map("text", **text)))), 201)
    assert (await raw(run, "GET", f"{MAPS}/text", accept="application/json")).json["data"] == text
    protobuf = await raw(run, "GET", f"{MAPS}/text", accept="application/vnd.kubernetes.protobuf")
    assert "é\u4e16\U0001f600".encode() in protobuf.body
