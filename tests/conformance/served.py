"""A cache and a reader over the memory store, with made-up resources: what tests of reads share.

`World` writes objects as the write pipeline would store them, and waits until the cache has them.
Time stands still until `clock.advance` moves it.
"""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import orjson

from kapi.cacher import consistency
from kapi.cacher.cacher import Cacher
from kapi.cacher.resource_cache import ResourceCache
from kapi.clock import Entropy
from kapi.codec.negotiate import PLAIN, Offer
from kapi.handlers.encoder import Encoder
from kapi.handlers.forms import Forms
from kapi.handlers.get import GetHandler
from kapi.handlers.list import ListHandler
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target
from kapi.handlers.watch import WatchHandler
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, RequestInfo, Response
from kapi.metrics import Metrics
from kapi.registry.read import Reader
from kapi.registry.resource import GroupVersionKind, ResourceType, Version
from kapi.registry.strategy import Strategy
from kapi.registry.versions import Versions
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.schema.structural import Schema
from kapi.storage import keys
from kapi.storage.interface import Storage
from kapi.storage.memory import MemoryStorage

Json = dict[str, Any]
UID = "00000000-0000-4000-8000-{:012d}"
CREATED = "2026-11-24T05:46:00Z"
VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


class ManualClock:
    """Time that moves only when told to; sleepers wake in order."""

    def __init__(self) -> None:
        self._now = 1_795_000_000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._serial = count()

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + seconds, next(self._serial), future))
        await future

    async def advance(self, seconds: float) -> None:
        """Move on, letting everyone who sleeps run at their time."""
        await settle()
        end = self._now + seconds
        while self._sleepers and self._sleepers[0][0] <= end:
            when, _, future = heapq.heappop(self._sleepers)
            self._now = max(self._now, when)
            if not future.done():
                future.set_result(None)
            await settle()
        self._now = end
        await settle()


async def settle(turns: int = 8) -> None:
    """Let every task that can run do so."""
    for _ in range(turns):
        await asyncio.sleep(0)


def schema() -> Schema:
    return Schema("object", typed=True)


def resource(
    plural: str = "pods",
    kind: str = "Pod",
    *,
    group: str = "",
    namespaced: bool = True,
    custom: bool = False,
    prefix: str = "",
    versions: tuple[str, ...] = ("v1",),
    **more: Any,
) -> ResourceType:
    """A resource with the given versions, the first of them stored."""
    made = {
        name: Version(
            name=name, kind=GroupVersionKind(group, name, kind), schema=schema, verbs=VERBS
        )
        for name in versions
    }
    return ResourceType(
        **{
            "group": group,
            "plural": plural,
            "singular": kind.lower(),
            "kind": kind,
            "list_kind": f"{kind}List",
            "namespaced": namespaced,
            "versions": made,
            "stored": GroupVersionKind(group, versions[0], kind),
            "stored_schema": schema,
            "storage_prefix": prefix or (f"{group}/{plural}" if custom else plural),
            "strategy": Strategy(),
            "custom": custom,
            **more,
        }
    )


def field(*path: str) -> Callable[[Json], str]:
    """A field selector's function: the text at a path."""

    def value_of(obj: Json) -> str:
        value: Any = obj
        for name in path:
            value = (value or {}).get(name)
        return "" if value is None else str(value)

    return value_of


PODS = resource(field_selectors={"spec.nodeName": field("spec", "nodeName")})
NODES = resource("nodes", "Node", namespaced=False)
THINGS = resource("things", "Thing", group="example.com", custom=True)


