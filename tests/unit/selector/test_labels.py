"""Label selectors: the real server's grammar and words, and a naive oracle for what they select."""

from __future__ import annotations

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.selector.labels import EVERYTHING, Requirement, Selector, parse

NAME_SHAPE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_SHAPE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value', "
    " or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("text", "requirements"),
    [
        ("", []),
        ("a", [("a", "exists")]),
        ("!a", [("a", "!")]),
        ("a=b", [("a", "=", "b")]),
        ("a==b", [("a", "==", "b")]),
        ("a != b", [("a", "!=", "b")]),
        ("a=", [("a", "=", "")]),
        ("a=,b", [("a", "=", ""), ("b", "exists")]),
        ("a = b ", [("a", "=", "b")]),
        ("a>1,b<-0", None),
        ("a>1,b<2", [("a", "gt", "1"), ("b", "lt", "2")]),
        ("a in (b)", [("a", "in", "b")]),
        ("a in (c,b,c)", [("a", "in", "b", "c")]),
        ("a in ()", [("a", "in", "")]),
        ("a in (,)", [("a", "in", "")]),
        ("a in (b,,c)", [("a", "in", "", "b", "c")]),
        ("a in (b,)", [("a", "in", "", "b")]),
        ("a notin(b)", [("a", "notin", "b")]),
        ("in in (in,notin)", [("in", "in", "in", "notin")]),
        ("in", [("in", "exists")]),
        ("x.io/a=b", [("x.io/a", "=", "b")]),
        ("a=b,a=c", [("a", "=", "b"), ("a", "=", "c")]),
        ("a\t=\nb", [("a", "=", "b")]),
        ("a=b\0c", None),
        ("\0a", []),
    ],
)
def test_parse(text: str, requirements: list[tuple[str, ...]] | None) -> None:
    if requirements is None:
        with pytest.raises(ApiError):
            parse(text)
        return
    found = [(r.key, r.operator, *r.values) for r in parse(text).requirements]
    assert found == requirements


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("=b", "found '=', expected: !, identifier, or 'end of string'"),
        ("a,", "found '', expected: identifier after ','"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("!a b", "found 'b', expected: ',' or 'end of string'"),
        ("!!a", "unable to parse requirement: found '!', expected: identifier"),
        ("a===b", "unable to parse requirement: found '=', expected: identifier"),
        ("a>=1", "unable to parse requirement: found '=', expected: identifier"),
        ("a=(b)", "unable to parse requirement: found '(', expected: identifier"),
        ("a in b", "unable to parse requirement: found 'b' expected: '('"),
        ("a in (", "unable to parse requirement: found '', expected: ',', ')' or identifier"),
        ("a in (b", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("a in (b c)", "unable to parse requirement: found 'c', expected: ',' or ')'"),
        ("a in (,,)", "unable to parse requirement: found ')', expected: ',', or identifier"),
        (
            "a>b",
            'unable to parse requirement: values[0]: Invalid value: "b": '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "a>99999999999999999999",
            "unable to parse requirement: values[0]: Invalid value: "
            "\"99999999999999999999\": for 'Gt', 'Lt' operators, the value must be an integer",
        ),
        (
            "a<-b",
            "unable to parse requirement: [values[0]: Invalid value: \"-b\": for 'Gt', 'Lt' "
            "operators, the value must be an integer, values[0][a]: Invalid value: "
            f'"-b": {VALUE_SHAPE}]',
        ),
        (
            "a=-b",
            f'unable to parse requirement: values[0][a]: Invalid value: "-b": {VALUE_SHAPE}',
        ),
        ("-a", f'unable to parse requirement: <nil>: Invalid value: "-a": {NAME_SHAPE}'),
        (
            "x/" + "n" * 64,
            f'unable to parse requirement: <nil>: Invalid value: "x/{"n" * 64}": '
            "name part must be no more than 63 bytes",
        ),
        (
            "a=" + "v" * 64,
            f'unable to parse requirement: values[0][a]: Invalid value: "{"v" * 64}": '
            "must be no more than 63 bytes",
        ),
        (
            "/a",
            'unable to parse requirement: <nil>: Invalid value: "/a": '
            "prefix part must be non-empty",
        ),
        (
            "a/b/c",
            'unable to parse requirement: <nil>: Invalid value: "a/b/c": a valid label key '
            + NAME_SHAPE.removeprefix("name part ")
            + " with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",
        ),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert (caught.value.code, caught.value.message) == (400, message)


KEYS = st.sampled_from(["a", "b", "x.io/c"])
VALUES = st.sampled_from(["", "1", "2", "10", "x", "y"])
REQUIREMENTS = st.one_of(
    st.tuples(st.sampled_from(["exists", "!"]), KEYS, st.just(("",))),
    st.tuples(st.sampled_from(["=", "==", "!="]), KEYS, st.tuples(VALUES)),
    st.tuples(st.sampled_from(["in", "notin"]), KEYS, st.lists(VALUES, min_size=1).map(tuple)),
    st.tuples(st.sampled_from(["gt", "lt"]), KEYS, st.tuples(st.sampled_from(["1", "5", "10"]))),
)


def written(operator: str, key: str, values: tuple[str, ...]) -> str:
    if operator in ("exists", "!"):
        return ("!" if operator == "!" else "") + key
    if operator in ("in", "notin"):
        return f"{key} {operator} ({','.join(values)})"
    return key + {"gt": ">", "lt": "<"}.get(operator, operator) + values[0]


def holds(operator: str, key: str, values: tuple[str, ...], labels: dict[str, str]) -> bool:
    there, value = key in labels, labels.get(key)
    if operator in ("gt", "lt"):
        if value is None or not value.isdigit():
            return False
        bound = int(values[0])
        return int(value) > bound if operator == "gt" else int(value) < bound
    return {
        "exists": there,
        "!": not there,
        "=": there and value == values[0],
        "==": there and value == values[0],
        "!=": not there or value != values[0],
        "in": there and value in values,
        "notin": not there or value not in values,
    }[operator]


@seed(5)
@given(st.lists(REQUIREMENTS, max_size=3), st.dictionaries(KEYS, VALUES))
def test_matches_like_the_oracle(
    requirements: list[tuple[str, str, tuple[str, ...]]], labels: dict[str, str]
) -> None:
    selector = parse(",".join(written(*r) for r in requirements))
    assert selector.matches(labels) == all(holds(*r, labels) for r in requirements)
    assert selector.empty == (not requirements)


@seed(6)
@given(st.text(alphabet="ab=!(),<> in\0-/.1é", max_size=12))
def test_any_text_is_a_selector_or_a_400(text: str) -> None:
    assert outcome(text) in (200, 400)


def outcome(text: str) -> int:
    try:
        parse(text).matches({"a": "b"})
    except ApiError as error:
        return error.code
    return 200


def test_a_lone_pair() -> None:
    texts = ("a=b", "a==b", "a in (b)", "a=", "a=b,c=d", "a in (b,c)", "a!=b", "a", "")
    pairs = [parse(text).pair for text in texts]
    assert pairs == [("a", "b")] * 3 + [("a", "")] + [None] * 5


def test_exact() -> None:
    selector = parse("a=b,c in (d),e in (f,g),h!=i,j")
    assert [selector.exact(k) for k in "acehj"] == ["b", "d", None, None, None]


def test_selectors_compare_by_what_they_require() -> None:
    assert parse("a=b") == Selector((Requirement("a", "=", ("b",)),))
    assert parse("") is EVERYTHING
    assert EVERYTHING.matches({})
