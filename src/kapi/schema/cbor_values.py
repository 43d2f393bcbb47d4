"""What the careful reader of CBOR is made of: its errors, in the words of the real decoder, its
position with the tags around it, and how single values are taken.

`cbor_reading.py` builds on it. Each method stands behind what it read, even if it raises.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from typing import Any, Final

from kapi.codec.cbor_format import BASE64_LATER, NEGATIVE, POSITIVE, TAG, TEXT_STRING, CborError
from kapi.codec.cbor_scanner import INT64_MAX, NAMES, Scanner, refused
from kapi.codec.json_format import go_float
from kapi.codec.protobuf_format import text
from kapi.errors import quote
from kapi.schema.cbor_times import moment
from kapi.schema.scalars import INT32, INT64
from kapi.schema.structural import Schema

BASE64_URL_LATER: Final = 21  # tags beside BASE64_LATER
BASE16_LATER: Final = 23
LATER: Final = (BASE64_URL_LATER, BASE64_LATER, BASE16_LATER)


class Misfit(CborError):
    """A value of another type than its place has. The place is the outermost struct's field."""

    def __init__(self, major: int, go_type: str, note: str = "") -> None:
        super().__init__()
        self._major, self._go_type, self._note = major, go_type, note
        self.field = ""

    def __str__(self) -> str:
        place = f"Go struct field {self.field}" if self.field else "Go value"
        note = f" ({self._note})" if self._note else ""
        what = NAMES[self._major]
        return f"cbor: cannot unmarshal {what} into {place} of type {self._go_type}{note}"


class UnknownField(CborError):
    """Under strict reading: a name that the struct lacks."""

    def __init__(self, index: int) -> None:
        super().__init__(f"cbor: found unknown field at map element index {index}")


class Position:
    """Where a reading stands."""

    def __init__(self, data: bytes) -> None:
        self.scanner = Scanner(data)
        self.later: list[int] = []  # how byte strings become text, by the tags around

    def check_tags(self) -> None:
        """Tags that say what they are around must be around it."""
        scanner = self.scanner
        start = scanner.at
        while scanner.major() == TAG:
            _, _, tag = scanner.head()
            words = misplaced(tag, scanner.data[scanner.at])
            if words:
                scanner.skip()
                raise CborError(words)
        scanner.at = start

    def text_of(self, data: bytes) -> str:
        later = self.later[-1] if self.later else 0
        if later == BASE64_LATER:
            return b64encode(data).decode()
        if later == BASE64_URL_LATER:
            return urlsafe_b64encode(data).decode().rstrip("=")
        return data.hex() if later == BASE16_LATER else text(data)

    def time(self, tag: int) -> str:
        scanner = self.scanner
        if tag == 0:
            return moment(scanner.string().decode())
        major, info, number = scanner.head()
        if major in (POSITIVE, NEGATIVE):
            if number > INT64_MAX:
                shown = number if major == POSITIVE else -1 - number
                raise Misfit(major, "time.Time", f"{shown} overflows Go's int64")
            return moment(number if major == POSITIVE else -1 - number)
        seconds = scanner.float(info)
        if not -float(INT64_MAX) <= seconds <= float(INT64_MAX):
            raise Misfit(major, "time.Time", f"{go_float(seconds)} overflows Go's int64")
        return moment(seconds)

    def leave(self, turns: Iterator[int]) -> None:
        """Over the rest of a map whose pair was just read."""
        for _ in turns:
            self.scanner.skip()
            self.scanner.skip()


_RANGES = {"int32": INT32, "uint8": range(256)}


def integer(schema: Schema, go_type: str, major: int, number: int, limit: str = "") -> Any:
    value = number if major == POSITIVE else -1 - number
    if major == NEGATIVE and number > INT64_MAX:
        raise Misfit(major, go_type, f"{value} overflows Go's int64")
    if schema.type == "number":
        return value
    if schema.type != "integer":
        raise Misfit(major, go_type)
    if value not in _RANGES.get(schema.format, INT64):
        raise Misfit(major, go_type, f"{value} overflows {limit or go_type}")
    return value


def simple(info: int, number: int) -> bool | None:
    if number == 22 and info == 22:
        return None
    if info in (20, 21):
        return info == 21
    raise refused(7, f"simple value {number} is not recognized")


def misplaced(tag: int, first: int) -> str:
    """What is wrong with the item that a tag is around."""
    major = first >> 5
    if tag == 0 and major != TEXT_STRING:
        wanted = "text string"
    elif tag == 1 and major not in (POSITIVE, NEGATIVE) and first not in (0xF9, 0xFA, 0xFB):
        wanted = "integer or floating-point number"
    else:
        return ""
    return f"cbor: tag number {tag} must be followed by {wanted}, got {NAMES[major]}"


def repeated(key: str, index: int) -> CborError:
    return CborError(f"cbor: found duplicate map key {key} at map element index {index}")


def shown(key: Any) -> str:
    """A key as Go's %#v prints it."""
    if isinstance(key, str):
        return quote(key)
    if isinstance(key, tuple):
        key = key[1]
        return quote(key) if isinstance(key, str) else _scalar_shown(key)
    return str(key)


def _scalar_shown(key: Any) -> str:
    if key is None:
        return "<nil>"
    if isinstance(key, bool):
        return "true" if key else "false"
    return f"{key:g}" if isinstance(key, float) else str(key)
