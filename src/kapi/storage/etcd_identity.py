"""Is it still the same etcd? A backup that was restored, or another cluster in its place, is not.

etcd tells nobody that it was rolled back: it only starts at an older revision, with other history
from there on. Three things show it. Its revision is lower than one that was seen. The id of its
cluster is another one (a restored cluster may have the old id, so that is not enough). Or the last
write that was seen is not in its history, which also holds when others have written past it since.
A write is seen on the watch, or made by ourselves. One that was made while the watch was not open
may be in the history of an etcd that nobody has looked at yet: it is asked for, too, but takes the
place of what was seen before only when the watch is open again.

Asked whenever the watch is opened anew (`etcd_watch.py`), and with each answer about the newest
revision (`etcd_newest.py`). A backup that was restored with `--bump-revision --mark-compacted`
needs none of this: to whoever watches, it looks as if history had been compacted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import COMPACTED, FUTURE, EtcdClient, EtcdRefused
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.etcd_messages import Change, Header
from kapi.storage.interface import Event

Seen = tuple[bytes | str, int]  # a key, here as a text if it is one of ours, and a revision


@dataclass(slots=True)
class Writes:
    """The last write that must be in history, and the last removal if that came later."""

    put: Seen | None = None
    removed: Seen | None = None

    def note(self, key: bytes | str, revision: int, *, removed: bool) -> None:
        if removed:
            self.removed = (key, revision)
        else:
            self.put, self.removed = (key, revision), None


class Identity:
    """What is known of the etcd that a store speaks to."""

    def __init__(self, client: EtcdClient, space: KeySpace, header: Header) -> None:
        """`header`: of its first answer."""
        self._client = client
        self._space = space
        self.cluster = header.cluster
        self._last = Writes()
        self._claimed = Writes()

    def seen(self, changes: Sequence[Change]) -> None:
        """Of these writes, which came on the watch, the last ones are remembered."""
        last: Change | None = None
        for change in reversed(changes):
            last = last or change
            if change.type == messages.PUT:
                self._last.note(change.kv.key, change.kv.mod_revision, removed=False)
                break
        if last is not None and last.type != messages.PUT:
            self._last.note(last.kv.key, last.kv.mod_revision, removed=True)

    def wrote(self, event: Event, *, known: bool) -> None:
        """The same for a write of ours; `known`: the watch was open."""
        writes = self._last if known else self._claimed
        writes.note(event.key, event.revision, removed=event.type == "delete")

    def confirm(self) -> None:
        """It was looked at, and the watch is open."""
        claimed, self._claimed = self._claimed, Writes()
        if claimed.put is not None:
            self._last = claimed
        elif claimed.removed is not None:
            self._last.removed = claimed.removed

    def judge(self, header: Header, floor: int) -> str:
        """Why an answer is another etcd's; "" if it is not.

        `floor`: a revision that was there before the question, which was no serializable one.
        """
        if header.cluster != self.cluster:
            return f"cluster {header.cluster:x} answers instead of {self.cluster:x}"
        if header.revision < floor:
            return f"its revision is {header.revision} and was {floor}"
        return ""

    async def differs(self, floor: int) -> tuple[str, Header]:
        """The same, by its history, too; and the header of what it said. Raises Unavailable."""
        header = messages.header_of(
            await self._client.read("KV/Range", messages.range_request(b"\0"))
        )
        reason = self.judge(header, floor)
        for writes in (self._last, self._claimed):
            if not reason and writes.put is not None:
                reason = await self._lacks(writes.put, removed=False)
            if not reason and writes.removed is not None:
                reason = await self._lacks(writes.removed, removed=True)
        return reason, header

    async def _lacks(self, seen: Seen, *, removed: bool) -> str:
        """Why its history is not that in which this was seen; "" if it may be."""
        name, revision = seen
        key = self._space.outer(name) if isinstance(name, str) else name
        assert key is not None, "it was written"
        request = messages.range_request(key, revision=revision, keys_only=True)
        try:
            found = messages.range_answer(await self._client.read("KV/Range", request)).kvs
        except EtcdRefused as error:
            if error.text.startswith(COMPACTED):
                return ""  # nobody can know; the watch cannot go on either
            if not error.text.startswith(FUTURE):
                raise
            return f"its history does not reach {revision}, which was seen"
        if removed:
            if not found:
                return ""
            return f"its history has {key.decode(errors='replace')} at {revision}, where it went"
        if found and found[0].mod_revision == revision:
            return ""
        return f"its history has no write of {key.decode(errors='replace')} at {revision}"

    def accept(self, header: Header) -> None:
        """Know this one from now on."""
        self.cluster = header.cluster
        self._last, self._claimed = Writes(), Writes()
