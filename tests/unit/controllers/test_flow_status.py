"""Flow schemas say whether their priority level exists."""

from typing import Any

from kapi.clock import SystemClock
from kapi.controllers.flow_status import MANAGER, FlowStatus
from kapi.controllers.follow import follow
from kapi.errors import ApiError

Json = dict[str, Any]


class Objects:
    def __init__(self, *objects: Json) -> None:
        self.objects = {o["metadata"]["name"]: o for o in objects}

    def get(self, namespace: str, name: str) -> Json | None:
        return self.objects.get(name)

    def list(self, namespace: str = "") -> list[Json]:
        return list(self.objects.values())


def schema(name: str, level: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"priorityLevelConfiguration": {"name": level}}}


def level(name: str) -> Json:
    return {"metadata": {"name": name}}


class Harness:
    def __init__(self, schemas: list[Json], levels: list[Json]) -> None:
        self.applied: list[Json] = []
        self.schemas = Objects(*schemas)
        self.levels = Objects(*levels)
        self.status = FlowStatus(SystemClock(), self.schemas, self.levels, self._apply)

    async def _apply(self, config: Json, manager: str) -> None:
        assert manager == MANAGER
        self.applied.append(config)
        self.schemas.objects[config["metadata"]["name"]]["status"] = config["status"]

    def words(self) -> list[tuple[str, str, str]]:
        found = []
        for config in self.applied:
            (condition,) = config["status"]["conditions"]
            found.append((config["metadata"]["name"], condition["status"], condition["reason"]))
        return found


async def test_the_condition_follows_the_level() -> None:
    h = Harness([schema("a", "there"), schema("b", "nowhere")], [level("there")])
    for s in h.schemas.list():
        await h.status.settle(s)
    assert h.words() == [("a", "False", "Found"), ("b", "True", "NotFound")]


async def test_what_is_right_is_not_written_again() -> None:
    h = Harness([schema("a", "there")], [level("there")])
    await h.status.settle(h.schemas.list()[0])
    await h.status.settle(h.schemas.list()[0])
    assert len(h.applied) == 1


async def test_the_transition_time_stays_while_the_status_does() -> None:
    s = schema("a", "there")
    since = "2024-01-01T00:00:00Z"
    old = {"type": "Dangling", "status": "False", "reason": "Old", "lastTransitionTime": since}
    s["status"] = {"conditions": [old]}
    h = Harness([s], [level("there")])
    await h.status.settle(s)
    assert h.applied[0]["status"]["conditions"][0]["lastTransitionTime"] == since


async def test_a_schema_that_went_meanwhile_is_no_failure() -> None:
    async def gone(config: Json, manager: str) -> None:
        raise ApiError(404, "NotFound", "gone")

    status = FlowStatus(SystemClock(), Objects(), Objects(), gone)
    await status.settle(schema("a", "x"))


class Watch:
    """Gives its batches, then ends."""

    def __init__(self, *batches: list[tuple[str, Any]]) -> None:
        self.batches = list(batches)
        self.ended = False

    async def batch(self) -> list[tuple[str, Any]]:
        return self.batches.pop(0) if self.batches else []

    def end(self) -> None:
        self.ended = True


async def test_follow_begins_again_until_the_server_stops() -> None:
    watches = [Watch([("ERROR", ApiError(410, "Expired", "too old"))]), Watch([])]
    left = list(watches)

    async def begin() -> Watch | None:
        return left.pop(0) if left else None

    assert [event async for event in follow(begin)] == []
    assert all(w.ended for w in watches)
