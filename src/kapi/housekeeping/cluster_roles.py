"""Fills the rules of ClusterRoles with an aggregation rule from the roles it selects.

So a role that is labelled for it widens `admin`, `edit` and `view`.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from kapi.cacher.event import DELETED, Event, Item
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.queue import WorkQueue
from kapi.housekeeping.world import World
from kapi.selector.label_selector import from_selector
from kapi.selector.labels import Selector

Json = dict[str, Any]

GROUP, PLURAL = "rbac.authorization.k8s.io", "clusterroles"
ACCOUNT = "clusterrole-aggregation-controller"
_RULE = b'"aggregationRule":{'


def selectors_of(role: Json) -> list[Selector]:
    """The selectors of a role's aggregation rule; what is no selector selects nothing."""
    raw = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    return [s for s in map(from_selector, raw) if s is not None]


def aggregated_rules(role: Json, roles: Sequence[Json]) -> list[Json]:
    """The rules of all other roles that one of the selectors matches, by name, none twice."""
    rules: list[Json] = []
    ordered = sorted(roles, key=lambda r: r["metadata"]["name"])
    for selector in selectors_of(role):
        for other in ordered:
            if other["metadata"]["name"] == role["metadata"]["name"]:
                continue
            if not selector.matches(other["metadata"].get("labels") or {}):
                continue
            for rule in other.get("rules") or ():
                if rule not in rules:
                    rules.append(rule)
    return rules


class ClusterRoles:
    """Keys are names of ClusterRoles that aggregate."""

    name = "clusterrole-aggregation"
    workers = 1

    def __init__(self, world: World, feed: Feed) -> None:
        self._world = world
        self._roles = world.resource(GROUP, PLURAL)
        self._aggregating: dict[str, list[Selector]] = {}
        self.queue: WorkQueue[str] = WorkQueue(world.timers)
        feed.on(self._roles.storage_prefix, self._role)

    def _role(self, item: Item, event: Event | None) -> None:
        gone = event is not None and event.type == DELETED
        if gone or _RULE not in item.tail:
            self._aggregating.pop(item.name, None)
        else:
            self._aggregating[item.name] = selectors_of(item.peek())
            self.queue.add(item.name)
        labels = [] if gone else [item.labels]
        if event is not None and event.previous is not None:
            labels.append(event.previous.labels)
        self._tell(item.name, labels)

    def _tell(self, name: str, labels: Iterable[Mapping[str, str]]) -> None:
        """Who selects a role, or did, must look again."""
        for other, selectors in self._aggregating.items():
            if other != name and any(s.matches(x) for s in selectors for x in labels):
                self.queue.add(other)

    async def sync(self, key: str) -> float | None:
        """Bring the rules up to those of the roles that are selected."""
        item = self._world.item(self._roles, "", key)
        selectors = self._aggregating.get(key)
        if item is None or selectors is None:
            return None
        chosen = [
            other.peek()
            for other in self._world.items(self._roles)
            if any(s.matches(other.labels) for s in selectors)
        ]
        role = item.peek()
        rules = aggregated_rules(role, chosen)
        if rules == (role.get("rules") or []):
            return None
        config = {
            "kind": "ClusterRole",
            "apiVersion": f"{GROUP}/v1",
            "metadata": {"name": key},
            "rules": rules,
        }
        await self._world.objects.apply(GROUP, PLURAL, "", config, ACCOUNT)
        return None
