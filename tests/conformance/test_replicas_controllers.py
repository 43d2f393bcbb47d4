"""Two servers with `--controllers` on one etcd: one does the work, the other one goes on when it is
gone."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from etcd_process import one_member
from replicas_harness import replica
from server_harness import Running, eventually
from server_process import Connection, Process

Json = dict[str, Any]
LEASE = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kapi-controllers"
SPACES = "/api/v1/namespaces"


async def holder(server: Running) -> str:
    answer = await server.client("GET", LEASE)
    return str(answer.json["spec"]["holderIdentity"]) if answer.status == 200 else ""


async def gets_its_account(server: Running, space: str) -> None:
    """A new namespace gets its service account, and goes with all that is in it."""
    await server.client.post(SPACES, {"metadata": {"name": space}})

    async def has_account() -> bool:
        path = f"{SPACES}/{space}/serviceaccounts/default"
        return (await server.client("GET", path)).status == 200

    await eventually(has_account, 10)
    await server.client.post(f"{SPACES}/{space}/configmaps", {"metadata": {"name": "m"}})
    await server.client.delete(f"{SPACES}/{space}")

    async def is_gone() -> bool:
        return (await server.client("GET", f"{SPACES}/{space}")).status == 404

    await eventually(is_gone, 10)


async def test_one_works_and_hands_over(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with AsyncExitStack() as stack:
            one, two = [
                await stack.enter_async_context(
                    replica([etcd.url], seed, controllers=("*",), bind_address="127.0.0.1")
                )
                for seed in (1, 2)
            ]

            async def somebody() -> bool:
                return bool(await holder(two))

            await eventually(somebody, 10)
            first = await holder(one)
            await gets_its_account(two, "a")
            # Each controller runs once in this process.
            names = [t.get_name() for t in asyncio.all_tasks()]
            running = [name for name in names if name.startswith("controller-")]
            assert running
            assert len(running) == len(set(running))
            assert await holder(two) == first
            await one.server.stop()

            async def another() -> bool:
                return await holder(two) not in ("", first)

            await eventually(another, 10)
            lease = await two.client.get(LEASE)
            assert lease["spec"]["leaseTransitions"] == 1
            await gets_its_account(two, "b")


async def test_shutdown_hands_over_before_it_ends(tmp_path: Path) -> None:
    with one_member(tmp_path) as etcd:
        async with replica([etcd.url], 1, controllers=("*",)) as one:

            async def leads() -> bool:
                return bool(await holder(one))

            await eventually(leads, 10)
            one.server.begin_shutdown()

            async def given_back() -> bool:
                return not await holder(one)

            await eventually(given_back, 10)


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_kill_9(tmp_path: Path) -> None:
    with one_member(tmp_path, safe=True) as etcd:
        servers = []
        try:
            for name in ("one", "two"):
                server = Process(
                    tmp_path / name, f"--etcd-servers={etcd.url}", "--controllers=*",
                    "--bind-address=127.0.0.1",
                )  # fmt: skip
                servers.append(server)
                await server.ready()

            async def holder_at(server: Process) -> str:
                connection = await Connection.open(server.port)
                try:
                    status, found = await connection.request("GET", LEASE)
                finally:
                    await connection.close()
                return str(found["spec"]["holderIdentity"]) if status == 200 else ""

            async def somebody() -> bool:
                return bool(await holder_at(servers[1]))

            await eventually(somebody, 20)
            first = await holder_at(servers[1])
            servers[0].kill()
            start = asyncio.get_running_loop().time()

            async def another() -> bool:
                return await holder_at(servers[1]) not in ("", first)

            await eventually(another, 60)
            assert asyncio.get_running_loop().time() - start > 5  # not before the lease ran out
        finally:
            for server in servers:
                server.close()
