"""The words of decoding: why a document does not fit its schema, and which fields it should not
have.

The slow twin of `decoding.py`, run only when that one complained or when strict decoding asks for
names. It walks the document in its own order, as encoding/json does: the first type mismatch is
remembered and reading goes on; a value with a reader of its own (quantity, time, int-or-string,
base64) that fails ends the reading at once. Documents come from `json_format.loads_exact`, so
numbers keep their spelling and objects know their repeated names."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from kapi.codec.json_format import JsonNumber, JsonObject
from kapi.codec.protobuf_format import text_bytes
from kapi.errors import quote
from kapi.schema import quantity
from kapi.schema.scalars import INT32, INT64, parse_duration, parse_rfc3339
from kapi.schema.structural import Schema

STRICT_ERRORS_MAX = 100  # how many unknown or repeated fields are named, as sigs.k8s.io/json


class _Abort(Exception):
    """A value's own reader failed: the text is the whole error."""


def type_error(schema: Schema, document: Any) -> str:
    """What encoding/json says of a document that does not fit; empty if it does."""
    walk = _Types()
    try:
        walk.value(schema, document, "", (), schema.go_type)
    except _Abort as e:
        return str(e)
    return walk.first


def _kind(value: Any) -> str:
    if isinstance(value, JsonNumber):
        return "number"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, str):
        return "string"
    return "object" if isinstance(value, dict) else "array"


class _WrongType(Exception):
    """A value's own reader met another JSON type than it wanted."""

    def __init__(self, what: str, go_type: str) -> None:
        super().__init__(what)
        self.what, self.go_type = what, go_type


class _Types:
    def __init__(self) -> None:
        self.first = ""

    def mismatch(self, what: str, struct: str, path: tuple[str, ...], go_type: str) -> None:
        if self.first:
            return
        go_type = go_type.lstrip("*")
        if struct:
            place = f"Go struct field {struct}.{'.'.join(path)} of type {go_type}"
        else:
            place = f"Go value of type {go_type}"
        self.first = f"json: cannot unmarshal {what} into {place}"

    def value(
        self, schema: Schema, value: Any, struct: str, path: tuple[str, ...], go_type: str
    ) -> None:
        if value is None:
            return
        if schema.format in _READERS:
            try:
                _READERS[schema.format](value)
            except _WrongType as e:
                # Go puts the place into a type error of a reader, and stops reading all the same.
                self.first = ""
                self.mismatch(e.what, struct, path, e.go_type)
                raise _Abort(self.first) from None
            return
        if schema.format == "byte":
            self._bytes(value, struct, path, go_type)
            return
        if schema.format == "raw" and schema.items is not None:
            self._schema_or_other(schema, schema.items, value, struct, path)
            return
        match schema.type:
            case "object":
                self._object(schema, value, struct, path, go_type)
            case "map":
                self._map(schema, value, struct, path, go_type)
            case "array":
                self._array(schema, value, struct, path, go_type)
            case "string":
                if isinstance(value, JsonNumber) or not isinstance(value, str):
                    self.mismatch(_kind(value), struct, path, go_type)
            case "boolean":
                if not isinstance(value, bool):
                    self.mismatch(_kind(value), struct, path, go_type)
            case "integer" | "number":
                self._number(schema, value, struct, path, go_type)
            case _:
                pass

    def _schema_or_other(
        self, schema: Schema, items: Schema, value: Any, struct: str, path: tuple[str, ...]
    ) -> None:
        """Go reads what is inside by itself: an error there knows nothing of the place."""
        flag = schema.go_type.endswith("OrBool")
        if flag and not isinstance(value, (bool, dict)):
            raise _Abort("boolean or JSON schema expected")
        for x in value if isinstance(value, list) else [value]:
            if isinstance(x, dict):
                words = type_error(items, x)
                if words:
                    raise _Abort(words)
            elif not flag and not (schema.go_type.endswith("OrStringArray") and _is_text(x)):
                self.mismatch(_kind(x), struct, path, items.go_type)

    def _number(
        self, schema: Schema, value: Any, struct: str, path: tuple[str, ...], go_type: str
    ) -> None:
        if not isinstance(value, JsonNumber):
            self.mismatch(_kind(value), struct, path, go_type)
        elif schema.type == "integer":
            digits = value[1:] if value[:1] == "-" else value
            allowed = INT32 if schema.format == "int32" else INT64
            if not digits.isdigit() or len(digits) > 20 or int(value) not in allowed:
                self.mismatch(f"number {value}", struct, path, go_type)

    def _bytes(self, value: Any, struct: str, path: tuple[str, ...], go_type: str) -> None:
        if isinstance(value, list):
            return
        if isinstance(value, JsonNumber) or not isinstance(value, str):
            self.mismatch(_kind(value), struct, path, go_type)
            return
        text = value.replace("\n", "").replace("\r", "")
        try:
            binascii.a2b_base64(text, strict_mode=True)
        except (binascii.Error, ValueError):
            raise _Abort(f"illegal base64 data at input byte {_base64_offset(text)}") from None

    def _object(
        self, schema: Schema, value: Any, struct: str, path: tuple[str, ...], go_type: str
    ) -> None:
        if not isinstance(value, dict):
            self.mismatch(_kind(value), struct, path, go_type)
            return
        for name, x in value.items():
            p = schema.properties.get(name)
            if p is not None:
                at = (*path, *(p.embedded.split(".") if p.embedded else ()), name)
                self.value(p.schema, x, schema.struct, at, p.go_type or p.schema.go_type)

    def _map(
        self, schema: Schema, value: Any, struct: str, path: tuple[str, ...], go_type: str
    ) -> None:
        if not isinstance(value, dict):
            self.mismatch(_kind(value), struct, path, go_type)
            return
        assert schema.values is not None
        for x in value.values():
            self.value(schema.values, x, struct, path, schema.values.go_type)

    def _array(
        self, schema: Schema, value: Any, struct: str, path: tuple[str, ...], go_type: str
    ) -> None:
        if not isinstance(value, list):
            self.mismatch(_kind(value), struct, path, go_type)
            return
        assert schema.items is not None
        for x in value:
            self.value(schema.items, x, struct, path, schema.items.go_type)


