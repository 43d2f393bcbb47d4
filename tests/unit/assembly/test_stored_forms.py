"""The form of values in etcd: every kind there and back, both forms and old versions read, and what
cannot be read told in the real server's words."""

from __future__ import annotations

import copy
import functools

import orjson
import pytest

from kapi.assembly.stored_forms import StoredForms
from kapi.assembly.stores import EXTRA
from kapi.codec import json_format
from kapi.codec.protobuf_format import MAGIC, open_envelope, sealed
from kapi.codec.spelled import spelled
from kapi.kinds.catalog import Catalog
from kapi.registry.fresh import Fresh
from kapi.registry.resource import ResourceType
from kapi.registry.versions import Versions
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.schema.ordering import Orders
from kapi.schema.protobuf_writing import Writers
from kapi.storage.interface import ENCRYPTED_TEXT, Corrupt, untransformable

PROTOBUF, JSON = "application/vnd.kubernetes.protobuf", "application/json"
META = {
    "name": "a",
    "uid": "8a3c2ff0-32e8-4b5d-93a7-6b0f4b1e1c1a",
    "creationTimestamp": "2026-11-24T07:00:00Z",
    "labels": {"b": "2", "a": "1"},
}
JSON_KINDS = {"CustomResourceDefinition", "APIService"}


@functools.cache
def catalog() -> Catalog:
    return Catalog()


@functools.cache
def resources() -> tuple[ResourceType, ...]:
    found = catalog().resources({"api/all": True})
    return tuple(r for r in found if r.stored_in_store)


def forms(media_type: str = PROTOBUF) -> StoredForms:
    return StoredForms(catalog().schema_of, resources(), EXTRA, media_type)


def minimal(resource: ResourceType) -> bytes:
    """The smallest object of a kind, as the registry stores it."""
    stored, schema = resource.stored, resource.stored_schema()
    obj, _ = Decoders().decode(schema, {"metadata": META})
    Defaulters().default(schema, obj)
    whole = {"kind": stored.kind, "apiVersion": stored.api_version, **obj}
    Orders().arrange(schema, whole)
    return orjson.dumps(whole)


def key_of(resource: ResourceType) -> str:
    middle = "default/" if resource.namespaced else ""
    return f"/registry/{resource.storage_prefix}/{middle}a"


@pytest.mark.parametrize("media_type", [PROTOBUF, JSON])
def test_every_kind_there_and_back(media_type: str) -> None:
    made = forms(media_type)
    for resource in resources():
        value = minimal(resource)
        stored = made.encode(key_of(resource), value)
        assert made.decode(key_of(resource), stored) == value, resource.kind
        if media_type == PROTOBUF and resource.kind not in JSON_KINDS:
            envelope = open_envelope(stored)
            kind = resource.in_shared_store
            assert (envelope.api_version, envelope.kind) == (kind.api_version, kind.kind)
        else:
            assert stored.endswith(b"\n")
            head = orjson.loads(stored)
            assert head["apiVersion"] == resource.in_shared_store.api_version


def test_what_an_older_kapi_stored_is_read() -> None:
    """In the version that is worked with, of kinds that are stored in another one by now."""
    moved = [r for r in resources() if r.in_shared_store != r.stored]
    assert {r.kind for r in moved} == {
        "ClusterTrustBundle",
        "PodCertificateRequest",
        "CustomResourceDefinition",
    }
    for resource in moved:
        value = minimal(resource)
        assert forms().decode(key_of(resource), value + b"\n") == value
        if resource.kind not in JSON_KINDS:
            stored = resource.stored
            obj = Decoders().decode(resource.stored_schema(), orjson.loads(value))[0]
            message = Writers().write(resource.stored_schema(), obj)
            old = sealed(stored.api_version, stored.kind, message)
            assert forms().decode(key_of(resource), old) == value


