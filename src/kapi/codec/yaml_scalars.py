"""What a YAML scalar means, by the rules of go-yaml v2 (YAML 1.1 with exceptions).

`yes` is a boolean, `017` is fifteen, `1_000` a thousand, base 60 is text. `yaml_format` uses it
both ways: to read, and to know what to quote. https://yaml.org/type/ lists the types; timestamps
stay text but are quoted on the way out.
"""

from __future__ import annotations

import base64
import binascii
import datetime
import math
import re
from typing import Any

from kapi.codec.json_format import JsonSyntaxError, go_number

_LONG = "tag:yaml.org,2002:"
STR, BOOL, INT, FLOAT, NULL = (_LONG + t for t in ("str", "bool", "int", "float", "null"))
TIMESTAMP, BINARY, MERGE = (_LONG + t for t in ("timestamp", "binary", "merge"))
_RESOLVABLE = frozenset(("", STR, BOOL, INT, FLOAT, NULL, TIMESTAMP))


DIGITS_MAX = 308  # more would be no finite float, which is how JSON reads what exceeds 64 bits


class YamlError(JsonSyntaxError):
    """The text is no YAML that JSON could say; the message is the real server's."""


def _spellings(*words: str) -> list[str]:
    return [s for w in words for s in (w, w.capitalize(), w.upper())]


_WORDS: dict[str, tuple[str, Any]] = {
    **dict.fromkeys(_spellings("y", "yes", "true", "on"), (BOOL, True)),
    **dict.fromkeys(_spellings("n", "no", "false", "off"), (BOOL, False)),
    **dict.fromkeys(["", "~", "null", "Null", "NULL"], (NULL, None)),
    **dict.fromkeys([".nan", ".NaN", ".NAN"], (FLOAT, math.nan)),
    **dict.fromkeys(
        [s + i for s in ("", "+") for i in (".inf", ".Inf", ".INF")], (FLOAT, math.inf)
    ),
    **dict.fromkeys(["-.inf", "-.Inf", "-.INF"], (FLOAT, -math.inf)),
}
_INT = re.compile(r"[-+]?(?:0[xX][0-9a-fA-F]+|0[oO]?[0-7]+|0[bB][01]+|0|[1-9][0-9]*)\Z")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9_]*)?\Z")
_TIMESTAMP = re.compile(
    r"(\d{4})-(\d\d?)-(\d\d?)"
    r"(?:(?:[Tt]|( ))(\d\d?):(\d\d?):(\d\d?)(?:[.,]\d+)?(Z|[+-]\d\d:\d\d)?)?\Z",
    re.ASCII,
)


def resolve(tag: str, text: str) -> tuple[str, Any]:
    """The tag and value of a plain or tagged scalar. Raises YamlError if tag and text disagree."""
    if tag not in _RESOLVABLE:
        return tag, _binary(text) if tag == BINARY else text
    found, value = (STR, text) if tag == STR else _implicit(tag, text)
    if tag in ("", STR, found):
        return found, value
    if tag == FLOAT and found == INT:
        return FLOAT, float(value)
    raise YamlError(f"yaml: cannot decode {_short(found)} `{text}` as a {_short(tag)}")


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_LONG)


def _binary(text: str) -> str:
    try:
        data = base64.b64decode(re.sub(r"[\r\n]", "", text), validate=True)
    except binascii.Error:
        raise YamlError("yaml: !!binary value contains invalid base64 data") from None
    return re.sub("[\udc80-\udcff]", "\ufffd", data.decode("utf-8", "surrogateescape"))


def _implicit(tag: str, text: str) -> tuple[str, Any]:
    if not text or text[0] in "yYnNtTfFoO~+-.0123456789":
        known = _WORDS.get(text)
        if known is not None:
            return known
        if text[0] in "+-.0123456789":
            return _number(tag, text)
    return STR, text


def _number(tag: str, text: str) -> tuple[str, Any]:
    if tag in ("", TIMESTAMP) and is_timestamp(text):
        return TIMESTAMP, text
    plain = text if text[0] == "." else text.replace("_", "")
    if _INT.match(plain):
        return INT, _integer(plain)
    if _FLOAT.match(plain):
        value = float(plain)
        if not math.isinf(value):
            return FLOAT, value
    return STR, text


def _integer(text: str) -> int:
    sign = -1 if text[0] == "-" else 1
    digits = text.lstrip("+-").lower()
    if len(digits) > DIGITS_MAX:
        raise YamlError(f"json: cannot unmarshal number {text} into Go value of type float64")
    if digits[:2] in ("0x", "0o", "0b"):
        return sign * int(digits, 0)
    return sign * int(digits, 8 if digits[0] == "0" else 10)


def is_timestamp(text: str) -> bool:
    match = _TIMESTAMP.match(text)
    if match is None:
        return False
    year, month, day, space, hour, minute, second, zone = match.groups()
    if hour is not None and (space is None) == (zone is None):
        return False  # a `T` needs a zone, a space has none
    try:
        # Year 0 is a leap year, as 4 is.
        datetime.date(int(year) or 4, int(month), int(day))
        datetime.time(int(hour or 0), int(minute or 0), int(second or 0))
    except ValueError:
        return False
    return True


def is_text(text: str) -> bool:
    """Whether a plain scalar of this text reads back as this text, for every parser around."""
    if not text or text[0] not in "yYnNtTfFoO~+-.0123456789":
        return bool(text)
    return _implicit("", text)[0] == STR and not (":" in text and _BASE_60.match(text))


def float_text(value: float) -> str:
    """A float in Go's shortest form: exponents of two digits, from 1e+21 on and below 1e-4."""
    value = go_number(value)
    if isinstance(value, int):
        return str(value)
    mantissa, _, exponent = repr(value).partition("e")
    return f"{mantissa}e{int(exponent):+03d}" if exponent else mantissa
