"""Which pods a node runs, and what they refer to: the index behind the Node authorizer.

It follows the cache by pulling: before an answer it takes in what changed since the last one, so
it is as fresh as the cache and costs nothing while no node asks. When it was away for longer than
the cache's history reaches, it starts over, in slices. The bytes of a pod are searched for node
names without decoding them; such a find may be of another field, so a pod is looked at before it
counts.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from kapi.authorization import node_references
from kapi.authorization.node_references import MIRROR_POD, Reference

Json = dict[str, Any]
SLICE_PODS = 2000  # pods taken in between two turns of the loop: some 4 ms
REFERENCES_MAX = 20_000  # pods whose references are remembered; some 1 KB each
_NODE_NAME = re.compile(rb'"nodeName":"([^"\\]*)"')
_NOTHING: frozenset[Reference] = frozenset()


class Item(Protocol):
    """A pod as the cache has it."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def revision(self) -> int: ...
    @property
    def tail(self) -> bytes: ...

    def peek(self) -> Json: ...


class Event(Protocol):
    @property
    def type(self) -> str: ...
    @property
    def item(self) -> Item: ...
    @property
    def previous(self) -> Item | None: ...
    @property
    def revision(self) -> int: ...


class Pods(Protocol):
    """The pods of the cache."""

    @property
    def revision(self) -> int: ...

    def item(self, namespace: str, name: str) -> Item | None: ...

    def items(self) -> Sequence[Item]: ...

    def changes_after(self, revision: int) -> Sequence[Event] | None:
        """Everything since a revision; None: so far back is not known."""


class PodsByNode:
    def __init__(self, pods: Pods) -> None:
        self._pods = pods
        self._seen = -1
        self._nodes: dict[str, set[tuple[str, str]]] = {}  # maybe on this node
        self._known: dict[tuple[str, str], tuple[int, str, frozenset[Reference]]] = {}
        self._catching_up = asyncio.Lock()

    async def refers(self, node: str, namespace: str, reference: Reference) -> bool:
        """Whether a pod of the node, in a namespace, refers to an object."""
        async with self._catching_up:
            await self._catch_up()
        return any(
            reference in references for where, references in self._of(node) if where == namespace
        )

    async def references(self, node: str, resource: str) -> set[tuple[str, str]]:
        """The objects of a resource, by namespace and name, that pods of the node refer to."""
        async with self._catching_up:
            await self._catch_up()
        return {
            (where, name)
            for where, references in self._of(node)
            for kind, name in references
            if kind == resource
        }

    def _of(self, node: str) -> Iterator[tuple[str, frozenset[Reference]]]:
        """Namespace and references of each pod of the node."""
        for key in self._nodes.get(node, ()):
            item = self._pods.item(*key)
            if item is None:
                continue
            known = self._known.get(key)
            if known is None or known[0] != item.revision:
                known = self._look(key, item)
            if known[1] == node:
                yield key[0], known[2]

    def _look(self, key: tuple[str, str], item: Item) -> tuple[int, str, frozenset[Reference]]:
        pod = item.peek()
        node = (pod.get("spec") or {}).get("nodeName", "")
        # A node can make mirror pods itself: they give it nothing.
        mirror = MIRROR_POD in (pod["metadata"].get("annotations") or {})
        found = (item.revision, node, _NOTHING if mirror else node_references.of_pod(pod))
        if len(self._known) >= REFERENCES_MAX:
            self._known.clear()
        self._known[key] = found
        return found

    async def _catch_up(self) -> None:
        revision = self._pods.revision
        if revision == self._seen:
            return
        changes = self._pods.changes_after(self._seen) if self._seen >= 0 else None
        if changes is None:
            await self._start_over()
            return
        for event in changes:
            if event.previous is not None:
                self._remove(event.previous)
            if event.type != "DELETED":
                self._add(event.item)
        self._seen = revision

    async def _start_over(self) -> None:
        items, revision = self._pods.items(), self._pods.revision
        self._nodes.clear()
        self._known.clear()
        for start in range(0, len(items), SLICE_PODS):
            for item in items[start : start + SLICE_PODS]:
                self._add(item)
            await asyncio.sleep(0)
        self._seen = revision
        changes = self._pods.changes_after(revision)
        if changes:
            await self._catch_up()

    def _add(self, item: Item) -> None:
        for node in _candidates(item):
            self._nodes.setdefault(node, set()).add((item.namespace, item.name))

    def _remove(self, item: Item) -> None:
        key = (item.namespace, item.name)
        self._known.pop(key, None)
        for node in _candidates(item):
            pods = self._nodes.get(node)
            if pods is not None:
                pods.discard(key)
                if not pods:
                    del self._nodes[node]


def _candidates(item: Item) -> Iterable[str]:
    return {name.decode() for name in _NODE_NAME.findall(item.tail)}
