"""The careful reader of CBOR, item by item: what the fast one of `cbor_format` leaves.

`check` says whether bytes are one well-formed item and nothing else, in the order and the words of
the real decoder; it never recurses, and stops at the real server's bounds. A `Scanner` then walks
the same bytes, which it may trust: heads, strings whole or in chunks, tags, and `skip` over
anything. Used by `schema/cbor_reading.py` and `cbor_diagnosis.py`.
https://www.rfc-editor.org/rfc/rfc8949.html#section-3
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator
from typing import Final

from kapi.codec.cbor_format import (
    ARRAY,
    BYTE_STRING,
    MAP,
    NEGATIVE,
    POSITIVE,
    SELF_DESCRIBED,
    SIMPLE,
    TAG,
    TEXT_STRING,
    CborError,
)

DEPTH_MAX: Final = 10_000  # levels of arrays, maps and tags; the real server's limits
ELEMENTS_MAX: Final = (1 << 31) - 1  # of an array
PAIRS_MAX: Final = 2_097_152  # of a map
INT64_MAX: Final = (1 << 63) - 1
OPEN: Final = 31  # in a head: until a break
BREAK: Final = 0xFF
NAMES: Final = (
    "positive integer", "negative integer", "byte string", "UTF-8 text string", "array", "map",
    "tag", "primitives",
)  # fmt: skip
BAD_UTF8: Final = "cbor: invalid UTF-8 string"
_SIZES: Final = {24: 1, 25: 2, 26: 4, 27: 8}
_FLOATS: Final = {25: ">e", 26: ">f", 27: ">d"}


def cut() -> CborError:
    """The bytes end within an item."""
    return CborError("unexpected EOF")


def too_deep() -> CborError:
    return CborError(f"cbor: exceeded max nested level {DEPTH_MAX}")


def refused(kind: int, what: str) -> CborError:
    """Well-formed, but nothing that has a place here."""
    return CborError(
        f"cbor: data item of cbor type {NAMES[kind]} is not accepted by protocol: {what}"
    )


# -- well-formed? ---------------------------------------------------------------------------------


def check(data: bytes) -> int:
    """How deep the one item in the data is. Raises CborError if there is none, or more."""
    if not data:
        raise CborError("EOF")
    depth, at = _item(data)
    if at != len(data):
        rest = len(data) - at
        raise CborError(f"cbor: {rest} bytes of extraneous data starting at index {at}")
    return depth


class _Around:
    """An array or map that is being read."""

    __slots__ = ("depth", "left", "major", "seen")

    def __init__(self, major: int, left: int, depth: int) -> None:
        self.major = major
        self.left = left  # items to come; -1: until a break
        self.depth = depth
        self.seen = 0


def _item(data: bytes) -> tuple[int, int]:
    """The depth of the item at the start, and where it ends."""
    at, deepest, depth = 0, 0, 0
    around: list[_Around] = []
    while True:
        major, info, value, at = checked_head(data, at)
        if major == TAG:
            depth, at = _tags(data, at, value, depth)
            deepest = max(deepest, depth)
            continue
        if major in (ARRAY, MAP):
            depth += 1
            if depth > DEPTH_MAX:
                raise too_deep()
            deepest = max(deepest, depth)
            left = -1 if info == OPEN else _count(major, value)
            around.append(_Around(major, left, depth))
        elif major in (BYTE_STRING, TEXT_STRING):
            at = _chunks(data, at, major) if info == OPEN else _over(data, at, major, value)
        # An item is complete, or its first part is to come: close what ends here.
        while around:
            inner = around[-1]
            depth = inner.depth
            if inner.left > 0:
                inner.left -= 1
                break
            if inner.left < 0 and not _broken(data, at, inner):
                break
            at += inner.left < 0
            around.pop()
        else:
            return deepest, at


def _broken(data: bytes, at: int, inner: _Around) -> bool:
    """Whether a break ends an array or map of open length."""
    if at >= len(data):
        raise cut()
    if data[at] == BREAK:
        if inner.major == MAP and inner.seen % 2:
            raise CborError('cbor: unexpected "break" code')
        return True
    if inner.major == MAP and inner.seen // 2 > PAIRS_MAX:
        raise _too_many(MAP)
    inner.seen += 1
    return False


def _count(major: int, value: int) -> int:
    """How many items follow the head of an array or map."""
    if value > INT64_MAX:
        raise CborError(
            f"cbor: {NAMES[major]} length {value} is too large, it would cause integer overflow"
        )
    if value > (ELEMENTS_MAX if major == ARRAY else PAIRS_MAX):
        raise _too_many(major)
    return value if major == ARRAY else 2 * value


def _too_many(major: int) -> CborError:
    if major == ARRAY:
        return CborError(f"cbor: exceeded max number of elements {ELEMENTS_MAX} for CBOR array")
    return CborError(f"cbor: exceeded max number of key-value pairs {PAIRS_MAX} for CBOR map")


def _tags(data: bytes, at: int, number: int, depth: int) -> tuple[int, int]:
    """Behind a tag and those that follow it at once. Each but the first is a level."""
    while True:
        if at >= len(data):
            raise cut()
        if number in (2, 3):
            raise refused(TAG, "bignum")
        if data[at] >> 5 != TAG:
            return depth, at
        _, _, number, at = checked_head(data, at)
        depth += 1
        if depth > DEPTH_MAX:
            raise too_deep()


def _over(data: bytes, at: int, major: int, size: int) -> int:
    if size > INT64_MAX:
        raise CborError(
            f"cbor: {NAMES[major]} length {size} is too large, causing integer overflow"
        )
    if size > len(data) - at:
        raise cut()
    return at + size


def _chunks(data: bytes, at: int, major: int) -> int:
    """Behind a string in parts."""
    while True:
        if at >= len(data):
            raise cut()
        if data[at] == BREAK:
            return at + 1
        if data[at] >> 5 != major:
            raise CborError(
                f"cbor: wrong element type {NAMES[data[at] >> 5]} for indefinite-length "
                f"{NAMES[major]}"
            )
        if data[at] & 31 == OPEN:
            raise CborError(f"cbor: indefinite-length {NAMES[major]} chunk is not definite-length")
        _, _, size, at = checked_head(data, at)
        at = _over(data, at, major, size)


def checked_head(data: bytes, at: int) -> tuple[int, int, int, int]:
    """Type, what the head says of its argument, the argument, and where the head ends."""
    if at >= len(data):
        raise cut()
    major, info = data[at] >> 5, data[at] & 31
    at += 1
    if info < 24:
        return major, info, info, at
    size = _SIZES.get(info)
    if size is None:
        if info == OPEN and major == SIMPLE:
            raise CborError('cbor: unexpected "break" code')
        if info != OPEN or major in (POSITIVE, NEGATIVE, TAG):
            raise CborError(f"cbor: invalid additional information {info} for type {NAMES[major]}")
        return major, info, info, at
    end = at + size
    if end > len(data):
        raise cut()
    value = int.from_bytes(data[at:end], "big")
    if major == SIMPLE:
        if info == 24:
            if value < 32:
                raise CborError(f"cbor: invalid simple value {value} for type {NAMES[SIMPLE]}")
        else:
            (number,) = struct.unpack_from(_FLOATS[info], data, at)
            if not math.isfinite(number):
                what = "NaN" if math.isnan(number) else "infinity"
                raise refused(SIMPLE, f"floating-point {what}")
    return major, info, value, end


# -- a walk over what is well-formed --------------------------------------------------------------


class Scanner:
    """A position in bytes that `check` has passed."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def major(self) -> int:
        """The type of the next item."""
        return self.data[self.at] >> 5

    def null(self) -> bool:
        """Whether null or undefined is next."""
        return self.data[self.at] in (0xF6, 0xF7)

    def head(self) -> tuple[int, int, int]:
        """Type, what the head says of its argument, and the argument."""
        data, at = self.data, self.at
        major, info = data[at] >> 5, data[at] & 31
        at += 1
        size = _SIZES.get(info)
        if size is None:
            self.at = at
            return major, info, info
        self.at = at + size
        return major, info, int.from_bytes(data[at : at + size], "big")

    def ended(self) -> bool:
        """Whether a break is next; then it is behind."""
        if self.data[self.at] != BREAK:
            return False
        self.at += 1
        return True

    def indices(self) -> Iterator[int]:
        """Behind the head of an array or map that is next: a turn for each element or pair."""
        _, info, count = self.head()
        if info != OPEN:
            yield from range(count)
            return
        index = 0
        while not self.ended():
            yield index
            index += 1

    def skip(self) -> None:
        """Over the next item, whatever it holds."""
        left = [1]
        while left:
            if left[-1] == 0:
                left.pop()
                continue
            if left[-1] < 0 and self.ended():
                left.pop()
                continue
            left[-1] -= left[-1] > 0
            major, info, value = self.head()
            if major == TAG:
                left.append(1)
            elif info == OPEN and BYTE_STRING <= major <= MAP:
                left.append(-1)
            elif major in (ARRAY, MAP):
                left.append(value if major == ARRAY else 2 * value)
            elif major in (BYTE_STRING, TEXT_STRING):
                self.at += value

    def skip_self_described(self) -> None:
        while self.data.startswith(SELF_DESCRIBED, self.at):
            self.at += len(SELF_DESCRIBED)

    def string(self) -> bytes:
        """The bytes of the string that is next. Text is checked. Raises CborError, behind it."""
        major, info, size = self.head()
        if info != OPEN:
            start = self.at
            self.at += size
            out = self.data[start : self.at]
            if major == TEXT_STRING:
                _check_text(out)
            return out
        parts = []
        while not self.ended():
            _, _, size = self.head()
            parts.append(self.data[self.at : self.at + size])
            self.at += size
        for part in parts if major == TEXT_STRING else ():
            _check_text(part)
        return b"".join(parts)

    def float(self, info: int) -> float:
        """The number whose head was just read."""
        size = _SIZES[info]
        number: float = struct.unpack_from(_FLOATS[info], self.data, self.at - size)[0]
        return number


def _check_text(data: bytes) -> None:
    try:
        data.decode()
    except UnicodeDecodeError:
        raise CborError(BAD_UTF8) from None
