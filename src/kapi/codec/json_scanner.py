"""The careful JSON reader and writer behind `json_format`: slow, without recursion, in Go's words.

`parse` reads what orjson refuses (deep nesting) or would lose (repeated names, the spelling of
numbers), and says what is wrong with text that is no JSON: the first bad byte and the place where
the grammar stood, as Go's scanner reports it. At the end of the text Go feeds one space; an error
of that space is the error reported.

It works on bytes with one regular expression a token; only the token that does not match is
looked at byte by byte (`_fail_*`).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from kapi.errors import quote

DEPTH_MAX = 10_000  # levels of arrays and objects; the real server's limit


class JsonSyntaxError(ValueError):
    """The text is no JSON; the message is Go's."""


class JsonObject(dict[str, Any]):
    """An object in the order of the document. Of a repeated name the last value stands here."""

    def __init__(self) -> None:
        super().__init__()
        self.duplicates: list[str] = []  # repeated names, once for each repetition
        self.pairs: list[tuple[str, Any]] = []  # every name and value, in the order of the document


class JsonNumber(str):
    """A number as it was spelled."""

    __slots__ = ()


# -- broken text --------------------------------------------------------------------------------

_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_ESCAPED_BYTE = re.compile("[\udc80-\udcff]")


def repair(data: bytes) -> bytes | None:
    """The text with U+FFFD for broken UTF-8 and lone surrogates; None if there are none."""
    out = data
    try:
        data.decode()
    except UnicodeDecodeError:
        out = decode_utf8(data).encode()
    if b"\\ud" in out or b"\\uD" in out:
        out = _ESCAPE.sub(lambda m: b"\\ufffd" if m[1] else m[0], out)
    return None if out == data else out