class World:
    """A store, a cache over it, and a reader."""

    def __init__(self, storage: Storage, *resources: ResourceType) -> None:
        self.storage = storage
        self.clock = ManualClock()
        self.entropy = Entropy(7)
        self.cacher = Cacher(storage, self.clock, self.entropy)
        self.reader = Reader(self.cacher, storage)
        self._uids = count(1)
        self._revisions: dict[str, int] = {}
        for r in resources:
            self.cacher.register(r)

    def value(
        self, r: ResourceType, namespace: str, name: str, labels: Json | None, more: Json
    ) -> bytes:
        """The stored form of an object."""
        meta: Json = {"name": name}
        if namespace:
            meta["namespace"] = namespace
        meta["uid"] = UID.format(next(self._uids))
        meta["creationTimestamp"] = CREATED
        if labels:
            meta["labels"] = labels
        head = {"kind": r.stored.kind, "apiVersion": r.stored.api_version, "metadata": meta}
        option = orjson.OPT_SORT_KEYS if r.custom else 0
        return orjson.dumps({**head, **more}, option=option)

    async def put(
        self,
        r: ResourceType,
        namespace: str,
        name: str,
        labels: Json | None = None,
        **more: Any,
    ) -> int:
        """Create or replace an object; returns its revision."""
        key = keys.object_key(r, namespace, name)
        value = self.value(r, namespace, name, labels, more)
        if key in self._revisions:
            expected = self._revisions[key]
            revision = await self.storage.update(key, value, expected_revision=expected)
        else:
            revision = await self.storage.create(key, value)
        self._revisions[key] = revision
        await self.caught_up(revision)
        return revision

    async def delete(self, r: ResourceType, namespace: str, name: str) -> int:
        key = keys.object_key(r, namespace, name)
        _, revision = await self.storage.delete(key, expected_revision=self._revisions.pop(key))
        await self.caught_up(revision)
        return revision

    async def caught_up(self, revision: int) -> None:
        for _ in range(1000):
            if self.cacher.revision >= revision:
                return
            await asyncio.sleep(0)
        raise AssertionError(f"the cache stays at {self.cacher.revision}")

    def cache(self, r: ResourceType) -> ResourceCache:
        cache = self.cacher.cache(r)
        assert cache is not None
        return cache


@asynccontextmanager
async def world(*resources: ResourceType, storage: Storage | None = None) -> AsyncIterator[World]:
    """A started world; at the end the cache must hold what the store holds."""
    made = World(storage or MemoryStorage(), *(resources or (PODS, NODES, THINGS)))
    await made.cacher.start()
    try:
        yield made
        assert await consistency.check(made.cacher, made.storage) == []
    finally:
        await made.cacher.stop()
        await made.storage.close()


# -- handlers -------------------------------------------------------------------------------------

TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


class Handlers:
    """The read handlers over a world, called as the mux would."""

    def __init__(self, w: World, offer: Offer = PLAIN) -> None:
        versions = Versions(Decoders(), Defaulters(), ())
        encoder = Encoder(lambda api_version, kind: None, schema())
        respond = self.respond = Responder(Forms(versions, encoder), w.clock, offer)
        self._verbs: dict[str, Callable[[Request, Target], Awaitable[Response]]] = {
            "get": GetHandler(w.reader, respond),
            "list": ListHandler(w.reader, respond),
            "watch": WatchHandler(w.reader, respond, w.clock, w.entropy, Metrics()),
        }

    @staticmethod
    def request(verb: str, query: str = "", **headers: str) -> Request:
        parts = ("pods",)
        return Request(
            method="GET",
            raw_path="/",
            path="/",
            query=Query(query),
            headers=Headers([(k.replace("_", "-"), v) for k, v in headers.items()]),
            body=EmptyBody(),
            peer=Peer(),
            info=RequestInfo(is_resource=True, path="/", verb=verb, parts=parts),
        )

    async def __call__(
        self,
        verb: str,
        r: ResourceType,
        namespace: str = "",
        name: str = "",
        query: str = "",
        *,
        version: str = "",
        request: Request | None = None,
        **headers: str,
    ) -> Response:
        made = r.versions[version or next(iter(r.versions))]
        target = Target(r, made, namespace, name)
        return await self._verbs[verb](request or self.request(verb, query, **headers), target)


def body_of(response: Response) -> bytes:
    """All bytes of an answer that is no stream."""
    body = response.body
    if isinstance(body, bytes):
        return body
    assert isinstance(body, list)
    return b"".join(body)


def object_of(response: Response) -> Any:
    return orjson.loads(body_of(response))