def test_both_forms_are_read_whatever_is_written() -> None:
    key, pods = "/registry/pods/default/a", next(r for r in resources() if r.plural == "pods")
    value = minimal(pods)
    for writes in (PROTOBUF, JSON):
        for reads in (PROTOBUF, JSON):
            assert forms(reads).decode(key, forms(writes).encode(key, value)) == value


@pytest.mark.parametrize("resource", resources(), ids=lambda r: str(r.qualified))
def test_an_object_at_hand_is_written_as_what_its_json_says(resource: ResourceType) -> None:
    fresh = Fresh()
    versions = Versions(Decoders(), Defaulters(), (), fresh)
    made = StoredForms(catalog().schema_of, resources(), EXTRA, PROTOBUF, fresh=fresh)
    key, obj = key_of(resource), orjson.loads(minimal(resource))
    obj["metadata"]["resourceVersion"] = "7"
    before = copy.deepcopy(obj)
    value = versions.encode_stored(resource, obj)
    assert made.encode(key, value) == forms().encode(key, value)
    assert obj == before
    other = {**obj, "metadata": {**obj["metadata"], "name": "other"}}
    versions.encode_stored(resource, other)  # somebody else's, in between
    assert made.encode(key, value) == forms().encode(key, value)


def test_json_within_an_object_keeps_its_text_in_messages_only() -> None:
    key, text = "/registry/controllerrevisions/default/a", b'{"b": 1,"a":[1.0 ]}'
    data = spelled(orjson.loads(text), text)
    obj = {"kind": "ControllerRevision", "apiVersion": "apps/v1", "metadata": {"name": "a"}}
    value = json_format.dumps_kept({**obj, "data": data, "revision": 1})
    stored = forms().encode(key, value)
    assert text in stored
    assert forms().decode(key, stored) == value
    compact = forms(JSON).encode(key, value)
    assert b'"data":{"b":1,"a":[1.0]},"revision":1}\n' in compact
    assert forms(JSON).decode(key, compact) == compact.rstrip()


def test_custom_kinds_are_json() -> None:
    value = b'{"apiVersion":"example.com/v1","kind":"Thing","metadata":{"name":"a"}}'
    key = "/registry/example.com/things/default/a"
    assert forms().encode(key, value) == value + b"\n"
    assert forms().decode(key, value + b"\n") == value


def test_what_has_no_resource() -> None:
    key = "/registry/ranges/servicenodeports"
    value = (
        b'{"kind":"RangeAllocation","apiVersion":"v1","metadata":{},"range":"30000-32767",'
        b'"data":"AQ=="}'
    )
    stored = forms().encode(key, value)
    assert stored.startswith(MAGIC)
    assert orjson.loads(forms().decode(key, stored)) == orjson.loads(value)


def test_what_a_message_cannot_say_is_filled_in() -> None:
    """The claims of a stateful set have a kind in JSON, not in Protocol Buffers."""
    key = "/registry/statefulsets/default/a"
    value = {
        "kind": "StatefulSet",
        "apiVersion": "apps/v1",
        "metadata": META,
        "spec": {"volumeClaimTemplates": [{"metadata": {"name": "c"}, "spec": {}}]},
    }
    [claim] = orjson.loads(forms().decode(key, forms().encode(key, orjson.dumps(value))))["spec"][
        "volumeClaimTemplates"
    ]
    assert list(claim)[:2] == ["kind", "apiVersion"]
    assert claim["kind"] == "PersistentVolumeClaim"


def test_another_version_is_converted() -> None:
    """An autoscaler that an older server stored in v1."""
    key = "/registry/horizontalpodautoscalers/default/a"
    old = {
        "kind": "HorizontalPodAutoscaler",
        "apiVersion": "autoscaling/v1",
        "metadata": META,
        "spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "d", "apiVersion": "apps/v1"},
            "maxReplicas": 3,
            "targetCPUUtilizationPercentage": 50,
        },
    }
    obj = orjson.loads(forms().decode(key, orjson.dumps(old)))
    assert obj["apiVersion"] == "autoscaling/v2"
    assert obj["spec"]["metrics"][0]["resource"]["target"]["averageUtilization"] == 50


