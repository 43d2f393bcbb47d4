"""Following etcd: one watch stream for everything, which feeds the `Hub`; and looks into history.

The stream is opened anew, with another member if need be, at the revision after the last one that
was delivered, so nothing is lost or repeated. If that revision was compacted meanwhile, the hub's
watches are sent to history, where they are told so one by one.

How far the stream is, when nothing of ours happens: members since 3.4.31 and 3.5.13 answer a
request for progress; it is sent while somebody waits for a revision. Older ones answer too early
(https://github.com/etcd-io/etcd/issues/15220), so from them every key of etcd is watched, not ours
alone: then each revision has an event.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from typing import Final

from kapi import log
from kapi.clock import Clock
from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import COMPACTED, CONNECT_S, EtcdClient, EtcdRefused, Member
from kapi.storage.etcd_identity import Identity
from kapi.storage.etcd_keys import EVERYTHING, KeySpace, after
from kapi.storage.etcd_messages import Change, Header, KeyValue, WatchAnswer
from kapi.storage.etcd_rpc import Call, RpcError
from kapi.storage.interface import Compacted, Event, Record, Unavailable
from kapi.storage.recent import Recent
from kapi.storage.watch import BATCH_EVENTS_MAX, Hub, Page

# How often progress is asked for while somebody waits, in seconds; the real server's is 0.1.
PROGRESS_S: Final = 0.02
# Before a broken stream is opened again: doubled from the first to the last.
RETRY_FIRST_S, RETRY_LAST_S = 0.02, 1.0
# How long the first answer on a stream may take, and each one when history is read.
ANSWER_S: Final = 5.0

_log = log.get("etcd")


def tells_progress(version: str) -> bool:
    """Whether a member of this version answers requests for progress rightly."""
    match = re.match(r"(\d+)\.(\d+)\.(\d+)", version)
    if match is None:
        return False
    found = tuple(int(part) for part in match.groups())
    return found >= (3, 6, 0) or found >= (3, 5, 13) or (3, 4, 31) <= found < (3, 5, 0)


class MissingPrevious(Exception):
    """An event came without what was there before: it was compacted while the event waited."""


class _Gone(Exception):
    """The stream broke off."""


class _Replaced(Exception):
    """It is another etcd that answers."""

    def __init__(self, reason: str, header: Header) -> None:
        super().__init__(reason)
        self.reason, self.header = reason, header


class Follower:
    """The main stream. `run` is a task; `hub` is told everything on the event loop."""

    def __init__(
        self,
        client: EtcdClient,
        space: KeySpace,
        clock: Clock,
        identity: Identity,
        recent: Recent,
        moved: Callable[[], None],
        replaced: Callable[[], None],
    ) -> None:
        """`moved` is called when the hub has gone on, `replaced` when etcd is another one; `recent`
        learns of every change.
        """
        self._identity = identity
        self._moved, self._replaced = moved, replaced
        self._recent = recent
        self._client = client
        self._space = space
        self._clock = clock
        self._wanted = 0  # a revision that somebody waits for
        self._asking: asyncio.Event = asyncio.Event()
        self._call: Call | None = None
        self.connected = False
        self.streams = 0
        self.progress_requests = 0
        self.progress_answers = 0

    def want(self, revision: int) -> None:
        """Somebody waits until this revision is delivered."""
        if revision > self._wanted:
            self._wanted = revision
            self._asking.set()

    def distrust(self) -> None:
        """Somebody else spoke to another etcd: look again, with a new stream."""
        if self._call is not None:
            self._call.cancel()

    async def run(self, hub: Hub) -> None:
        """Until cancelled."""
        backoff = RETRY_FIRST_S
        while True:
            member = self._client.member
            before = self.streams
            try:
                await self._stream(member, hub)
            except _Replaced as error:
                self._start_over(hub, error)
                continue
            except Compacted:
                await self._skip(hub)
                continue
            except MissingPrevious:
                await self._skip(hub)
                continue
            except (_Gone, Unavailable, RpcError, OSError) as error:
                if self.connected:
                    _log.warning("the watch broke off", member=member.url, error=str(error))
            self.connected = False
            if self.streams > before:
                backoff = RETRY_FIRST_S
            self._client.leave(member)
            await member.renew()
            await self._clock.sleep(backoff)
            backoff = min(2 * backoff, RETRY_LAST_S)

    def _start_over(self, hub: Hub, error: _Replaced) -> None:
        """Everybody who follows must look at everything anew."""
        self.connected = False
        _log.error(
            "etcd is not the one that it was: everything is listed anew, watches end",
            reason=error.reason,
            revision=error.header.revision,
            before=hub.revision,
        )
        self._identity.accept(error.header)
        self._wanted = 0
        hub.replace(error.header.revision, error.reason)
        self._replaced()

    async def _skip(self, hub: Hub) -> None:
        """History is gone where the stream should go on."""
        self.connected = False
        try:
            data = await self._client.read("KV/Range", messages.range_request(b"\0"))
        except Unavailable:
            return
        hub.lose(max(hub.revision, messages.revision_of(data)))
        self._moved()

    async def _stream(self, member: Member, hub: Hub) -> None:
        answer = await status(member)
        reason, header = await self._identity.differs(hub.revision)
        if reason:
            raise _Replaced(reason, header)
        if answer.cluster != header.cluster:
            raise _Gone(f"{member.url} is of another cluster, {answer.cluster:x}")
        progress = tells_progress(answer.version)
        first, end = (self._space.root, after(self._space.root)) if progress else EVERYTHING
        call = self._call = member.stream("Watch/Watch")
        try:
            call.write(messages.watch_create(first, end, start=hub.revision + 1))
            opened = await _read(call, ANSWER_S)
            _check(opened)
            self._identity.confirm()
            self.connected = True
            self.streams += 1
            asking = asyncio.get_running_loop().create_task(self._ask(call, hub, on=progress))
            try:
                while True:
                    data = await call.read()
                    found = messages.watch_answer(_there(data), known=hub.revision)
                    self._take(found, hub, progress=progress)
            finally:
                asking.cancel()
                await asyncio.gather(asking, return_exceptions=True)
        finally:
            call.cancel()

    def _take(self, answer: WatchAnswer, hub: Hub, *, progress: bool) -> None:
        _check(answer)
        if answer.changes:
            # What was written here may have been told before.
            fresh = [c for c in answer.changes if c.kv.mod_revision > hub.revision]
            self._identity.seen(fresh)
            events = convert(fresh, self._space)
            if events:
                hub.deliver(events)
                for event in events:
                    self._recent.learn(event)
            hub.advance(answer.changes[-1].kv.mod_revision)
        elif progress and not answer.created and not answer.left_out:
            self.progress_answers += 1
            hub.advance(answer.revision)
        self._moved()

    async def _ask(self, call: Call, hub: Hub, *, on: bool) -> None:
        """Ask for progress as long as somebody waits. A broken stream is noticed by its reader."""
        while on:
            await self._asking.wait()
            self._asking.clear()
            while hub.revision < self._wanted:
                self.progress_requests += 1
                call.write(messages.watch_progress())
                await self._clock.sleep(PROGRESS_S)


async def status(member: Member) -> messages.StatusAnswer:
    """What a member says of itself. Raises RpcError, OSError."""
    if not member.up:
        await member.connect(CONNECT_S)
    data = await member.unary("Maintenance/Status", b"", timeout=ANSWER_S)
    return messages.status_answer(data)


async def _read(call: Call, seconds: float) -> WatchAnswer:
    try:
        async with asyncio.timeout(seconds):
            data = await call.read()
    except TimeoutError:
        raise _Gone("no answer on the watch") from None
    return messages.watch_answer(_there(data))


def _there(data: bytes | None) -> bytes:
    if data is None:
        raise _Gone("the watch was ended")
    return data


def _check(answer: WatchAnswer) -> None:
    if answer.canceled or answer.compact_revision > 0:
        if answer.compact_revision > 0:
            raise Compacted(answer.compact_revision)
        raise _Gone(answer.reason or "the watch was cancelled")


def record_of(key: str, kv: KeyValue) -> Record:
    return Record(key, kv.value, kv.mod_revision, kv.create_revision)


def convert(changes: Sequence[Change], space: KeySpace) -> list[Event]:
    """The changes of our own keys as events. Raises MissingPrevious."""
    out = []
    for change in changes:
        kv, before = change.kv, change.previous
        key = space.inner(kv.key)
        if key is None:
            continue
        previous = None
        if before is not None:
            previous = record_of(key, before)
        if change.type == messages.DELETE:
            if previous is None:
                raise MissingPrevious(key)
            out.append(Event("delete", key, previous.value, kv.mod_revision, previous))
        elif kv.create_revision == kv.mod_revision:
            out.append(Event("create", key, kv.value, kv.mod_revision, None))
        elif previous is None:
            raise MissingPrevious(key)
        else:
            out.append(Event("update", key, kv.value, kv.mod_revision, previous))
    return out


async def history(
    client: EtcdClient, space: KeySpace, prefix: str, after_revision: int, upto: int
) -> Page:
    """A page of the events under a prefix in (after_revision, upto]. Raises Compacted, Unavailable.

    The watch starts one revision early: etcd then refuses exactly what a `Storage` refuses.
    """
    try:
        return await _history(client, space, prefix, after_revision, upto)
    except (RpcError, OSError, _Gone) as error:
        client.leave(client.member)
        raise Unavailable(str(error) or "history cannot be read") from error


async def _history(
    client: EtcdClient, space: KeySpace, prefix: str, after_revision: int, upto: int
) -> Page:
    member = client.member
    progress = tells_progress((await status(member)).version)
    first, end = (space.root, after(space.root)) if progress else EVERYTHING
    call = member.stream("Watch/Watch")
    found: list[Event] = []
    try:
        call.write(messages.watch_create(first, end, start=max(1, after_revision)))
        while True:
            if progress:
                call.write(messages.watch_progress())
            answer = await _read(call, ANSWER_S)
            _check(answer)
            if answer.changes:
                reached = answer.changes[-1].kv.mod_revision
                later = [c for c in answer.changes if c.kv.mod_revision > after_revision]
                try:
                    events = convert(later, space)
                except MissingPrevious:
                    raise Compacted(await compact_revision(client)) from None
                found += [e for e in events if e.key.startswith(prefix)]
            elif progress and not answer.created:
                reached = answer.revision
            else:
                continue
            if reached >= upto or len(found) >= BATCH_EVENTS_MAX:
                return Page(found, max(reached, after_revision), last=reached >= upto)
    finally:
        call.cancel()


async def compact_revision(client: EtcdClient, known: int = 0) -> int:
    """The oldest revision that etcd can read, at least `known`; 0 if nothing was compacted.

    etcd does not tell, but refuses reads before it: found by halving.
    """
    newest = messages.revision_of(await client.read("KV/Range", messages.range_request(b"\0")))
    low, high = known, newest  # reads at `high` work; those before `low` do not
    if await _readable(client, max(1, low)):
        return known
    while low < high:
        middle = (low + high) // 2
        if await _readable(client, middle):
            high = middle
        else:
            low = middle + 1
    return low


async def _readable(client: EtcdClient, revision: int) -> bool:
    request = messages.range_request(b"\0", revision=max(1, revision), count_only=True)
    try:
        await client.read("KV/Range", request)
    except EtcdRefused as error:
        if error.text.startswith(COMPACTED):
            return False
        raise
    return True
