"""etcd that is gone, slow, restarted, full, compacted or behind TLS with bad certificates, seen by
the store: nothing acknowledged is lost, nothing is written twice, watches have no gap, and all of
it mends by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from etcd_process import Etcd, one_member
from server_harness import eventually
from storage_story import LEASE, POD, Writes, collect
from validators import check_watch, flat

from kapi.clock import SystemClock
from kapi.credentials import certificates
from kapi.storage import etcd_messages as messages
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdFiles, EtcdSettings
from kapi.storage.etcd_compaction import KEY, EtcdCompactor
from kapi.storage.etcd_probe import Probe
from kapi.storage.interface import (
    Compacted,
    Storage,
    TooLarge,
    Unavailable,
)

RECOVERY_S = 30.0
EVENT = b"/registry/events/a"


@asynccontextmanager
async def connected(etcd: Etcd, **settings: Any) -> AsyncIterator[EtcdStorage]:
    found = EtcdSettings(servers=[etcd.url], **settings)
    storage = await EtcdStorage.open(found, SystemClock())
    try:
        yield storage
    finally:
        await storage.close()


async def recovers(call: Callable[[], Awaitable[Any]]) -> None:
    """Wait until a call is answered again."""

    async def answered() -> bool:
        try:
            await call()
        except Unavailable:
            return False
        return True

    await eventually(answered, RECOVERY_S)


async def keep_writing(storage: Storage, key: str, done: asyncio.Event) -> list[int]:
    """Create and change a key for ever; the revisions that were acknowledged."""
    acknowledged: list[int] = []
    number = 0
    while not done.is_set():
        try:
            record = await storage.get(key)
            if record is None:
                acknowledged.append(await storage.create(key, b"0"))
            else:
                number += 1
                acknowledged.append(
                    await storage.update(key, b"%d" % number, expected_revision=record.revision)
                )
        except Unavailable:
            await asyncio.sleep(0.02)
    return acknowledged


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_member_that_restarts(tmp_path: Path) -> None:
    with one_member(tmp_path, safe=True) as etcd:
        async with connected(etcd) as storage:
            watch = storage.watch("/registry/", after_revision=1)
            done = asyncio.Event()
            writers = [
                asyncio.ensure_future(keep_writing(storage, f"/registry/{i}", done))
                for i in range(4)
            ]
            for _ in range(2):
                await asyncio.sleep(0.3)
                await asyncio.to_thread(etcd.kill)
                await asyncio.sleep(0.1)
                etcd.start()
                await recovers(storage.current_revision)
            await asyncio.sleep(0.3)
            done.set()
            acknowledged = sorted(r for one in await asyncio.gather(*writers) for r in one)
            last = await storage.current_revision()
            events = flat(await collect(watch, last))
            assert len(set(acknowledged)) == len(acknowledged)
            assert {e.revision for e in events} >= set(acknowledged)
            # Each revision once, and nothing between: it is one history.
            check_watch([events], events, prefix="", after=1, upto=last)
            assert [e.revision for e in events] == list(range(2, last + 1))


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_nobody_is_there(tmp_path: Path) -> None:
    with one_member(tmp_path, safe=True) as etcd:
        async with connected(etcd) as storage:
            await storage.create(POD, b"x")
            probe = Probe(storage, SystemClock(), alive_s=2, ready_s=2)

            async def well() -> bool:
                await probe.step()
                return (probe.alive, probe.ready) == ("", "")

            await eventually(well, RECOVERY_S)  # the watch opens beside the first write
            await asyncio.to_thread(etcd.kill)
            answers = await asyncio.gather(
                storage.get(POD),
                storage.current_revision(),
                storage.list("/registry/", limit=1),
                storage.create(LEASE, b"x"),
                return_exceptions=True,
            )
            for answer in answers:
                assert isinstance(answer, Unavailable)
                assert not answer.uncertain, "nothing was sent"
            await probe.step()
            assert probe.alive
            assert probe.ready
            etcd.start()
            await recovers(storage.current_revision)
            assert await storage.get(LEASE) is None

            async def ready() -> bool:
                await probe.step()
                return (probe.alive, probe.ready) == ("", "")

            await eventually(ready, RECOVERY_S)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_a_member_that_hangs(tmp_path: Path) -> None:
    """A write that was sent may be made: the caller is told so, and it is made at most once."""
    with one_member(tmp_path, safe=True) as etcd:
        async with connected(etcd) as storage:
            revision = await storage.create(POD, b"1")
            etcd.freeze()
            try:
                with pytest.raises(Unavailable) as error:
                    await storage.update(POD, b"2", expected_revision=revision)
                assert error.value.uncertain
                with pytest.raises(Unavailable):
                    await storage.get(POD)
                with pytest.raises(Unavailable) as error:
                    await storage.create(LEASE, b"3")
                assert not error.value.uncertain, "it did not answer, so nothing was sent"
            finally:
                etcd.thaw()
            await recovers(storage.current_revision)
            await asyncio.sleep(0.2)
            found = await storage.get(POD)
            assert found is not None
            assert found.revision in (revision, revision + 1)
            assert found.value == (b"1" if found.revision == revision else b"2")


async def test_compacted_under_a_watch(tmp_path: Path) -> None:
    """History goes while the connection is away: watches are told, and new ones work."""
    with one_member(tmp_path, safe=True) as etcd:
        async with connected(etcd) as storage, connected(etcd) as other:
            writes = Writes(other)
            await writes.create(LEASE, b"0")
            watch = storage.watch("/registry/", after_revision=1)
            await collect(watch, 2)
            behind = storage.watch("/registry/", after_revision=1)
            for i in range(5):
                await writes.update(LEASE, b"%d" % i)
            await other.compact(6)
            assert [e.revision for e in flat(await collect(watch, 7))] == [3, 4, 5, 6, 7]
            with pytest.raises(Compacted) as error:
                await anext(behind)
            assert error.value.compact_revision == 6
            last = await writes.update(LEASE, b"end")
            assert [e.revision for e in flat(await collect(watch, last))] == [last]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_no_space(tmp_path: Path) -> None:
    small, large = (f"--quota-backend-bytes={n * 1024 * 1024}" for n in (2, 64))
    with one_member(tmp_path, small, safe=True) as etcd:
        async with connected(etcd) as storage:
            await storage.create(POD, b"x")
            refused: list[BaseException] = []
            for i in range(100):
                some = (storage.create(f"/registry/big/{i}-{n}", b"x" * 100_000) for n in range(8))
                answers = await asyncio.gather(*some, return_exceptions=True)
                refused = [answer for answer in answers if isinstance(answer, BaseException)]
                if refused:
                    break
            assert refused
            for error in refused:
                assert isinstance(error, Unavailable)
                assert "database space exceeded" in str(error)
                assert (
                    error.uncertain
                )  # etcd makes those that fill it, and refuses them all the same
            kept = await storage.current_revision()
            assert await storage.get(POD) is not None
            found = messages.alarm_answer(
                await storage.client.read("Maintenance/Alarm", messages.alarm_request())
            )
            [(member, kind)] = found
            assert kind == messages.NOSPACE
            # Room is made as an operator does it; the store goes on.
            await asyncio.to_thread(etcd.kill)
            etcd.command = [large if word == small else word for word in etcd.command]
            etcd.start()
            await recovers(storage.current_revision)
            with pytest.raises(Unavailable):
                await storage.create(LEASE, b"x")
            await storage.client.write("Maintenance/Alarm", messages.alarm_request(2, member, kind))
            assert await storage.create(LEASE, b"x") == kept + 1


async def test_a_value_that_is_too_large(tmp_path: Path) -> None:
    with one_member(tmp_path, "--max-request-bytes=100000") as etcd:
        async with connected(etcd) as storage:
            # From some size on etcd does not even read it, and says so in other words.
            for size in (200_000, 2_000_000, 3_000_000):
                with pytest.raises(TooLarge, match="etcdserver: request is too large"):
                    await storage.create(POD, b"x" * size)
            assert await storage.create(POD, b"x" * 50_000) == 2


async def test_keys_that_end_by_themselves(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        lifetimes = {"/registry/events/": 1, "/registry/long/": 3600}
        async with connected(etcd, lifetimes=lifetimes) as storage:
            watch = storage.watch("/registry/", after_revision=1)
            await storage.create("/registry/events/a", b"x")
            await storage.create(POD, b"x")
            [gone] = [e for e in flat(await collect(watch, 4)) if e.revision == 4]
            assert (gone.type, gone.key, gone.value) == ("delete", "/registry/events/a", b"x")
            assert await storage.get(POD) is not None
            for i in range(5):
                await storage.create(f"/registry/long/{i}", b"x")
            assert storage.statistics()["leases"] == 2, "they share one"


async def test_a_lease_that_somebody_revoked(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with connected(etcd, lifetimes={"/registry/events/": 3600}) as storage:
            await storage.create("/registry/events/a", b"x")
            data = await storage.client.read("KV/Range", messages.range_request(EVENT))
            [kv] = messages.range_answer(data).kvs
            assert kv.lease
            revoke = messages.alarm_request(kv.lease)  # the same form: one number
            await storage.client.write("Lease/LeaseRevoke", revoke)
            assert await storage.get("/registry/events/a") is None
            assert await storage.create("/registry/events/a", b"y") == 4
            assert storage.statistics()["leases"] == 2


async def test_many_keys_that_end_at_once(tmp_path: Path) -> None:
    """One revision, and so one batch."""
    with one_member(tmp_path) as etcd:
        async with connected(etcd) as storage:
            watch = storage.watch("/registry/", after_revision=1)
            data = await storage.client.read("Lease/LeaseGrant", messages.lease_grant_request(1))
            lease = messages.lease_grant_answer(data)
            for i in range(600):
                put = messages.put_request(b"/registry/k/%03d" % i, b"x", lease=lease)
                await storage.client.write("KV/Put", put)
            batches = await collect(watch, 602)
            assert [len([e for e in b if e.revision == 602]) for b in batches if b][-1] == 600
            assert sum(e.revision == 602 for e in flat(batches)) == 600


async def test_others_write_beside_us(tmp_path: Path) -> None:
    """Revisions of keys that are not ours: a reader of everything is told how far it is."""
    with one_member(tmp_path) as etcd:
        async with connected(etcd, prefix="/ours") as storage, connected(etcd) as theirs:
            watch = storage.watch("/registry/", after_revision=1)
            await theirs.create(POD, b"theirs")
            assert await storage.get(POD) is None
            assert await storage.current_revision() == 2
            [event] = await anext(watch)
            assert (event.type, event.key, event.revision) == ("progress", "", 2)
            assert await storage.create(POD, b"ours") == 3
            [event] = await anext(watch)
            assert (event.type, event.value) == ("create", b"ours")
            replayed = flat(await collect(storage.watch("/registry/", after_revision=1), 3))
            assert [e.key for e in replayed if e.key] == [POD]


async def test_one_of_two_compacts(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with connected(etcd) as first, connected(etcd) as second:
            compactors = [EtcdCompactor(s, SystemClock(), interval=1) for s in (first, second)]
            writes = Writes(first)
            await writes.create(LEASE, b"0")
            for step in range(4):
                for compactor in compactors:
                    await compactor.step()
                await writes.update(LEASE, b"%d" % step)
            request = messages.range_request(KEY)
            data = await first.client.read("KV/Range", request)
            [kv] = messages.range_answer(data).kvs
            # One of the two wins each round; what it writes is what history starts at.
            assert kv.version == 4
            assert int(kv.value) == await first.compact_revision()
            assert 1 < int(kv.value) < await first.current_revision()
            assert second.statistics()["compact_revision"] == int(kv.value)


def _certificates(directory: Path) -> EtcdFiles:
    """A CA, a serving certificate, and those of clients; the old one has expired."""
    now = time.time()
    ca = certificates.make_ca("etcd", now)
    (directory / "ca.crt").write_bytes(ca.certificate)
    pairs = {
        "server": certificates.make_serving(ca, ("127.0.0.1", "localhost"), now),
        "client": certificates.make_client(ca, "kapi", (), now),
        "good": certificates.make_client(ca, "kapi", (), now),
        "old": certificates.make_client(ca, "kapi", (), now - 20 * 365 * 86400),
    }
    for name, pair in pairs.items():
        (directory / f"{name}.crt").write_bytes(pair.certificate)
        (directory / f"{name}.key").write_bytes(pair.key)
    paths: Sequence[str] = [str(directory / n) for n in ("ca.crt", "client.crt", "client.key")]
    return EtcdFiles(*paths)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_tls_and_a_certificate_that_is_renewed(tmp_path: Path) -> None:
    """An expired client certificate keeps the store away until its file is replaced."""
    files = _certificates(tmp_path)
    options = (
        f"--cert-file={tmp_path}/server.crt",
        f"--key-file={tmp_path}/server.key",
        f"--trusted-ca-file={tmp_path}/ca.crt",
        "--client-cert-auth",
    )
    with one_member(tmp_path, *options, safe=True) as etcd:
        assert etcd.url.startswith("https://")
        async with connected(etcd, files=files) as storage:
            await storage.create(POD, b"x")
            await asyncio.to_thread(etcd.kill)
            for end in ("crt", "key"):
                (tmp_path / f"client.{end}").write_bytes((tmp_path / f"old.{end}").read_bytes())
            etcd.start()
            with pytest.raises(Unavailable):
                await storage.get(POD)
            for end in ("crt", "key"):
                (tmp_path / f"client.{end}").write_bytes((tmp_path / f"good.{end}").read_bytes())
            await recovers(lambda: storage.get(POD))
            assert await storage.create(LEASE, b"x") == 3
