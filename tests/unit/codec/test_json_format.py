"""JSON as the real server reads and writes it."""

import json
import math
from typing import Any

import orjson
import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from kapi.codec import json_format, json_scanner
from kapi.codec.json_format import JsonNumber, JsonObject, JsonSyntaxError

WRONG = [
    (b"", "unexpected end of JSON input"),
    (b" ", "unexpected end of JSON input"),
    (b"{", "unexpected end of JSON input"),
    (b'{"a"', "unexpected end of JSON input"),
    (b'"te', "unexpected end of JSON input"),
    (b"[1,", "unexpected end of JSON input"),
    (b"{metadata: 1}", "invalid character 'm' looking for beginning of object key string"),
    (b'{"a":1,}', "invalid character '}' looking for beginning of object key string"),
    (b"{'a':1}", r"invalid character '\'' looking for beginning of object key string"),
    (b'{"a" 1}', "invalid character '1' after object key"),
    (b'{"a":1 // no', "invalid character '/' after object key:value pair"),
    (b"[1 2]", "invalid character '2' after array element"),
    (b"[1,]", "invalid character ']' looking for beginning of value"),
    (b'{"a":NaN}', "invalid character 'N' looking for beginning of value"),
    (b'{"a":+1}', "invalid character '+' looking for beginning of value"),
    (b'{"a":1} x', "invalid character 'x' after top-level value"),
    (b'{"a":1}\x0b', r"invalid character '\v' after top-level value"),
    (b"01", "invalid character '1' after top-level value"),
    (b"1.5.2", "invalid character '.' after top-level value"),
    (b"---\na: 1", "invalid character '-' in numeric literal"),
    (b"-", "invalid character ' ' in numeric literal"),
    (b"1.", "invalid character ' ' after decimal point in numeric literal"),
    (b"1.x", "invalid character 'x' after decimal point in numeric literal"),
    (b"1e", "invalid character ' ' in exponent of numeric literal"),
    (b"1e+x", "invalid character 'x' in exponent of numeric literal"),
    (b"nul", "invalid character ' ' in literal null (expecting 'l')"),
    (b"tru3", "invalid character '3' in literal true (expecting 'e')"),
    (b'"a\tb"', r"invalid character '\t' in string literal"),
    (b'"\x00"', r"invalid character '\x00' in string literal"),
    (b'"\\q"', "invalid character 'q' in string escape code"),
    (b'"\\', "invalid character ' ' in string escape code"),
    (b'{"a":"\\u00"}', r"""invalid character '"' in \u hexadecimal character escape"""),
    (b"\xef\xbb\xbf{}", "invalid character 'ï' looking for beginning of value"),
    (b"\xff\xfe{", "invalid character 'ÿ' looking for beginning of value"),
    (b"\x80", r"invalid character '\u0080' looking for beginning of value"),
    (b"[" * 10_001, "invalid character '[' exceeded max depth"),
    (b'{"a":' * 10_001, "invalid character '{' exceeded max depth"),
    (b"1e999", "json: cannot unmarshal number 1e999 into Go value of type float64"),
]


@pytest.mark.parametrize(("data", "message"), WRONG, ids=lambda x: str(x)[:30])
def test_bad_text_in_go_words(data: bytes, message: str) -> None:
    with pytest.raises(JsonSyntaxError) as caught:
        json_format.loads(data)
    assert str(caught.value) == message


@pytest.mark.parametrize("data", [d for d, m in WRONG if "unmarshal" not in m], ids=str)
def test_exact_reading_complains_alike(data: bytes) -> None:
    with pytest.raises(JsonSyntaxError) as plain:
        json_format.loads(data)
    with pytest.raises(JsonSyntaxError) as exact:
        json_format.loads_exact(data)
    assert str(plain.value) == str(exact.value)


def test_broken_text_is_repaired() -> None:
    assert json_format.loads(b'{"a":"x\xffy"}') == {"a": "x\ufffdy"}
    assert json_format.loads(b'"\xe2\x82"') == "\ufffd\ufffd"  # one for each byte
    assert json_format.loads(b'"\\ud800"') == "\ufffd"
    assert json_format.loads(b'"\\ud800\\ud800\\udc00"') == "\ufffd\U00010000"
    assert json_format.loads(b'"\\\\ud800"') == "\\ud800"


def test_ten_thousand_levels_there_and_back() -> None:
    for text in (b"[" * 10_000 + b"]" * 10_000, b'{"a":' * 9_999 + b"[]" + b"}" * 9_999):
        assert json_format.dumps(json_format.loads(text)) == text


