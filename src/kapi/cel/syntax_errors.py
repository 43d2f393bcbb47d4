"""Why an expression is no expression, in ANTLR's words."""

from __future__ import annotations

from kapi.cel import lexer
from kapi.cel.lexer import NotATokenError
from kapi.cel.source import Issue

_STARTS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, "
    "STRING, BYTES, IDENTIFIER}"
)
_OPERATORS = frozenset(
    [
        "+",
        "-",
        "*",
        "/",
        "%",
        "<",
        "<=",
        ">",
        ">=",
        "==",
        "!=",
        "&&",
        "||",
        "!",
        "(",
        "[",
        "{",
        ",",
        ":",
        "?",
        "in",
        ".",
    ]
)


def explain(text: str) -> list[Issue]:
    """What is wrong with a text that does not parse; never nothing."""
    try:
        tokens = lexer.tokens(text)
    except NotATokenError as e:
        return [
            Issue(max(text.find(str(e)), 0), f"Syntax error: token recognition error at: '{e}'")
        ]
    before = "("
    for kind, word, at in tokens:
        if (
            before in _OPERATORS
            and (kind in _OPERATORS or kind == lexer.END)
            and kind not in "([{.-!"
        ):
            return [Issue(at, f"Syntax error: mismatched input '{word}' expecting {_STARTS}")]
        if before not in _OPERATORS and kind not in (*_OPERATORS, ")", "]", "}", lexer.END):
            return [Issue(at, f"Syntax error: extraneous input '{word}' expecting <EOF>")]
        if before not in _OPERATORS and kind == "!":
            return [Issue(at, f"Syntax error: mismatched input '{word}' expecting <EOF>")]
        before = kind
    _, word, at = tokens[-1]
    return [Issue(at, f"Syntax error: mismatched input '{word}' expecting <EOF>")]
