"""What is wrong with texts that are no expressions: the words and the places of ANTLR."""

from __future__ import annotations

import pytest
from hypothesis import given, seed, settings
from hypothesis import strategies as st

from kapi.cel import macros
from kapi.cel.parser import parse
from kapi.cel.source import CompileError

LITERALS = "'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
STARTS = "{'[', '{', '(', '.', '-', '!', " + LITERALS


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ('self.a >', ["1:9: mismatched input '<EOF>' expecting STARTS"]),
        ('Upper_Case! x', ["1:11: mismatched input '!' expecting <EOF>"]),
        ('a b', ["1:3: extraneous input 'b' expecting <EOF>"]),
        ('(a', ["1:3: missing ')' at '<EOF>'"]),
        ('a)', ["1:2: extraneous input ')' expecting <EOF>"]),
        ('[1,2', ["1:5: mismatched input '<EOF>' expecting {']', ','}"]),
        ('{1:}', ["1:4: mismatched input '}' expecting STARTS"]),
        ('{1 2}', ["1:4: missing ':' at '2'"]),
        ('"abc',
         ['1:1: token recognition error at: \'"abc\'',
          "1:5: mismatched input '<EOF>' expecting STARTS"]),
        ('a ? b', ["1:6: mismatched input '<EOF>' expecting ':'"]),
        ('a..b', ["1:3: no viable alternative at input '..'"]),
        ('a.b.', ["1:5: no viable alternative at input '.'"]),
        ('&&',
         ["1:1: mismatched input '&&' expecting STARTS",
          "1:3: mismatched input '<EOF>' expecting STARTS"]),
        ('a & b',
         ["1:3: token recognition error at: '& '",
          "1:5: extraneous input 'b' expecting <EOF>"]),
        ('a == == b', ["1:6: extraneous input '==' expecting STARTS"]),
        ('"\\q"',
         ['1:1: token recognition error at: \'"\\q\'',
          '1:4: token recognition error at: \'"\'',
          "1:5: mismatched input '<EOF>' expecting STARTS"]),
        ('f(,)',
         ["1:3: extraneous input ',' expecting {'[', '{', '(', ')', '.', '-', '!', LITERALS"]),
        ('f(a,', ["1:5: mismatched input '<EOF>' expecting STARTS"]),
        ('a.b(c d)', ["1:7: extraneous input 'd' expecting ')'"]),
        ('[1,,2]', ["1:4: mismatched input ',' expecting ']'"]),
        ('-',
         ["1:2: mismatched input '<EOF>' expecting STARTS",
          "1:2: no viable alternative at input '-'"]),
        ('- }',
         ["1:3: mismatched input '}' expecting STARTS",
          "1:3: no viable alternative at input '- }'"]),
        ('x.y(',
         ["1:5: mismatched input '<EOF>' expecting {'[', '{', '(', ')', '.', '-', '!', LITERALS"]),
        ('{',
         ["1:2: mismatched input '<EOF>' expecting "
          "{'[', '{', '}', '(', '.', ',', '-', '!', '?', LITERALS"]),
        ('a, b', ["1:2: mismatched input ',' expecting <EOF>"]),
        ('A.B{c: 1, : 2}', ["1:11: mismatched input ':' expecting '}'"]),
        ('a[',
         ["1:3: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', '?', LITERALS"]),
        ('[3.].a(1 + 1)', ["1:4: no viable alternative at input '.]'"]),
        ('1 # 2',
         ["1:3: token recognition error at: '#'",
          "1:5: extraneous input '2' expecting <EOF>"]),
        ('a = b',
         ["1:3: token recognition error at: '= '",
          "1:5: extraneous input 'b' expecting <EOF>"]),
        ('a ? : b',
         ["1:5: extraneous input ':' expecting STARTS",
          "1:8: mismatched input '<EOF>' expecting ':'"]),
        ('{"a": }', ["1:7: mismatched input '}' expecting STARTS"]),
        ('has(a.)', ["1:7: no viable alternative at input '.)'"]),
    ],
)  # fmt: skip
def test_issues(text: str, issues: list[str]) -> None:
    with pytest.raises(CompileError) as caught:
        parse(text, macros.STANDARD)
    shown = [line for line in str(caught.value).split("\n") if line.startswith("ERROR")]
    wanted = []
    for issue in issues:
        spelled = issue.replace("STARTS", STARTS).replace("LITERALS", LITERALS)
        wanted.append("ERROR: <input>:" + spelled.replace(": ", ": Syntax error: ", 1))
    assert sorted(shown) == sorted(wanted)


def test_nothing_at_all() -> None:
    with pytest.raises(CompileError) as caught:
        parse("", macros.STANDARD)
    assert str(caught.value) == (
        f"ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {STARTS}"
    )


def test_limits() -> None:
    for text in ("(" * 3000 + "1" + ")" * 3000, "[" * 5000, "a" + ".b" * 1000):
        with pytest.raises(CompileError):
            parse(text, macros.STANDARD)
    with pytest.raises(CompileError, match="expression code point size exceeds limit"):
        parse("a" * 100_001, macros.STANDARD)


PIECES = st.sampled_from(
    ["a", "1", "2u", '"s"', "(", ")", "[", "]", "{", "}", ",", ".", "?", ":", "&&", "||", "==",
     "<", "+", "-", "!", "in", "true", "f(", "a.b", "has(", "1.5", "&", "#", '"x', "A{", " ", "é"]
)  # fmt: skip


@seed(1)
@settings(max_examples=300, deadline=None)
@given(st.lists(PIECES, max_size=9).map("".join))
def test_any_text_is_an_expression_or_has_issues(text: str) -> None:
    try:
        parse(text, macros.STANDARD)
        places = [0]
    except CompileError as e:
        places = [issue.offset for issue in e.issues]
    assert places
    assert all(0 <= place <= len(text) for place in places)
