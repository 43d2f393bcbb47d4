"""The storage contract: ordered keys to bytes, with one revision counter over everything.

Shaped like what Kubernetes needs of etcd. Values are opaque; objects, versions and encryption
live above. Implementations: `memory.py` (the model and oracle), `sqlite.py` (default). One
conformance suite (`tests/conformance/storage_suite.py`) runs over each. All errors are those named
here.

Revisions: positive, one per write, growing by one per write, never reused, also across restarts.
A fresh store is at revision 1, so its first write gets 2.

History: a store keeps what it needs to answer for every revision from its compact revision on. A
time bound is kept by `compaction.Compactor`; a bound in bytes is kept by the store itself.

Order on one event loop: when a write is acknowledged, its event is already in every watch, and
`current_revision()`, `get` and `list` show it. Nothing is shown before it is durable.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Record:
    """A key as it stands at some revision."""

    key: str
    value: bytes
    revision: int  # of the last change of this key
    create_revision: int  # of its creation; survives updates, not a delete
    stale: bool = False  # how it is kept is to be replaced: writing the same again is worth it


PROGRESS = "progress"


@dataclass(frozen=True, slots=True)
class Event:
    """One change. `previous` is the record before it (None for a create).

    `value` is the new value; for a delete it is the last one, `previous.value`. A store with other
    writers beside this server may end a batch of a watch over everything with PROGRESS, without a
    key: all changes up to its revision were given.
    """

    type: str  # "create" | "update" | "delete" | PROGRESS
    key: str
    value: bytes
    revision: int
    previous: Record | None


@dataclass(frozen=True, slots=True)
class ListResult:
    """What a list found, all of it read at one revision."""

    records: Sequence[Record]  # by key, ascending (code points)
    revision: int  # at which all of them were read
    remaining: int  # how many more follow the last one under the prefix (0 without a limit)


class StorageError(Exception):
    """Base of the errors a Storage raises."""


class Conflict(StorageError):
    """The key is not at the expected revision. `current` is what stands there."""

    def __init__(self, key: str, current: Record) -> None:
        super().__init__(f"{key} is at revision {current.revision}")
        self.key, self.current = key, current


class AlreadyExists(StorageError):
    """`create` of a key that exists."""


class NotFound(StorageError):
    """`update` or `delete` of a key that does not exist."""


class Compacted(StorageError):
    """The revision is older than the kept history. `compact_revision` is the oldest kept one."""

    def __init__(self, compact_revision: int) -> None:
        super().__init__(f"compacted: history starts at {compact_revision}")
        self.compact_revision = compact_revision


class Replaced(Compacted):
    """The store went back to an earlier state, or is another one by now: what is known of it is
    void, and revisions go on from `compact_revision`, which may be lower than before.
    """

    def __init__(self, revision: int, reason: str) -> None:
        super().__init__(revision)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


class FutureRevision(StorageError):
    """The revision has not happened yet. `current_revision` is the newest."""

    def __init__(self, current_revision: int) -> None:
        super().__init__(f"the current revision is {current_revision}")
        self.current_revision = current_revision


class Unavailable(StorageError):
    """The backend cannot answer now (disk full, locked, read-only, closed).

    A write that raises it was not made, unless `uncertain` is set: the disk failed in the very act
    of syncing, or the connection to another process was lost. Then it may still show up, as an
    event with its revision.
    """

    def __init__(self, text: str = "", *, uncertain: bool = False) -> None:
        super().__init__(text)
        self.uncertain = uncertain


class TooLarge(StorageError):
    """The value is larger than the backend takes; the text is its own. Nothing was written."""


class Corrupt(StorageError):
    """The backend holds something that breaks its own invariants."""


class Refused(StorageError):
    """What stands between will not let the value through now; nothing was written. It may say
    why: the text is for clients.
    """


# How a value begins that a storage could not make readable; behind it is why, as text. No object
# begins so.
UNREADABLE = b"\0unreadable: "
# How encrypted values begin.
ENCRYPTED = b"k8s:enc:"
ENCRYPTED_TEXT = "identity transformer tried to read encrypted data"
_NOT_READABLE = (UNREADABLE, ENCRYPTED)


def untransformable(why: str) -> str:
    """The words for a value that could not be decrypted."""
    return f"data from the storage is not transformable revision=0: {why}"


def why_unreadable(value: bytes) -> str:
    """Why a value could not be made readable; empty for all others."""
    if not value.startswith(_NOT_READABLE):
        return ""
    if value.startswith(ENCRYPTED):
        return untransformable(ENCRYPTED_TEXT)
    return value[len(UNREADABLE) :].decode(errors="replace")


def check_readable(value: bytes) -> None:
    """Raise Corrupt for a value that could not be made readable."""
    why = why_unreadable(value)
    if why:
        raise Corrupt(why)


class InUse(StorageError):
    """Another server owns the data directory. The text names the directory and the owner."""


class UnknownFormat(StorageError):
    """The file was written by a newer kapi, or by something else. It was left as it is."""


class Storage(Protocol):
    """One store. All calls come from one event loop; a cancelled call may still take effect."""

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
        """Records under `prefix` with keys > `start_after`, at most `limit` (0: all).

        Now, or as of a revision. Raises Compacted, FutureRevision, Unavailable.
        """

    async def create(self, key: str, value: bytes) -> int:
        """Add a key; returns the revision. Durable on return.

        Raises AlreadyExists, Unavailable; ValueError for a key with NUL or a lone surrogate.
        """

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        """Replace the value if the key stands at `expected_revision`. Durable on return.

        Raises Conflict (with what stands there), NotFound, Unavailable.
        """

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        """Remove the key if it stands at `expected_revision`. Durable on return.

        Returns what was there and the revision of the removal. Raises as `update` does.
        """

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        """Every change under `prefix` with a revision > `after_revision`, in non-empty batches.

        Ordered, without gap or repeat, a revision never split over two batches. Raises Compacted
        (on the first step, or later when the reader fell behind the kept history), Replaced,
        Unavailable (the next step resumes where this one was). Ends when the store closes.
        Dropping the iterator ends the watch.
        """

    async def current_revision(self) -> int:
        """The newest revision: that of any write acknowledged before, or a later one."""

    async def compact(self, revision: int) -> None:
        """Forget history before `revision`; reads at `revision` and later still work.

        Returns when it is done; history goes in small steps, so writes are not held up. Raises
        Compacted (it is already further), FutureRevision, Unavailable (it may be partly done).
        """

    async def compact_revision(self) -> int:
        """The oldest revision that can still be read (0: nothing was compacted)."""

    async def close(self) -> None:
        """Finish queued writes, end watches, release files and threads. Idempotent."""

    def statistics(self) -> Mapping[str, int]:
        """Numbers for metrics and tests: revision, compact_revision, objects, live_bytes, …"""
