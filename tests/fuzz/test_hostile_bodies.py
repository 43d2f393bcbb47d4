"""Bodies that are no JSON, no YAML, too deep, too large, or say things twice."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hostile import CONFIG_MAPS, send, target
from server_harness import APPLY_PATCH, JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH

YAML = "application/yaml"
PROTOBUF = "application/vnd.kubernetes.protobuf"
LIMIT = 3 * 1024 * 1024
DEEP = 10_000
BLOCKED_MAX_S = 0.5  # of the processor: how long the event loop may be away for one body
MANY = 5_000


def nested(depth: int, opening: bytes = b'{"a":', closing: bytes = b"}") -> bytes:
    return opening * depth + b"1" + closing * depth


def config_map(inner: bytes, name: bytes = b"x") -> bytes:
    return b'{"metadata":{"name":"' + name + b'"},' + inner + b"}"


def members(count: int, value: bytes = b'""', key: bytes = b"k%d") -> bytes:
    return b",".join(b'"' + key % i + b'":' + value for i in range(count))


def labels(count: int, key: bytes = b"k%d", value: bytes = b'"v"') -> bytes:
    made = members(count, value, key)
    return b'{"metadata":{"name":"many","labels":{' + made + b"}}}"


JSON_BODIES: dict[str, bytes] = {
    "nothing": b"", "null": b"null", "number": b"1", "text": b'"x"', "true": b"true",
    "empty list": b"[]", "list": b"[{}]", "empty": b"{}", "no end": b"{", "a comma": b'{"a":1,}',
    "single quotes": b"{'a':1}", "no value": b'{"a":}', "two values": b"{}{}", "NaN": b'{"a":NaN}',
    "comment": b"{} // x", "bom": b"\xef\xbb\xbf{}", "nul": b"\0", "utf-16": "{}".encode("utf-16"),
    "bad utf-8": config_map(b'"data":{"a":"\xff\xfe"}'), "control": b'{"a":"\x01"}',
    "lone surrogate": config_map(b'"data":{"a":"\\ud800"}', b"surrogate"),
    "lone surrogate as key": config_map(b'"data":{"\\udfff":"a"}'),
    "lone surrogate in name": b'{"metadata":{"name":"\\ud800"}}',
    "nul in name": b'{"metadata":{"name":"a\\u0000b"}}',
    "nul in namespace": b'{"metadata":{"name":"a","namespace":"a\\u0000b"}}',
    "slash in name": b'{"metadata":{"name":"a/../b"}}', "dots": b'{"metadata":{"name":".."}}',
    "nul in key": config_map(b'"data":{"a\\u0000":"a"}'),
    "long name": b'{"metadata":{"name":"' + b"a" * 100_000 + b'"}}',
    "list of names": b'{"metadata":{"name":["a"]}}', "metadata is a list": b'{"metadata":[]}',
    "metadata is null": b'{"metadata":null}', "kind is a number": b'{"kind":1}',
    "kind is a list": b'{"kind":[],"apiVersion":{}}', "odd version": b'{"apiVersion":"a/b/c"}',
    "twice": b'{"metadata":{"name":"a"},"metadata":{"name":"twice"}}',
    "data twice": config_map(b'"data":{"a":"b"},"data":{"c":"d"}', b"data-twice"),
    "huge integer": config_map(b'"data":{"a":' + b"9" * 5_000 + b"}"),
    "huge exponent": config_map(b'"data":{"a":1e999999999}'),
    "huge fraction": config_map(b'"data":{"a":0.' + b"1" * 100_000 + b"}"),
    "minus nothing": b'{"metadata":{"generation":-}}',
    "deep lists": nested(DEEP, b"[", b"]"), "deeper lists": nested(DEEP + 1, b"[", b"]"),
    "deep objects": nested(DEEP), "deep without end": b"[" * 1_000_000,
    "deep objects without end": b'{"a":' * 500_000,
    "deep in data": config_map(b'"data":' + nested(5_000)),
    "deep in managed fields": b'{"metadata":{"name":"a","managedFields":[{"fieldsV1":'
    + nested(300) + b"}]}}",
    "many labels": labels(10_000), "wrong labels": labels(10_000, b"k %d"),
    "labels of wrong type": labels(10_000, value=b"1"),
    "a giant annotation": b'{"metadata":{"name":"a","annotations":{"a":"' + b"x" * 2_900_000
    + b'"}}}',
    "giant data": config_map(b'"data":{"a":"' + b"x" * 2_900_000 + b'"}'),
    "many unknown fields": config_map(members(MANY), b"unknown"),
    "many repeated fields": config_map(b",".join([b'"a":""'] * MANY), b"repeated"),
    "many wrong values": config_map(b'"data":{' + members(MANY, b"1") + b"}"),
    "many owners": b'{"metadata":{"name":"a","ownerReferences":[' + b",".join([b"{}"] * 5_000)
    + b"]}}",
    "many finalizers": b'{"metadata":{"name":"held","finalizers":['
    + b",".join(b'"a/%d"' % i for i in range(MANY)) + b"]}}",
    "spaces": b" " * LIMIT, "too large": b" " * (LIMIT + 1), "quotes": b'"' * 1_000_000,
    "backslashes": config_map(b'"data":{"a":"' + b"\\u0000" * 100_000 + b'"}', b"nuls"),
}  # fmt: skip
YAML_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "no mapping": b"- a",
    "tab": b"\ta: b",
    "bad indent": b"a:\n  b: c\n d: e",
    "no document": b"---\n---\n",
    "text": b"a",
    "unclosed": b"a: [",
    "unclosed quote": b'a: "',
    "anchors without end": b"&a [*a]",
    "merge of itself": b"&a {<<: *a}",
    "no anchor": b"*a",
    "bomb": b"a: &a [x,x,x,x,x,x,x,x,x]\n"
    + b"".join(
        b"%c: &%c [" % (98 + i, 98 + i) + b",".join([b"*%c" % (97 + i)] * 9) + b"]\n"
        for i in range(12)
    ),
    "deep flow": nested(3_000, b"[", b"]"),
    "deep flow without end": b"[" * 20_000,
    "deep flow maps": b"{a: " * 2_000,
    "deep blocks": b"".join(b" " * i + b"a:\n" for i in range(900)),
    "deep in data": b"metadata: {name: x}\ndata: " + nested(500, b"{a: "),
    "a list as key": b"? [a]\n: b",
    "numbers as keys": b"data: {1: a, 1.5: b, true: c, ~: d}",
    "python": b"a: !!python/object/apply:os.system [x]",
    "tag": b"a: !x b",
    "binary": b"a: !!binary =",
    "hex": b"a: 0x" + b"f" * 5_000,
    "digits": b"a: " + b"9" * 100_000,
    "exponent": b"a: 1e999999999",
    "date": b"a: 2001-99-99",
    "nul": b"a: \0",
    "bad utf-8": b"a: \xff",
    "bom": b"\xef\xbb\xbfa: b",
    "twice": b"metadata: {name: y}\nmetadata: {name: yaml-twice}",
    "directive": b"%YAML 9.9\n---\na: b",
    "many documents": b"---\na: b\n" * 50_000,
    "many keys": b"data:\n" + b"".join(b"  k%d: v\n" % i for i in range(MANY)),
    "many aliases": b"a: &a x\n" + b"".join(b"b%d: *a\n" % i for i in range(MANY)),
}
PROTOBUF_BODIES: dict[str, bytes] = {
    "nothing": b"",
    "magic": b"k8s\0",
    "no magic": b"{}",
    "cut": b"k8s\0\x0a\xff",
    "endless": b"k8s\0" + b"\x80" * 1_000,
    "groups": b"k8s\0" + b"\x0b" * 50_000,
    "deep": b"k8s\0\x12" + b"\x0a\x7f" * 10_000,
    "wrong wire": b"k8s\0\x0a\x0e\x0a\x02v1\x12\x08ConfigMap\x12\x02\x08\x01",
    "giant length": b"k8s\0\x12\xff\xff\xff\xff\x0f",
}


def operations(count: int, text: str, *first: Any) -> bytes:
    return orjson.dumps([*first, *(orjson.loads(text.replace("#", str(i))) for i in range(count))])


PATCHES: tuple[tuple[str, str, bytes], ...] = (
    *(
        (form, name, body)
        for form in (JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, APPLY_PATCH)
        for name, body in JSON_BODIES.items()
        if len(body) < (5_000 if form == APPLY_PATCH else 50_000)
    ),
    *((APPLY_PATCH, name, body) for name, body in YAML_BODIES.items()),
    (JSON_PATCH, "10,001", operations(10_001, '{"op":"add","path":"/data/a#","value":"x"}')),
    (JSON_PATCH, "10,000", operations(10_000, '{"op":"test","path":"/data/a","value":"b"}')),
    (JSON_PATCH, "copies", operations(40, '{"op":"copy","from":"","path":"/x"}')),
    (JSON_PATCH, "copies of data", operations(40, '{"op":"copy","from":"/data","path":"/data/x"}')),
    (JSON_PATCH, "in itself", b'[{"op":"move","from":"/data","path":"/data/a/b"}]'),
    (JSON_PATCH, "all", b'[{"op":"replace","path":"","value":1}]'),
    (JSON_PATCH, "nothing left", b'[{"op":"remove","path":""}]'),
    (JSON_PATCH, "index", b'[{"op":"add","path":"/metadata/managedFields/99999999999","value":1}]'),
    (JSON_PATCH, "odd index", b'[{"op":"add","path":"/metadata/managedFields/01","value":1}]'),
    (JSON_PATCH, "tildes", b'[{"op":"add","path":"/~2~/~","value":1}]'),
    (
        JSON_PATCH,
        "at the front",
        operations(
            9_000,
            '{"op":"add","path":"/metadata/finalizers/0","value":"a/#"}',
            {"op": "add", "path": "/metadata/finalizers", "value": []},
        ),
    ),
    (MERGE_PATCH, "name", b'{"metadata":{"name":"other"}}'),
    (MERGE_PATCH, "no metadata", b'{"metadata":null}'),
    (MERGE_PATCH, "version", b'{"metadata":{"resourceVersion":"x"}}'),
    (MERGE_PATCH, "uid", b'{"metadata":{"uid":"\\u0000"}}'),
    (STRATEGIC_PATCH, "replace", b'{"$patch":"replace"}'),
    (STRATEGIC_PATCH, "delete", b'{"$patch":"delete"}'),
    (STRATEGIC_PATCH, "metadata", b'{"metadata":{"$patch":"delete"}}'),
    (STRATEGIC_PATCH, "keys", b'{"metadata":{"$retainKeys":["name"],"labels":{"a":"b"}}}'),
    (STRATEGIC_PATCH, "data", b'{"data":{' + members(MANY) + b"}}"),
    (APPLY_PATCH, "kind", b'{"kind":"ConfigMap"}'),
    (APPLY_PATCH, "managed", b'{"kind":"ConfigMap","metadata":{"managedFields":[{}]}}'),
    (
        APPLY_PATCH,
        "data",
        b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"p"},"data":{'
        + members(MANY)
        + b"}}",
    ),
)


class Pulse:
    """Measures how long the event loop is away, not counting what others take of the machine."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._beating = True

    async def beat(self) -> None:
        last = time.thread_time()
        while self._beating:
            await asyncio.sleep(0.002)
            now = time.thread_time()
            self.longest = max(self.longest, now - last)
            last = now

    def stop(self) -> None:
        self._beating = False


