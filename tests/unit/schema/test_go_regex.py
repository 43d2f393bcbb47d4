"""Patterns as Go reads them: what matches, what is refused how it is said, and the time."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.schema.go_regex import GoRegexError, compile_go
from kapi.schema.go_regex_syntax import check


@pytest.mark.parametrize(
    ("pattern", "text", "found"),
    [
        ("^a+$", "aaa", True),
        ("^a+$", "aaa\n", False),
        ("b", "abc", True),
        ("", "", True),
        (r"^\d+$", "١٢", False),
        (r"^\w+$", "é", False),
        (r"^\pL+$", "éß漢", True),
        (r"^\p{Greek}+$", "αβγ", True),
        (r"^\P{Greek}+$", "αβγ", False),
        (r"^[[:alpha:]]+$", "aé", False),
        (r"^[^\D]+$", "123", True),
        ("(?i)^ABC$", "abc", True),
        ("(?i:a)B", "AB", True),
        ("(?s)^a.b$", "a\nb", True),
        ("^a.b$", "a\nb", False),
        ("(?m)^b$", "a\nb", True),
        (r"\Qa.b\E", "a.b", True),
        (r"\Qa.b\E", "axb", False),
        (r"^\x{1F600}$", "😀", True),
        (r"^.$", "😀", True),
        (r"\Aa\z", "a", True),
        (r"^(?P<year>\d{4})-(?<month>\d\d)$", "2026-11", True),
        (r"^\101$", "A", True),
        ("^{a}$", "{a}", True),
        ("^x{,3}$", "x{,3}", True),
        ("a\x00b", "a\x00b", True),
        (r"^[\p{L}0-9 ]{1,1000}$", "Straße 7", True),
        (r"^[\p{L}0-9 ]{1,1000}$", "Straße 7!", False),
    ],
)
def test_what_matches(pattern: str, text: str, found: bool) -> None:
    assert compile_go(pattern).matches(text) is found


@pytest.mark.parametrize(
    ("pattern", "words"),
    [
        ("(a", "missing closing ): `(a`"),
        ("a)", "unexpected ): `a)`"),
        ("[a", "missing closing ]: `[a`"),
        ("a**", "invalid nested repetition operator: `**`"),
        ("*a", "missing argument to repetition operator: `*`"),
        ("(?i)*", "missing argument to repetition operator: `*`"),
        (r"\Q\E*", "missing argument to repetition operator: `*`"),
        ("a|*", "missing argument to repetition operator: `*`"),
        ("a{1001}", "invalid repeat count: `{1001}`"),
        ("a{3,2}", "invalid repeat count: `{3,2}`"),
        ("a{99999999999999999999}", "invalid repeat count: `{99999999999999999999}`"),
        ("(a{100}){100}", "invalid repeat count: `{100}`"),
        ("a\\", "trailing backslash at end of expression: ``"),
        (r"\8", r"invalid escape sequence: `\8`"),
        (r"\C", r"invalid escape sequence: `\C`"),
        (r"\y", r"invalid escape sequence: `\y`"),
        (r"\x{110000}", r"invalid escape sequence: `\x{`"),
        (r"\pX", r"invalid character class range: `\pX`"),
        (r"[\p{Foo}]", r"invalid character class range: `\p{Foo}`"),
        ("[[:foo:]]", "invalid character class range: `[:foo:]`"),
        ("[z-a]", "invalid character class range: `z-a`"),
        ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
        ("(?<!a)b", "invalid named capture: `(?<!a)b`"),
        ("(?P<a-b>c)", "invalid named capture: `(?P<a-b>`"),
        ("(?P<n", "invalid named capture: `(?P<n`"),
        ("(?i", "missing closing ): `(?i`"),
        ("(?i-)a", "invalid or unsupported Perl syntax: `(?i-)`"),
        ("(" * 1001 + ")" * 1001, f"expression nests too deeply: `{'(' * 1001}{')' * 1001}`"),
    ],
)
def test_what_is_refused(pattern: str, words: str) -> None:
    with pytest.raises(GoRegexError) as e:
        compile_go(pattern)
    assert str(e.value) == f"error parsing regexp: {words}"


def test_a_pattern_that_python_would_try_for_ever() -> None:
    pattern = compile_go("^(a+)+$")
    started = time.process_time()
    assert not pattern.matches("a" * 100_000 + "b")
    assert time.process_time() - started < 5


def test_finding() -> None:
    digits = compile_go("[0-9]+")
    assert digits.find("é1ß22") == "1"
    assert digits.find("é") == ""
    assert list(digits.find_all("é1ß22")) == ["1", "22"]
    assert list(compile_go("a*").find_all("baac")) == ["", "aa", ""]


PIECES = st.sampled_from(
    [
        "a",
        "b",
        "(",
        ")",
        "[",
        "]",
        "^",
        "$",
        "*",
        "+",
        "?",
        "{2}",
        "{2,}",
        "|",
        "\\d",
        "\\pL",
        "\\b",
        "\\.",
        "-",
        ".",
        "(?:",
        "(?i)",
        "[^a]",
        "[[:digit:]]",
        "\\Q",
        "\\E",
        "é",
        "\\x41",
    ]
)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(PIECES, max_size=8).map("".join), st.text("ab1.é-", max_size=6))
def test_any_pattern_is_compiled_or_refused(pattern: str, text: str) -> None:
    try:
        found = compile_go(pattern)
    except GoRegexError:
        return
    check(pattern)
    assert found.matches(text) in (True, False)
    assert (text[:0] + found.find(text)) in text


@settings(max_examples=200, derandomize=True, deadline=None)
@given(
    st.lists(st.sampled_from(["a", "b", "[ab]", "[^a]", "(a|b)", "a*", "b+", "(ab)?"]), max_size=5),
    st.text("abc", max_size=8),
)
def test_the_plain_part_means_what_it_means_in_python(parts: list[str], text: str) -> None:
    pattern = "".join(parts)
    assert compile_go(f"^{pattern}$").matches(text) == (re.fullmatch(pattern, text) is not None)