def test_numbers() -> None:
    assert json_format.loads(b"18446744073709551615") == 2**64 - 1
    beyond = json_format.loads(b"18446744073709551616")
    assert isinstance(beyond, float)
    assert json_format.go_number(1.0) == 1
    assert isinstance(json_format.go_number(1.0), int)
    assert json_format.go_number(1e30) == 1e30
    assert isinstance(json_format.go_number(1e30), float)


def test_exact_keeps_spelling_order_and_repetition() -> None:
    value = json_format.loads_exact(b'{"b":1.0,"a":{"c":1e1,"c":2},"b":3}')
    assert isinstance(value, JsonObject)
    assert list(value) == ["b", "a"]
    assert value["b"] == JsonNumber("3")
    assert value.duplicates == ["b"]
    assert value.pairs[0] == ("b", "1.0")
    assert value["a"].duplicates == ["c"]
    assert isinstance(value["a"]["c"], JsonNumber)


@pytest.mark.parametrize(
    ("data", "repeated"),
    [
        (b'{"a":1,"b":{"a":1}}', False),
        (b'{"a":1,"a":1}', True),
        (b'{ "a" : 1 , "a" : 2, "b":3}', True),
        (b'{"x":[{"k":"a:b","k":"c:d"}]}', True),
        (b'{"a":1,"\\u0061":2}', True),
        (b'{"a":"\\u003a","a":"\\u003a\\u003a"}', True),
        (b'{"a":"\\u003a"}', False),
        (b'{"x":' + b"[" * 2_000 + b"]" * 2_000 + b',"x":1}', True),
    ],
)
def test_repeated_names_are_seen(data: bytes, repeated: bool) -> None:
    assert json_format.has_duplicates(data, json_format.loads(data)) is repeated


def test_dumps_escapes_as_go() -> None:
    assert json_format.dumps({"a": "<b>&\u2028\u2029é"}) == (
        '{"a":"\\u003cb\\u003e\\u0026\\u2028\\u2029é"}'.encode()
    )


def test_dumps_pretty() -> None:
    assert json_format.dumps_pretty({"a": [{}, []], "b": {"c": "<"}}) == (
        b'{\n  "a": [\n    {},\n    []\n  ],\n  "b": {\n    "c": "\\u003c"\n  }\n}'
    )
    assert (
        json_format.dumps_pretty({"a": [2**70]})
        == b'{\n  "a": [\n    1180591620717411303424\n  ]\n}'
    )


@pytest.mark.parametrize("bad", [{1: 2}, {"a": object()}, {"a": {1, 2}}])
def test_what_is_no_json_is_refused(bad: Any) -> None:
    for dump in (json_format.dumps, json_format.dumps_pretty, json_scanner.dump_deep):
        with pytest.raises(TypeError):
            dump(bad)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1"),
        (-0.0, "-0"),
        (0.1, "0.1"),
        (1.5e-5, "0.000015"),
        (-2e-6, "-0.000002"),
        (1e-7, "1e-7"),
        (1e16, "10000000000000000"),
        (1e21, "1e+21"),
        (1.5e300, "1.5e+300"),
    ],
)
def test_floats_as_go_writes_them(value: float, text: str) -> None:
    assert json_format.go_float(value) == text
    assert float(text) == value


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=20,
)


@seed(1)
@given(_VALUES)
@settings(max_examples=200, deadline=None)
def test_careful_and_fast_paths_agree(value: Any) -> None:
    fast = orjson.dumps(value)
    assert json_scanner.dump_deep(value) == fast
    assert json_scanner.dump_deep(value, indent=2) == orjson.dumps(
        value, option=orjson.OPT_INDENT_2
    )
    assert json_scanner.parse(json_format.dumps_pretty(value), exact=False) == value
    assert json_format.loads(json_format.dumps(value)) == value
    assert json_format.has_duplicates(fast, value) is False


@seed(2)
@given(
    st.binary(max_size=40) | st.text('{}[]:,"\\u0123tfnaelrs. -+eE', max_size=30).map(str.encode)
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_value_or_the_one_error(data: bytes) -> None:
    try:
        value = json_format.loads(data)
    except JsonSyntaxError:
        with pytest.raises(ValueError):
            json.loads(json_scanner.decode_utf8(data), parse_float=_finite, parse_constant=_refuse)
    else:
        assert json_format.loads(json_format.dumps(value)) == value


def _finite(text: str) -> float:
    if math.isinf(float(text)):
        raise ValueError(text)
    return float(text)


def _refuse(text: str) -> None:
    raise ValueError(text)
