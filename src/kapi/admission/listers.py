"""What admission plugins may look up: objects of one resource, from the cache, read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

Json = dict[str, Any]


class Lister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...

    def list(self, namespace: str = "") -> list[Json]: ...


Listers = Callable[[str, str], Lister]  # by group and plural