def bodies() -> Iterator[tuple[str, str, bytes]]:
    for content_type, named in (
        ("application/json", JSON_BODIES), (YAML, YAML_BODIES), (PROTOBUF, PROTOBUF_BODIES)
    ):  # fmt: skip
        for name, body in named.items():
            yield content_type, name, body
            if len(body) < 1_000:
                yield "application/json" if content_type != "application/json" else YAML, name, body


async def test_bodies_of_a_create_and_an_update() -> None:
    async with target() as run:
        for content_type, _, body in bodies():
            await send(run.client, "POST", CONFIG_MAPS, body, content_type=content_type)
            at = f"{CONFIG_MAPS}/absent"
            if len(body) < 100_000:
                await send(run.client, "PUT", at, body, content_type=content_type)
                await send(run.client, "DELETE", at, body, content_type=content_type)


async def test_patches() -> None:
    async with target() as run:
        await run.client.post(CONFIG_MAPS, {"metadata": {"name": "p"}, "data": {"a": "b"}})
        for form, _, body in PATCHES:
            path = f"{CONFIG_MAPS}/p?fieldManager=x"
            await send(run.client, "PATCH", path, body, content_type=form)


async def test_what_is_stored_can_be_as_deep_as_is_said() -> None:
    """What is accepted at the limit can be read, listed, watched, changed and put back."""
    path = "/apis/apps/v1/namespaces/default/controllerrevisions"
    async with target() as run:
        c = run.client
        refused = deepest = 0
        for depth in (200, 230, 231, 232, 233, 234, 235, 236, 237, 238, 239, 250, 260, 900):
            data = orjson.loads(nested(depth)) if depth < 1_000 else None
            body = f'{{"metadata":{{"name":"d{depth}"}},"revision":1,"data":'.encode()
            made = await send(c, "POST", path, body + nested(depth) + b"}")
            if made.status != 201:
                refused += 1
                continue
            deepest = depth
            at = f"{path}/d{depth}"
            got = await c.get(at)
            assert got["data"] == data
            assert (await c.put(at, got)) == got
            for accept in ("application/yaml", "application/json;as=Table;v=v1;g=meta.k8s.io"):
                answer = await send(c, "GET", at, headers={"accept": accept})
                assert answer.status == 200
            for form in (MERGE_PATCH, STRATEGIC_PATCH):
                await c.patch(at, {"metadata": {"labels": {"a": "b"}}}, form)
            await c.patch(at, [{"op": "copy", "from": "/data", "path": "/data/b"}], JSON_PATCH, 422)
        assert deepest > 230
        assert refused
        assert len((await c.get(f"{path}?pretty=1"))["items"]) > 4
        async with c.watch(f"{path}?watch=1&resourceVersion=0") as w:
            assert len(await w.take(4)) == 4


@pytest.mark.parametrize(
    "body",
    [
        config_map(members(60_000), b"unknown"),
        config_map(b'"data":{' + members(100_000, b"1") + b"}"),
        b"[" * 2_000_000,
        config_map(b'"data":{"a":"' + b"\\ud800" * 400_000 + b'"}', b"surrogates"),
    ],
    ids=["unknown", "wrong", "deep", "surrogates"],
)
async def test_large_bodies_do_not_hold_up_others(body: bytes) -> None:
    async with target() as run:
        await send(run.client, "POST", CONFIG_MAPS, {"metadata": {"name": "warm"}})
        pulse = Pulse()
        async with asyncio.TaskGroup() as group:
            group.create_task(pulse.beat())
            await send(run.client, "POST", CONFIG_MAPS, body)
            pulse.stop()
        assert pulse.longest < BLOCKED_MAX_S
