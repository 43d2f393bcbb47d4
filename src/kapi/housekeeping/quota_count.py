"""What the objects of a namespace use of a quota, counted from the beginning.

Called by `quotas.py`. Amounts are those that admission charges (`admission/quotas/usage.py`); here
they are summed up over what is there. What an object uses is remembered for as long as it stays as
it is, so that a count of many objects looks into the changed ones only.
https://kubernetes.io/docs/concepts/policy/resource-quotas/
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kapi.admission.quotas.pod_usage import Sum
from kapi.admission.quotas.usage import Usage, in_scope, usage
from kapi.cacher.event import Item
from kapi.clock import Clock
from kapi.registry.resource import ResourceType
from kapi.schema import quantity
from kapi.schema.scalars import parse_time

Json = dict[str, Any]
Kind = tuple[str, str]  # group, plural

# Objects counted before other tasks get a turn: about 5 ms where they are new.
SLICE = 200

_COUNT = "count/"
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
_BARE = frozenset(
    {
        "configmaps", "persistentvolumeclaims", "pods", "replicationcontrollers", "resourcequotas",
        "secrets", "services",
    }
)  # fmt: skip
_OF_PODS = frozenset(
    {
        "cpu", "memory", "ephemeral-storage", "requests.cpu", "requests.memory",
        "requests.ephemeral-storage", "limits.cpu", "limits.memory", "limits.ephemeral-storage",
    }
)  # fmt: skip
# Kinds whose objects differ in what they use.
_LOOKED_INTO = frozenset({"pods", "services", "persistentvolumeclaims"})


def kind_of(name: str) -> Kind | None:
    """The kind of object that a quota's resource counts, if it is one that is counted."""
    if name.startswith(_COUNT):
        plural, _, group = name[len(_COUNT) :].partition(".")
        return group, plural
    if name in _BARE:
        return "", name
    if name.startswith("services."):
        return "", "services"
    if name == "requests.storage" or _STORAGE_CLASS in name:
        return "", "persistentvolumeclaims"
    if name in _OF_PODS or name.startswith(("requests.", "limits.", "hugepages-")):
        return "", "pods"
    return None


def kinds_of(hard: Iterable[str]) -> dict[Kind, list[str]]:
    """The resources of a quota by the kind that they are counted of."""
    out: dict[Kind, list[str]] = {}
    for name in hard:
        kind = kind_of(name)
        if kind is not None:
            out.setdefault(kind, []).append(name)
    return out


class Counter:
    """Counts one namespace at a time; keeps what it found in each."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # namespace → key of the object → its revision and what it uses
        self._known: dict[str, dict[str, tuple[int, Usage]]] = {}

    def forget(self, namespace: str) -> None:
        self._known.pop(namespace, None)

    async def count(
        self,
        namespace: str,
        quota: Json,
        resource: ResourceType,
        names: Sequence[str],
        items: Sequence[Item],
    ) -> tuple[Usage, float | None]:
        """What `items` of one kind use of these resources of a quota; and in how many seconds that
        changes by time alone."""
        spec = quota.get("spec") or {}
        scoped = bool(spec.get("scopes") or spec.get("scopeSelector"))
        looks = not resource.group and resource.plural in _LOOKED_INTO
        if not looks:
            count = "0" if scoped else str(len(items))
            return dict.fromkeys(names, count), None
        total, soon = Sum(), float("inf")
        pods = resource.plural == "pods"
        for at, item in enumerate(items):
            if at % SLICE == SLICE - 1:
                await asyncio.sleep(0)
            if scoped and not in_scope(quota, resource.plural, item.peek()):
                continue
            uses = self._uses(namespace, resource, item)
            if pods and b'"deletionTimestamp":"' in item.tail:
                left = _grace_left(item.peek()["metadata"], self._clock.now())
                if left <= 0:
                    uses = {k: v for k, v in uses.items() if k.startswith(_COUNT)}
                else:
                    soon = min(soon, left)
            total.add({k: uses[k] for k in names if uses.get(k, "0") != "0"})
        used = {**dict.fromkeys(names, "0"), **total.texts()}
        return used, None if soon == float("inf") else soon

    def _uses(self, namespace: str, resource: ResourceType, item: Item) -> Usage:
        known = self._known.setdefault(namespace, {})
        found = known.get(item.key)
        if found is None or found[0] != item.revision:
            found = known[item.key] = (
                item.revision,
                usage(resource.group, resource.plural, item.peek()),
            )
        return found[1]

    def tidy(self, namespace: str, there: Iterable[str]) -> None:
        """Forget the objects of a namespace that are there no more, by key."""
        known = self._known.get(namespace)
        if known:
            keys = set(there)
            self._known[namespace] = {k: v for k, v in known.items() if k in keys}


def _grace_left(meta: Json, now: float) -> float:
    """Seconds until a pod that is being deleted is counted no more; endless if it is not."""
    grace = meta.get("deletionGracePeriodSeconds")
    if "deletionTimestamp" not in meta or grace is None:
        return float("inf")
    ends, _ = parse_time(meta["deletionTimestamp"])
    return float(ends + grace - now)


def same_amounts(a: Mapping[str, str], b: Mapping[str, str]) -> bool:
    """Whether two usages say the same, however they spell it."""
    if a.keys() != b.keys():
        return False
    return all(a[k] == b[k] or quantity.value(a[k]) == quantity.value(b[k]) for k in a)