def test_json_of_go_is_arranged() -> None:
    """The real server prints a null creation time where kapi prints none."""
    key = "/registry/configmaps/default/a"
    value = (
        b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a","creationTimestamp":null}}\n'
    )
    decoded = forms().decode(key, value)
    assert decoded == b'{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"}}'


def test_old_definitions() -> None:
    key = "/registry/apiextensions.k8s.io/customresourcedefinitions/things.example.com"
    old = {
        "kind": "CustomResourceDefinition",
        "apiVersion": "apiextensions.k8s.io/v1beta1",
        "metadata": {"name": "things.example.com"},
        "spec": {
            "group": "example.com",
            "version": "v1",
            "names": {"plural": "things", "kind": "Thing"},
            "scope": "Namespaced",
            "validation": {"openAPIV3Schema": {"type": "object"}},
            "subresources": {"status": {}},
            "versions": [{"name": "v1", "served": True, "storage": True}],
            "additionalPrinterColumns": [{"name": "A", "type": "string", "JSONPath": ".a"}],
            "conversion": {
                "strategy": "Webhook",
                "webhookClientConfig": {"url": "https://x"},
                "conversionReviewVersions": ["v1"],
            },
            "preserveUnknownFields": False,
        },
    }
    spec = orjson.loads(forms().decode(key, orjson.dumps(old)))["spec"]
    [version] = spec["versions"]
    assert version["schema"] == {"openAPIV3Schema": {"type": "object"}}
    assert version["subresources"] == {"status": {}}
    assert version["additionalPrinterColumns"] == [
        {"name": "A", "type": "string", "jsonPath": ".a"}
    ]
    assert spec["conversion"] == {
        "strategy": "Webhook",
        "webhook": {"clientConfig": {"url": "https://x"}, "conversionReviewVersions": ["v1"]},
    }
    assert "validation" not in spec
    assert "preserveUnknownFields" not in spec


COLUMN = {"name": "A", "type": "string", "priority": 1, "jsonPath": ".a"}
SHARED = {
    "schema": {"openAPIV3Schema": {"type": "object"}},
    "subresources": {"status": {}},
    "additionalPrinterColumns": [COLUMN],
    "selectableFields": [{"jsonPath": ".spec.a"}],
}


def definition(*versions: dict[str, object]) -> bytes:
    names = {"plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList"}
    hook = {"clientConfig": {"url": "https://x"}, "conversionReviewVersions": ["v1"]}
    return orjson.dumps(
        {
            "kind": "CustomResourceDefinition",
            "apiVersion": "apiextensions.k8s.io/v1",
            "metadata": META,
            "spec": {
                "group": "example.com",
                "names": names,
                "scope": "Namespaced",
                "versions": versions,
                "conversion": {"strategy": "Webhook", "webhook": hook},
            },
            "status": {"conditions": None, "acceptedNames": names, "storedVersions": ["v1"]},
        }
    )


def test_definitions_are_stored_in_the_shorter_form() -> None:
    key = "/registry/apiextensions.k8s.io/customresourcedefinitions/things.example.com"
    one = {"name": "v1", "served": True, "storage": True, **SHARED}
    two = {"name": "v2", "served": False, "storage": False, **SHARED}
    value = definition(one, two)
    spec = orjson.loads(forms().encode(key, value))["spec"]
    assert list(spec) == [
        "group", "version", "names", "scope", "validation", "subresources", "versions",
        "additionalPrinterColumns", "selectableFields", "conversion", "preserveUnknownFields",
    ]  # fmt: skip
    assert spec["version"] == "v1"
    assert spec["versions"] == [
        {"name": "v1", "served": True, "storage": True},
        {"name": "v2", "served": False, "storage": False},
    ]
    assert spec["additionalPrinterColumns"] == [
        {"name": "A", "type": "string", "priority": 1, "JSONPath": ".a"}
    ]
    assert spec["conversion"] == {
        "strategy": "Webhook",
        "webhookClientConfig": {"url": "https://x"},
        "conversionReviewVersions": ["v1"],
    }
    assert spec["preserveUnknownFields"] is False
    again = forms().decode(key, forms().encode(key, value))
    assert orjson.loads(again) == orjson.loads(value)


