"""Times that CBOR tags as such (tags 0 and 1), where nothing says of what type they are: they
become RFC 3339 text, as the real decoder makes it. Used by `cbor_reading.py`.
https://www.rfc-editor.org/rfc/rfc8949.html#section-3.4.1
"""

from __future__ import annotations

import math
import re
from datetime import UTC, datetime, timedelta

from kapi.codec.cbor_format import CborError
from kapi.schema.decoding_errors import reader_error

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FRACTION = re.compile(r"[.,](\d+)")
_OUTSIDE = (
    "cbor: decoded time cannot be represented in RFC3339 format with sub-second precision: "
    "Time.MarshalText: year outside of range [0,9999]"
)


def moment(value: str | float) -> str:
    """A text with the spelling of Go, or seconds since 1970 as a text. Raises CborError."""
    if isinstance(value, str):
        return _spelled(value)
    whole = math.trunc(value)
    nanos = int((value - whole) * 1e9) if isinstance(value, float) else 0
    if nanos < 0:
        whole, nanos = whole - 1, nanos + 10**9
    try:
        at = _EPOCH + timedelta(seconds=whole)
    except OverflowError:
        raise CborError(_OUTSIDE) from None
    return at.replace(tzinfo=None).isoformat(timespec="seconds") + _digits(f"{nanos:09d}") + "Z"


def _spelled(text: str) -> str:
    if words := reader_error("date-time", text):
        raise CborError(f"cbor: cannot set {text} for time.Time: {words}")
    fraction = _FRACTION.search(text, 19)
    zone = text[fraction.end() if fraction else 19 :]
    zone = "Z" if zone[1:] == "00:00" else zone
    return text[:19] + (_digits(fraction[1][:9]) if fraction else "") + zone


def _digits(nanos: str) -> str:
    kept = nanos.rstrip("0")
    return "." + kept if kept else ""
