"""Which controllers there are, and of what: READ HERE what `--controllers` switches on.

Called by `background/loops.py`. Nothing of this package is imported where none is wanted.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from kapi.admission.quotas.gate import QuotaGate
from kapi.cacher.cacher import Cacher
from kapi.clock import Clock
from kapi.housekeeping import (
    cluster_roles,
    garbage,
    namespaces,
    policy_types,
    quotas,
    root_ca,
    runner,
    service_accounts,
)
from kapi.housekeeping.feed import Feed
from kapi.housekeeping.runner import Controller
from kapi.housekeeping.world import MANAGER, World, account
from kapi.registry.in_process import InProcess
from kapi.registry.resource import ResourceTable

API_SERVICES = ("apiregistration.k8s.io", "apiservices")


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """What controllers are made of."""

    table: ResourceTable
    cacher: Cacher
    objects: InProcess
    clock: Clock
    root_ca: str  # certificates in PEM; empty: nobody knows them
    quota_gate: QuotaGate | None

    def world(self, name: str) -> World:
        return World(
            self.table, self.cacher, self.objects.acting_as(account(name), MANAGER), self.clock
        )


Make = Callable[[Parts, Feed], Controller | None]


def _namespaces(parts: Parts, feed: Feed) -> Controller:
    world = parts.world(namespaces.ACCOUNT)
    return namespaces.Namespaces(world, feed, lambda: stale_groups(world))


def _garbage(parts: Parts, feed: Feed) -> Controller:
    return garbage.Garbage(parts.world(garbage.ACCOUNT), feed)


def _service_accounts(parts: Parts, feed: Feed) -> Controller:
    return service_accounts.ServiceAccounts(parts.world(service_accounts.ACCOUNT), feed)


def _root_ca(parts: Parts, feed: Feed) -> Controller | None:
    if not parts.root_ca:
        return None
    return root_ca.RootCa(parts.world(root_ca.ACCOUNT), feed, parts.root_ca)


def _quotas(parts: Parts, feed: Feed) -> Controller:
    assert parts.quota_gate is not None, "made with the server where quotas are counted"
    return quotas.Quotas(parts.world(quotas.ACCOUNT), feed, parts.quota_gate)


def _cluster_roles(parts: Parts, feed: Feed) -> Controller:
    return cluster_roles.ClusterRoles(parts.world(cluster_roles.ACCOUNT), feed)


def _policy_types(parts: Parts, feed: Feed) -> Controller:
    return policy_types.PolicyTypes(parts.world(policy_types.ACCOUNT), feed)


MAKERS: Mapping[str, Make] = {
    "namespace": _namespaces,
    "garbagecollector": _garbage,
    "serviceaccount": _service_accounts,
    "root-ca": _root_ca,
    "resourcequota": _quotas,
    "clusterrole-aggregation": _cluster_roles,
    "validatingadmissionpolicy-status": _policy_types,
}


def controllers(parts: Parts, names: Iterable[str]) -> list[Controller]:
    """The controllers of these names, told of everything from now on."""
    feed = Feed()
    made = _made(parts, feed, names)
    feed.start(parts.cacher)
    return made


def _made(parts: Parts, feed: Feed, names: Iterable[str]) -> list[Controller]:
    made = [MAKERS[name](parts, feed) for name in names]
    return [controller for controller in made if controller is not None]


async def run(parts: Parts, names: Iterable[str]) -> None:
    """All of these controllers, made anew, until cancelled."""
    feed = Feed()
    made = _made(parts, feed, names)
    feed.start(parts.cacher)
    try:
        async with asyncio.TaskGroup() as tasks:
            for controller in made:
                tasks.create_task(runner.run(controller), name=f"controller-{controller.name}")
    finally:
        feed.stop(parts.cacher)


def stale_groups(world: World) -> list[tuple[str, str]]:
    """The groups of aggregated servers that do not answer: what is in them is not known."""
    resource = world.table.get(*API_SERVICES)
    found: list[tuple[str, str]] = []
    for item in world.items(resource) if resource is not None else ():
        service = item.object()
        spec = service.get("spec") or {}
        if not spec.get("service"):
            continue
        conditions = (service.get("status") or {}).get("conditions") or ()
        if any(c.get("type") == "Available" and c.get("status") == "True" for c in conditions):
            continue
        name = f"{spec.get('group')}/{spec.get('version')}"
        found.append((name, f"stale GroupVersion discovery: {name}"))
    return found
