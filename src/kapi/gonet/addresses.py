"""IP addresses as Go's net/netip reads them, with its words for what is none.

Called by `urls.py` for hosts in brackets, and by the network library of expressions. What is read
stays text; who needs the address itself gives it to `ipaddress`, which takes all that passes here.
https://pkg.go.dev/net/netip#ParseAddr
"""

from __future__ import annotations

from kapi.errors import quote

FIELDS = 8  # of 16 bits, in an address of version 6
_HEX = frozenset("0123456789abcdefABCDEF")


class AddressError(ValueError):
    """No address; its text says why, in Go's words."""


def version_of(text: str) -> int:
    """4 or 6. Raises AddressError."""
    for c in text:
        if c == ".":
            _four(text, text)
            return 4
        if c == ":":
            _six(text)
            return 6
        if c == "%":
            raise _error(text, "missing IPv6 address")
    raise _error(text, "unable to parse IP")


def _error(text: str, words: str, at: str = "") -> AddressError:
    tail = f" (at {quote(at)})" if at else ""
    return AddressError(f"ParseAddr({quote(text)}): {words}{tail}")


def _four(text: str, part: str) -> None:
    """`part`: the four numbers, all of `text` or its end."""
    dots = digits = value = 0
    for i, c in enumerate(part):
        if "0" <= c <= "9":
            if digits == 1 and value == 0:
                raise _error(text, "IPv4 field has octet with leading zero")
            value, digits = value * 10 + int(c), digits + 1
            if value > 255:
                raise _error(text, "IPv4 field has value >255")
        elif c == ".":
            if i in (0, len(part) - 1) or part[i - 1] == ".":
                raise _error(text, "IPv4 field must have at least one digit", part[i:])
            if dots == 3:
                raise _error(text, "IPv4 address too long")
            dots, value, digits = dots + 1, 0, 0
        else:
            raise _error(text, "unexpected character", part[i:])
    if dots < 3:
        raise _error(text, "IPv4 address too short")


def _six(text: str) -> None:
    rest, percent, zone = text.partition("%")
    if percent and not zone:
        raise _error(text, "zone must be a non-empty string")
    seen, gap = 0, False  # fields read, and whether a :: was among them
    if rest.startswith("::"):
        rest, gap = rest[2:], True
        if not rest:
            return
    while seen < FIELDS:
        digits = _digits(text, rest)
        if rest[digits : digits + 1] == ".":
            if not gap and seen != FIELDS - 2:
                words = "embedded IPv4 address must replace the final 2 fields of the address"
                raise _error(text, words, rest)
            if seen > FIELDS - 2:
                words = "too many hex fields to fit an embedded IPv4 at the end of the address"
                raise _error(text, words, rest)
            _four(text, rest)
            rest, seen = "", seen + 2
            break
        rest, seen = rest[digits:], seen + 1
        if not rest:
            break
        if rest[0] != ":":
            raise _error(text, "unexpected character, want colon", rest)
        if len(rest) == 1:
            raise _error(text, "colon must be followed by more characters", rest)
        rest = rest[1:]
        if rest[0] == ":":
            if gap:
                raise _error(text, "multiple :: in address", rest)
            rest, gap = rest[1:], True
            if not rest:
                break
    _whole(text, rest, seen, gap=gap)


def _digits(text: str, rest: str) -> int:
    """How many hex digits a field begins with."""
    count = 0
    while rest[count : count + 1] in _HEX:
        if count > 3:
            raise _error(text, "each group must have 4 or less digits", rest)
        count += 1
    if not count:
        words = "each colon-separated field must have at least one digit"
        raise _error(text, words, rest)
    return count


def _whole(text: str, rest: str, seen: int, *, gap: bool) -> None:
    if rest:
        raise _error(text, "trailing garbage after address", rest)
    if seen < FIELDS and not gap:
        raise _error(text, "address string too short")
    if seen == FIELDS and gap:
        raise _error(text, "the :: must expand to at least one field of zeros")