def test_what_versions_do_not_share_stays_with_them() -> None:
    key = "/registry/apiextensions.k8s.io/customresourcedefinitions/things.example.com"
    one = {"name": "v1", "served": True, "storage": True, **SHARED}
    two = {**one, "name": "v2", "storage": False, "schema": {}}
    del two["subresources"]
    value = definition(one, two)
    spec = orjson.loads(forms().encode(key, value))["spec"]
    assert "validation" not in spec
    assert "subresources" not in spec
    assert spec["versions"][0]["schema"] == SHARED["schema"]
    assert spec["versions"][1]["schema"] == {}
    assert spec["selectableFields"] == SHARED["selectableFields"]
    again = orjson.loads(forms().decode(key, forms().encode(key, value)))["spec"]["versions"]
    assert again == orjson.loads(forms().decode(key, value))["spec"]["versions"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"k8s:enc:aescbc:v1:key1:\x01\x02", untransformable(ENCRYPTED_TEXT)),
        (b"", "encoded object has no known form"),
        (b"\xff\xfe", "encoded object has no known form"),
        (MAGIC + b"\xff", "unexpected EOF"),
        (MAGIC + b"\x0a\x0c\x0a\x02v9\x12\x06Nobody\x12\x00", 'no kind "Nobody" is registered'),
        (b'{"kind":"Nobody","apiVersion":"v9"}', 'no kind "Nobody" is registered'),
        (b'{"kind"', "unexpected end of JSON input"),
    ],
)
def test_what_cannot_be_read(value: bytes, text: str) -> None:
    with pytest.raises(Corrupt, match=text):
        forms().decode("/registry/secrets/default/a", value)


CUSTOM_KEY = "/registry/example.com/things/default/a"
CUSTOM = b'{"apiVersion":"example.com/v1","kind":"Thing","spec":{"a":"1","n":1.5}}'
CUSTOM_CBOR = bytes.fromhex(
    "d9d9f7 a3 446b696e64 455468696e67 4473706563 a2 4161 4131 416e f93e00"
    "4a61706956657273696f6e 4e6578616d706c652e636f6d2f7631"
)


def test_custom_objects_are_cbor_with_the_gate() -> None:
    made = StoredForms(catalog().schema_of, resources(), EXTRA, PROTOBUF, cbor=True)
    assert made.encode(CUSTOM_KEY, CUSTOM) == CUSTOM_CBOR
    assert forms().encode(CUSTOM_KEY, CUSTOM) == CUSTOM + b"\n"
    for reader in (made, forms()):
        assert reader.decode(CUSTOM_KEY, CUSTOM_CBOR) == CUSTOM
        assert reader.decode(CUSTOM_KEY, CUSTOM + b"\n") == CUSTOM
    # Kinds that are built in are what they were.
    for resource in resources():
        value = minimal(resource)
        assert made.encode(key_of(resource), value) == forms().encode(key_of(resource), value)
    with pytest.raises(Corrupt, match="no known form"):
        made.decode("/registry/secrets/default/a", CUSTOM_CBOR)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (CUSTOM_CBOR[:-1], "unexpected EOF"),
        (CUSTOM_CBOR + b"\0", "cbor: 1 bytes of extraneous data starting at index 56"),
        (CUSTOM_CBOR[:3], "unexpected EOF"),
        (CUSTOM_CBOR[:3] + b"\x01", "no known form"),
        (CUSTOM_CBOR[:3] + b"\xa2\x40\x00\x40\x00", "found duplicate map key"),
    ],
)
def test_custom_objects_that_cannot_be_read(value: bytes, text: str) -> None:
    with pytest.raises(Corrupt, match=text):
        forms().decode(CUSTOM_KEY, value)
