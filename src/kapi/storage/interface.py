"""The storage contract: ordered keys to bytes, with one revision counter over everything.

Shaped like what Kubernetes needs of etcd. Values are opaque; objects, versions and encryption live above.
Implementations: `memory.py` (the model and oracle), `sqlite.py` (default), later `etcd.py`. One conformance
suite (`tests/conformance/storage.py`) runs over each. All errors are those named here.

Revisions: positive, unique per write, growing by one per write, never reused, also across restarts. A fresh store is at revision 1.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """A key as it stands at some revision."""

    key: str
    value: bytes
    revision: int  # of the last change of this key
    create_revision: int


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `value` is the new value; for a delete it is the last one. `previous` is the record before (None for a create)."""

    type: str  # "create" | "update" | "delete"
    key: str
    value: bytes
    revision: int
    previous: Record | None


@dataclass(frozen=True, slots=True)
class ListResult:
    records: Sequence[Record]  # by key, ascending
    revision: int  # at which all of them were read
    remaining: (
        int  # how many more there are after the last one under the prefix (0 without a limit)
    )


class StorageError(Exception):
    """Base of the errors a Storage raises."""


class Conflict(StorageError):
    """The key is not at the expected revision. `current` is what stands there (None: nothing)."""

    def __init__(self, key: str, current: Record | None) -> None:
        super().__init__(key)
        self.key, self.current = key, current


class AlreadyExists(StorageError):
    """`create` of a key that exists."""


class NotFound(StorageError):
    """`update` or `delete` of a key that does not exist."""


class Compacted(StorageError):
    """The revision is older than the kept history. `compact_revision` is the oldest that is kept."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"compacted: history starts at {compact_revision}")
        self.compact_revision = compact_revision


class FutureRevision(StorageError):
    """The revision has not happened yet. `current_revision` is the newest."""

    def __init__(self, current_revision: int) -> None:
        super().__init__(f"the current revision is {current_revision}")
        self.current_revision = current_revision


class Unavailable(StorageError):
    """The backend cannot answer now (disk full, locked, read-only, closed). Nothing was changed."""


class Corrupt(StorageError):
    """The backend holds something that breaks its own invariants."""


class Storage(Protocol):
    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        """The record now, or as of a revision. Raises Compacted, FutureRevision, Unavailable."""

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        """Records under `prefix` with keys > `start_after`, at most `limit` (0: all), now or as of a revision. Raises Compacted, FutureRevision, Unavailable."""

    async def create(self, key: str, value: bytes) -> int:
        """Add a key; returns the revision. Raises AlreadyExists, Unavailable. Durable on return."""

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """Replace the value if the key stands at `expected_revision`. Raises Conflict (with what stands there), NotFound, Unavailable. Durable on return."""

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        """Remove the key if it stands at `expected_revision`; returns what was there and the revision of the removal. Raises Conflict, NotFound, Unavailable."""

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        """Every change under `prefix` with a revision > `after_revision`, in batches: ordered, without gap or repeat, a revision never split over two batches. Raises Compacted (also first thing). Ends when the store closes."""

    async def current_revision(self) -> int:
        """The newest revision that any earlier-acknowledged write can have."""

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; current values stay. Raises Compacted (already further), FutureRevision."""

    async def compact_revision(self) -> int:
        """The oldest revision that can still be read (0: nothing was compacted)."""

    async def close(self) -> None:
        """Finish queued writes, end watches, release files and threads. Idempotent."""
