"""What an attempt on hearsay comes to: only what the store bears out is told."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from kapi.cacher.cacher import Cacher
from kapi.errors import ApiError, conflict
from kapi.registry.hearsay import Sight, from_cache, on_hearsay
from kapi.registry.resource import ResourceType
from kapi.storage.interface import NotFound, Record

HEARD = Record("/registry/things/a", b"{}", 7, 0)
REFUSAL = conflict("", "things", "a", "no")


@dataclass
class Attempt:
    """An attempt that ends as it is told to, and what the store has afterwards."""

    sends: bool = False
    error: Exception | None = None
    now: int | None = 7
    looks: int = 0

    async def __call__(self, sight: Sight) -> str:
        assert sight.record is HEARD
        sight.sent = self.sends
        if self.error is not None:
            raise self.error
        return "done"

    async def look(self) -> Record | None:
        self.looks += 1
        return None if self.now is None else Record(HEARD.key, b"{}", self.now, 0)

    async def run(self) -> str | None:
        return await on_hearsay(HEARD, self, self.look, (NotFound,))


async def test_what_was_written_is_so() -> None:
    attempt = Attempt(sends=True)
    assert await attempt.run() == "done"
    assert attempt.looks == 0


@pytest.mark.parametrize(("now", "outcome"), [(7, "done"), (8, None), (None, None)])
async def test_what_needed_no_write_is_so_if_the_store_has_the_same(
    now: int | None, outcome: str | None
) -> None:
    assert await Attempt(now=now).run() == outcome


@pytest.mark.parametrize("now", [8, None])
async def test_a_refusal_of_what_is_not_there_is_none(now: int | None) -> None:
    assert await Attempt(error=REFUSAL, now=now).run() is None


async def test_a_refusal_of_what_is_there_is_told() -> None:
    with pytest.raises(ApiError) as error:
        await Attempt(error=REFUSAL).run()
    assert error.value is REFUSAL


async def test_what_was_sent_and_failed_is_not_made_again() -> None:
    attempt = Attempt(sends=True, error=ApiError(504, "Timeout", "perhaps"), now=8)
    with pytest.raises(ApiError, match="perhaps"):
        await attempt.run()
    assert attempt.looks == 0


async def test_a_lost_race_begins_anew() -> None:
    assert await Attempt(sends=True, error=NotFound(HEARD.key)).run() is None


@dataclass
class _Source:
    ready: bool


@dataclass
class _Cache:
    source: _Source
    asked: list[tuple[str, str]] = field(default_factory=list)

    def get(self, namespace: str, name: str) -> Any:
        self.asked.append((namespace, name))
        return HEARD


@dataclass
class _Cacher:
    found: _Cache | None

    def cache(self, resource: Any) -> Any:
        return self.found


@dataclass
class _Resource:
    namespaced: bool


@pytest.mark.parametrize(
    ("there", "ready", "name", "heard"),
    [
        (True, True, "a", True),
        (True, True, "", False),
        (False, True, "a", False),
        # It does not follow the store, which may be another one by now.
        (True, False, "a", False),
    ],
)
def test_who_has_heard_something(there: bool, ready: bool, name: str, heard: bool) -> None:
    cache = _Cache(_Source(ready))
    cacher = cast(Cacher, _Cacher(cache if there else None))
    resource = cast(ResourceType, _Resource(namespaced=False))
    found = from_cache(cacher)(resource, "ignored", name)
    assert (found is not None) is heard
    assert cache.asked == ([("", "a")] if heard else [])
