"""Field selectors: the real server's grammar and words, and a naive oracle for what they select."""

from __future__ import annotations

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.errors import ApiError
from kapi.selector.fields import EVERYTHING, Term, named, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", []),
        (",", []),
        ("a=b", [("a", True, "b")]),
        ("a==b", [("a", True, "b")]),
        ("a!=b", [("a", False, "b")]),
        ("a=", [("a", True, "")]),
        ("=b", [("", True, "b")]),
        ("z=1,a=2,", [("a", True, "2"), ("z", True, "1")]),
        ("a=b,,c=d", [("a", True, "b"), ("c", True, "d")]),
        (r"a=b\,c\=d\\", [("a", True, r"b,c=d" + "\\")]),
        ("a=b!c", [("a", True, "b!c")]),
        ("a b=c", [("a b", True, "c")]),
    ],
)
def test_parse(text: str, terms: list[tuple[str, bool, str]]) -> None:
    assert list(parse(text).terms) == [Term(*t) for t in terms]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nope", "invalid selector: 'nope'; can't understand 'nope'"),
        ("b=1,a", "invalid selector: 'b=1,a'; can't understand 'a'"),
        ("a>1", "invalid selector: 'a>1'; can't understand 'a>1'"),
        ("a=b\\", "invalid field selector: invalid escape sequence: \\"),
        (r"a=b\x", r"invalid field selector: invalid escape sequence: \x"),
        ("a=b=c", "invalid field selector: unescaped character in value: 61"),
        ("a===c", "invalid field selector: unescaped character in value: 61"),
    ],
)
def test_refusals(text: str, message: str) -> None:
    with pytest.raises(ApiError) as caught:
        parse(text)
    assert (caught.value.code, caught.value.message) == (400, message)


def test_unsupported_fields_are_refused_in_one_of_two_ways() -> None:
    selector = parse("metadata.name=a,spec.x=1")
    selector.check({"metadata.name", "spec.x"}, known=True)
    with pytest.raises(ApiError) as caught:
        selector.check({"metadata.name"}, known=True)
    assert caught.value.message == "field label not supported: spec.x"
    with pytest.raises(ApiError) as caught:
        selector.check({"metadata.name"}, known=False)
    assert caught.value.message == (
        '"spec.x" is not a known field selector: only "metadata.name", "metadata.namespace"'
    )


FIELDS = st.sampled_from(["a", "b", "metadata.name"])
VALUES = st.text(alphabet="xy,=\\! ", max_size=4)
TERMS = st.lists(st.tuples(FIELDS, st.sampled_from(["=", "==", "!="]), VALUES), max_size=3)


def escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace(",", "\\,").replace("=", "\\=")


@seed(7)
@given(TERMS, st.dictionaries(FIELDS, VALUES))
def test_matches_like_the_oracle(terms: list[tuple[str, str, str]], fields: dict[str, str]) -> None:
    selector = parse(",".join(f + op + escaped(v) for f, op, v in terms))
    expected = all((fields.get(f, "") == v) != (op == "!=") for f, op, v in terms)
    assert selector.matches(fields) == expected
    assert selector.empty == (not terms)


@seed(8)
@given(st.text(alphabet="ab=!,\\", max_size=10))
def test_any_text_is_a_selector_or_a_400(text: str) -> None:
    assert outcome(text) in (200, 400)


def outcome(text: str) -> int:
    try:
        parse(text).matches({})
    except ApiError as error:
        return error.code
    return 200


def test_exact_and_without() -> None:
    selector = parse("metadata.name=a,b!=c")
    assert selector.exact("metadata.name") == "a"
    assert selector.exact("b") is None
    assert selector.without("metadata.name") == parse("b!=c")
    assert named("a") == parse("metadata.name=a")
    assert EVERYTHING.matches({"a": "b"})
