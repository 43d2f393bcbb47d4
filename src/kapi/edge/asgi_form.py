"""ASGI's forms: the arguments of an application, and the headers of an answer as it wants them.

Used by `asgi.py` and `upgrade.py`.
https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi.messages import Request, Response

Scope = Any
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]

_ADDS_UP = frozenset(("warning", "set-cookie"))  # the rest is replaced, as Go's Header.Set does


def reply_headers(request: Request, response: Response) -> list[tuple[bytes, bytes]]:
    """Every header of the answer, names in lower case."""
    out = [(name.lower().encode(), _value(value)) for name, value in response.headers]
    if request.reply_headers:
        names = {name.lower() for name, _ in response.headers}
        for name, value in request.reply_headers:
            lower = name.lower()
            if lower not in names or lower in _ADDS_UP:
                out.append((lower.encode(), _value(value)))
    return out


def _value(value: str) -> bytes:
    if not value.isprintable():
        value = "".join(" " if ord(c) < 0x20 or ord(c) == 0x7F else c for c in value)
    return value.encode("utf-8", "replace")


def add_vary(headers: list[tuple[bytes, bytes]]) -> None:
    """Caches are to keep answers apart by what encodings their clients take."""
    for i, (name, value) in enumerate(headers):
        if name == b"vary":
            if b"accept-encoding" not in value.lower():
                headers[i] = (name, b"Accept-Encoding, " + value)
            return
    headers.append((b"vary", b"Accept-Encoding"))
