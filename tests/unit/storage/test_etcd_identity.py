"""By what another etcd is recognized."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.codec.protobuf_format import BYTES, VARINT, encoded, header, sized
from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import COMPACTED, FUTURE, EtcdRefused
from kapi.storage.etcd_identity import Identity
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.etcd_messages import Change, Header, KeyValue
from kapi.storage.interface import Event

OURS = 0xABC
OURS_TOO = Event("create", "/registry/pods/d/key", b"", 12, None)


def number(field: int, value: int) -> bytes:
    return header(field, VARINT) + encoded(value)


def message(field: int, data: bytes) -> bytes:
    return header(field, BYTES) + sized(data)


class Etcd:
    """Answers ranges with a header, and with the revision that a key was written at."""

    def __init__(self, cluster: int = OURS, revision: int = 10) -> None:
        self.cluster, self.revision = cluster, revision
        self.written = 0
        self.removed = True
        self.refusal = ""
        self.asked: list[bytes] = []

    async def read(self, method: str, request: bytes, **more: Any) -> bytes:
        self.asked.append(request)
        head = message(1, number(1, self.cluster) + number(2, 7) + number(3, self.revision))
        if b"/removed" in request:
            kept = message(2, message(1, b"/removed") + number(3, 3))
            return head + kept * (not self.removed)
        if b"/key" not in request:
            return head
        if self.refusal:
            raise EtcdRefused(self.refusal)
        if not self.written:
            return head
        return head + message(2, message(1, b"/key") + number(3, self.written))


def known(etcd: Any, *, written: int = 9) -> Identity:
    identity = Identity(etcd, KeySpace("/registry"), Header(OURS, 5))
    put = KeyValue(b"/key", b"", 1, written, 1, 0)
    gone = KeyValue(b"/gone", b"", 0, written - 1, 0, 0)
    identity.seen([Change(messages.DELETE, gone, None), Change(messages.PUT, put, None)])
    return identity


async def test_the_same() -> None:
    etcd = Etcd()
    etcd.written = 9
    assert await known(etcd).differs(10) == ("", Header(OURS, 10))


async def test_before_anything_was_seen() -> None:
    etcd = Etcd()
    identity = Identity(etcd, KeySpace("/registry"), Header(OURS, 5))  # type: ignore[arg-type]
    assert (await identity.differs(10))[0] == ""
    assert len(etcd.asked) == 1


@pytest.mark.parametrize(
    ("cluster", "revision", "words"),
    [(0xDEF, 99, "cluster def answers instead of abc"), (OURS, 8, "its revision is 8 and was 10")],
)
async def test_what_the_header_tells(cluster: int, revision: int, words: str) -> None:
    etcd = Etcd(cluster, revision)
    reason, found = await known(etcd).differs(10)
    assert (reason, found) == (words, Header(cluster, revision))


@pytest.mark.parametrize("written", [0, 8])
async def test_what_history_tells(written: int) -> None:
    etcd = Etcd(revision=99)
    etcd.written = written
    identity = known(etcd)
    reason, found = await identity.differs(10)
    assert reason == "its history has no write of /key at 9"
    identity.accept(found)
    assert (await identity.differs(99))[0] == ""


@pytest.mark.parametrize(
    ("refusal", "reason"),
    [(COMPACTED, ""), (FUTURE, "its history does not reach 9, which was seen")],
)
async def test_a_revision_that_cannot_be_read(refusal: str, reason: str) -> None:
    etcd = Etcd(revision=99)
    etcd.refusal = refusal
    assert (await known(etcd).differs(10))[0] == reason


async def test_a_write_of_ours() -> None:
    etcd = Etcd(revision=99)
    identity = known(etcd)
    identity.wrote(OURS_TOO, known=True)
    reason, _ = await identity.differs(10)
    assert reason == "its history has no write of /registry/pods/d/key at 12"


async def test_a_write_to_whom_nobody_has_looked_at_yet() -> None:
    etcd = Etcd(revision=99)
    identity = known(etcd)
    identity.wrote(OURS_TOO, known=False)
    reason, found = await identity.differs(10)
    assert reason == "its history has no write of /key at 9"
    identity.accept(found)
    assert (await identity.differs(10))[0] == ""
    identity = Identity(etcd, KeySpace("/registry"), Header(OURS, 5))  # type: ignore[arg-type]
    identity.wrote(OURS_TOO, known=False)
    etcd.written = 12
    assert (await identity.differs(10))[0] == ""
    etcd.written = 9  # another one came in its place before the watch was open
    assert "pods/d/key at 12" in (await identity.differs(10))[0]
    identity.confirm()
    assert "pods/d/key at 12" in (await identity.differs(10))[0]


@pytest.mark.parametrize("way", ["watched", "written", "claimed", "confirmed"])
async def test_what_was_removed(way: str) -> None:
    etcd = Etcd(revision=99)
    etcd.written = 9
    identity = known(etcd)
    if way == "watched":
        gone = KeyValue(b"/removed", b"", 0, 10, 0, 0)
        identity.seen([Change(messages.DELETE, gone, None)])
    else:
        event = Event("delete", "/registry/pods/d/removed", b"", 10, None)
        identity.wrote(event, known=way == "written")
    if way == "confirmed":
        identity.confirm()
    assert (await identity.differs(10))[0] == ""
    etcd.removed = False
    assert "removed at 10, where it went" in (await identity.differs(10))[0]
    etcd.removed, etcd.written = True, 8
    assert "no write of /key at 9" in (await identity.differs(10))[0]
    identity.confirm()  # what is written later says more
    etcd.written, etcd.removed = 9, False
    identity.seen([Change(messages.PUT, KeyValue(b"/key", b"", 1, 9, 1, 0), None)])
    assert (await identity.differs(10))[0] == ""


async def test_another_refusal_is_passed_on() -> None:
    etcd = Etcd()
    etcd.refusal = "etcdserver: permission denied"
    with pytest.raises(EtcdRefused):
        await known(etcd).differs(10)
