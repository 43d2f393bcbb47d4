"""The storage suite over an encrypted store, and what a store has of its own when it is one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from kms_plugin import kms_plugin
from storage_story import POD, collect
from storage_suite import StorageSuite
from validators import flat

from kapi.clock import Entropy, SystemClock
from kapi.encryption.configuration import ANYTHING, Kms
from kapi.encryption.kms import Provider
from kapi.encryption.local_keys import AesGcm
from kapi.encryption.plugin import Plugin
from kapi.encryption.resources import ResourceCiphers
from kapi.encryption.transformers import Counts, Identity, Prefixed, PrefixTransformers
from kapi.metrics import Metrics
from kapi.storage.check import check_file
from kapi.storage.encryption import EncryptedStorage
from kapi.storage.interface import Compacted, Conflict, Storage, why_unreadable
from kapi.storage.memory import MemoryStorage
from kapi.storage.sqlite import SqliteStorage

SECOND = Prefixed(b"k8s:enc:aesgcm:v1:two:", AesGcm(b"2" * 32))
FIRST = Prefixed(b"k8s:enc:aesgcm:v1:one:", AesGcm(b"1" * 32))
PLAIN = Prefixed(b"", Identity())


def use(cipher: ResourceCiphers, *prefixed: Prefixed) -> None:
    counts = Counts(Metrics(), lambda: 0.0)
    cipher.use({ANYTHING: PrefixTransformers("no matching prefix found", prefixed, counts)})


def everything(*prefixed: Prefixed) -> ResourceCiphers:
    """Of keys of any form."""

    class All(ResourceCiphers):
        def _choose(self, prefix: str):  # type: ignore[no-untyped-def]
            return self._rules[ANYTHING]

    cipher = All({}, lambda key: key.encode("utf-8", "surrogatepass"))
    use(cipher, *prefixed)
    return cipher


class TestEncryptedMemory(StorageSuite):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        storage = EncryptedStorage(MemoryStorage(), everything(FIRST))
        yield storage
        await storage.close()


class TestEncryptedSqlite(StorageSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        storage = EncryptedStorage(await SqliteStorage.open(tmp_path), everything(FIRST))
        yield storage
        await storage.close()
        assert check_file(tmp_path) == []


class TestEncryptedByPlugin(StorageSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        async with kms_plugin(tmp_path / "kms.sock") as plugin:
            settings = Kms("foo", plugin.endpoint, "v2", 10, None)
            clock, metrics = SystemClock(), Metrics()
            calls = Plugin(settings, clock, metrics)
            provider = Provider(settings, calls, clock, Entropy(1), metrics, "server")
            assert await provider.check() == ""
            cipher = everything(Prefixed(b"k8s:enc:kms:v2:foo:", provider))
            storage = EncryptedStorage(MemoryStorage(), cipher)
            yield storage
            await storage.close()
            await provider.close()


async def test_below_nothing_can_be_read() -> None:
    below = MemoryStorage()
    storage = EncryptedStorage(below, everything(FIRST))
    await storage.create(POD, b"one")
    await storage.update(POD, b"two", expected_revision=2)
    for revision in (2, 3):
        record = await below.get(POD, revision=revision)
        assert record is not None
        assert record.value.startswith(b"k8s:enc:aesgcm:v1:one:")
        assert b"one" not in record.value[22:]
        assert b"two" not in record.value


async def test_what_others_than_the_first_wrote_is_stale() -> None:
    cipher = everything(FIRST)
    storage = EncryptedStorage(MemoryStorage(), cipher)
    await storage.create(POD, b"one")
    now = await storage.get(POD)
    assert now is not None
    assert not now.stale
    use(cipher, SECOND, FIRST)
    now = await storage.get(POD)
    assert now is not None
    assert (now.value, now.stale) == (b"one", True)
    with pytest.raises(Conflict) as error:
        await storage.update(POD, b"two", expected_revision=9)
    assert error.value.current.stale
    await storage.update(POD, b"one", expected_revision=2)
    now = await storage.get(POD)
    assert now is not None
    assert not now.stale


async def test_a_value_that_cannot_be_read_stops_nobody() -> None:
    cipher = everything(FIRST)
    storage = EncryptedStorage(MemoryStorage(), cipher)
    watch = storage.watch("/registry/", after_revision=1)
    await storage.create(POD, b"one")
    use(cipher, SECOND)
    await storage.create("/registry/pods/default/z", b"fine")
    first, second = (await storage.list("/registry/")).records
    words = "data from the storage is not transformable revision=0: no matching prefix found"
    assert (why_unreadable(first.value), second.value) == (words, b"fine")
    assert not first.stale
    with pytest.raises(Compacted):  # so that who watches lists anew
        await anext(watch)
    events = flat(await collect(storage.watch("/registry/", after_revision=1), 3))
    assert [why_unreadable(e.value) for e in events] == [words, ""]
    record, _ = await storage.delete(POD, expected_revision=2)
    assert why_unreadable(record.value) == words


async def test_a_watch_knows_of_a_change_since_the_list_that_it_follows() -> None:
    """Else what the list could not read would stay so: in between, or while the store was away."""
    cipher = everything(FIRST)
    storage = EncryptedStorage(MemoryStorage(), cipher)
    await storage.create(POD, b"one")
    for _ in range(2):
        found = await storage.list("/registry/", limit=1)
        use(cipher, FIRST)
        await storage.list("/registry/", start_after=found.records[0].key)  # its next page
        await storage.list("/registry/secrets/")
        watch = storage.watch("/registry/", after_revision=found.revision)
        now = await storage.get(POD)
        assert now is not None
        await storage.update(POD, b"one", expected_revision=now.revision)
        with pytest.raises(Compacted):
            await anext(watch)
    found = await storage.list("/registry/")
    watch = storage.watch("/registry/", after_revision=found.revision - 1)
    assert [event.value for event in await anext(watch)] == [b"one"]


async def test_a_plugin_is_asked_once_for_all_values(tmp_path: Path) -> None:
    async with kms_plugin(tmp_path / "kms.sock") as plugin:
        settings = Kms("foo", plugin.endpoint, "v2", 10, None)
        clock, metrics = SystemClock(), Metrics()
        providers = []
        for _ in range(2):
            calls = Plugin(settings, clock, metrics)
            providers.append(Provider(settings, calls, clock, Entropy(1), metrics, "server"))
            await providers[-1].check()
        below = MemoryStorage()
        writer, reader = (
            EncryptedStorage(below, everything(Prefixed(b"k8s:enc:kms:v2:foo:", p)))
            for p in providers
        )
        for i in range(50):
            await writer.create(f"/registry/pods/default/{i}", b"value %d" % i)
        plugin.calls.clear()
        lists = await asyncio.gather(*(reader.list("/registry/") for _ in range(10)))
        assert all(len(found.records) == 50 for found in lists)
        assert all(r.value.startswith(b"value ") for found in lists for r in found.records)
        assert plugin.calls == ["Decrypt"]
        for provider in providers:
            await provider.close()
