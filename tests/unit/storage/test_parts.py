"""Several stores behind one: keys find theirs, and each counts revisions for itself."""

from __future__ import annotations

from storage_story import collect

from kapi.storage.memory import MemoryStorage
from kapi.storage.parts import PartedStorage, parts_of

POD, EVENT, SERVICE = "/registry/pods/d/a", "/registry/events/d/a", "/registry/services/specs/d/a"


def parted() -> tuple[PartedStorage, MemoryStorage, MemoryStorage]:
    main, other = MemoryStorage(), MemoryStorage()
    return PartedStorage(main, {"events": other, "services/specs": other}), main, other


async def test_keys_find_their_store() -> None:
    storage, main, other = parted()
    for key in (POD, "/registry/events.example.com/things/d/a", "/registry/services/endpoints/d/a"):
        await storage.create(key, b"x")
        assert await main.get(key) is not None
        assert await other.get(key) is None
    for key in (EVENT, SERVICE):
        await storage.create(key, b"x")
        assert await main.get(key) is None
        assert await other.get(key) is not None


async def test_each_store_counts_for_itself() -> None:
    storage, _, other = parted()
    assert [await storage.create(f"{POD}{i}", b"x") for i in range(3)] == [2, 3, 4]
    made = await storage.create(EVENT, b"x")
    assert made == 2
    assert await storage.current_revision() == 4
    assert await other.current_revision() == 2
    found = await storage.list("/registry/events/")
    assert ([r.key for r in found.records], found.revision) == ([EVENT], 2)
    changed = await storage.update(EVENT, b"y", expected_revision=made)
    record, gone = await storage.delete(EVENT, expected_revision=changed)
    assert (record.value, changed, gone) == (b"y", 3, 4)


async def test_a_watch_is_of_one_store() -> None:
    storage, _, _ = parted()
    watch = storage.watch("/registry/events/", after_revision=1)
    await storage.create(POD, b"x")
    await storage.create(EVENT, b"x")
    [batch] = await collect(watch, 2)
    assert [(e.key, e.revision) for e in batch] == [(EVENT, 2)]


async def test_each_is_closed_once() -> None:
    storage, main, other = parted()
    assert storage.stores == [main, other]
    assert parts_of(storage) == (main, storage.others)
    assert parts_of(main) == (main, {})
    await storage.close()
    await storage.close()
