"""Documents that are refused, in the real decoder's words; and the walk over those that are not."""

from __future__ import annotations

from typing import Any

import pytest
from cbor_vectors import VECTORS

from kapi.codec.cbor_diagnosis import diagnosed
from kapi.codec.cbor_format import ARRAY, BYTE_STRING, MAP, CborError, Unusual, loads
from kapi.codec.cbor_scanner import Scanner, check
from kapi.schema import cbor_reading


@pytest.mark.parametrize(("form", "words"), VECTORS["refused"], ids=lambda x: x[:40])
def test_words(form: str, words: str) -> None:
    data = bytes.fromhex(form)
    with pytest.raises(CborError) as e:
        cbor_reading.loads(data)
    assert str(e.value) == words
    with pytest.raises(Unusual):
        loads(data)


@pytest.mark.parametrize(
    ("form", "value", "notation"), VECTORS["values"], ids=lambda x: str(x)[:40]
)
def test_values(form: str, value: Any, notation: str) -> None:
    data = bytes.fromhex(form)
    check(data)
    found = cbor_reading.loads(data)
    assert found == value
    assert cbor_reading.value_of(data) == value
    assert diagnosed(data) == notation


def test_depth() -> None:
    assert check(bytes.fromhex("00")) == 0
    assert check(bytes.fromhex("80")) == 1
    assert check(bytes.fromhex("8182a14040d7d7f6")) == 3
    assert check(b"\x81" * 10_000 + b"\x00") == 10_000
    with pytest.raises(CborError, match="exceeded max nested level 10000"):
        check(b"\x81" * 10_001 + b"\x00")


def test_a_walk() -> None:
    data = bytes.fromhex("a2 4161 9f 01 5f 4162 4163 ff ff d9d9f7 60 f9 3e00 7a".replace(" ", ""))
    scanner = Scanner(data)
    assert scanner.major() == MAP
    turns = scanner.indices()
    assert next(turns) == 0
    assert scanner.string() == b"a"
    assert scanner.major() == ARRAY
    items = scanner.indices()
    assert next(items) == 0
    scanner.skip()
    assert next(items) == 1
    assert scanner.major() == BYTE_STRING
    assert scanner.string() == b"bc"
    assert next(items, None) is None
    assert next(turns) == 1
    scanner.skip()  # the tag, and what is in it
    _, info, _ = scanner.head()
    assert scanner.float(info) == 1.5
    assert next(turns, None) is None
    assert data[scanner.at :] == b"\x7a"


@pytest.mark.parametrize(
    ("form", "notation"),
    [
        ("a2446b696e6443506f64416e01", "{'kind': 'Pod', 'n': 1}"),
        ("826161f93c00", '["a", 1.0]'),
        ("d9d9f7a0", "55799({})"),
        ("42fffe", "h'fffe'"),
        ("9f01ff", "[_ 1]"),
        ("620a22", '"\\n\\""'),
    ],
)
def test_notation(form: str, notation: str) -> None:
    assert diagnosed(bytes.fromhex(form)) == notation
