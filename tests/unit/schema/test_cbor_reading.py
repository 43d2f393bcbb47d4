"""Documents read into built-in kinds: what is taken, and the real decoder's words for the rest."""

from __future__ import annotations

from base64 import b64decode
from random import Random
from typing import Any

import pytest
from cbor_vectors import VECTORS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from made_objects import CATALOG
from spoiled_bytes import spoiled

from kapi.codec.cbor_format import CborError, dumps
from kapi.schema import cbor_reading
from kapi.schema.cbor_reading import Typed
from kapi.schema.cbor_values import UnknownField
from kapi.schema.decoding import Decoders
from kapi.schema.structural import Schema

DECODERS = Decoders()
UNKNOWN_KIND = "unable to determine group/version/kind: "  # said by who calls


def schema_of(api_version: str, kind: str) -> Schema:
    found = CATALOG.schema_of(api_version, kind)
    assert found is not None
    return found


POD = schema_of("v1", "Pod")


@pytest.mark.parametrize(
    ("api_version", "kind", "strict", "form", "error", "complaint"),
    VECTORS["typed"],
    ids=lambda x: x[:60] if isinstance(x, str) and ":" in x else "",
)
def test_words(
    api_version: str, kind: str, strict: bool, form: str, error: str, complaint: str
) -> None:
    data, schema = b64decode(form), schema_of(api_version, kind)
    if error.startswith(UNKNOWN_KIND):
        with pytest.raises(CborError) as e:
            cbor_reading.type_meta(data)
        assert f"{UNKNOWN_KIND}{e.value}" == error
        return
    with pytest.raises(CborError) as e:
        Typed(data, strict=strict).whole(schema)
    if not complaint:
        assert str(e.value) == error
        return
    assert isinstance(e.value, UnknownField)
    assert f"strict decoding error: {e.value}" == complaint
    Typed(data).whole(schema)  # which is no error elsewhere


def read(document: str, *, strict: bool = False) -> Any:
    return Typed(bytes.fromhex(document.replace(" ", "")), strict=strict).whole(POD)


def test_null_is_nothing() -> None:
    assert read("f6") is None
    assert cbor_reading.object_of(b"\xf6") == {}
    assert cbor_reading.type_meta(b"\xf6") == ("", "")
    assert read(dumps({"kind": "Pod", "spec": None}).hex()) == {"kind": "Pod", "spec": None}


def test_either_kind_of_string() -> None:
    assert read("a1 64 6b696e64 63 506f64") == read("a1 44 6b696e64 43 506f64") == {"kind": "Pod"}
    assert read("bf 5f 42 6b69 42 6e64 ff 7f 63 506f64 ff ff") == {"kind": "Pod"}


def test_the_tag_may_come_again() -> None:
    assert read("d9d9f7 d9d9f7 a1 44 6b696e64 d9d9f7 43 506f64") == {"kind": "Pod"}


def test_unknown_fields() -> None:
    document = dumps({"kind": "Pod", "nope": {"a": [1]}, "metadata": {"name": "a", "no": 1}}).hex()
    assert read(document) == {"kind": "Pod", "metadata": {"name": "a"}}
    with pytest.raises(UnknownField, match=r"^cbor: found unknown field at map element index 1$"):
        read(document, strict=True)


def test_repeated_names_are_refused_in_any_case() -> None:
    twice = "a2 44 6b696e64 43 506f64 64 6b696e64 43 506f64"
    for strict in (False, True):
        with pytest.raises(CborError, match=r'found duplicate map key "?kind"? at map element'):
            read(twice, strict=strict)


def test_times() -> None:
    meta = {"metadata": {"creationTimestamp": "2024-01-02T03:04:05Z"}}
    assert read(dumps(meta).hex()) == meta
    with pytest.raises(CborError, match='parsing time "then" as "2006-01-02T15:04:05Z07:00"'):
        read(dumps({"metadata": {"creationTimestamp": "then"}}).hex())
    # In a document without types a tag tells that it is one.
    for form in ("c074 323032342d30312d30325430333a30343a30355a", "c11a65937d25"):
        found = cbor_reading.loads(bytes.fromhex(form.replace(" ", "")))
        assert found == "2024-01-02T03:04:05Z"


def test_the_first_thing_that_is_wrong_is_told() -> None:
    document = {"metadata": {"name": 1, "labels": []}, "spec": 2}
    with pytest.raises(CborError) as e:
        read(dumps(document).hex())
    assert str(e.value) == (
        "cbor: cannot unmarshal positive integer into "
        "Go struct field v1.Pod.metadata of type string"
    )


@settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=60,
    suppress_health_check=list(HealthCheck),
)
@given(st.randoms(use_true_random=False))
def test_spoiled_documents_are_read_or_refused(random: Random) -> None:
    for vector in VECTORS["encoded"]:
        data = b64decode(vector["cbor"])
        schema = schema_of(vector["json"]["apiVersion"], vector["json"]["kind"])
        raw = spoiled(data, random)
        try:
            value = Typed(raw, strict=random.random() < 0.5).whole(schema)
        except CborError:
            continue
        _, unknown = DECODERS.decode(schema, value)  # there is nothing left to be wrong with it
        assert not unknown
