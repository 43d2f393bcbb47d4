"""The store in etcd, which other servers may share: any number of kapi, and kube-apiserver.

Writes are transactions that compare the revision a key was last written at, as the real server's. A
write is answered when its event is in every watch (`etcd_delivery.py`), so what holds for every
`Storage` holds here: who was answered finds the change in every watch and read of this process.
`current_revision` asks etcd, since others write, too; callers that come while it is asked share the
next question.

Keys that shall end by themselves (events, the leases of servers) get a lease of etcd by their
prefix.
https://github.com/kubernetes/kubernetes/tree/master/staging/src/k8s.io/apiserver/pkg/storage/etcd3
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, Final

from kapi.clock import Clock
from kapi.storage import etcd_messages as messages
from kapi.storage import keys
from kapi.storage.etcd_client import (
    COMPACTED,
    FUTURE,
    LEASE_GONE,
    EtcdClient,
    EtcdRefused,
    EtcdSettings,
)
from kapi.storage.etcd_delivery import Delivery, settle
from kapi.storage.etcd_identity import Identity
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.etcd_lease import Leases
from kapi.storage.etcd_messages import Header, TxnAnswer
from kapi.storage.etcd_newest import Newest
from kapi.storage.etcd_watch import Follower, compact_revision, history, record_of
from kapi.storage.interface import (
    AlreadyExists,
    Compacted,
    Conflict,
    Event,
    FutureRevision,
    ListResult,
    NotFound,
    Record,
    Unavailable,
)
from kapi.storage.keys import check_key
from kapi.storage.recent import Recent
from kapi.storage.requests import Requests
from kapi.storage.watch import Hub, Page

# Records asked for at once: some 6 MB of pods.
PAGE_RECORDS: Final = 2_000
PAGE_S: Final = 15.0
# Bytes of records whose next change may be told before the watch brings it.
RECENT_BYTES_MAX: Final = 4 * 1024 * 1024
# How long a start waits for etcd, as the real server.
START_S: Final = 20.0


# The revision of a write, and its event, if enough is known to tell it.
_Made = tuple[int, Event | None]


class EtcdStorage:
    """A `Storage`; made by `open` on the event loop that will use it."""

    @classmethod
    async def open(cls, settings: EtcdSettings, clock: Clock) -> EtcdStorage:
        """Raises Unavailable if no member answers in time."""
        client = EtcdClient(settings.servers, settings.files, clock)
        try:
            data = await client.read("KV/Range", messages.range_request(b"\0"), timeout=START_S)
            return cls(client, settings, clock, messages.header_of(data))
        except BaseException:
            await client.close()
            raise

    def __init__(
        self, client: EtcdClient, settings: EtcdSettings, clock: Clock, header: Header
    ) -> None:
        self.client = client
        self.requests = Requests(clock)
        self._space = KeySpace(settings.prefix)
        self.leases = Leases(client, clock, settings.lifetimes)
        self._hub = Hub(self._replay, header.revision, shared_root=keys.ROOT)
        self._delivery = Delivery(self._hub)
        self._recent = Recent(RECENT_BYTES_MAX)
        self._identity = Identity(client, self._space, header)
        self._follower = Follower(
            client, self._space, clock, self._identity, self._recent,
            self._delivery.moved, self._start_over,
        )  # fmt: skip
        self._compact_revision = 0  # as far as is known here
        self._writing = 0
        self._written: asyncio.Future[None] | None = None  # at the end: when nobody writes
        self._newest = Newest(client, self._hub, self._identity, self._follower.distrust)
        self._loop = asyncio.get_running_loop()
        self._following = self._loop.create_task(self._follower.run(self._hub), name="etcd-watch")
        self._closed: asyncio.Future[None] | None = None
        self.sizes: dict[str, int] = {}  # bytes of the database by endpoint, as last seen

    # -- reads ------------------------------------------------------------------------------------

    async def get(self, key: str, *, revision: int | None = None) -> Record | None:
        outer = self._space.outer(key)
        if revision is not None and revision <= 0:
            await self._before_all(revision)
            return None
        if outer is None:
            await self._check_readable(revision)
            return None
        asked = self._range(messages.range_request(outer, revision=revision or 0), revision)
        answer = await self.requests.timed("get", key, asked)
        if not answer.kvs:
            return None
        record = record_of(key, answer.kvs[0])
        if revision is None:
            self._recent.see(record)
        return record

    async def list(
        self,
        prefix: str,
        *,
        limit: int = 0,
        start_after: str = "",
        revision: int | None = None,
    ) -> ListResult:
        if revision is not None and revision <= 0:
            await self._before_all(revision)
            return ListResult([], revision, 0)
        span = self._space.span(prefix, start_after)
        if span is None:
            at = await self._check_readable(revision)
            return ListResult([], revision if revision is not None else at, 0)
        start, end = span
        records: builtins.list[Record] = []
        at = revision or 0
        while True:
            wanted = min(limit - len(records), PAGE_RECORDS) if limit else PAGE_RECORDS
            request = messages.range_request(start, end, limit=wanted, revision=at)
            asked = self._range(request, revision, attempt=PAGE_S)
            answer = await self.requests.timed("list", prefix, asked)
            at = at or answer.revision
            for kv in answer.kvs:
                key = self._space.inner(kv.key)
                if key is not None:
                    records.append(record_of(key, kv))
            left = answer.count - len(answer.kvs)
            if left <= 0 or not answer.kvs or (limit and len(records) >= limit):
                return ListResult(records, at, max(0, left))
            start = answer.kvs[-1].key + b"\0"

    async def current_revision(self) -> int:
        self._check_open()
        revision = max(await self._newest.revision(), self._hub.revision)
        if revision > self._hub.revision:
            self._follower.want(revision)
        return revision

    def watch(self, prefix: str, *, after_revision: int) -> AsyncIterator[Sequence[Event]]:
        return self._hub.watch(prefix, after_revision)

    # -- writes -----------------------------------------------------------------------------------

    async def create(self, key: str, value: bytes) -> int:
        check_key(key)
        return await self._made(self._create(key, value))

    async def _create(self, key: str, value: bytes) -> _Made:
        outer = self._outer(key)
        answer = await self._put(key, outer, value, 0)
        if not answer.succeeded:
            raise AlreadyExists(key)
        return answer.revision, Event("create", key, value, answer.revision, None)

    async def update(self, key: str, value: bytes, *, expected_revision: int) -> int:
        return await self._made(self._update(key, value, expected_revision))

    async def _update(self, key: str, value: bytes, expected_revision: int) -> _Made:
        outer = self._space.outer(key)
        if outer is None:
            raise NotFound(key)
        before = self._recent.get(key)
        answer = await self._put(key, outer, value, expected_revision or -1)
        self._check_done(key, answer)
        if before is None or before.revision != expected_revision:
            return answer.revision, None
        return answer.revision, Event("update", key, value, answer.revision, before)

    async def _put(self, key: str, outer: bytes, value: bytes, expected: int) -> TxnAnswer:
        """Write if the key stands at a revision; 0: if it does not exist."""
        while True:
            lease = await self.leases.lease_for(key)
            put = messages.put_op(outer, value, lease=lease)
            try:
                return await self._txn(
                    "update" if expected else "create", key,
                    messages.if_revision(outer, expected), put, messages.range_op(outer),
                )  # fmt: skip
            except EtcdRefused as error:
                if LEASE_GONE not in error.text or not self.leases.forget(lease):
                    raise

    async def delete(self, key: str, *, expected_revision: int) -> tuple[Record, int]:
        removed: builtins.list[Record] = []
        revision = await self._made(self._delete(key, expected_revision, removed))
        return removed[0], revision

    async def _delete(
        self, key: str, expected_revision: int, removed: builtins.list[Record]
    ) -> _Made:
        outer = self._space.outer(key)
        if outer is None:
            raise NotFound(key)
        answer = await self._txn(
            "delete",
            key,
            messages.if_revision(outer, expected_revision or -1),
            messages.delete_op(outer),
            messages.range_op(outer),
        )
        self._check_done(key, answer)
        before = record_of(key, answer.kvs[0])
        removed.append(before)
        return answer.revision, Event("delete", key, before.value, answer.revision, before)

    async def _made(self, write: Coroutine[Any, Any, _Made]) -> int:
        """The revision of a write, when its event is in every watch.

        If its caller is cancelled, etcd goes on with it, and the watch tells of it.
        """
        try:
            self._check_open()
        except Unavailable:
            write.close()
            raise
        self._writing += 1
        try:
            revision, event = await write
            if event is not None:
                self._identity.wrote(event, known=self._follower.connected)
                self._recent.learn(event)
                self._delivery.tell(event)
            await self._delivery.until(revision)
            return revision
        finally:
            self._writing -= 1
            if self._written is not None and not self._writing:
                settle(self._written, None)

    async def _txn(
        self, operation: str, key: str, compare: bytes, success: bytes, failure: bytes
    ) -> TxnAnswer:
        request = messages.txn_request(compare, success, failure)
        sent = self.client.write("KV/Txn", request)
        return messages.txn_answer(await self.requests.timed(operation, key, sent))

    def _check_done(self, key: str, answer: TxnAnswer) -> None:
        if not answer.succeeded:
            if not answer.kvs:
                raise NotFound(key)
            raise Conflict(key, record_of(key, answer.kvs[0]))

    # -- history ----------------------------------------------------------------------------------

    async def compact(self, revision: int) -> None:
        self._check_open()
        if revision <= 0 or revision < self._compact_revision:
            if self._compact_revision or await self.compact_revision():
                raise Compacted(self._compact_revision)
            return
        try:
            await self.client.write("KV/Compact", messages.compaction_request(revision))
        except EtcdRefused as error:
            if not error.text.startswith(COMPACTED):
                await self._translate(error, revision)
            if await self.compact_revision() > revision:
                raise Compacted(self._compact_revision) from None
        self.compacted(revision)

    async def compact_revision(self) -> int:
        self._check_open()
        self.compacted(await compact_revision(self.client, self._compact_revision))
        return self._compact_revision

    def compacted(self, revision: int) -> None:
        """It became known that history starts at this revision."""
        self._compact_revision = max(self._compact_revision, revision)

    async def _replay(self, prefix: str, after_revision: int) -> Page:
        upto = self._hub.revision
        if after_revision < self._compact_revision:
            raise Compacted(self._compact_revision)
        if after_revision >= upto:
            return Page((), after_revision, last=True)
        try:
            return await history(self.client, self._space, prefix, after_revision, upto)
        except Compacted as error:
            self.compacted(error.compact_revision)
            raise

    def _start_over(self) -> None:
        """etcd is another one: what is known of it is void; what is waited for does not come."""
        self._compact_revision = 0
        self.leases.forget_all()
        self._recent.clear()
        self._delivery.start_over()

    # -- asking etcd ------------------------------------------------------------------------------

    async def _range(
        self, request: bytes, revision: int | None, *, attempt: float = 0
    ) -> messages.RangeAnswer:
        self._check_open()
        try:
            limits = {"timeout": 2 * attempt, "attempt": attempt} if attempt else {}
            data = await self.client.read("KV/Range", request, **limits)
        except EtcdRefused as error:
            await self._translate(error, revision)
            raise
        return messages.range_answer(data)

    async def _translate(self, error: EtcdRefused, revision: int | None) -> None:
        """Raise what a refusal means in the terms of `Storage`."""
        if error.text.startswith(COMPACTED):
            raise Compacted(await self.compact_revision()) from None
        if error.text.startswith(FUTURE):
            raise FutureRevision(await self.current_revision()) from None
        raise Unavailable(error.text) from error

    async def _before_all(self, revision: int) -> None:
        """A read before the first revision: there was nothing, unless history is gone."""
        if await self.compact_revision() > revision:
            raise Compacted(self._compact_revision)

    async def _check_readable(self, revision: int | None) -> int:
        """Where there can be no key: is the revision one that can be read? The revision of now."""
        at = revision or 0
        return (await self._range(messages.range_request(b"\0", revision=at), revision)).revision

    # -- the end ----------------------------------------------------------------------------------

    async def close(self) -> None:
        if self._closed is not None:
            await asyncio.shield(self._closed)
            return
        self._closed = self._loop.create_future()
        if self._writing:
            self._written = self._loop.create_future()
            await self._written
        self._hub.close()
        self._following.cancel()
        await asyncio.gather(self._following, return_exceptions=True)
        await self._newest.close()
        await self.client.close()
        self._closed.set_result(None)

    def statistics(self) -> Mapping[str, int]:
        return {
            "revision": self._hub.revision,
            "compact_revision": self._compact_revision,
            "database_bytes": max(self.sizes.values(), default=0),
            "watches": len(self._hub),
            "queued_writes": self._writing,
            "connected": int(self._follower.connected),
            "streams": self._follower.streams,
            "failovers": self.client.failovers,
            "revision_reads": self._newest.asked,
            "progress_requests": self._follower.progress_requests,
            "progress_answers": self._follower.progress_answers,
            "events_at_once": self._delivery.at_once,
            "leases": self.leases.granted,
        }

    def trouble(self) -> str:
        """What is wrong with the connection to etcd; "" if nothing is."""
        if self.client.trouble:
            return self.client.trouble
        return "" if self._follower.connected else "the watch of etcd is not connected"

    def _check_open(self) -> None:
        if self._closed is not None:
            raise Unavailable("the store is closed")

    def _outer(self, key: str) -> bytes:
        outer = self._space.outer(key)
        assert outer is not None, f"kapi's keys are below {keys.ROOT}"
        return outer
