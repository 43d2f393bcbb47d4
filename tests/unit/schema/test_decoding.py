"""Typed decoding: what a Go struct would hold and print."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from kapi.codec import json_format
from kapi.kinds.shared.types import TypeTable
from kapi.schema.decoding import Decoders
from kapi.schema.decoding_errors import strict_errors, type_error
from kapi.schema.scalars import Mismatch, parse_duration, parse_time, spell_duration
from kapi.schema.settling import Settlers
from kapi.schema.structural import Schema

TYPES = TypeTable()
DECODERS = Decoders()
CORE = "io.k8s.api.core.v1."


def decode(name: str, value: Any) -> Any:
    return DECODERS.decode(TYPES.schema(CORE + name), value)[0]


def words(name: str, text: str) -> str:
    return type_error(TYPES.schema(CORE + name), json_format.loads_exact(text.encode()))


def test_fields_come_in_the_order_of_the_struct_and_map_keys_sorted() -> None:
    obj = decode(
        "ConfigMap",
        {
            "data": {"b": "2", "a": "1"},
            "metadata": {"labels": {}, "name": "x"},
            "kind": "ConfigMap",
        },
    )
    assert list(obj) == ["kind", "metadata", "data"]
    assert list(obj["data"]) == ["a", "b"]
    assert obj["metadata"] == {"name": "x"}  # an empty optional map vanishes


def test_plain_structs_and_zero_values_appear() -> None:
    pod = decode("Pod", {"spec": {"containers": [{"name": "c"}]}})
    assert pod["status"] == {}
    assert pod["metadata"] == {}
    assert pod["spec"]["containers"] == [{"name": "c", "resources": {}}]
    assert decode("Pod", {"spec": {}})["spec"] == {"containers": None}


def test_a_list_that_is_not_optional_stays_until_it_is_stored() -> None:
    schema = TYPES.schema("io.k8s.api.rbac.v1.Role")
    role = DECODERS.decode(schema, {"rules": []})[0]
    assert role["rules"] == []
    Settlers().settle(schema, role)
    assert role["rules"] is None
    assert DECODERS.decode(schema, {})[0]["rules"] is None


def test_pointers_keep_their_zero_value() -> None:
    spec = decode("Pod", {"spec": {"terminationGracePeriodSeconds": 0, "priority": None}})["spec"]
    assert spec["terminationGracePeriodSeconds"] == 0
    assert "priority" not in spec


def test_unknown_fields_are_dropped_and_told() -> None:
    obj, unknown = DECODERS.decode(TYPES.schema(CORE + "ConfigMap"), {"nope": 1})
    assert "nope" not in obj
    assert unknown


def test_quantities_and_times_are_respelled() -> None:
    pod = decode(
        "Pod",
        {
            "metadata": {"creationTimestamp": "2024-01-02T04:04:05.7+01:00"},
            "spec": {
                "containers": [{"resources": {"limits": {"cpu": "0.50", "memory": "1024Mi"}}}]
            },
        },
    )
    assert pod["metadata"]["creationTimestamp"] == "2024-01-02T03:04:05Z"
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "ConfigMap",
            '{"metadata":[]}',
            "json: cannot unmarshal array into Go struct field ConfigMap.metadata "
            "of type v1.ObjectMeta",
        ),
        (
            "ConfigMap",
            '{"data":{"a":1}}',
            "json: cannot unmarshal number into Go struct field ConfigMap.data of type string",
        ),
        (
            "Pod",
            '{"spec":{"volumes":[{"name":"v"},[]]}}',
            "json: cannot unmarshal array into Go struct field PodSpec.spec.volumes "
            "of type v1.Volume",
        ),
        (
            "Pod",
            '{"spec":{"priority":99999999999}}',
            "json: cannot unmarshal number 99999999999 into Go struct field PodSpec.spec.priority "
            "of type int32",
        ),
        (
            "Pod",
            '{"spec":{"priority":1.0}}',
            "json: cannot unmarshal number 1.0 into Go struct field PodSpec.spec.priority "
            "of type int32",
        ),
        (
            "Pod",
            '{"spec":{"containers":[{"readinessProbe":{"tcpSocket":{"port":99999999999},'
            '"periodSeconds":"x"}}]}}',
            "json: cannot unmarshal number 99999999999 into Go struct field TCPSocketAction."
            "spec.containers.readinessProbe.ProbeHandler.tcpSocket.port of type int32",
        ),
        (
            "Pod",
            '{"spec":{"volumes":[{"configMap":{"defaultMode":"x"}}]}}',
            "json: cannot unmarshal string into Go struct field ConfigMapVolumeSource."
            "spec.volumes.VolumeSource.configMap.defaultMode of type int32",
        ),
        (
            "Secret",
            '{"data":{"a":"a$b"}}',
            "illegal base64 data at input byte 1",
        ),
        (
            "Pod",
            '{"spec":{"overhead":{"cpu":"1x"}}}',
            "unable to parse quantity's suffix",
        ),
    ],
)
def test_the_words_of_a_mismatch(name: str, text: str, expected: str) -> None:
    with pytest.raises(Mismatch):
        decode(name, json_format.loads(text.encode()))
    assert words(name, text) == expected


def test_strict_findings_are_named_in_document_order() -> None:
    text = b'{"zz":1,"metadata":{"name":"a","name":"b","nope":2},"data":{"k":"1","k":"2"}}'
    found = strict_errors(TYPES.schema(CORE + "ConfigMap"), json_format.loads_exact(text))
    assert set(found) == {
        'unknown field "zz"',
        'duplicate field "metadata.name"',
        'unknown field "metadata.nope"',
        'duplicate field "data.k"',
    }
    assert found[0] == 'unknown field "zz"'


def of_schema(schema: Schema, depth: int = 4) -> st.SearchStrategy[Any]:
    """Values that decode: any subset of fields, to a bounded depth."""
    simple: dict[str, st.SearchStrategy[Any]] = {
        "quantity": st.sampled_from(["1", "0.5", "1500m", "1Gi", "1e3", "1000", "0"]),
        "date-time": st.sampled_from(["2024-01-02T03:04:05Z", "2024-01-02T03:04:05.5+02:00"]),
        "micro-time": st.sampled_from(["2024-01-02T03:04:05.123456Z"]),
        "duration": st.sampled_from(["1h", "90s", "0s", "1.5s"]),
        "int-or-string": st.one_of(st.integers(0, 99), st.sampled_from(["x", "50%"])),
        "byte": st.sampled_from(["", "aGk=", "YQ=="]),
        "raw": st.sampled_from([{}, {"a": [1, None]}, "x"]),
    }
    if schema.format in simple:
        return simple[schema.format]
    if schema.type == "object":
        if depth == 0:
            return st.just({})
        fields = {
            p.name: st.one_of(st.none(), of_schema(p.schema, depth - 1))
            for p in schema.properties.values()
        }
        return st.fixed_dictionaries({}, optional=fields)
    if schema.type == "array" and schema.items is not None:
        return st.lists(of_schema(schema.items, depth - 1), max_size=2) if depth else st.just([])
    if schema.type == "map" and schema.values is not None:
        if depth == 0:
            return st.just({})
        keys = st.sampled_from(["b", "a", "c"])
        return st.dictionaries(keys, of_schema(schema.values, depth - 1), max_size=2)
    scalars: dict[str, st.SearchStrategy[Any]] = {
        "string": st.sampled_from(["", "a", "b\u00e9"]),
        "integer": st.integers(0, 5),
        "number": st.sampled_from([0, 1.5, 2.0]),
        "boolean": st.booleans(),
    }
    return scalars.get(schema.type, st.just({}))


@seed(1)
@settings(max_examples=30, suppress_health_check=list(HealthCheck), deadline=None)
@given(st.data())
@pytest.mark.parametrize("name", ["Pod", "Service", "PersistentVolume", "Node", "Event"])
def test_decoding_what_was_decoded_changes_nothing(name: str, data: st.DataObject) -> None:
    schema = TYPES.schema(CORE + name)
    value = data.draw(of_schema(schema, 3))
    once, _ = DECODERS.decode(schema, value)
    twice, unknown = DECODERS.decode(schema, once)
    assert twice == once
    assert not unknown
    assert json_format.dumps(twice) == json_format.dumps(once)


@pytest.mark.parametrize(
    ("text", "spelled"),
    [("1h", "1h0m0s"), ("90s", "1m30s"), ("1500ms", "1.5s"), ("0", "0s"), ("-2m", "-2m0s")],
)
def test_durations(text: str, spelled: str) -> None:
    assert spell_duration(parse_duration(text)) == spelled


@pytest.mark.parametrize("text", ["", "x", "2024-13-01T00:00:00Z", "2024-01-02T03:04:05"])
def test_bad_times(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_time(text)