def decode_utf8(data: bytes) -> str:
    """Text of bytes, each byte that is no UTF-8 as one U+FFFD, as Go does."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return _ESCAPED_BYTE.sub("\ufffd", data.decode("utf-8", "surrogateescape"))


# -- reading ------------------------------------------------------------------------------------

_SPACE = re.compile(rb"[ \t\r\n]*")
_STRING = re.compile(rb'"([^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*)"')
_NUMBER = re.compile(rb"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_LITERALS = {0x74: (b"true", True), 0x66: (b"false", False), 0x6E: (b"null", None)}
_NUMBER_START = frozenset(b"-0123456789")

_ABSENT: Any = object()


def parse(data: bytes, *, exact: bool) -> Any:
    """The value of a JSON text; `exact`: as JsonObject and JsonNumber. Raises JsonSyntaxError."""
    space = _SPACE.match
    stack: list[tuple[Any, str]] = []  # the containers around, each with the key it stands under
    container: Any = _ABSENT
    key = ""
    at = _end(space(data, 0))
    while True:
        first = data[at] if at < len(data) else -1
        value: Any
        if first == 0x7B or first == 0x5B:  # { [
            if len(stack) >= DEPTH_MAX:
                _fail(data, at, "exceeded max depth")
            opened: Any = [] if first == 0x5B else JsonObject() if exact else {}
            at = _end(space(data, at + 1))
            closer = 0x5D if first == 0x5B else 0x7D
            if at < len(data) and data[at] == closer:
                value = opened
                at += 1
            else:
                stack.append((container, key))
                container = opened
                if first == 0x7B:
                    key, at = _key(data, at)
                continue
        else:
            value, at = _scalar(data, at, first, exact)
        # A value is complete: put it in its place, and close what closes after it.
        while True:
            at = _end(space(data, at))
            if container is _ABSENT:
                if at < len(data):
                    _fail(data, at, "after top-level value")
                return value
            follow = data[at] if at < len(data) else -1
            if isinstance(container, list):
                container.append(value)
                if follow == 0x2C:
                    at = _end(space(data, at + 1))
                    break
                if follow != 0x5D:
                    _fail(data, at, "after array element")
            else:
                _put(container, key, value)
                if follow == 0x2C:
                    key, at = _key(data, _end(space(data, at + 1)))
                    break
                if follow != 0x7D:
                    _fail(data, at, "after object key:value pair")
            at += 1
            value = container
            container, key = stack.pop()


def _end(match: re.Match[bytes] | None) -> int:
    assert match is not None  # the expression matches the empty text
    return match.end()


def _put(container: dict[str, Any], key: str, value: Any) -> None:
    if isinstance(container, JsonObject):
        if key in container:
            container.duplicates.append(key)
        container.pairs.append((key, value))
    container[key] = value


def _key(data: bytes, at: int) -> tuple[str, int]:
    """A name and its colon; returns the name and the start of the value."""
    if at >= len(data) or data[at] != 0x22:
        _fail(data, at, "looking for beginning of object key string")
    name, at = _string(data, at)
    at = _end(_SPACE.match(data, at))
    if at >= len(data) or data[at] != 0x3A:
        _fail(data, at, "after object key")
    return name, _end(_SPACE.match(data, at + 1))


def _scalar(data: bytes, at: int, first: int, exact: bool) -> tuple[Any, int]:
    if first == 0x22:
        return _string(data, at)
    if first in _NUMBER_START:
        match = _NUMBER.match(data, at)
        end = match.end() if match else at
        if not match or _number_goes_on(data, end, match[0]):
            _fail_number(data, at)
        text = match[0].decode()
        return (JsonNumber(text) if exact else _number(text)), end
    if first not in _LITERALS:
        _fail(data, at, "looking for beginning of value")
    word, value = _LITERALS[first]
    if not data.startswith(word, at):
        _fail_literal(data, at, word)
    return value, at + len(word)


def _number_goes_on(data: bytes, end: int, text: bytes) -> bool:
    """Whether the number is cut short: `1.` and `1e` match as `1`."""
    follow = data[end : end + 1]
    if follow in (b"e", b"E"):
        return b"e" not in text and b"E" not in text
    return follow == b"." and b"." not in text and b"e" not in text and b"E" not in text


def _number(text: str) -> int | float:
    whole = not ("." in text or "e" in text or "E" in text)
    if whole and len(text) <= 20 and -(2**63) <= int(text) < 2**64:
        return int(text)
    value = float(text)
    if math.isinf(value):
        raise JsonSyntaxError(f"json: cannot unmarshal number {text} into Go value of type float64")
    return value


def _string(data: bytes, at: int) -> tuple[str, int]:
    match = _STRING.match(data, at)
    if match is None:
        _fail_string(data, at)
    raw = match[1]
    if b"\\" not in raw:
        return decode_utf8(raw), match.end()
    raw = repair(raw) or raw
    text: str = json.loads(b'"' + raw + b'"')
    return text, match.end()


# -- what is wrong --------------------------------------------------------------------------------


def _fail(data: bytes, at: int, context: str) -> NoReturn:
    if at >= len(data):
        raise JsonSyntaxError("unexpected end of JSON input")
    raise JsonSyntaxError(f"invalid character {_character(data[at])} {context}")


def _character(byte: int) -> str:
    if byte == 0x27:
        return r"'\''"
    if byte == 0x22:
        return "'\"'"
    return "'" + quote(chr(byte))[1:-1] + "'"


def _fail_inside(data: bytes, at: int, context: str) -> NoReturn:
    """As `_fail` where a space would be wrong: at the end Go names the space it feeds."""
    byte = data[at] if at < len(data) else 0x20
    raise JsonSyntaxError(f"invalid character {_character(byte)} {context}")


def _fail_literal(data: bytes, at: int, word: bytes) -> NoReturn:
    for i in range(1, len(word)):
        if data[at + i : at + i + 1] != word[i : i + 1]:
            context = f"in literal {word.decode()} (expecting {_character(word[i])})"
            _fail_inside(data, at + i, context)
    raise AssertionError("the literal is whole")


def _fail_number(data: bytes, at: int) -> NoReturn:
    if data[at] == 0x2D and not data[at + 1 : at + 2].isdigit():
        _fail_inside(data, at + 1, "in numeric literal")
    match = _NUMBER.match(data, at)
    assert match is not None  # it has a digit
    at = match.end()
    if data[at] == 0x2E:
        _fail_inside(data, at + 1, "after decimal point in numeric literal")
    at += 1
    if data[at : at + 1] in (b"+", b"-"):
        at += 1
    _fail_inside(data, at, "in exponent of numeric literal")


_STRING_PART = re.compile(rb'[^"\\\x00-\x1f]+|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})')
_HEX = frozenset(b"0123456789abcdefABCDEF")


def _fail_string(data: bytes, at: int) -> NoReturn:
    at += 1
    while match := _STRING_PART.match(data, at):
        at = match.end()
    if data[at : at + 1] != b"\\":
        _fail(data, at, "in string literal")
    at += 1
    if data[at : at + 1] != b"u":
        _fail_inside(data, at, "in string escape code")
    at += 1
    while at < len(data) and data[at] in _HEX:
        at += 1
    _fail_inside(data, at, r"in \u hexadecimal character escape")


# -- writing ------------------------------------------------------------------------------------


def dump_deep(value: Any, *, indent: int = 0) -> bytes:
    """JSON of a value nested deeper than orjson goes. Raises TypeError for what is no JSON."""
    out: list[str] = []
    # Each frame: what is left, the closing bracket, and whether nothing was written yet.
    frames: list[list[Any]] = []

    def newline() -> None:
        if indent:
            out.append("\n" + " " * (indent * len(frames)))

    def write(item: Any) -> None:
        if isinstance(item, dict) and item:
            out.append("{")
            frames.append([iter(item.items()), "}", True])
        elif isinstance(item, list) and item:
            out.append("[")
            frames.append([iter(item), "]", True])
        else:
            out.append(_scalar_text(item))

    write(value)
    while frames:
        frame = frames[-1]
        item = next(frame[0], _ABSENT)
        if item is _ABSENT:
            frames.pop()
            newline()
            out.append(frame[1])
            continue
        out.append("" if frame[2] else ",")
        frame[2] = False
        newline()
        if frame[1] == "}":
            name, item = item
            if not isinstance(name, str):
                raise TypeError("a name in an object must be a string")
            out.append(_scalar_text(name) + (": " if indent else ":"))
        write(item)
    return "".join(out).encode()


def _scalar_text(item: Any) -> str:
    if isinstance(item, float):
        return go_float(item)
    if isinstance(item, (str, int, dict, list)) or item is None:
        return json.dumps(item, ensure_ascii=False)
    raise TypeError(f"{type(item).__name__} is no JSON")


def go_float(value: float) -> str:
    """A float as Go's JSON writes it: 1, 0.1, 0.00001, 1e-7, 1e+21."""
    if value.is_integer() and abs(value) < 1e21:
        whole, _, exponent = repr(value).partition("e")
        if exponent:  # the shortest digits that mean it, then zeros
            first, _, rest = whole.partition(".")
            return first + rest.ljust(int(exponent), "0")
        return whole.removesuffix(".0")
    mantissa, _, exponent = repr(value).partition("e")
    if not exponent:
        return mantissa
    power = int(exponent)
    if -7 < power < 0:  # Python turns to exponents below 1e-4, Go below 1e-6
        sign = "-" if mantissa[0] == "-" else ""
        return sign + "0." + "0" * (-power - 1) + mantissa.lstrip("-").replace(".", "")
    return f"{mantissa}e{'-' if power < 0 else '+'}{abs(power)}"
