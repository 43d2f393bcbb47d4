"""Messages become the objects that typed decoding makes of the same in JSON."""

from __future__ import annotations

import re
import struct
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kapi.codec.protobuf_format import ProtobufError
from kapi.kinds.shared.types import TypeTable
from kapi.schema.decoding import Decoders
from kapi.schema.protobuf_reading import Readers

TYPES = TypeTable()
READERS = Readers(Decoders(), straight_after=0)
SLOW = Readers(Decoders(), straight_after=1 << 30)
CORE = "io.k8s.api.core.v1."
CRD = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1."


def read(name: str, raw: bytes) -> Any:
    """What a message is; both ways to read it agree."""
    schema = TYPES.schema(name if "." in name else CORE + name)
    try:
        fast, words = READERS.read(schema, raw), ""
    except ProtobufError as error:
        fast, words = None, str(error)
    if words:
        with pytest.raises(ProtobufError, match=f"^{re.escape(words)}$"):
            SLOW.read(schema, raw)
        raise ProtobufError(words)
    assert orjson.dumps(fast) == orjson.dumps(SLOW.read(schema, raw))  # in the same order, too
    return fast


# A message written down: numbers, texts, nested messages, by field number, in order.


def varint(value: int) -> bytes:
    value &= 2**64 - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def message(*fields: tuple[int, int | float | bytes | str]) -> bytes:
    out = b""
    for number, value in fields:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            out += varint(number << 3 | 2) + varint(len(value)) + value
        elif isinstance(value, float):
            out += varint(number << 3 | 1) + struct.pack("<d", value)
        else:
            out += varint(number << 3) + varint(value)
    return out


def test_texts_maps_bytes_and_lists() -> None:
    raw = message(
        (1, message((1, "a"), (3, ""), (14, "x/f"), (14, "x/g"))),
        (2, message((1, "k"), (2, "v"))),
        (2, message((1, "no-value"))),
        (3, message((1, "bin"), (2, b"\xff\x00"))),
        (4, 1),
    )
    assert read("ConfigMap", raw) == {
        "metadata": {"name": "a", "finalizers": ["x/f", "x/g"]},
        "data": {"k": "v", "no-value": ""},
        "binaryData": {"bin": "/wA="},
        "immutable": True,
    }


def test_the_last_counts_messages_merge_keys_repeat() -> None:
    raw = message(
        (1, message((1, "a"), (3, "ns"))),
        (1, message((1, "b"))),
        (2, message((1, "k"), (2, "1"))),
        (2, message((2, "2"), (1, "k"))),
        (4, 1),
        (4, 0),
    )
    assert read("ConfigMap", raw) == {
        "metadata": {"name": "b", "namespace": "ns"},
        "data": {"k": "2"},
        "immutable": False,
    }


def test_a_message_that_comes_again_grows_lists_it_did_not_have() -> None:
    raw = message((2, message()), (2, message((1, message((1, "d"), (2, "n"))))))
    drivers = read("io.k8s.api.storage.v1.CSINode", raw)["spec"]["drivers"]
    assert drivers == [{"name": "d", "nodeID": "n", "topologyKeys": None}]


def test_inlined_messages_stand_among_the_others() -> None:
    volume = message((1, "v"), (2, message((19, message((1, message((1, "cm"))))))))
    probe = message((1, message((2, message((1, "/z"), (2, message((1, 0), (2, 80))))))), (2, 5))
    assert read("Volume", volume) == {"name": "v", "configMap": {"name": "cm"}}
    assert read("Probe", probe) == {
        "httpGet": {"path": "/z", "port": 80},
        "initialDelaySeconds": 5,
    }


def test_types_with_a_json_form_of_their_own() -> None:
    resources = message(
        (1, message((1, "cpu"), (2, message((1, "500m"))))),
        (1, message((1, "memory"))),
    )
    assert read("ResourceRequirements", resources) == {"limits": {"cpu": "500m", "memory": "0"}}
    port = message((3, 80), (4, message((1, 1), (2, 0), (3, "http"))), (5, -1))
    assert read("ServicePort", port) == {"port": 80, "targetPort": "http", "nodePort": -1}
    meta = message((8, message((1, 1_700_000_000), (2, 999_999_999))), (9, b""))
    assert read("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", meta) == {
        "creationTimestamp": "2023-11-14T22:13:20Z",
        "deletionTimestamp": None,
    }
    lease = message((3, message((1, 1_700_000_000), (2, 123_456_789))))
    assert read("io.k8s.api.coordination.v1.LeaseSpec", lease) == {
        "acquireTime": "2023-11-14T22:13:20.123456Z"
    }
    entry = message((7, message((1, '{"f:data":{}}'))))
    assert read("io.k8s.apimachinery.pkg.apis.meta.v1.ManagedFieldsEntry", entry) == {
        "fieldsV1": {"f:data": {}}
    }


