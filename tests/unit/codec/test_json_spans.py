"""The places of values in a JSON text, however it is written."""

from __future__ import annotations

import json
from typing import Any

import orjson
import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.codec.json_spans import EACH, spans

KEYS = st.sampled_from(["a", "b", 'q"', "\\", "é", "x]", ""])
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["", "}", '"', "\\", "a b", "[,", "\u2028"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip
PATHS = [("a",), ("a", "b"), ("b", EACH), ("b", EACH, "a"), (EACH,), (EACH, EACH), ()]


def at(value: Any, path: tuple[Any, ...]) -> Any:
    for step in path:
        value = value[step]
    return value


def count(value: Any, path: tuple[Any, ...]) -> int:
    if not path:
        return 1
    if path[0] is EACH:
        return sum(count(x, path[1:]) for x in value) if isinstance(value, list) else 0
    there = isinstance(value, dict) and path[0] in value
    return count(value[path[0]], path[1:]) if there else 0


@seed(1)
@given(VALUES, st.sampled_from([None, 1, 3]), st.booleans())
def test_what_stands_there_is_the_value(value: Any, indent: int | None, ascii_only: bool) -> None:
    text = json.dumps(value, indent=indent, ensure_ascii=ascii_only)
    data = f" \n{text}\t".encode("utf-8", "surrogatepass")
    found = spans(data, PATHS)
    for path, (start, stop) in found.items():
        assert json.loads(data[start:stop]) == at(value, path)
        assert data[start:stop].strip() == data[start:stop]
    assert len(found) == len(
        {place for path in PATHS for place in [*_places(value, path, ())]}
    )  # some paths may find the same
    assert all(count(value, path) == len([*_places(value, path, ())]) for path in PATHS)


def _places(value: Any, path: tuple[Any, ...], here: tuple[Any, ...]) -> list[tuple[Any, ...]]:
    if not path:
        return [here]
    if path[0] is EACH:
        steps: Any = range(len(value)) if isinstance(value, list) else ()
    else:
        steps = (path[0],) if isinstance(value, dict) and path[0] in value else ()
    return [p for s in steps for p in _places(value[s], path[1:], (*here, s))]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (b'{"a":1,"a": [2] }', b"[2]"),
        (b'{"\\u0061" : {"x":"}"} }', b'{"x":"}"}'),
        (b'{"b":"\\"a\\":3","a":4}', b"4"),
        (b'{"b":{"a":1},"a":null}', b"null"),
    ],
)
def test_names_repeated_escaped_or_elsewhere(text: bytes, shown: bytes) -> None:
    start, stop = spans(text, [("a",)])[("a",)]
    assert text[start:stop] == shown
    assert orjson.loads(text) is not None


def test_depth_is_no_matter() -> None:
    deep = b"[" * 5_000 + b"]" * 5_000
    text = b'{"x":' + deep + b',"a":' + deep + b"}"
    start, stop = spans(text, [("a",)])[("a",)]
    assert text[start:stop] == deep
