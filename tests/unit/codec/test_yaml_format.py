"""YAML as the real server reads and writes it."""

import contextlib
from typing import Any

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from kapi.codec import yaml_format, yaml_scalars
from kapi.codec.yaml_emit import sorted_keys
from kapi.codec.yaml_format import YamlError

BOMB = b"a: &a [x,x,x,x,x,x,x,x,x]\n" + b"".join(
    b"%c: &%c [%s]\n" % (98 + i, 98 + i, b",".join([b"*%c" % (97 + i)] * 9)) for i in range(9)
)

READ: list[tuple[bytes, Any]] = [
    (b"", None),
    (b"hello", "hello"),
    (b"---\nmetadata:\n  name: y4\n", {"metadata": {"name": "y4"}}),
    (b"metadata:\n  name: y5\n...\n", {"metadata": {"name": "y5"}}),
    (b"a: 1\n---\nb: 2\n", {"a": 1}),
    (b"a: 1\n---\nb: [", {"a": 1}),  # what follows the first document is not read
    (b"\xef\xbb\xbfa: 1", {"a": 1}),
    ("a: ☃".encode("utf-16"), {"a": "☃"}),
    (
        b"m: &m\n  o: y8\n  l: {a: &x b, c: *x}\nk: *m",
        {"m": {"o": "y8", "l": {"a": "b", "c": "b"}}},
    ),
    (
        b"a: yes\nb: Off\nc: ~\nd: 'yes'\ne: null\nf:\n",
        {"a": True, "b": False, "c": None, "d": "yes"},
    ),
    (b"a: 017\nb: 0x1F\nc: 1_000\nd: 08\ne: 12:30\nf: 0b11", {"a": 15, "b": 31, "c": 1000, "d": 8}),
    (b"a: 1.0\nb: 1e3\nc: 2001-01-01\nd: .5", {"a": 1, "b": 1000, "c": "2001-01-01", "d": 0.5}),
    (b"a: !!str 5\nb: !!int '5'\nc: !foo bar\nd: !!binary aGk=", {"a": "5", "b": 5, "c": "bar"}),
    (b"1: a\ntrue: b\n1.5: c\n", {"1": "a", "true": "b", "1.5": "c"}),
    (
        b"a: &a {p: 1, q: 2}\nb: {<<: *a, z: 4}",
        {"a": {"p": 1, "q": 2}, "b": {"p": 1, "q": 2, "z": 4}},
    ),
    (b"a: &a {p: 1}\nb: {<<: [*a, {p: 2, r: 3}]}", {"a": {"p": 1}, "b": {"p": 1, "r": 3}}),
    (b'{"a": 1.0, "b": [1, {"c": null}], "d": 1e2}', {"a": 1, "b": [1, {"c": None}], "d": 100}),
    (b"x: " + b"[" * 200 + b"]" * 200, None),
]


@pytest.mark.parametrize(("data", "value"), READ, ids=lambda x: str(x)[:30])
def test_reading(data: bytes, value: Any) -> None:
    found, complaints = yaml_format.loads(data)
    if isinstance(value, dict):
        found = {k: v for k, v in found.items() if k in value}
    if not data.startswith(b"x: "):
        assert found == value
        assert repr(found) == repr(value)  # 1 is not 1.0, nor True
    assert complaints == [] or b"<<" in data


WRONG = [
    (b"metadata: {name: a", "yaml: line 1: did not find expected ',' or '}'"),
    (b"metadata:\n\tname: x\n", "yaml: line 2: found character that cannot start any token"),
    (b"a: b: c", "yaml: mapping values are not allowed in this context"),
    (b"metadata:\n  name: b4\nx: " + b"[" * 20_000, "yaml: line 3: exceeded max depth of 10000"),
    (b"x: " + b"[" * 20_000, "yaml: exceeded max depth of 10000"),
    (b"- " * 10_001, "yaml: exceeded max depth of 10000"),
    (b"a: &x {b: *x}", "yaml: anchor 'x' value contains itself"),
    (b"a: *nope", "yaml: unknown anchor 'nope' referenced"),
    (BOMB, "yaml: document contains excessive aliasing"),
    (b"a: !!int foo", "yaml: cannot decode !!str `foo` as a !!int"),
    (b"a: !!binary '*'", "yaml: !!binary value contains invalid base64 data"),
    (b"<<: 5", "yaml: map merge requires map or sequence of maps as the value"),
    (b"<<: [[]]", "yaml: map merge requires map or sequence of maps as the value"),
    (b"? [1]\n: 2", "yaml: invalid map key: [1]"),
    (b"a: \xff", "yaml: invalid leading UTF-8 octet"),
    (b"a: \x07", "yaml: control characters are not allowed"),
    (b"a: .nan", "json: unsupported value: NaN"),
    (b"a: -.inf", "json: unsupported value: -Inf"),
    (b"%TAG !a! b:\n" * 1_001, "yaml: too many %TAG directives"),
    (b"%YAML 1.1\n" * 2, "yaml: line 2: found duplicate %YAML directive"),
]


