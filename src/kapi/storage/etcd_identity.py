"""Is it still the same etcd? A backup that was restored, or another cluster in its place, is not.

etcd tells nobody that it was rolled back: it only starts at an older revision, with other history
from there on. Three things show it. Its revision is lower than one that was seen. The id of its
cluster is another one (a restored cluster may have the old id, so that is not enough). Or the last
write that was seen is not in its history, which also holds when others have written past it since.

Asked whenever the watch is opened anew (`etcd_watch.py`), and with each answer about the newest
revision (`etcd_newest.py`). A backup that was restored with `--bump-revision --mark-compacted`
needs none of this: to whoever watches, it looks as if history had been compacted.
"""

from __future__ import annotations

from collections.abc import Sequence

from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import COMPACTED, FUTURE, EtcdClient, EtcdRefused
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.etcd_messages import Change, Header
from kapi.storage.interface import Event


class Identity:
    """What is known of the etcd that a store speaks to."""

    def __init__(self, client: EtcdClient, space: KeySpace, header: Header) -> None:
        """`header`: of its first answer."""
        self._client = client
        self._space = space
        self.cluster = header.cluster
        # A write that was seen: its key, here as a text if it is one of ours, and its revision.
        self._last: tuple[bytes | str, int] | None = None
        self._claimed: tuple[bytes | str, int] | None = None

    def seen(self, changes: Sequence[Change]) -> None:
        """Of these writes, which came on the watch, one is remembered."""
        for change in reversed(changes):
            if change.type == messages.PUT:
                self._last = (change.kv.key, change.kv.mod_revision)
                return

    def wrote(self, event: Event, *, known: bool) -> None:
        """The same for a write of ours. What was written while the watch was not open, so perhaps
        to an etcd that nobody has looked at yet, does not vouch for it: that counts later.
        """
        if event.type == "delete":
            return
        if known:
            self._last = (event.key, event.revision)
        else:
            self._claimed = (event.key, event.revision)

    def confirm(self) -> None:
        """It was looked at, and the watch is open."""
        if self._claimed is not None:
            self._last, self._claimed = self._claimed, None

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
        if not reason and self._last is not None:
            key, revision = self._last
            outer = self._space.outer(key) if isinstance(key, str) else key
            assert outer is not None, "it was written"
            reason = await self._has_not(outer, revision)
        return reason, header

    async def _has_not(self, key: bytes, revision: int) -> str:
        request = messages.range_request(key, revision=revision, keys_only=True)
        try:
            found = messages.range_answer(await self._client.read("KV/Range", request)).kvs
        except EtcdRefused as error:
            if error.text.startswith(COMPACTED):
                return ""  # nobody can know; the watch cannot go on either
            if not error.text.startswith(FUTURE):
                raise
            found = ()
        if found and found[0].mod_revision == revision:
            return ""
        return f"its history has no write of {key.decode(errors='replace')} at {revision}"

    def accept(self, header: Header) -> None:
        """Know this one from now on."""
        self.cluster = header.cluster
        self._last = self._claimed = None
