"""CBOR in diagnostic notation, for errors that show a body: `{'kind': 'Pod', 'n': 1.0}`.

Used where an object has no kind. For data that was read already, so it is well-formed and not deep.
https://www.rfc-editor.org/rfc/rfc8949.html#section-8
"""

from __future__ import annotations

from kapi.codec.cbor_format import ARRAY, BYTE_STRING, MAP, NEGATIVE, POSITIVE, TAG, TEXT_STRING
from kapi.codec.cbor_scanner import OPEN, Scanner
from kapi.codec.json_scanner import go_float

_WORDS = {0xF4: "false", 0xF5: "true", 0xF6: "null", 0xF7: "undefined"}
_ESCAPES = {"\t": "\\t", "\n": "\\n", "\r": "\\r", "\\": "\\\\"}


def diagnosed(data: bytes) -> str:
    """The notation of one item. Raises CborError for text that is no UTF-8."""
    out: list[str] = []
    _item(Scanner(data), out)
    return "".join(out)


def _item(scanner: Scanner, out: list[str]) -> None:
    start = scanner.at
    major = scanner.major()
    if major in (BYTE_STRING, TEXT_STRING):
        _string(scanner, major, out)
    elif major in (ARRAY, MAP):
        _container(scanner, major, out)
    else:
        _, info, value = scanner.head()
        if major == POSITIVE:
            out.append(str(value))
        elif major == NEGATIVE:
            out.append(str(-1 - value))
        elif major == TAG:
            out.append(f"{value}(")
            _item(scanner, out)
            out.append(")")
        elif info in (25, 26, 27):
            out.append(_float(scanner.float(info)))
        else:
            out.append(_WORDS.get(scanner.data[start], f"simple({value})"))


def _container(scanner: Scanner, major: int, out: list[str]) -> None:
    start, end = "[]" if major == ARRAY else "{}"
    out.append(start + ("_ " if scanner.data[scanner.at] & 31 == OPEN else ""))
    for index in scanner.indices():
        if index:
            out.append(", ")
        _item(scanner, out)
        if major == MAP:
            out.append(": ")
            _item(scanner, out)
    out.append(end)


def _string(scanner: Scanner, major: int, out: list[str]) -> None:
    open_, start = scanner.data[scanner.at] & 31 == OPEN, scanner.at
    if not open_:
        _quoted(scanner.string(), major, out)
        return
    if scanner.data[start + 1] == 0xFF:
        scanner.string()
        out.append("''_" if major == BYTE_STRING else '""_')
        return
    out.append("(_ ")
    for index in scanner.indices():
        if index:
            out.append(", ")
        _quoted(scanner.string(), major, out)
    out.append(")")


def _quoted(data: bytes, major: int, out: list[str]) -> None:
    quote = "'" if major == BYTE_STRING else '"'
    try:
        text = data.decode() if data or major == TEXT_STRING else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        out.append(f"h'{data.hex()}'")
        return
    out.append(quote + "".join(_character(c, quote) for c in text) + quote)


def _character(c: str, quote: str) -> str:
    if c == quote:
        return "\\" + c
    if c in _ESCAPES:
        return _ESCAPES[c]
    if " " <= c <= "~":
        return c
    units = c.encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def _float(value: float) -> str:
    """As JSON, but always with a point."""
    text = go_float(value)
    if "." in text:
        return text
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}.0{e}{exponent}"