_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")


def _base64_offset(text: str) -> int:
    """The offset that Go's decoder names, which reads four characters at a time."""
    at, size = 0, len(text)
    while at < size:
        for place in range(4):
            if at == size:
                return at - place
            c = text[at]
            at += 1
            if c in _ALPHABET:
                continue
            if c != "=" or place < 2:
                return at - 1
            if place == 2:
                if at == size:
                    return size
                if text[at] != "=":
                    return at
                at += 1
            return at
    return size


def _read_quantity(value: Any) -> None:
    if isinstance(value, str):  # numbers too: their spelling is read
        text = value
    elif isinstance(value, bool):
        text = "true" if value else "false"
    else:
        text = "{}"
    try:
        quantity.parse(text.strip())
    except quantity.QuantityError as e:
        raise _Abort(str(e)) from None


def _text(value: Any, go_type: str = "string") -> str:
    if isinstance(value, JsonNumber) or not isinstance(value, str):
        raise _WrongType(_kind(value), go_type)
    return value


def _read_int_or_string(value: Any) -> None:
    if isinstance(value, str) and not isinstance(value, JsonNumber):
        return
    if not isinstance(value, JsonNumber):
        raise _WrongType(_kind(value), "int32")
    digits = value[1:] if value[:1] == "-" else value
    if not digits.isdigit() or len(digits) > 20 or int(value) not in INT32:
        raise _WrongType(f"number {value}", "int32")


_LAYOUT = "2006-01-02T15:04:05Z07:00"
_MICRO_LAYOUT = "2006-01-02T15:04:05.000000Z07:00"


def _time_reader(layout: str) -> Any:
    def read(value: Any) -> None:
        text = _text(value)
        try:
            parse_rfc3339(text)
        except (ValueError, OverflowError):
            raise _Abort(_time_words(text, layout)) from None
        if layout == _MICRO_LAYOUT and not re.search(r"[.,]\d{6}(?:Z|[+-])", text):
            raise _Abort(
                f"parsing time {quote(text)} as {quote(layout)}: "
                f'cannot parse {quote(text[19:])} as ".000000"'
            )

    return read


