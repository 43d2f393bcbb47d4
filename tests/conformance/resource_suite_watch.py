"""What a watch of every resource does: see `resource_suite.py`."""

from __future__ import annotations

from typing import Any

import orjson
from resource_suite import PARTIAL, TABLE, Check, Sample, names, version_of
from server_harness import Running, Watch

Json = dict[str, Any]


async def _write_some(run: Running, s: Sample, ns: str) -> list[tuple[str, str]]:
    """Four writes; the events that tell of them."""
    c = run.client
    await c.post(s.of(ns), s.make("a"))
    await c.post(s.of(ns), s.make("b"))
    await c.patch(s.at(ns, "a"), s.change(s.values[1]))
    await c.delete(s.at(ns, "b"))
    return [("ADDED", "a"), ("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]


async def watching_from_now(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    first = await c.post(s.of(ns), s.make("first"))
    start = version_of(await c.get(s.of(ns)))
    async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion={start}") as w:
        wanted = await _write_some(run, s, ns)
        assert await w.take(4) == wanted
        await c.post(s.of(ns), s.make("next"))
        assert await w.take(1) == [("ADDED", "next")], "nothing else came"
        await c.delete(s.at(ns, "next"))
    async with c.watch(f"{s.of(ns)}?watch=1") as w:
        event = await w.next()
        assert event is not None
        assert event["type"] == "ADDED"
    earlier = version_of(first)
    async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion={earlier}") as w:
        assert await w.take(4) == wanted, "what was missed is told again"


async def watching_resumes_anywhere(run: Running, s: Sample, ns: str) -> None:
    """From each version that a watch showed, another goes on with the next event."""
    c = run.client
    start = version_of(await c.get(s.of(ns)))
    seen: list[tuple[int, str, str]] = [(start, "", "")]
    async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion={start}") as w:
        await _write_some(run, s, ns)
        for _ in range(4):
            event = await w.next()
            assert event is not None
            obj = event["object"]
            seen.append((version_of(obj), event["type"], obj["metadata"]["name"]))
    assert [v for v, _, _ in seen] == sorted({v for v, _, _ in seen}), "versions only grow"
    for at, (version, _, _) in enumerate(list(seen)):
        async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion={version}") as w:
            made = await c.post(s.of(ns), s.make(f"next{at}"))
            seen.append((version_of(made), "ADDED", f"next{at}"))
            wanted = [(kind, name) for _, kind, name in seen[at + 1 :]]
            assert await w.take(len(wanted)) == wanted, "and nothing twice"


async def watching_tells_whole_objects(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    start = version_of(await c.get(s.of(ns)))
    async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion={start}") as w:
        made = await c.post(s.of(ns), s.make("one"))
        event = await w.next()
        assert event == {"type": "ADDED", "object": made}
        changed = await c.patch(s.at(ns, "one"), s.change(s.values[1]))
        event = await w.next()
        assert event == {"type": "MODIFIED", "object": changed}
        await c.delete(s.at(ns, "one"))
        event = await w.next()
        assert event is not None
        assert event["type"] == "DELETED"
        gone = event["object"]
        assert version_of(gone) > version_of(changed)
        gone["metadata"]["resourceVersion"] = changed["metadata"]["resourceVersion"]
        assert gone == changed, "the last state, at the version of the removal"


async def initial_events(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    await c.post(s.of(ns), s.make("b"))
    await c.post(s.of(ns), s.make("a"))
    query = "watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan"
    async with c.watch(f"{s.of(ns)}?{query}&allowWatchBookmarks=true") as w:
        assert await w.take(2) == [("ADDED", "a"), ("ADDED", "b")]
        mark = await w.next()
        assert mark is not None
        assert mark["type"] == "BOOKMARK"
        annotations = mark["object"]["metadata"]["annotations"]
        assert annotations == {"k8s.io/initial-events-end": "true"}
        await c.post(s.of(ns), s.make("c"))
        assert await w.take(1) == [("ADDED", "c")]
    async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion=0") as w:
        assert await w.take(3) == [("ADDED", "a"), ("ADDED", "b"), ("ADDED", "c")]


async def selected(run: Running, s: Sample, ns: str) -> None:
    """What comes to match is ADDED, what ceases to match is DELETED."""
    c = run.client
    start = version_of(await c.get(s.of(ns)))
    query = f"watch=1&resourceVersion={start}"
    async with (
        c.watch(f"{s.of(ns)}?{query}&labelSelector=on%3Dyes") as by_label,
        c.watch(f"{s.of(ns)}?{query}&fieldSelector=metadata.name%3Da") as by_name,
        c.watch(f"{s.all()}?{query}&fieldSelector=metadata.name%3Da") as everywhere,
    ):
        await c.post(s.of(ns), s.make("a"))
        for value in ("yes", "no", "yes"):
            await c.patch(s.at(ns, "a"), {"metadata": {"labels": {"on": value}}})
        await c.post(s.of(ns), s.make("b", labels={"on": "yes"}))
        await c.patch(s.at(ns, "b"), s.change(s.values[1]))
        await c.delete(s.at(ns, "a"))
        assert await by_label.take(6) == [
            ("ADDED", "a"),
            ("DELETED", "a"),
            ("ADDED", "a"),
            ("ADDED", "b"),
            ("MODIFIED", "b"),
            ("DELETED", "a"),
        ]
        wanted = [("ADDED", "a"), *[("MODIFIED", "a")] * 3, ("DELETED", "a")]
        assert await by_name.take(5) == wanted
        assert await everywhere.take(5) == wanted
        await c.post(s.of(ns), s.make("a", labels={"on": "yes"}))
        for w in (by_label, by_name, everywhere):
            assert await w.take(1) == [("ADDED", "a")], "nothing else came"


async def several_watches_see_the_same(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    start = version_of(await c.get(s.of(ns)))
    path = f"{s.of(ns)}?watch=1&resourceVersion={start}"

    async def events(w: Watch) -> list[Json | None]:
        return [await w.next() for _ in range(4)]

    async with c.watch(path) as one, c.watch(path) as two:
        await _write_some(run, s, ns)
        assert await events(one) == await events(two)


async def other_forms(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    start = version_of(await c.get(s.of(ns)))
    path = f"{s.of(ns)}?watch=1&resourceVersion={start}"
    async with (
        c.watch(path, headers={"accept": TABLE}) as table,
        c.watch(path, headers={"accept": PARTIAL}) as partial,
    ):
        made = await c.post(s.of(ns), s.make("a"))
        await c.patch(s.at(ns, "a"), s.change(s.values[1]))
        first, second = await table.next(), await table.next()
        assert first is not None
        assert second is not None
        assert first["object"]["kind"] == "Table"
        assert first["object"]["columnDefinitions"]
        assert len(first["object"]["rows"]) == 1
        assert not second["object"]["columnDefinitions"]
        event = await partial.next()
        assert event is not None
        assert event["object"]["kind"] == "PartialObjectMetadata"
        assert event["object"]["metadata"] == made["metadata"]


async def watching_one_object(run: Running, s: Sample, ns: str) -> None:
    c = run.client
    made = await c.post(s.of(ns), s.make("a"))
    await c.post(s.of(ns), s.make("b"))
    query = f"fieldSelector=metadata.name%3Da&resourceVersion={version_of(made)}&watch=1"
    async with c.watch(f"{s.of(ns)}?{query}") as w:
        await c.patch(s.at(ns, "b"), s.change(s.values[1]))
        await c.patch(s.at(ns, "a"), s.change(s.values[1]))
        assert await w.take(1) == [("MODIFIED", "a")]


async def watching_another_version(run: Running, s: Sample, ns: str) -> None:
    if not s.other_version:
        return
    c, other = run.client, s.other_version
    start = version_of(await c.get(s.of(ns)))
    path = f"{s.of(ns, other)}?watch=1&resourceVersion={start}"
    async with c.watch(path) as w:
        await c.post(s.of(ns), s.make("one"))
        event = await w.next()
        assert event is not None
        assert event["object"] == await c.get(s.at(ns, "one", other))
        assert event["object"]["apiVersion"].endswith(other)


async def listing_and_watching_fit_together(run: Running, s: Sample, ns: str) -> None:
    """What a client keeps by list and watch is what a list shows."""
    c = run.client
    await c.post(s.of(ns), s.make("old"))
    listed = await c.get(s.of(ns))
    kept = {item["metadata"]["name"]: item for item in listed["items"]}
    start = listed["metadata"]["resourceVersion"]
    async with c.watch(f"{s.of(ns)}?watch=1&resourceVersion={start}") as w:
        await _write_some(run, s, ns)
        await c.delete(s.at(ns, "old"))
        for _ in range(5):
            event = await w.next()
            assert event is not None
            name = event["object"]["metadata"]["name"]
            if event["type"] == "DELETED":
                del kept[name]
            else:
                kept[name] = event["object"]
    found = await c.get(s.of(ns))
    assert names(found) == sorted(kept)
    for item in found["items"]:
        mine = kept[item["metadata"]["name"]]
        head = {"kind": s.kind, "apiVersion": s.api_version}
        assert orjson.loads(orjson.dumps({**item, **head})) == mine


CHECKS: tuple[Check, ...] = (
    watching_from_now,
    watching_resumes_anywhere,
    watching_tells_whole_objects,
    initial_events,
    selected,
    several_watches_see_the_same,
    other_forms,
    watching_one_object,
    watching_another_version,
    listing_and_watching_fit_together,
)
