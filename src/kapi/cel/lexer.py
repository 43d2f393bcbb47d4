"""Expression text to tokens: the fast reading, which only knows that something is wrong.

Why it is wrong is told by `syntax_errors.py`, which reads the text again as ANTLR does.
https://github.com/google/cel-spec/blob/master/doc/langdef.md#syntax
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from kapi.cel.values import Uint

# Kinds of tokens. Operators are their own kind.
END, IDENT, ESCAPED, INT, UINT, FLOAT, STRING, BYTES = (
    "<EOF>", "IDENTIFIER", "ESC_IDENTIFIER", "NUM_INT", "NUM_UINT", "NUM_FLOAT", "STRING", "BYTES",
)  # fmt: skip
WORDS = frozenset(("true", "false", "null", "in"))
RESERVED = frozenset(
    (
        "as", "break", "const", "continue", "else", "false", "for", "function", "if", "import",
        "in", "let", "loop", "package", "namespace", "null", "return", "true", "var", "void",
        "while",
    )
)  # fmt: skip

ESCAPE = r"\\(?:[abfnrtv\"'`?\\]|[xX][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-3][0-7]{2})"
_RAW = r"[rR](?:\"\"\"[\s\S]*?\"\"\"|'''[\s\S]*?'''|\"[^\"\n\r]*\"|'[^'\n\r]*')"
_COOKED = (
    rf"\"\"\"(?:{ESCAPE}|[^\\])*?\"\"\"|'''(?:{ESCAPE}|[^\\])*?'''"
    rf"|\"(?:{ESCAPE}|[^\\\"\n\r])*\"|'(?:{ESCAPE}|[^\\'\n\r])*'"
)
_TOKEN = re.compile(
    r"(?P<skip>[\t \r\n\f]+|//[^\n]*)"
    rf"|(?P<bytes>[bB](?:{_RAW}|{_COOKED}))"
    rf"|(?P<string>{_RAW}|{_COOKED})"
    r"|(?P<ident>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<escaped>`[A-Za-z0-9_.\-/ ]+`)"
    r"|(?P<float>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+"
    r"|\.[0-9]+(?:[eE][+-]?[0-9]+)?))"
    r"|(?P<uint>(?:0x[0-9a-fA-F]+|[0-9]+)[uU])"
    r"|(?P<int>0x[0-9a-fA-F]+|[0-9]+)"
    r"|(?P<op>&&|\|\||==|!=|<=|>=|[<>\[\]{}().,\-!?:+*/%])"
)
_KINDS = {
    "ident": IDENT, "escaped": ESCAPED, "float": FLOAT, "uint": UINT, "int": INT,
    "string": STRING, "bytes": BYTES,
}  # fmt: skip

Token = tuple[str, str, int]  # kind, text, offset


class NotATokenError(ValueError):
    """Text that is no token."""


def tokens(text: str) -> list[Token]:
    """Ends with END. Raises NotATokenError."""
    out: list[Token] = []
    at = 0
    while at < len(text):
        found = one(text, at)
        if found is None:
            raise NotATokenError(text[at])
        token, at = found
        if token is not None:
            out.append(token)
    out.append((END, END, len(text)))
    return out


def one(text: str, at: int) -> tuple[Token | None, int] | None:
    """The token at an offset, None for blanks and comments, and where it ends; None where there is
    no token."""
    found = _TOKEN.match(text, at)
    if found is None:
        return None
    group = found.lastgroup
    assert group is not None
    if group == "skip":
        return None, found.end()
    word = found.group()
    if group == "op" or (group == "ident" and word in WORDS):
        return (word, word, at), found.end()
    return (_KINDS[group], word, at), found.end()


# -- literals -------------------------------------------------------------------------------------

_SIMPLE_ESCAPES = {
    "a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
    "\\": "\\", "'": "'", '"': '"', "`": "`", "?": "?",
}  # fmt: skip
_ESCAPED = re.compile(
    r"\\(?:([abfnrtv\"'`?\\])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})"
    r"|([0-3][0-7]{2}))"
)


class LiteralError(ValueError):
    """A literal without a value; the text is that of the issue."""


def string_value(text: str) -> str:
    body, raw = _body(text)
    if raw:
        return body
    return _unescape(body)


def _unescape(body: str) -> str:
    if "\\" not in body:
        return body

    def one(found: re.Match[str]) -> str:
        simple, hexadecimal, short, long, octal = found.groups()
        if simple:
            return _SIMPLE_ESCAPES[simple]
        code = int(octal, 8) if octal else int(hexadecimal or short or long, 16)
        if code > 0x10FFFF or 0xD800 <= code <= 0xDFFF:
            raise LiteralError("invalid unicode code point")
        return chr(code)

    return _ESCAPED.sub(one, body)


def bytes_value(text: str) -> bytes:
    body, raw = _body(text[1:])
    if raw:
        return body.encode()
    out = bytearray()
    at = 0
    for found in _ESCAPED.finditer(body):
        out += body[at : found.start()].encode()
        at = found.end()
        simple, hexadecimal, short, long, octal = found.groups()
        if simple:
            out += _SIMPLE_ESCAPES[simple].encode()
        elif short or long:
            raise LiteralError("unable to unescape string")
        else:
            out.append(int(octal, 8) if octal else int(hexadecimal, 16))
    out += body[at:].encode()
    return bytes(out)


def _body(text: str) -> tuple[str, bool]:
    raw = text[0] in "rR"
    if raw:
        text = text[1:]
    quotes = 3 if len(text) >= 6 and text[:3] in ('"""', "'''") else 1
    body = text[quotes:-quotes].replace("\r\n", "\n").replace("\r", "\n")
    return body, raw


def int_value(text: str) -> int:
    negative = text.startswith("-")
    digits = text[1:] if negative else text
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    value = -value if negative else value
    if not -(1 << 63) <= value < 1 << 63:
        raise LiteralError("invalid int literal")
    return value


def uint_value(text: str) -> Uint:
    digits = text[:-1]
    value = int(digits, 16) if digits.startswith("0x") else int(digits)
    if value >= 1 << 64:
        raise LiteralError("invalid uint literal")
    return Uint(value)


def float_value(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        raise LiteralError("invalid double literal")
    return value


def literal_value(kind: str, text: str) -> Any:
    """Raises LiteralError."""
    if len(text) > DIGITS_MAX and kind in (INT, UINT):
        raise LiteralError(f"invalid {'int' if kind == INT else 'uint'} literal")
    return _VALUES[kind](text)


DIGITS_MAX = 400  # of a number; more than any has
_VALUES: Mapping[str, Callable[[str], Any]] = {
    INT: int_value, UINT: uint_value, FLOAT: float_value, STRING: string_value,
    BYTES: bytes_value, "true": lambda t: True, "false": lambda t: False, "null": lambda t: None,
}  # fmt: skip
