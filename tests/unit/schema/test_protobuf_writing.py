"""Objects become messages, byte for byte, and messages the same objects again: every kind, every
version."""

from __future__ import annotations

from random import Random
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_objects import CATALOG, SCHEMAS, TYPES, kinds, made
from spoiled_bytes import spoiled

from kapi.codec.protobuf_format import ProtobufError
from kapi.schema import protobuf_writing
from kapi.schema.decoding import Decoders
from kapi.schema.protobuf_kinds import SmallKinds
from kapi.schema.protobuf_reading import Readers
from kapi.schema.protobuf_writing import Writers
from kapi.schema.settling import Settlers
from kapi.schema.structural import Schema

Json = dict[str, Any]
DECODERS, SETTLERS = Decoders(), Settlers()
READERS, WRITERS = Readers(DECODERS, straight_after=0), Writers(shape_after=1)
SLOW, SLOTS = Readers(DECODERS, straight_after=1 << 30), Writers(shape_after=1 << 30)
CORE = "io.k8s.api.core.v1."

EXAMPLES = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=6,
    suppress_health_check=list(HealthCheck),
)


@EXAMPLES
@given(st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", kinds())
def test_there_and_back(name: str, random: Random) -> None:
    schema = TYPES.schema(name)
    obj, unknown = DECODERS.decode(schema, made(schema, random))
    assert not unknown
    SETTLERS.settle(schema, obj)
    message = WRITERS.write(schema, obj)
    assert SLOTS.write(schema, obj) == message
    back = READERS.read(schema, message)
    assert orjson.dumps(back) == orjson.dumps(obj)  # the order of the fields, too
    assert orjson.dumps(SLOW.read(schema, message)) == orjson.dumps(obj)
    assert WRITERS.write(schema, back) == message


@EXAMPLES
@given(st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", ["Pod", "Service", "PersistentVolume", "Node", "ConfigMap"])
def test_the_order_on_the_wire_is_no_matter(name: str, random: Random) -> None:
    schema = TYPES.schema(CORE + name)
    obj, _ = DECODERS.decode(schema, made(schema, random))
    SETTLERS.settle(schema, obj)
    parts = fields(WRITERS.write(schema, obj))
    numbers = [number for number, _ in parts]
    assert numbers == sorted(numbers)
    places = {number: random.random() for number in numbers}
    shuffled = b"".join(part for _, part in sorted(parts, key=lambda f: places[f[0]]))
    assert READERS.read(schema, shuffled) == obj


@EXAMPLES
@given(st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", kinds())
def test_a_spoiled_message_is_read_the_same_both_ways(name: str, random: Random) -> None:
    """Or refused with the same words; what is read can be written."""
    schema = TYPES.schema(name)
    obj, _ = DECODERS.decode(schema, made(schema, random))
    SETTLERS.settle(schema, obj)
    message = WRITERS.write(schema, obj)
    for _ in range(8):
        raw = spoiled(message, random)
        found = [read_or_refused(readers, schema, raw) for readers in (READERS, SLOW)]
        assert orjson.dumps(found[0]) == orjson.dumps(found[1]), raw
        if isinstance(found[0], dict):
            assert WRITERS.write(schema, found[0]) == SLOTS.write(schema, found[0])


def read_or_refused(readers: Readers, schema: Schema, raw: bytes) -> Json | str:
    try:
        return readers.read(schema, raw)
    except ProtobufError as error:
        return str(error)


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """The fields of a message, whole, by their numbers."""

    def varint(at: int) -> tuple[int, int]:
        value = shift = 0
        while True:
            value |= (message[at] & 0x7F) << shift
            shift += 7
            at += 1
            if message[at - 1] < 0x80:
                return value, at

    out, at = [], 0
    while at < len(message):
        start = at
        tag, at = varint(at)
        size, at = varint(at)
        at += size if tag & 7 == 2 else 0
        out.append((tag >> 3, message[start:at]))
    return out


def write(name: str, obj: Json) -> bytes:
    return WRITERS.write(TYPES.schema(name if "." in name else CORE + name), obj)


# What a client of Go writes for an empty ObjectMeta.
EMPTY_META = bytes.fromhex("0a00 1200 1a00 2200 2a00 3200 3800 4200")


def test_plain_fields_are_always_written() -> None:
    assert write("ConfigMap", {}) == b"\x0a\x10" + EMPTY_META
    assert write("ConfigMap", {"kind": "ConfigMap", "nope": 1, "immutable": None}) == (
        b"\x0a\x10" + EMPTY_META
    )
    assert write("ContainerPort", {}) == bytes.fromhex("0a00 1000 1800 2200 2a00")
    assert write("ServicePort", {"port": 80}) == bytes.fromhex(
        "0a00 1200 1850 22 06 0800 1000 1a00 2800"
    )


def test_maps_are_sorted_by_key_lists_are_repeated() -> None:
    obj = {"data": {"b": "2", "a": "1", "é": ""}, "binaryData": {"x": "/w=="}}
    assert write("ConfigMap", obj)[18:] == (
        b"\x12\x06\x0a\x01a\x12\x011" b"\x12\x06\x0a\x01b\x12\x012"
        b"\x12\x06\x0a\x02\xc3\xa9\x12\x00"
        b"\x1a\x06\x0a\x01x\x12\x01\xff"
    )  # fmt: skip
    assert write("PodSecurityContext", {"supplementalGroups": [1, -1]}) == (
        b"\x20\x01\x20" + b"\xff" * 9 + b"\x01"
    )


def test_inlined_messages_are_messages_of_their_own() -> None:
    source = b"\x9a\x01\x06\x0a\x04\x0a\x02cm"
    assert write("Volume", {"name": "v", "configMap": {"name": "cm"}}) == (
        b"\x0a\x01v\x12" + bytes((len(source),)) + source
    )
    assert write("Volume", {"name": "v"}) == b"\x0a\x01v\x12\x00"
    rule = {"operations": ["CREATE"], "apiGroups": [""], "resourceNames": ["n"], "scope": "*"}
    assert write("io.k8s.api.admissionregistration.v1.NamedRuleWithOperations", rule) == (
        b"\x0a\x01n\x12\x0f\x0a\x06CREATE\x12\x05\x0a\x00\x22\x01*"
    )


def test_types_with_a_message_of_their_own() -> None:
    meta = {"creationTimestamp": "2024-01-02T03:04:05Z", "deletionTimestamp": None}
    written = write("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", meta)
    assert written[14:] == bytes.fromhex("42 08 08a5facdac06 1000 4a00")
    spec = {"renewTime": "2024-01-02T03:04:05.000123Z"}
    assert write("io.k8s.api.coordination.v1.LeaseSpec", spec) == bytes.fromhex(
        "22 0a 08a5facdac06 10f8c007"
    )
    limits = {"limits": {"cpu": "500m", "a": None}}
    assert write("ResourceRequirements", limits) == (
        b"\x0a\x08\x0a\x01a\x12\x03\x0a\x010" b"\x0a\x0d\x0a\x03cpu\x12\x06\x0a\x04500m"
    )  # fmt: skip
    port = {"port": 1, "targetPort": "http"}
    assert write("ServicePort", port)[6:] == b"\x22\x0a\x08\x01\x10\x00\x1a\x04http\x28\x00"
    revision = {"data": {"a": [1]}, "revision": 3}
    assert write("io.k8s.api.apps.v1.ControllerRevision", revision)[18:] == (
        b'\x12\x0b\x0a\x09{"a":[1]}\x18\x03'
    )


def test_named_lists_and_unions() -> None:
    user = {"username": "u", "uid": "", "extra": {"s": ["a"]}}
    assert write("io.k8s.api.authentication.v1.UserInfo", user) == (
        b"\x0a\x01u\x12\x00\x22\x08\x0a\x01s\x12\x03\x0a\x01a"
    )


def test_schemas_or_something_else() -> None:
    name = SCHEMAS
    empty = write(name, {})

    def written(obj: Json) -> bytes:
        """What is there besides plain fields; they stand in the order of their numbers."""
        message = write(name, obj)
        start = next(i for i, (a, b) in enumerate(zip(message, empty, strict=False)) if a != b)
        return message[start : start + len(message) - len(empty)]

    inner = write(name, {"type": "string"})
    size = bytes((len(inner),))
    both = len(inner) + 2
    assert written({"items": {"type": "string"}}) == (
        b"\xc2\x01" + bytes((both,)) + b"\x0a" + size + inner
    )
    assert written({"items": [{"type": "string"}]}) == (
        b"\xc2\x01" + bytes((both,)) + b"\x12" + size + inner
    )
    assert written({"additionalProperties": True}) == b"\xf2\x01\x02\x08\x01"
    assert written({"additionalProperties": False}) == b"\xf2\x01\x02\x08\x00"
    assert written({"maximum": 2.5}) == b"\x49" + bytes.fromhex("0000000000000440")


def test_bytes_that_are_no_text_come_back() -> None:
    schema = TYPES.schema(CORE + "ConfigMap")
    bad = (b"\xff", b"a\xc0\x80b", b"\xed\xa0\x80", b"\xf0\x9f\x98")
    for text in bad:
        entry = b"\x0a\x01k\x12" + bytes((len(text),)) + text
        message = b"\x0a\x10" + EMPTY_META + b"\x12" + bytes((len(entry),)) + entry
        obj = READERS.read(schema, message)
        assert orjson.loads(orjson.dumps(obj)) == obj  # it can be stored
        assert WRITERS.write(schema, obj) == message


def test_small_kinds_are_those_of_the_tables() -> None:
    """Where the table of types knows a small kind, both write the same."""
    small = SmallKinds(CATALOG.object_meta())
    meta = "io.k8s.apimachinery.pkg.apis.meta.v1."
    random = Random(7)
    for name in ("Status", "APIVersions", "APIGroup", "APIGroupList", "APIResourceList"):
        schema, other = TYPES.schema(meta + name), small.get(name)
        assert other is not None
        obj = made(schema, random)
        assert WRITERS.write(other, obj) == WRITERS.write(schema, obj)
    assert small.get("Pod") is None


ODD_PODS: list[Json] = [
    {"hostname": "é"},
    {"hostname": "a" * 200},
    {"hostname": None},
    {"hostNetwork": None, "enableServiceLinks": None},
    {"enableServiceLinks": False, "hostNetwork": True},
    {"priority": -1, "activeDeadlineSeconds": 1 << 40},
    {"priority": None, "terminationGracePeriodSeconds": 0},
    {"nodeSelector": {"b": "é", "a": None, "é": ""}},
    {"nodeSelector": {"b": "x" * 200, "y" * 300: "1"}},
    {"nodeSelector": None, "containers": None, "securityContext": None},
    {"containers": [None, {"name": "a", "args": ["b", None, "é", "x" * 200]}]},
    {"containers": [{"name": "a", "resources": {"limits": {"cpu": None, "é": "1"}}}]},
    {"volumes": [{"name": "v", "hostPath": None}, {"name": "w", "emptyDir": {"medium": "é"}}]},
    {"activeDeadlineSeconds": 1, "nobody knows": {"a": 1}, "hostname": "b"},
]


@pytest.mark.parametrize("spec", ODD_PODS)
def test_what_a_function_for_a_shape_does_not_expect_is_written_by_the_tables(spec: Json) -> None:
    schema = TYPES.schema(CORE + "PodSpec")
    often = Writers(shape_after=1)
    assert {often.write(schema, spec) for _ in range(3)} == {SLOTS.write(schema, spec)}
    assert often.functions > 0


def test_functions_are_for_shapes_that_come_often_and_bounded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    schema = TYPES.schema(CORE + "PodSpec")
    names = [name for name, p in schema.properties.items() if p.schema.type == "string"]
    monkeypatch.setattr(protobuf_writing, "SHAPES_MAX", 5)
    writers = Writers(shape_after=2)
    for name in names:
        writers.write(schema, {name: "a"})
    before = writers.functions  # for what absent fields write
    assert len(names) > 5
    for name in names * 3:
        assert writers.write(schema, {name: "b"}) == SLOTS.write(schema, {name: "b"})
    assert writers.functions == before + 5
    monkeypatch.setattr(protobuf_writing, "FUNCTIONS_MAX", writers.functions + 1)
    other = TYPES.schema(CORE + "EnvVar")
    for _ in range(4):
        for name in ("name", "value"):
            assert writers.write(other, {name: "a"}) == SLOTS.write(other, {name: "a"})
    assert writers.functions == before + 6


def test_each_value_is_written_once_however_odd_and_deep() -> None:
    """Were a part written again for each level around it, this would never end."""
    schema, obj = TYPES.schema(SCHEMAS), dict[str, Any](description="é")
    for _ in range(100):
        obj = {"not": obj, "description": "é", "id": None, "maxLength": None}
    message = WRITERS.write(schema, obj)
    assert message == SLOTS.write(schema, obj)
    assert message.count("é".encode()) == 101
