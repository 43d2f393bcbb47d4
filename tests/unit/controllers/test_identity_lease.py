"""The lease of this server, and of others that are gone."""

from __future__ import annotations

from typing import Any

from kapi.clock import Entropy, rfc3339_micro
from kapi.controllers.identity_lease import COLLECT_S, IdentityLease, server_name
from kapi.errors import ApiError

Json = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.at = 1_700_000_000.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class Objects:
    """Leases by name."""

    def __init__(self) -> None:
        self.found: dict[str, Json] = {}
        self.version = 0

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Json | None:
        return self.found.get(name)

    async def create(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        self._put(obj)

    async def update(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        self._put(obj)

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None:
        del self.found[name]

    def _put(self, obj: Json) -> None:
        self.version += 1
        meta = {**obj["metadata"], "resourceVersion": str(self.version)}
        self.found[meta["name"]] = {**obj, "metadata": meta}

    def list(self, namespace: str = "") -> list[Json]:
        return list(self.found.values())


def lease_of(clock: Clock, objects: Objects, host: str = "host", seed: int = 1) -> IdentityLease:
    async def remove(name: str, revision: str) -> None:
        if objects.found[name]["metadata"]["resourceVersion"] != revision:
            raise ApiError(409, "Conflict", "it changed")
        del objects.found[name]

    return IdentityLease(clock, Entropy(seed), host, objects, objects, remove)


def test_names_are_of_the_host() -> None:
    assert server_name("a") == server_name("a") != server_name("b")
    assert len(server_name("a")) == len("apiserver-") + 26


async def test_it_is_made_and_renewed() -> None:
    clock, objects = Clock(), Objects()
    await lease_of(clock, objects).step()
    (lease,) = objects.list()
    assert lease["metadata"]["labels"] == {
        "apiserver.kubernetes.io/identity": "kube-apiserver",
        "kubernetes.io/hostname": "host",
    }
    assert lease["spec"]["leaseDurationSeconds"] == 3600
    assert lease["spec"]["holderIdentity"].startswith(f"{lease['metadata']['name']}_")
    lease["metadata"]["labels"]["mine"] = "x"
    clock.at += 10
    await lease_of(clock, objects, seed=2).step()
    (renewed,) = objects.list()
    assert renewed["metadata"]["labels"]["mine"] == "x"
    assert renewed["spec"]["renewTime"] > lease["spec"]["renewTime"]
    assert renewed["spec"]["holderIdentity"] != lease["spec"]["holderIdentity"]


async def test_servers_that_are_gone_lose_theirs() -> None:
    clock, objects = Clock(), Objects()
    own = lease_of(clock, objects)
    await lease_of(clock, objects, "dead").step()
    other = {"metadata": {"name": "theirs"}, "spec": {"renewTime": rfc3339_micro(0)}}
    await objects.create("", "", "", other)
    clock.at += COLLECT_S + 1
    await own.step()
    assert set(objects.found) == {own.name, "theirs"}


async def test_a_lease_renewed_meanwhile_stays() -> None:
    clock, objects = Clock(), Objects()
    await lease_of(clock, objects, "slow").step()
    stale = objects.list()
    clock.at += COLLECT_S + 1
    own = lease_of(clock, objects)
    await lease_of(clock, objects, "slow").step()
    objects.list = lambda namespace="": stale  # type: ignore[method-assign]
    await own.collect()
    assert server_name("slow") in objects.found