_TIME_PARTS = (
    ("2006", 4), ("-", 1), ("01", 2), ("-", 1), ("02", 2), ("T", 1),
    ("15", 2), (":", 1), ("04", 2), (":", 1), ("05", 2),
)  # fmt: skip
_RANGES = {
    "01": (1, 12, "month"),
    "02": (1, 31, "day"),
    "15": (0, 23, "hour"),
    "04": (0, 59, "minute"),
    "05": (0, 59, "second"),
}


def _time_quote(text: str) -> str:
    """As Go's package of times quotes: bytes that are not plain as hexadecimal."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    out = text_bytes(escaped, escaped.encode()) if escaped else b""
    return '"' + "".join(chr(x) if 0x20 <= x <= 0x7F else f"\\x{x:02x}" for x in out) + '"'


def _time_words(text: str, layout: str) -> str:
    """How Go's time.Parse complains."""
    head = f"parsing time {_time_quote(text)} as {_time_quote(layout)}: cannot parse"
    rest = text
    for part, width in _TIME_PARTS:
        piece = rest[:width]
        if part in ("-", "T", ":"):
            if piece != part:
                return f"{head} {_time_quote(rest)} as {_time_quote(part)}"
        elif not (piece.isdigit() and len(piece) == width):
            return f"{head} {_time_quote(rest)} as {_time_quote(part)}"
        elif part in _RANGES:
            low, high, name = _RANGES[part]
            if not low <= int(piece) <= high:
                return f"parsing time {_time_quote(text)}: {name} out of range"
        rest = rest[width:]
    if rest[:1] in (".", ","):
        digits = len(rest[1:]) - len(rest[1:].lstrip("0123456789"))
        rest = rest[1 + digits :]
    if rest[:1] == "Z":
        return (
            f"parsing time {_time_quote(text)}: extra text: {_time_quote(rest[1:])}"
            if rest[1:]
            else (f"parsing time {_time_quote(text)}: day out of range")
        )
    return f'{head} {_time_quote(rest)} as "Z07:00"'


def _read_duration(value: Any) -> None:
    text = _text(value)
    try:
        parse_duration(text)
    except ValueError:
        raise _Abort(f"time: invalid duration {quote(text)}") from None


_READERS = {
    "quantity": _read_quantity,
    "int-or-string": _read_int_or_string,
    "date-time": _time_reader(_LAYOUT),
    "micro-time": _time_reader(_MICRO_LAYOUT),
    "duration": _read_duration,
}


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and not isinstance(value, JsonNumber)


def reader_error(form: str, text: str) -> str:
    """What the reader of a format says of a text; empty if it takes it."""
    try:
        _READERS[form](text)
    except _Abort as e:
        return str(e)
    return ""


def bad_base64(text: str) -> int | None:
    """Where base64 is none, as Go's decoder counts; None if it is."""
    text = text.replace("\n", "").replace("\r", "")
    try:
        binascii.a2b_base64(text, strict_mode=True)
    except (binascii.Error, ValueError):
        return _base64_offset(text)
    return None


def strict_errors(schema: Schema, document: Any) -> list[str]:
    """`unknown field "spec.nope"` and `duplicate field "metadata.name"`, in document order."""
    found: list[str] = []
    _strict(schema, document, "", found)
    return list(dict.fromkeys(found))[:STRICT_ERRORS_MAX]


def _strict(schema: Schema, value: Any, path: str, found: list[str]) -> None:
    if schema.type == "array" and isinstance(value, list):
        assert schema.items is not None
        for i, x in enumerate(value):
            _strict(schema.items, x, f"{path}[{i}]", found)
        return
    if schema.type not in ("object", "map") or not isinstance(value, dict):
        return
    seen: set[str] = set()
    pairs = value.pairs if isinstance(value, JsonObject) else value.items()
    for name, x in pairs:
        at = _join(path, name)
        if name in seen:
            found.append(f'duplicate field "{at}"')
        seen.add(name)
        if schema.type == "map":
            assert schema.values is not None
            _strict(schema.values, x, at, found)
            continue
        p = schema.properties.get(name)
        if p is not None:
            _strict(p.schema, x, at, found)
        elif not schema.preserve_unknown and not (name in _KIND and not path):
            found.append(f'unknown field "{at}"')


_KIND = ("kind", "apiVersion")  # known at the top even where the struct is not an object of the API


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name


def decode_bytes(text: str) -> bytes:
    """The bytes of a base64 text that decoding accepted."""
    return base64.b64decode(text)
