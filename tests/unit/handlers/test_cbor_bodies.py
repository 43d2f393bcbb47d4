"""Bodies in CBOR: the fast way and the careful one give the same objects, warnings and errors."""

from __future__ import annotations

from random import Random
from typing import Any, Literal

import orjson
import pytest
from made_objects import CATALOG, made
from spoiled_bytes import spoiled

from kapi.codec.cbor_format import Unusual, dumps, loads, tagged
from kapi.errors import ApiError
from kapi.handlers.aside import Aside
from kapi.handlers.cbor_bodies import CborBodies
from kapi.handlers.decode import Decoder
from kapi.registry.resource import GroupVersionKind
from kapi.schema.cbor_writing import CborWriters
from kapi.schema.decoding import Decoders
from kapi.schema.settling import Settlers
from kapi.schema.structural import Schema

Json = dict[str, Any]
WRITERS, DECODERS, SETTLERS = CborWriters(), Decoders(), Settlers()


class Careful(CborBodies):
    """Never takes the fast way."""

    def _plain(self, data: bytes, schema: Schema) -> Json | None:
        return None


def bodies(kind: type[CborBodies] = CborBodies) -> CborBodies:
    decoder = Decoder(DECODERS, CATALOG.go_type, Aside(), CATALOG.schema_of)
    return kind(decoder, CATALOG.schema_of)


FAST, CAREFUL = bodies(), bodies(Careful)


def kinds() -> list[GroupVersionKind]:
    return [
        version.kind
        for resource in CATALOG.resources({"api/all": True})
        for version in resource.versions.values()
    ]


def said(
    by: CborBodies,
    data: bytes,
    kind: GroupVersionKind,
    field_validation: Literal["Strict", "Warn", "Ignore"] = "Warn",
) -> tuple[Any, ...]:
    """All that comes of a body."""
    warnings: list[str] = []
    schema = CATALOG.schema_of(kind.api_version, kind.kind)
    assert schema is not None
    try:
        obj, found = by.decode(
            data,
            kind,
            schema,
            {"field_validation": field_validation, "warn": warnings.append},
            lambda other: False,
        )
    except ApiError as error:
        return (error.code, error.message, warnings)
    return (orjson.dumps(obj), found, warnings)


@pytest.mark.parametrize("kind", kinds(), ids=lambda k: f"{k.api_version}/{k.kind}")
def test_both_ways_say_the_same(kind: GroupVersionKind) -> None:
    random = Random(f"{kind}")
    schema = CATALOG.schema_of(kind.api_version, kind.kind)
    assert schema is not None
    obj, _ = DECODERS.decode(schema, made(schema, random))
    SETTLERS.settle(schema, obj)
    obj = {**obj, "kind": kind.kind, "apiVersion": kind.api_version}
    right = tagged(WRITERS.dumps(schema, obj))
    assert said(FAST, right, kind)[1:] == (kind, [])
    for data in (right, *(spoiled(right, random) for _ in range(6)), as_text(right, random)):
        for field_validation in ("Strict", "Warn", "Ignore"):
            fast = said(FAST, data, kind, field_validation)
            assert fast == said(CAREFUL, data, kind, field_validation), data


def as_text(data: bytes, random: Random) -> bytes:
    """With one of its byte strings a text string."""
    at = random.choice([i for i, byte in enumerate(data) if 0x41 <= byte < 0x57])
    return data[:at] + bytes((data[at] ^ 0x20,)) + data[at + 1 :]


def test_bytes_take_the_fast_way() -> None:
    """Config maps come often, and might hold bytes."""
    schema = CATALOG.schema_of("v1", "ConfigMap")
    assert schema is not None
    obj = {"kind": "ConfigMap", "apiVersion": "v1", "binaryData": {"a": "/w=="}, "data": {"b": "c"}}
    data = tagged(WRITERS.dumps(schema, obj))
    assert loads(data, texts=False) == obj
    kind = GroupVersionKind("", "v1", "ConfigMap")
    assert orjson.loads(said(FAST, data, kind)[0]) == {**obj, "metadata": {}}
    text = dumps(obj).replace(b"\x44/w==", b"\x64/w==")
    with pytest.raises(Unusual):
        loads(text, texts=False)
    code, message, _ = said(FAST, text, kind)
    assert code == 400
    assert "cannot unmarshal UTF-8 text string" in message
