"""Who is owned by whom: dependents by the uid of their owner, owners by the place of the dependent.

Pure. Kept by `garbage.py` from the changes of the watch cache, so that nobody ever searches all
objects. Only objects that have owners are in it; an owner is known by its uid alone, be it there or
not.

    owners      ("configmaps", "ns", "b") → (Owner(uid="u1", …), …)
    dependents  "u1" → {("configmaps", "ns", "b"), …}
    blocking    "u1" → how many of them hold back its deletion in the foreground
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

Json = dict[str, Any]


class Place(NamedTuple):
    """Where an object is; the name of a kind may change, its storage prefix does not."""

    prefix: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return "/".join(part for part in self if part)


class Owner(NamedTuple):
    """One owner reference."""

    api_version: str
    kind: str
    name: str
    uid: str
    blocks: bool


def owners_of(meta: Mapping[str, Any]) -> tuple[Owner, ...]:
    """The owner references in an object's metadata."""
    return tuple(
        Owner(
            sys.intern(str(ref.get("apiVersion") or "")),
            sys.intern(str(ref.get("kind") or "")),
            str(ref.get("name") or ""),
            str(ref.get("uid") or ""),
            bool(ref.get("blockOwnerDeletion")),
        )
        for ref in meta.get("ownerReferences") or ()
    )


class Graph:
    def __init__(self) -> None:
        self._owners: dict[str, dict[Place, tuple[Owner, ...]]] = {}  # by storage prefix
        self._dependents: dict[str, dict[Place, None]] = {}
        self._blocking: dict[str, int] = {}

    def __len__(self) -> int:
        """Objects that have owners."""
        return sum(map(len, self._owners.values()))

    def owners(self, place: Place) -> tuple[Owner, ...]:
        return self._owners.get(place.prefix, {}).get(place, ())

    def dependents(self, uid: str) -> Sequence[Place]:
        """In the order they came; a list of the caller's own."""
        return list(self._dependents.get(uid, ()))

    def has_dependents(self, uid: str) -> bool:
        return uid in self._dependents

    def blocked(self, uid: str) -> bool:
        """Whether a dependent holds back the deletion of its owner."""
        return uid in self._blocking

    def under(self, prefix: str) -> Iterable[Place]:
        """All that have owners among the objects of a storage prefix; a list of its own."""
        return list(self._owners.get(prefix, ()))

    def put(self, place: Place, owners: tuple[Owner, ...]) -> list[str]:
        """Note the owners of an object; the uids of owners that it no longer blocks."""
        before = self.owners(place)
        if before == owners:
            return []
        blocked = {o.uid for o in before if o.blocks}
        self._remove(place, before)
        if owners:
            self._owners.setdefault(place.prefix, {})[place] = owners
        for owner in owners:
            self._dependents.setdefault(owner.uid, {})[place] = None
        blocks = {o.uid for o in owners if o.blocks}
        for uid in blocks:
            self._blocking[uid] = self._blocking.get(uid, 0) + 1
        return sorted(blocked - blocks)

    def drop(self, place: Place) -> tuple[Owner, ...]:
        """Forget an object that is gone; the owners it had."""
        before = self.owners(place)
        self._remove(place, before)
        return before

    def drop_all(self, prefix: str) -> None:
        """Forget all objects of a storage prefix."""
        for place in self.under(prefix):
            self.drop(place)

    def _remove(self, place: Place, owners: tuple[Owner, ...]) -> None:
        known = self._owners.get(place.prefix)
        if known is None or known.pop(place, None) is None:
            return
        if not known:
            del self._owners[place.prefix]
        for uid in {o.uid for o in owners}:
            dependents = self._dependents[uid]
            del dependents[place]
            if not dependents:
                del self._dependents[uid]
        for uid in {o.uid for o in owners if o.blocks}:
            self._blocking[uid] -= 1
            if not self._blocking[uid]:
                del self._blocking[uid]
