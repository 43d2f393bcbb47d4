"""Servers over three members of etcd, of which some are lost: what clients are told meanwhile, and
that all is well again without anybody's help."""

from __future__ import annotations

import asyncio
import subprocess
from pathlib import Path

import pytest
from etcd_process import Etcd, binary, three_members
from replicas_harness import replica
from server_harness import Client, eventually

MAPS = "/api/v1/namespaces/default/configmaps"
RECOVERY_S = 30.0


async def serves(client: Client, name: str) -> None:
    """Wait until a write is answered, and readyz is well."""

    async def written() -> bool:
        answer = await client("POST", MAPS, {"metadata": {"name": name}})
        assert answer.status in (201, 409, 503, 504), answer.body
        return answer.status in (201, 409)

    await eventually(written, RECOVERY_S)

    async def ready() -> bool:
        return (await client("GET", "/readyz")).status == 200

    await eventually(ready, RECOVERY_S)


def etcdctl(member: Etcd, *words: str) -> str:
    path = Path(binary()).with_name("etcdctl")
    command = [str(path), f"--endpoints={member.url}", *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_members_are_lost_and_come_back(tmp_path: Path) -> None:
    with three_members(tmp_path) as members:
        urls = [m.url for m in members]
        async with replica(urls, 1) as first, replica(urls[::-1], 2) as second:
            one, other = first.client, second.client
            await serves(one, "begin")
            start = (await one.get(MAPS))["metadata"]["resourceVersion"]
            async with other.watch(f"{MAPS}?watch=1&resourceVersion={start}") as watch:
                # One of three is lost: nobody notices for long.
                members[0].kill()
                await serves(one, "two-left")
                await serves(other, "two-left-2")
                assert await watch.take(2) == [("ADDED", "two-left"), ("ADDED", "two-left-2")]
                # Two are lost: nothing can be written or read afresh, and clients are told when
                # to try again; what may be stale is still there.
                members[1].kill()
                for client in (one, other):
                    answers = await asyncio.gather(
                        client("GET", f"{MAPS}/begin"),
                        client("GET", MAPS),
                        client("POST", MAPS, {"metadata": {"name": "lost"}}),
                        client("GET", f"{MAPS}?resourceVersion=0"),
                    )
                    for answer in answers[:3]:
                        assert answer.status in (503, 504), answer.body
                        assert answer.json["kind"] == "Status"
                        assert answer.header("retry-after") == "1" or answer.status == 504
                    assert answers[3].status == 200

                    async def unready(client: Client = client) -> bool:
                        return (await client("GET", "/readyz")).status == 500

                    await eventually(unready, RECOVERY_S)
                members[0].start()
                members[1].start()
                await serves(one, "back")
                await serves(other, "back-2")
                names = []
                while "back-2" not in names:
                    event = await watch.next(RECOVERY_S)
                    assert event is not None
                    assert event["type"] == "ADDED"
                    names.append(event["object"]["metadata"]["name"])
                assert [n for n in names if n != "lost"] == ["back", "back-2"]


@pytest.mark.slow
@pytest.mark.timeout(120)
async def test_the_leader_moves_and_members_hang(tmp_path: Path) -> None:
    with three_members(tmp_path) as members:
        urls = [m.url for m in members]
        async with replica(urls, 1) as run:
            client = run.client
            await serves(client, "begin")
            status = etcdctl(members[0], "endpoint", "status", "--cluster", "-w", "simple")
            rows = [line.split(", ") for line in status.splitlines()]
            leader = next(row for row in rows if row[4] == "true")
            follower = next(row for row in rows if row[4] == "false")
            at = next(m for m in members if m.url == leader[0])
            etcdctl(at, "move-leader", follower[1])
            await serves(client, "moved")
            members[0].freeze()
            try:
                await serves(client, "one-hangs")
                answer = await client("GET", f"{MAPS}/begin")
                assert answer.status == 200
            finally:
                members[0].thaw()
            await serves(client, "none-hangs")
