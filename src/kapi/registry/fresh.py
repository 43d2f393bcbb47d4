"""The object whose JSON was made last, for whoever writes the same in another form next.

`Versions.encode_stored` makes the JSON that a store is given. A store in which built-in kinds are
Protocol Buffers would have to read it again; so the object is laid down here, and taken by
`assembly/stored_forms.py` if it is asked for those very bytes. It may be gone by then: others write
between, some in another thread. One per server.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class Fresh:
    __slots__ = ("_last",)

    def __init__(self) -> None:
        self._last: tuple[bytes, Json] | None = None

    def made(self, value: bytes, obj: Json) -> None:
        self._last = value, obj

    def take(self, value: bytes) -> Json | None:
        """What these bytes say; only to be looked at. Given once."""
        last = self._last
        if last is None or last[0] is not value:
            return None
        self._last = None
        return last[1]
