"""Values to CBOR and back: the bytes of RFC 8949, and what the fast reader leaves to the other."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from spoiled_bytes import spoiled

from kapi.codec.cbor_format import (
    SELF_DESCRIBED,
    CborError,
    Raw,
    Unusual,
    dumps,
    dumps_sorted,
    event,
    extended,
    loads,
    opened,
    tagged,
)
from kapi.codec.json_format import DEPTH_KEPT_MAX
from kapi.codec.spelled import port_name, port_number, spelled
from kapi.schema import cbor_reading

EXAMPLES = settings(
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=150,
    suppress_health_check=list(HealthCheck),
)
TEXTS = st.text(st.characters(exclude_categories=["Cs"], max_codepoint=0xFFFFF))
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | TEXTS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(TEXTS, inner, max_size=5),
    max_leaves=25,
)

# The samples of RFC 8949, appendix A, that mean the same here; texts are byte strings.
SAMPLES: list[tuple[Any, str]] = [
    (0, "00"),
    (1, "01"),
    (10, "0a"),
    (23, "17"),
    (24, "1818"),
    (100, "1864"),
    (1000, "1903e8"),
    (1000000, "1a000f4240"),
    (1000000000000, "1b000000e8d4a51000"),
    (-1, "20"),
    (-10, "29"),
    (-100, "3863"),
    (-1000, "3903e7"),
    (-(2**63), "3b7fffffffffffffff"),
    (2**63 - 1, "1b7fffffffffffffff"),
    (0.0, "f90000"),
    (-0.0, "f98000"),
    (1.1, "fb3ff199999999999a"),
    (1.5, "f93e00"),
    (65504.0, "f97bff"),
    (100000.0, "fa47c35000"),
    (3.4028234663852886e38, "fa7f7fffff"),
    (1e300, "fb7e37e43c8800759c"),
    (5.960464477539063e-08, "f90001"),
    (6.103515625e-05, "f90400"),
    (-4.0, "f9c400"),
    (-4.1, "fbc010666666666666"),
    (False, "f4"),
    (True, "f5"),
    (None, "f6"),
    ("", "40"),
    ("a", "4161"),
    ("IETF", "4449455446"),
    ("\u00fc", "42c3bc"),
    ("\u6c34", "43e6b0b4"),
    ("\U00010151", "44f0908591"),
    ("x" * 24, "5818" + "78" * 24),
    ([], "80"),
    ([1, 2, 3], "83010203"),
    ([1, [2, 3], [4, 5]], "8301820203820405"),
    (list(range(1, 26)), "98190102030405060708090a0b0c0d0e0f101112131415161718181819"),
    ({}, "a0"),
    ({"a": 1, "b": [2, 3]}, "a241610141628202" + "03"),
    (["a", {"b": "c"}], "824161a141624163"),
]


@pytest.mark.parametrize(("value", "form"), SAMPLES, ids=[form[:24] for _, form in SAMPLES])
def test_samples(value: Any, form: str) -> None:
    data = bytes.fromhex(form)
    assert dumps(value) == dumps_sorted(value) == data
    for found in (loads(data), cbor_reading.value_of(data)):
        assert found == value
        assert found.__class__ is value.__class__
        assert str(found) == str(value)  # -0.0


def test_text_strings_are_texts_too() -> None:
    assert loads(bytes.fromhex("a26161016162820203")) == {"a": 1, "b": [2, 3]}
    assert loads(bytes.fromhex("62c3bc")) == "ü"


def test_what_is_no_json() -> None:
    for write in (dumps, dumps_sorted):
        with pytest.raises(TypeError):
            write({"a": b""})
    assert dumps(2**64) == bytes.fromhex("fa5f800000")  # the float that Go makes of it
    assert dumps([Raw(b"\x01"), 2]) == bytes.fromhex("820102")


def test_values_that_know_more_than_they_show() -> None:
    value = {
        "a": port_number(80, "x"),
        "b": port_name("x", 80),
        "c": spelled({"d": 1}, b'{"d": 1}'),
    }
    shown = {"a": 80, "b": "x", "c": {"d": 1}}
    assert dumps(value) == dumps_sorted(value) == dumps(shown)


def test_names_are_in_the_order_of_their_bytes() -> None:
    value = {"bb": 1, "é": {"b": 1, "a": 2}, "a": 3, "x" * 70: 4}
    assert list(loads(dumps(value))) == list(value)
    assert list(loads(dumps_sorted(value))) == ["a", "bb", "é", "x" * 70]
    assert list(loads(dumps_sorted(value))["é"]) == ["a", "b"]


@EXAMPLES
@given(VALUES)
def test_there_and_back(value: Any) -> None:
    for data in (dumps(value), dumps_sorted(value), tagged(dumps(value)), tagged(tagged(b"\xf6"))):
        found = loads(data)
        assert repr(found) == repr(cbor_reading.value_of(data))
    assert repr(loads(dumps(value))) == repr(value)
    assert loads(dumps_sorted(value)) == value


@EXAMPLES
@given(VALUES, st.randoms(use_true_random=False))
def test_the_fast_reader_agrees_or_leaves_it(value: Any, random: Random) -> None:
    """And never anything but `Unusual`, nor the careful one anything but `CborError`."""
    data = tagged(dumps(value))
    for _ in range(4):
        raw = spoiled(data, random)
        try:
            careful = repr(cbor_reading.value_of(raw))
        except CborError:
            careful = ""
        try:
            fast = repr(loads(raw))
        except Unusual:
            continue
        assert fast == careful, raw


def test_text_that_is_no_text_stays_as_it_is() -> None:
    """A byte string may be no UTF-8: it is kept, and written as it was."""
    data = bytes.fromhex("a1 4161 42fffe")
    with pytest.raises(Unusual):
        loads(data)
    assert dumps(cbor_reading.loads(data)) == data


HOSTILE = {
    "deep arrays": b"\x81" * 100_000,
    "deep maps": b"\xa1\x40" * 100_000,
    "deep tags": b"\xd7" * 100_000,
    "deep open arrays": b"\x9f" * 100_000,
    "an array that is said to be long": b"\x9b\x7f" + b"\xff" * 7,
    "a long one within the limits": b"\x9a\x7f\xff\xff\xff" + b"\x00" * 1000,
    "a map that is said to be long": b"\xba\x00\x20\x00\x00" + b"\x40\x00" * 1000,
    "a string that is said to be long": b"\x5b\x7f" + b"\xff" * 7,
    "many parts of a string": b"\x5f" + b"\x40" * 100_000,
    "one name again and again": b"\xba\x00\x01\x00\x00" + b"\x40\x00" * 0x10000,
    "breaks": b"\xff" * 100_000,
    "many small ones": b"\x9a\x00\x01\x00\x00" + b"\x00" * 0xFFFF,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_documents_are_refused(name: str) -> None:
    data = HOSTILE[name]
    with pytest.raises(CborError):
        cbor_reading.loads(data)
    with pytest.raises(CborError):
        cbor_reading.object_of(data)
    with pytest.raises(CborError):
        cbor_reading.type_meta(data)


def test_depth() -> None:
    deep = b"\x81" * DEPTH_KEPT_MAX + b"\x00"
    assert cbor_reading.loads(deep) == cbor_reading.value_of(deep)
    for more in (b"\x81" + deep, b"\x81" * 9_999 + b"\x00"):
        with pytest.raises(CborError, match="exceeded max nested level 10000"):
            cbor_reading.loads(more)


def test_events_and_lists() -> None:
    obj = dumps({"metadata": {"name": "a"}})
    found = event("ADDED", obj)
    assert found.count(SELF_DESCRIBED) == 2
    assert cbor_reading.loads(found) == {"type": "ADDED", "object": {"metadata": {"name": "a"}}}
    head = opened({"kind": "PodList", "metadata": {}}, "items", 2)
    assert loads(head + obj + obj) == {
        "kind": "PodList",
        "metadata": {},
        "items": [{"metadata": {"name": "a"}}, {"metadata": {"name": "a"}}],
    }
    assert loads(extended(obj, {"kind": "Pod"})) == {"kind": "Pod", "metadata": {"name": "a"}}
