"""Events go after their time, unless they were written again."""

from dataclasses import dataclass
from typing import Any

from kapi.clock import rfc3339
from kapi.controllers.event_expiry import EventExpiry, last_write
from kapi.errors import ApiError


class StillClock:
    def __init__(self) -> None:
        self.at = 1_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Fake:
    key: str
    revision: int
    written: float
    namespace: str = "n"

    @property
    def name(self) -> str:
        return self.key

    def decode(self) -> dict[str, Any]:
        return {"metadata": {"creationTimestamp": rfc3339(self.written)}}


async def test_events_go_after_their_time_and_not_before() -> None:
    clock, gone = StillClock(), []

    async def remove(namespace: str, name: str, revision: int) -> None:
        gone.append((name, revision))

    expiry = EventExpiry(clock, 100, remove)
    old, new = Fake("old", 1, clock.at - 60), Fake("new", 2, clock.at)
    assert await expiry.step([old, new]) == 0
    clock.at += 50
    assert await expiry.step([old, new]) == 1
    assert gone == [("old", 1)]
    clock.at += 50
    assert await expiry.step([new]) == 1


async def test_an_event_that_is_written_again_stays_a_whole_time() -> None:
    clock, gone = StillClock(), []

    async def remove(namespace: str, name: str, revision: int) -> None:
        gone.append(name)

    expiry = EventExpiry(clock, 100, remove)
    event = Fake("e", 1, clock.at)
    await expiry.step([event])
    clock.at += 90
    event.revision = 2
    await expiry.step([event])
    clock.at += 90
    assert await expiry.step([event]) == 0
    clock.at += 11
    assert await expiry.step([event]) == 1


async def test_a_lost_race_is_no_failure() -> None:
    async def remove(namespace: str, name: str, revision: int) -> None:
        raise ApiError(409, "Conflict", "somebody wrote it")

    clock = StillClock()
    expiry = EventExpiry(clock, 10, remove)
    assert await expiry.step([Fake("e", 1, clock.at - 20)]) == 0


def test_the_last_write_is_the_latest_of_its_own_times() -> None:
    event = {
        "metadata": {
            "creationTimestamp": "2024-01-01T00:00:00Z",
            "managedFields": [{"time": "2024-01-01T00:01:00Z"}, {}],
        }
    }
    assert last_write(event) == 1704067260.0
