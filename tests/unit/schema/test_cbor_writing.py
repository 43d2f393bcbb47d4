"""Objects become CBOR and the same objects again: every kind of every version; and as the real
encoder writes them, byte for byte where it sorts."""

from __future__ import annotations

from base64 import b64decode
from random import Random
from typing import Any

import orjson
import pytest
from cbor_vectors import VECTORS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_objects import CATALOG, SCHEMAS, TYPES, kinds, made

from kapi.codec import cbor_format
from kapi.codec.cbor_format import Unusual, dumps, dumps_sorted, tagged
from kapi.schema import cbor_reading
from kapi.schema.cbor_reading import Typed
from kapi.schema.cbor_writing import CborWriters
from kapi.schema.decoding import Decoders
from kapi.schema.settling import Settlers
from kapi.schema.structural import Schema

Json = dict[str, Any]
DECODERS, SETTLERS, WRITERS = Decoders(), Settlers(), CborWriters()
CORE = "io.k8s.api.core.v1."


EXAMPLES = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=4,
    suppress_health_check=list(HealthCheck),
)


@EXAMPLES
@given(st.randoms(use_true_random=False))
@pytest.mark.parametrize("name", kinds())
def test_there_and_back(name: str, random: Random) -> None:
    schema = TYPES.schema(name)
    obj, _ = DECODERS.decode(schema, made(schema, random))
    SETTLERS.settle(schema, obj)
    data = tagged(WRITERS.dumps(schema, obj))
    if WRITERS.plain(schema):
        assert data == tagged(dumps(obj))
    for value in (cbor_reading.loads(data), Typed(data, strict=True).whole(schema)):
        back, unknown = DECODERS.decode(schema, value)
        assert not unknown
        SETTLERS.settle(schema, back)
        assert orjson.dumps(back) == orjson.dumps(obj)  # the order of the fields, too


@pytest.mark.parametrize("vector", VECTORS["encoded"], ids=lambda v: v["json"]["kind"])
def test_as_the_real_one_writes(vector: Json) -> None:
    obj, data = vector["json"], b64decode(vector["cbor"])
    schema = CATALOG.schema_of(obj["apiVersion"], obj["kind"])
    assert schema is not None
    assert tagged(WRITERS.dumps(schema, in_order(obj))) == data
    for value in (cbor_reading.loads(data), Typed(data, strict=True).whole(schema)):
        back, unknown = DECODERS.decode(schema, value)
        assert not unknown
        assert DECODERS.decode(schema, obj)[0] == back


def in_order(value: Any) -> Any:
    """With the fields in the order of their bytes."""
    if isinstance(value, dict):
        names = sorted(value, key=lambda name: (len(name.encode()), name.encode()))
        return {name: in_order(value[name]) for name in names}
    return [in_order(x) for x in value] if isinstance(value, list) else value


def schema_of(name: str) -> Schema:
    return TYPES.schema(CORE + name)


def test_bytes_are_byte_strings() -> None:
    data = WRITERS.dumps(schema_of("Secret"), {"data": {"a": "/w=="}, "stringData": {"b": "/w=="}})
    assert data == bytes.fromhex("a24464617461a14161d641ff4a737472696e6744617461a14162442f773d3d")
    assert cbor_reading.loads(data) == {"data": {"a": "/w=="}, "stringData": {"b": "/w=="}}
    # What is in no tag is base64 already: so others write it.
    for plain in (bytes.fromhex("a14464617461a14161442f773d3d"),):
        assert Typed(plain).whole(schema_of("Secret")) == {"data": {"a": "/w=="}}
        assert cbor_reading.loads(plain) == {"data": {"a": "/w=="}}


def test_what_has_bytes_or_floats_is_not_plain() -> None:
    names = ("Pod", "Service", "ConfigMap", "Secret", "Event", "PodTemplate")
    assert [WRITERS.plain(schema_of(name)) for name in names] == [
        True, True, False, False, True, True,
    ]  # fmt: skip


def test_floats_of_a_schema_are_floats() -> None:
    schema = TYPES.schema(SCHEMAS)
    data = WRITERS.dumps(schema, {"maximum": 5, "properties": {"a": {"minimum": 0.1}}})
    assert b"Gmaximum\xf9\x45\x00" in data
    assert b"\xfb" in data
    assert cbor_reading.loads(data) == {"maximum": 5.0, "properties": {"a": {"minimum": 0.1}}}
    items: Json = {"items": [{"type": "a"}, {"maximum": 1}]}
    assert cbor_reading.loads(WRITERS.dumps(schema, items)) == items
    names = {"dependencies": {"a": ["b", "c"], "d": {"maximum": 1.0}}}
    assert cbor_reading.loads(WRITERS.dumps(schema, names)) == names
    items = {"items": {"maximum": 1}, "additionalProperties": False, "not": None}
    assert cbor_reading.loads(WRITERS.dumps(schema, items)) == items


def test_without_a_schema() -> None:
    value = {"b": [1, 2.5], "a": None}
    assert WRITERS.dumps(None, value) == dumps(value)
    assert cbor_reading.loads(dumps_sorted(value)) == value


def test_the_fast_reader_reads_what_is_written() -> None:
    """All of it: what it leaves to the careful one would be slow."""
    for vector in VECTORS["encoded"]:
        data = b64decode(vector["cbor"])
        try:
            cbor_format.loads(data)
        except Unusual:
            raise AssertionError(vector["json"]["kind"]) from None
