"""Values in another form below: what is written, read, watched, and what cannot be read."""

from __future__ import annotations

import pytest
from storage_story import POD, collect
from validators import flat

from kapi.storage.interface import UNREADABLE, Conflict, Corrupt, Record, check_readable
from kapi.storage.memory import MemoryStorage
from kapi.storage.translation import TranslatedStorage


class Upper:
    """Kept in upper case; an exclamation mark cannot be read."""

    def encode(self, key: str, value: bytes) -> bytes:
        return value.upper()

    def decode(self, key: str, value: bytes) -> bytes:
        if b"!" in value:
            raise Corrupt("it shouts")
        return value.lower()


@pytest.fixture
def below() -> MemoryStorage:
    return MemoryStorage()


@pytest.fixture
def storage(below: MemoryStorage) -> TranslatedStorage:
    return TranslatedStorage(below, Upper())


async def test_what_is_below_has_the_other_form(
    below: MemoryStorage, storage: TranslatedStorage
) -> None:
    await storage.create(POD, b"one")
    await storage.update(POD, b"two", expected_revision=2)
    assert await below.get(POD) == Record(POD, b"TWO", 3, 2)
    assert await storage.get(POD) == Record(POD, b"two", 3, 2)
    assert await storage.get(POD, revision=2) == Record(POD, b"one", 2, 2)
    assert list((await storage.list("/registry/")).records) == [Record(POD, b"two", 3, 2)]


async def test_errors_and_removed_records_are_translated(storage: TranslatedStorage) -> None:
    await storage.create(POD, b"one")
    for call in (
        storage.update(POD, b"two", expected_revision=9),
        storage.delete(POD, expected_revision=9),
    ):
        with pytest.raises(Conflict) as error:
            await call
        assert error.value.current.value == b"one"
    assert await storage.delete(POD, expected_revision=2) == (Record(POD, b"one", 2, 2), 3)


async def test_own_writes_are_not_translated_back(storage: TranslatedStorage) -> None:
    watch = storage.watch("/registry/", after_revision=1)
    await storage.create(POD, b"one")
    await storage.update(POD, b"two", expected_revision=2)
    await storage.delete(POD, expected_revision=3)
    events = flat(await collect(watch, 4))
    assert [(e.type, e.value) for e in events] == [
        ("create", b"one"),
        ("update", b"two"),
        ("delete", b"two"),
    ]
    assert [e.previous and e.previous.value for e in events] == [None, b"one", b"two"]
    assert storage.statistics()["decoded_values"] == 0


async def test_what_others_write_is_translated(
    below: MemoryStorage, storage: TranslatedStorage
) -> None:
    watch = storage.watch("/registry/", after_revision=1)
    await below.create(POD, b"THEIRS")
    [event] = flat(await collect(watch, 2))
    assert event.value == b"theirs"
    assert storage.statistics()["decoded_values"] == 1


async def test_an_unreadable_value_stops_nobody(
    below: MemoryStorage, storage: TranslatedStorage
) -> None:
    await below.create(POD, b"HELP!")
    await below.create("/registry/pods/default/b", b"FINE")
    first, second = (await storage.list("/registry/")).records
    words = b"object not decodable revision=2: it shouts"
    assert (first.value, second.value) == (UNREADABLE + words, b"fine")
    with pytest.raises(Corrupt, match="it shouts"):
        check_readable(first.value)
    check_readable(second.value)


async def test_what_was_unreadable_below_stays_so(
    below: MemoryStorage, storage: TranslatedStorage
) -> None:
    await below.create(POD, UNREADABLE + b"why!")
    assert await storage.get(POD) == Record(POD, UNREADABLE + b"why!", 2, 2)


async def test_what_is_remembered_is_bounded(
    below: MemoryStorage, storage: TranslatedStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kapi.storage.translation.KNOWN_BYTES_MAX", 10_000)
    for i in range(40):
        await storage.create(f"/registry/{i}", b"x" * 500)
    assert (await storage.get("/registry/39")) is not None
    assert storage.statistics()["decoded_values"] == 0
    assert (await storage.get("/registry/0")) is not None
    assert storage.statistics()["decoded_values"] == 1
