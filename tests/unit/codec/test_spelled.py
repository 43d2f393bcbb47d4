"""What JSON cannot say stands beside it in the store, and is gone where things go through JSON."""

from __future__ import annotations

import copy
from typing import Any

import orjson
import pytest

from kapi.codec import json_format
from kapi.codec.spelled import (
    PortName,
    PortNumber,
    Spelled,
    ordinary,
    port_name,
    port_number,
    same,
    spelled,
    split,
    text_of,
)

TEXT = b'{"b": 1.50, "a":"<\\u0041", "c":[ 1e2 ,{} ] }'
COMPACT = b'{"b":1.50,"a":"\\u003c\\u0041","c":[1e2,{}]}'


def raw(text: bytes = TEXT) -> Any:
    return spelled(orjson.loads(text), text)


def test_only_what_is_not_spelled_as_go_spells_a_map_is_kept() -> None:
    assert raw(b'{"a":1,"b":{"c":[]}}').__class__ is dict
    assert raw(b'{"b":1,"a":2}').__class__ is Spelled
    assert raw(b'{"a": 1}').__class__ is Spelled
    assert raw(b'{"a":1e2}').__class__ is Spelled
    assert raw(b'{"a":1,"a":1}').__class__ is Spelled
    assert spelled([1], b"[ 1 ]") == [1]  # what is no object is refused anyway


def test_json_shows_the_text_without_spaces_and_escaped() -> None:
    assert json_format.dumps({"data": raw(), "x": [raw()]}) == (
        b'{"data":%b,"x":[%b]}' % (COMPACT, COMPACT)
    )
    assert json_format.dumps_sorted({"b": 1, "a": raw()}) == b'{"a":%b,"b":1}' % COMPACT
    assert orjson.loads(json_format.dumps_pretty({"a": raw()})) == {"a": raw()}
    assert json_format.dumps([port_number(0, "http"), port_name("x", 5)]) == b'[0,"x"]'


def test_the_rest_stands_behind_the_json_and_comes_back() -> None:
    obj = {
        "kind": "K",
        "data": raw(),
        "list": [{"port": port_number(0, "http")}, {"port": port_name("x", -5)}],
    }
    value = json_format.dumps_kept(obj)
    text, rest = split(value)
    assert text == json_format.dumps(obj)
    assert rest.startswith(b"\n[[")
    back = json_format.loads_kept(value)
    assert back == obj
    assert text_of(back["data"]) == TEXT
    first, second = (entry["port"] for entry in back["list"])
    assert isinstance(first, PortNumber)
    assert first.text == "http"
    assert isinstance(second, PortName)
    assert second.number == -5
    assert json_format.dumps_kept(back) == value


@pytest.mark.parametrize("obj", [{}, {"a": [1, "]"]}, {"a": "\n[["}])
def test_where_there_is_nothing_to_keep_there_is_nothing(obj: Any) -> None:
    value = json_format.dumps_kept(obj)
    assert value == json_format.dumps(obj)
    assert split(value) == (value, b"")


def test_the_same_is_what_go_calls_the_same() -> None:
    assert same({"a": [raw()]}, {"a": [raw()]})
    assert not same({"a": [raw()]}, {"a": [orjson.loads(TEXT)]})
    assert not same(raw(b'{"b":1,"a":2}'), raw(b'{"a":2,"b":1}'))
    assert same({"x": 1, "y": raw()}, {"y": raw(), "x": 1})
    assert not same({"a": 1}, {"a": 2})
    assert same(None, None)


def test_copies_keep_it_and_what_was_changed_has_lost_it() -> None:
    obj = {"data": raw(), "port": port_number(0, "http")}
    twin = copy.deepcopy(obj)
    assert text_of(twin["data"]) == TEXT
    assert twin["data"]["c"] is not obj["data"]["c"]
    twin["data"]["b"] = 2
    assert text_of(twin["data"]) == b'{"a":"<A","b":2,"c":[100.0,{}]}'
    assert text_of(obj["data"]) == TEXT


def test_ordinary_values_for_who_looks_at_classes() -> None:
    plain = {"a": [1]}
    assert ordinary(plain) is plain
    assert ordinary(None) is None
    found = ordinary({"data": raw(), "port": port_name("x", 1)})
    assert found is not None
    assert found["data"].__class__ is dict
    assert found["port"].__class__ is str


def test_a_number_with_a_text_is_not_the_zero_value() -> None:
    assert port_number(0, "http")
    assert not port_number(0, "")
    assert port_name("", 5)
