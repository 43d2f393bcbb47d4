"""Sessions of a write and conversions in bulk, without a server."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from kapi.apiextensions.conversion import Hook, HookConversions
from kapi.registry.conversion import ConversionFailed, Unconverted

Json = dict[str, Any]


class Recorder:
    """Converts by renaming the version; fails for objects of some names."""

    def __init__(self, *bad: str, unreached: bool = False) -> None:
        self.calls: list[list[str]] = []
        self._bad = bad
        self._unreached = unreached

    async def convert(self, hook: Hook, objects: Sequence[Json], api_version: str) -> list[Json]:
        names = [obj["metadata"]["name"] for obj in objects]
        self.calls.append(names)
        if any(name in self._bad for name in names):
            raise ConversionFailed("no", unreached=self._unreached)
        return [{**obj, "apiVersion": api_version} for obj in objects]


class Shapes:
    def as_read(self, obj: Json) -> Json:
        return dict(obj)

    def shaped(self, obj: Json, version: str) -> Json:
        return obj

    def api_version(self, version: str) -> str:
        return f"g/{version}"


def conversions(recorder: Recorder) -> HookConversions:
    return HookConversions(recorder, Hook("d", {}, ("v1",)), Shapes())  # type: ignore[arg-type]


def thing(name: str, version: str = "v1", **more: Any) -> Json:
    return {"apiVersion": f"g/{version}", "kind": "T", "metadata": {"name": name}, **more}


async def test_a_step_is_done_again_until_everything_is_answered() -> None:
    recorder = Recorder()
    made = conversions(recorder)
    runs = 0

    def work() -> list[str]:
        nonlocal runs
        runs += 1
        return [made.convert(thing(n), "g/v2")["apiVersion"] for n in ("a", "b", "a")]

    with made.session() as session:
        assert await session.step(work) == ["g/v2"] * 3
        assert runs == 3
        assert recorder.calls == [["a"], ["b"]]
        assert await session.step(work) == ["g/v2"] * 3
        assert len(recorder.calls) == 2
    with pytest.raises(Unconverted):
        made.convert(thing("a"), "g/v2")  # nothing outlives its session


async def test_metadata_that_no_webhook_changes_need_no_new_answer() -> None:
    recorder = Recorder()
    made = conversions(recorder)
    with made.session() as session:
        first = thing("a", spec={"x": 1})
        await session.step(lambda: made.convert(first, "g/v2"))
        later = {**first, "metadata": {"name": "a", "uid": "u", "resourceVersion": "7"}}
        found = await session.step(lambda: made.convert(later, "g/v2"))
        assert found["metadata"] == later["metadata"]
        labelled = {**first, "metadata": {"name": "a", "labels": {"k": "v"}}}
        await session.step(lambda: made.convert(labelled, "g/v2"))
        assert len(recorder.calls) == 2


async def test_answers_are_held_by_whoever_asked() -> None:
    made = conversions(Recorder())
    with made.session() as one:
        await one.step(lambda: made.convert(thing("a"), "g/v2"))
        with made.session() as two:
            await two.step(lambda: made.convert(thing("a"), "g/v2"))
        assert made.convert(thing("a"), "g/v2")["apiVersion"] == "g/v2"


async def test_a_failure_is_raised_where_the_conversion_was_wanted() -> None:
    made = conversions(Recorder("a"))
    with made.session() as session, pytest.raises(ConversionFailed, match="no"):
        await session.step(lambda: made.convert(thing("a"), "g/v2"))


async def test_bulk_goes_out_in_parts_of_one_version() -> None:
    recorder = Recorder()
    made = conversions(recorder)
    objects = [thing(f"{i}") for i in range(150)] + [thing("z", "v3")] + [thing("y", "v2")]
    found = await made.many(objects, "v2")
    assert [len(call) for call in recorder.calls] == [100, 50, 1]
    assert all(isinstance(obj, dict) and obj["apiVersion"] == "g/v2" for obj in found)
    large = [thing(f"{i}", text="x" * 400_000) for i in range(4)]
    recorder.calls.clear()
    await made.many(large, "v2")
    assert [len(call) for call in recorder.calls] == [2, 2]


async def test_a_bad_object_costs_no_other_its_conversion() -> None:
    recorder = Recorder("b")
    found = await conversions(recorder).many([thing(n) for n in "abc"], "v2")
    assert [isinstance(obj, ConversionFailed) for obj in found] == [False, True, False]
    recorder = Recorder("b", unreached=True)
    found = await conversions(recorder).many([thing(n) for n in "abc"], "v2")
    assert [isinstance(obj, ConversionFailed) for obj in found] == [True, True, True]
    assert len(recorder.calls) == 1  # nobody is there: asking again helps nobody