def test_named_lists_are_messages_around_their_items() -> None:
    user = message((4, message((1, "scopes"), (2, message((1, "a"), (1, "b"))))), (3, "g"))
    assert read("io.k8s.api.authentication.v1.UserInfo", user) == {
        "extra": {"scopes": ["a", "b"]},
        "groups": ["g"],
    }


def test_numbers_in_lists_one_by_one_and_packed() -> None:
    name = CORE + "PodSecurityContext"
    assert read(name, message((4, 5), (4, 6))) == {"supplementalGroups": [5, 6]}
    assert read(name, message((4, varint(5) + varint(-6)))) == {"supplementalGroups": [5, -6]}


def test_schemas_within_schemas() -> None:
    text = message((5, "string"), (10, 0), (15, ""))
    raw = message(
        (5, "object"),
        (9, 2.5),
        (8, message((1, '{"a":[1]}'))),
        (24, message((1, text))),
        (29, message((1, "p"), (2, message((30, message((1, 1))))))),
        (29, message((1, "q"), (2, message((30, message((1, 0), (2, text))))))),
        (32, message((1, "d"), (2, message((2, "x"), (2, "y"))))),
        (20, message((1, "1"))),
        (20, message((1, '"two"'))),
    )
    assert read(CRD + "JSONSchemaProps", raw) == {
        "type": "object",
        "maximum": 2.5,
        "default": {"a": [1]},
        "items": {"type": "string"},
        "properties": {
            "p": {"additionalProperties": True},
            "q": {"additionalProperties": {"type": "string"}},
        },
        "dependencies": {"d": ["x", "y"]},
        "enum": [1, "two"],
    }


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (message((2, 5)), "proto: wrong wireType = 0 for field Data"),
        (message((1, 5)), "proto: wrong wireType = 0 for field ObjectMeta"),
        (message((1, message((1, 5)))), "proto: wrong wireType = 0 for field Name"),
        (message((1, message((7, "7")))), "proto: wrong wireType = 2 for field Generation"),
        (message((4, "x")), "proto: wrong wireType = 2 for field Immutable"),
        (message((1, message((13, b"\xff")))), "unexpected EOF"),
        (b"hello world", "proto: ConfigMap: wiretype end group for non-group"),
        (b"\x02\x01x", r"proto: ConfigMap: illegal tag 0 \(wire type 2\)"),
    ],
)
def test_broken_messages(raw: bytes, words: str) -> None:
    with pytest.raises(ProtobufError, match=words):
        read("ConfigMap", raw)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (2**62, "146138514283-06-19T07:45:04Z"),
        (-62_135_596_800, None),  # the zero time
        (-62_135_596_801, "0000-12-31T23:59:59Z"),
    ],
)
def test_times_of_any_year(seconds: int, text: str | None) -> None:
    meta = read("ConfigMap", message((1, message((8, message((1, seconds)))))))["metadata"]
    assert meta.get("creationTimestamp") == text


def test_unknown_fields_are_passed_over() -> None:
    assert read("ConfigMap", message((99, "x"), (4, 1), (98, 1), (97, 1.0))) == {
        "metadata": {},
        "immutable": True,
    }


def test_a_schema_nested_too_deep_is_refused() -> None:
    raw = b""
    for _ in range(5000):
        raw = message((28, raw))
    with pytest.raises(ProtobufError, match="exceeded max depth"):
        read(CRD + "JSONSchemaProps", raw)


def test_numbers_that_json_lacks_are_refused() -> None:
    assert read(CRD + "JSONSchemaProps", message((9, 2.0))) == {"maximum": 2}
    for value, words in ((float("nan"), "NaN"), (float("-inf"), "-Inf")):
        with pytest.raises(ProtobufError, match=words):
            read(CRD + "JSONSchemaProps", message((9, value)))


@seed(3)
@settings(suppress_health_check=[HealthCheck.too_slow])
@given(st.binary(max_size=80))
def test_bytes_are_a_pod_or_the_one_error(raw: bytes) -> None:
    try:
        value = read("Pod", raw)
    except ProtobufError:
        return
    Decoders().decode(TYPES.schema(CORE + "Pod"), value)