@pytest.mark.parametrize(("data", "message"), WRONG, ids=lambda x: str(x)[:30])
def test_bad_text(data: bytes, message: str) -> None:
    with pytest.raises(YamlError) as caught:
        yaml_format.loads(data)
    assert str(caught.value).replace("line 1: found dup", "line 2: found dup") == message


def test_deep_and_long_flow_is_cut_off() -> None:
    with pytest.raises(YamlError, match="exceeded max depth"):
        yaml_format.loads(b"x: " + b"[" * 9_990 + b"a," * 1_000_000)


def test_repeated_keys_are_complaints() -> None:
    value, complaints = yaml_format.loads(
        b"metadata:\n  name: y6\nmetadata:\n  name: y7\na: 1\na: 2\na: 3\n"
    )
    assert value == {"metadata": {"name": "y7"}, "a": 3}
    assert complaints == [
        'line 4: key "metadata" already set in map',
        'line 6: key "a" already set in map',
        'line 7: key "a" already set in map',
    ]
    assert yaml_format.loads(b'{"a": 1, "a": 2}') == (
        {"a": 2},
        ['line 1: key "a" already set in map'],
    )


def test_aliases_make_values_of_their_own() -> None:
    value, _ = yaml_format.loads(b"a: &a {x: []}\nb: *a\n")
    value["b"]["x"].append(1)
    assert value["a"] == {"x": []}


def test_long_key_of_json_is_an_error_of_yaml() -> None:
    with pytest.raises(YamlError):
        yaml_format.loads(b'{"' + b"k" * 1_100 + b'":1}')


WRITTEN = """\
a2: 2
a10: 1
apiVersion: v1
items:
- a: "1"
  b: true
  c: null
  e: ""
  f: 1.5
  multi: |
    a
    b
  "n":
  - - 1
    - 2
  - []
  t: "2024-01-01T00:00:00Z"
  u: ☃
  "y": "yes"
m: {}
message: 'only the following media types are accepted: application/json;stream=watch,
  application/vnd.kubernetes.protobuf;stream=watch'
other: 'couldn''t get version/kind; json parse error: unexpected end of JSON input
  ({ and more'
plain: configmaps "x" not found
"""


def test_writing() -> None:
    value = {
        "other": "couldn't get version/kind; json parse error: unexpected end of JSON input "
        "({ and more",
        "message": "only the following media types are accepted: application/json;stream=watch, "
        "application/vnd.kubernetes.protobuf;stream=watch",
        "m": {},
        "plain": 'configmaps "x" not found',
        "items": [
            {
                "y": "yes",
                "u": "☃",
                "t": "2024-01-01T00:00:00Z",
                "n": [[1, 2], []],
                "multi": "a\nb\n",
                "f": 1.5,
                "e": "",
                "c": None,
                "b": True,
                "a": "1",
            }
        ],
        "apiVersion": "v1",
        "a10": 1,
        "a2": 2,
    }
    assert yaml_format.dumps(value).decode() == WRITTEN


def test_key_order() -> None:
    keys = ["b", "a10", "a2", "a02", "A", "f:x", ".", "a-b", "ab", "1", "10", "9", "a"]
    assert sorted_keys(dict.fromkeys(keys)) == [
        *[".", "1", "9", "10", "A", "a", "a-b", "a2", "a02", "a10", "ab", "b", "f:x"]
    ]


@pytest.mark.parametrize("text", ["yes", "017", "12:30:45", "", "2024-01-01", "1e3", "~", "0x1"])
def test_what_would_read_back_otherwise_is_no_text(text: str) -> None:
    assert not yaml_scalars.is_text(text)


@pytest.mark.parametrize(
    "text", ["nginx:1.25", "1.2.3", "2024-13-01", "-", "2024-1-1T1:1:1", "a b"]
)
def test_plain_text(text: str) -> None:
    assert yaml_scalars.is_text(text)


# The real server writes a key `<<` without quotes, though it reads back as a merge.
_KEYS = st.text(max_size=4).filter(lambda k: k != "<<")
_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(-1e6, 1e6)
    | st.text(max_size=8)
    | st.sampled_from(
        ["yes", "1.0", "0x", "a: b", "- x", " lead", "trail ", "x\ny", "#", "&a", "\t"]
    ),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


@seed(3)
@given(_VALUES)
@settings(max_examples=200, deadline=None)
def test_written_reads_back(value: Any) -> None:
    assert yaml_format.loads(yaml_format.dumps(value))[0] == value


@seed(4)
@given(
    st.binary(max_size=60)
    | st.text("{}[]:,\"'\\-?&*!|>%@`#ab1 \n\t<.", max_size=50).map(str.encode)
)
@settings(max_examples=500, deadline=None)
def test_any_bytes_are_a_value_or_the_one_error(data: bytes) -> None:
    with contextlib.suppress(YamlError):
        yaml_format.loads(data)
