"""CEL expressions, as far as no parser is needed: nothing at all, a lone name, something after a
name.

The findings are those of the real compiler; an expression that this module does not judge is let
through. Callers add the finding at the expression's field.
https://kubernetes.io/docs/reference/using-api/cel/
"""

from __future__ import annotations

import re
from collections.abc import Collection

from kapi.errors import FieldError, invalid_value

EXPRESSION_BYTES_MAX = 10 * 1024
_NOTHING = (
    "ERROR: <input>:1:0: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', "
    "'-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_NAME = re.compile(r"\s*([A-Za-z_][A-Za-z0-9_]*)\s*")
_TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|\d+|![^=]|!$|[)\]}:,]")
_LITERALS = ("true", "false", "null")


def expression(text: str, path: str, known: Collection[str]) -> list[FieldError]:
    """Findings about an expression that may use the names in `known`."""
    problem = compile_problem(text, known)
    return [invalid_value(path, text, f"compilation failed: {problem}")] if problem else []


def compile_problem(text: str, known: Collection[str]) -> str:
    """What the compiler says, for what can be told without one; empty otherwise."""
    if not text.strip():
        return _NOTHING
    if "\n" in text:
        return ""
    match = _NAME.match(text)
    if match is None or match[1] in _LITERALS:
        return ""
    name, end = match[1], match.end()
    if end == len(text):
        if name in known:
            return ""
        column = match.start(1)
        words = f"undeclared reference to '{name}' (in container '')"
        return _shown(text, column, f"{column + 1}: {words}")
    token = _TOKEN.match(text, end)
    if token is None or token[0] == "in":
        return ""
    stray = token[0][0] if token[0][0] == "!" else token[0]
    alone = not text[end + len(stray) :].strip()
    verb = "extraneous" if alone else "mismatched"
    words = f"Syntax error: {verb} input '{stray}' expecting <EOF>"
    return _shown(text, end, f"{end + 1}: {words}")


def _shown(text: str, column: int, words: str) -> str:
    dots = "." * column
    return f"ERROR: <input>:1:{words}\n | {text}\n | {dots}^"
