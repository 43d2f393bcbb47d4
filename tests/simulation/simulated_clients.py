"""Clients of the simulation: what they do is random by a seed, what they see is compared with the
true history of the store.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from server_harness import JSON_PATCH, MERGE_PATCH, Answer, Client
from simulated_storage import Commit

Json = dict[str, Any]
COLLECTION = "/api/v1/namespaces/default/configmaps"
PREFIX = "/registry/configmaps/default/"
NAMES = tuple(f"n{i}" for i in range(6))  # few, so that clients meet
EXPECTED = {200, 201, 202, 404, 409, 410, 503, 504}
HOLD = "example.com/hold"
COUNTER = "counter"  # an object that clients count up, each from the version it read


class Truth:
    """The history of the objects, and what may be said about it."""

    def __init__(self, history: list[Commit]) -> None:
        self._history = history

    def commits(self) -> list[Commit]:
        return [c for c in self._history if c.key.startswith(PREFIX)]

    def at(self, revision: int) -> dict[str, tuple[int, str]]:
        """Name → version and token of everything that stood at a revision."""
        found: dict[str, tuple[int, str]] = {}
        for c in self.commits():
            if c.revision > revision:
                break
            name = c.key.removeprefix(PREFIX)
            if c.value is None:
                found.pop(name, None)
            else:
                found[name] = (c.revision, token_of(c.value))
        return found

    def events(self, after: int) -> list[tuple[int, str, str]]:
        """What a watch must tell: version, type, name."""
        seen = set(self.at(after))
        out = []
        for c in self.commits():
            if c.revision <= after:
                continue
            name = c.key.removeprefix(PREFIX)
            if c.value is None:
                seen.discard(name)
                out.append((c.revision, "DELETED", name))
            else:
                out.append((c.revision, "MODIFIED" if name in seen else "ADDED", name))
                seen.add(name)
        return out


def token_of(obj: Any) -> str:
    return str((obj.get("data") or {}).get("v", ""))


def version_of(obj: Json) -> int:
    return int(obj["metadata"]["resourceVersion"])


@dataclass(slots=True)
class Tokens:
    """What became of the values that clients wrote; each value is written once."""

    acknowledged: dict[str, int] = field(default_factory=dict)  # token → version in the answer
    removed: list[tuple[str, int]] = field(default_factory=list)  # name and version
    refused: set[str] = field(default_factory=set)  # must never be seen in the store
    # The uid of the counter and what an acknowledged count has made of it.
    counted: list[tuple[str, int]] = field(default_factory=list)
    # Name, version that was replaced, version that it became: of writes that named a version.
    replaced: list[tuple[str, int, int]] = field(default_factory=list)

    def check(self, truth: Truth) -> None:
        made: dict[str, list[int]] = {}
        for c in truth.commits():
            if c.value is not None:
                made.setdefault(token_of(c.value), []).append(c.revision)
        for token, version in self.acknowledged.items():
            assert version in made.get(token, ()), f"{token} was acknowledged at {version} and lost"
        gone = {(c.key.removeprefix(PREFIX), c.revision) for c in truth.commits() if not c.value}
        assert gone.issuperset(self.removed), "what was told to be removed was not"
        seen = self.refused & made.keys()
        assert not seen, f"{seen} were refused and stored"
        self._check_turns(truth)

    def _check_turns(self, truth: Truth) -> None:
        """A write that named a version replaced that one and no other; no count was lost."""
        before: dict[tuple[str, int], int] = {}
        last: dict[str, int] = {}
        number = 0
        for c in truth.commits():
            name = c.key.removeprefix(PREFIX)
            before[name, c.revision] = last.get(name, 0)
            last[name] = c.revision
            if name == COUNTER:
                wanted = 0 if c.value is None else number + 1
                number = 0 if c.value is None else int(c.value["data"]["n"])
                assert number == wanted, f"a count was lost: {number}, not {wanted}"
        for name, old, new in self.replaced:
            assert before[name, new] == old, (
                f"{name}: {new} replaced {before[name, new]}, not {old}"
            )
        assert len(set(self.counted)) == len(self.counted), "two clients made the same count"


class Actor:
    """A client that reads and writes."""

    def __init__(self, number: int, seed: int, client: Client, truth: Truth, tokens: Tokens):
        self._random = Random(f"client/{seed}/{number}")
        self._number = number
        self._client = client
        self._truth = truth
        self._tokens = tokens
        self._serial = 0
        self._known: dict[str, Json] = {}  # by name, as last seen
        self._floor = 0  # the newest version that was acknowledged to this client
        self.log: list[str] = []

    async def run(self, operations: int) -> None:
        for _ in range(operations):
            for _ in range(self._random.randrange(5)):
                await asyncio.sleep(0)
            await self._random.choice(self._operations())()

    def _operations(self) -> list[Callable[[], Awaitable[None]]]:
        return [
            self.create, self.create, self.create, self.put, self.put, self.put_any, self.merge,
            self.json_patch, self.delete, self.delete_known, self.get, self.get, self.list,
            self.pages, self.old_list, self.hold, self.release, self.dry_run, self.count,
            self.count, self.count, self.uncount,
        ]  # fmt: skip

    async def _ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        answer = await self._client(method, path, body, **more)
        self.log.append(f"{self._number} {method} {path} {answer.status}")
        assert answer.status in EXPECTED, f"{method} {path} {body}: {answer}"
        return answer

    def _token(self) -> str:
        self._serial += 1
        return f"c{self._number}.{self._serial}"

    def _name(self) -> str:
        return self._random.choice(NAMES)

    def _written(self, token: str, answer: Answer) -> None:
        """Note what became of a write. A 503 or 504 leaves it open."""
        if answer.status in (200, 201):
            obj = answer.json
            meta = obj["metadata"]
            self._floor = max(self._floor, version_of(obj))
            if "deletionTimestamp" in meta and not meta.get("finalizers"):
                # The write took away what held a deleted object.
                self._tokens.removed.append((meta["name"], version_of(obj)))
                self._known.pop(meta["name"], None)
                return
            self._known[meta["name"]] = obj
            self._tokens.acknowledged[token] = version_of(obj)
        elif answer.status < 500:
            self._tokens.refused.add(token)

    # -- writes -----------------------------------------------------------------------------------

    async def create(self) -> None:
        token = self._token()
        body = {"metadata": {"name": self._name()}, "data": {"v": token}}
        self._written(token, await self._ask("POST", COLLECTION, body))

    async def put(self) -> None:
        """Replace what was last seen, if it is still so."""
        if not self._known:
            return
        known = self._known[self._random.choice(sorted(self._known))]
        token = self._token()
        body = {**known, "data": {"v": token}}
        at = f"{COLLECTION}/{known['metadata']['name']}"
        answer = await self._ask("PUT", at, body)
        self._written(token, answer)
        if answer.status == 200 and answer.json["metadata"].get("resourceVersion"):
            change = (known["metadata"]["name"], version_of(known), version_of(answer.json))
            self._tokens.replaced.append(change)

    async def count(self) -> None:
        """One more than was read, if nobody else counted meanwhile."""
        at, token = f"{COLLECTION}/{COUNTER}", self._token()
        found = await self._ask("GET", at)
        if found.status == 404:
            body = {"metadata": {"name": COUNTER}, "data": {"v": token, "n": "1"}}
            answer = await self._ask("POST", COLLECTION, body)
        elif found.status == 200:
            number = int(found.json["data"]["n"]) + 1
            body = {**found.json, "data": {"v": token, "n": str(number)}}
            answer = await self._ask("PUT", at, body)
        else:
            return
        self._written(token, answer)
        self._known.pop(COUNTER, None)  # nobody does anything else to it
        if answer.status in (200, 201):
            made = answer.json
            self._tokens.counted.append((made["metadata"]["uid"], int(made["data"]["n"])))

    async def uncount(self) -> None:
        """Remove the counter, if nobody counted since it was read."""
        found = await self._ask("GET", f"{COLLECTION}/{COUNTER}")
        if found.status == 200:
            await self._delete_at(found.json)

    async def put_any(self) -> None:
        name, token = self._name(), self._token()
        body = {"metadata": {"name": name}, "data": {"v": token}}
        self._written(token, await self._ask("PUT", f"{COLLECTION}/{name}", body))

    async def merge(self) -> None:
        name, token = self._name(), self._token()
        body = {"data": {"v": token}}
        answer = await self._ask("PATCH", f"{COLLECTION}/{name}", body, content_type=MERGE_PATCH)
        self._written(token, answer)

    async def json_patch(self) -> None:
        name, token = self._name(), self._token()
        body = [{"op": "add", "path": "/data", "value": {"v": token}}]
        answer = await self._ask("PATCH", f"{COLLECTION}/{name}", body, content_type=JSON_PATCH)
        self._written(token, answer)

    async def dry_run(self) -> None:
        name, token = self._name(), self._token()
        self._tokens.refused.add(token)
        body = {"metadata": {"name": name}, "data": {"v": token}}
        await self._ask("POST", f"{COLLECTION}?dryRun=All", body)
        await self._ask("PUT", f"{COLLECTION}/{name}?dryRun=All", body)
        await self._ask("DELETE", f"{COLLECTION}/{name}?dryRun=All")

    async def delete(self) -> None:
        await self._ask("DELETE", f"{COLLECTION}/{self._name()}")

    async def delete_known(self) -> None:
        if not self._known:
            return
        await self._delete_at(self._known.pop(self._random.choice(sorted(self._known))))

    async def _delete_at(self, known: Json) -> None:
        """Delete what is at the version that was seen."""
        meta = known["metadata"]
        wanted = {"preconditions": {"resourceVersion": meta["resourceVersion"], "uid": meta["uid"]}}
        answer = await self._ask("DELETE", f"{COLLECTION}/{meta['name']}", wanted)
        if answer.status == 200 and answer.json["kind"] == "Status":
            # Gone between that version and now, and nothing in between.
            after = self._truth.events(version_of(known))
            mine = [event for event in after if event[2] == meta["name"]]
            assert mine[0][1] == "DELETED", f"{meta} was not what was deleted"

    async def hold(self) -> None:
        body = {"metadata": {"finalizers": [HOLD]}}
        await self._ask("PATCH", f"{COLLECTION}/{self._name()}", body, content_type=MERGE_PATCH)

    async def release(self) -> None:
        body = {"metadata": {"finalizers": None}}
        await self._ask("PATCH", f"{COLLECTION}/{self._name()}", body, content_type=MERGE_PATCH)

    # -- reads ------------------------------------------------------------------------------------

    async def get(self) -> None:
        name, floor = self._name(), self._floor
        before = self._truth.at(floor).get(name)
        answer = await self._ask("GET", f"{COLLECTION}/{name}")
        if answer.status == 200:
            obj = answer.json
            version = version_of(obj)
            stood = self._truth.at(version).get(name)
            assert stood == (version, token_of(obj)), f"{obj} never stood: {stood}"
            assert before is None or version >= before[0], "older than what was acknowledged"
            self._known[name] = obj

    def _check_list(self, listed: Json) -> None:
        revision = version_of(listed)
        found = {
            item["metadata"]["name"]: (version_of(item), token_of(item)) for item in listed["items"]
        }
        assert found == self._truth.at(revision), f"a list at {revision} is not what stood then"

    async def list(self) -> None:
        floor = self._floor
        answer = await self._ask("GET", COLLECTION)
        if answer.status == 200:
            self._check_list(answer.json)
            assert version_of(answer.json) >= floor, "older than what was acknowledged"

    async def old_list(self) -> None:
        query = self._random.choice(("resourceVersion=0", f"resourceVersion={self._floor}"))
        answer = await self._ask("GET", f"{COLLECTION}?{query}")
        if answer.status == 200:
            self._check_list(answer.json)

    async def pages(self) -> None:
        """A list in pages is as of one revision, whatever happens meanwhile."""
        answer = await self._ask("GET", f"{COLLECTION}?limit=2")
        items: list[Json] = []
        while answer.status == 200:
            page = answer.json
            items += page["items"]
            token = page["metadata"].get("continue")
            if not token:
                self._check_list({**page, "items": items})
                return
            await asyncio.sleep(0)
            answer = await self._ask("GET", f"{COLLECTION}?limit=2&continue={token}")


class Watcher:
    """A client that watches, and lists anew when it is told that its version is too old."""

    def __init__(self, seed: int, number: int, client: Client, truth: Truth) -> None:
        self._random = Random(f"watch/{seed}/{number}")
        self._client = client
        self._truth = truth
        self.version = 0
        self.events: list[tuple[int, str, str]] = []
        self._from = 0  # the version that `events` start after
        self.relists = 0
        self.stop = False

    async def run(self) -> None:
        while not self.stop:
            if not self.version:
                await self._list()
                continue
            await self._watch()

    async def _list(self) -> None:
        answer = await self._client("GET", COLLECTION)
        assert answer.status in (200, 503, 504), answer
        if answer.status == 200:
            self.version = self._from = version_of(answer.json)
            self.events = []
            self.relists += 1
        await asyncio.sleep(0)

    async def _watch(self) -> None:
        path = f"{COLLECTION}?watch=1&allowWatchBookmarks=1&resourceVersion={self.version}"
        lasts = self._random.randrange(1, 30)  # events, then the client goes and comes back
        async with self._client.watch(path) as w:
            while lasts and not self.stop:
                if not w.waiting():  # never by real time, so that a seed replays
                    await asyncio.sleep(0)
                    continue
                event = await w.next()
                if event is None or "object" not in event or event["type"] == "ERROR":
                    self._failed(w.status, event)
                    return
                lasts -= 1
                self._take(event)

    def _failed(self, status: int, event: Json | None) -> None:
        assert status in (200, 410, 503, 504), (status, event)
        code = (event or {}).get("object", event or {}).get("code")
        assert code in (None, 410, 503, 504), event
        if code == 410:
            self.check()  # all that was told up to here
            self.version = 0

    def _take(self, event: Json) -> None:
        obj = event["object"]
        version = version_of(obj)
        if event["type"] == "BOOKMARK":
            assert version >= self.version
            self.version = version
            return
        assert version > self.version, f"{event} came after {self.version}"
        self.version = version
        self.events.append((version, event["type"], obj["metadata"]["name"]))

    def check(self) -> None:
        """What was told is what happened, each once, in order."""
        wanted = [e for e in self._truth.events(self._from) if e[0] <= self.version]
        assert self.events == wanted, f"a watch from {self._from} to {self.version}"
