"""kapi and a real kube-apiserver on one etcd: what one writes the other gets, lists, watches,
changes and removes; addresses and ports of services are given once.

Needs the binaries, which `KAPI_BENCH_PEER_APISERVER` and `KAPI_BENCH_PEER_ETCD` name; skipped
without.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import IO, Any

import full_manifests
import httpx
import pytest
from etcd_process import one_member
from ports import free_ports
from server_harness import eventually
from server_process import TOKEN, Connection, Process, tls

from kapi.credentials import certificates

Json = dict[str, Any]
APISERVER = os.environ.get("KAPI_BENCH_PEER_APISERVER", "")
ETCD = os.environ.get("KAPI_BENCH_PEER_ETCD", "")
READY_S = 120.0
HEADERS = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
SERVICES = "/api/v1/namespaces/default/services"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(
        not (APISERVER and ETCD), reason="KAPI_BENCH_PEER_APISERVER and …_ETCD name no binaries"
    ),
]


class Server:
    """One of the two, by its port."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __call__(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        url = f"https://127.0.0.1:{self.port}{path}"
        data = None if body is None else json.dumps(body, separators=(",", ":"))
        async with httpx.AsyncClient(verify=tls(), timeout=30) as client:
            answer = await client.request(method, url, content=data, headers=HEADERS)
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status_code, answer.json() if is_json else answer.text

    async def get(self, path: str) -> Any:
        status, answer = await self("GET", path)
        assert status == 200, (path, status, answer)
        return answer

    async def ready(self) -> bool:
        try:
            return (await self("GET", "/readyz"))[0] == 200
        except httpx.HTTPError:
            return False


def started(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdout=log, stderr=log)


@asynccontextmanager
async def both(directory: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[Server]]:
    """kapi, and the real one."""
    monkeypatch.setenv("KAPI_TEST_ETCD", ETCD)
    (port,) = free_ports(1)
    key = certificates.make_token_key()
    (directory / "sa.key").write_bytes(key)
    (directory / "sa.pub").write_bytes(certificates.public_key_of(key))
    with one_member(directory) as etcd, (directory / "real.log").open("wb") as log:
        common = [
            f"--etcd-servers={etcd.url}",
            f"--service-account-key-file={directory / 'sa.pub'}",
            f"--service-account-signing-key-file={directory / 'sa.key'}",
            "--service-account-issuer=https://kubernetes.default.svc.cluster.local",
            "--service-cluster-ip-range=10.0.0.0/24",
            "--authorization-mode=Node,RBAC",
            "--allow-privileged=true",
            "--bind-address=127.0.0.1",
        ]
        kapi = Process(directory / "data", *common, "--advertise-address=192.0.2.1")
        real = started(
            [
                APISERVER,
                *common,
                f"--secure-port={port}",
                f"--cert-dir={directory / 'certificates'}",
                f"--token-auth-file={directory / 'tokens.csv'}",
                "--advertise-address=192.0.2.2",
            ],
            log,
        )
        try:
            await kapi.ready()
            servers = [Server(kapi.port), Server(port)]
            for server in servers:
                await eventually(server.ready, READY_S)
            yield servers
        finally:
            kapi.close()
            real.kill()
            real.wait()


async def resources(server: Server) -> dict[tuple[str, str], tuple[str, Json]]:
    """apiVersion and kind → root and resource."""
    groups = (await server.get("/apis"))["groups"]
    found = {}
    for root in ["/api/v1", *(f"/apis/{g['preferredVersion']['groupVersion']}" for g in groups)]:
        for resource in (await server.get(root))["resources"]:
            if "/" not in resource["name"] and "list" in resource["verbs"]:
                api_version = root.removeprefix("/apis/").removeprefix("/api/")
                found[(api_version, resource["kind"])] = (root, resource)
    return found


def named(answer: Json) -> dict[str, Json]:
    return {
        f"{o['metadata'].get('namespace', '')}/{o['metadata']['name']}": o for o in answer["items"]
    }


async def test_each_reads_what_the_other_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with both(tmp_path, monkeypatch) as (kapi, real):
        kinds = await resources(real)
        for root, resource in kinds.values():
            if resource["kind"] != "ComponentStatus":  # is made anew by each
                path = f"{root}/{resource['name']}"
                assert named(await kapi.get(path)) == named(await real.get(path)), path
        for writer, reader, space in ((kapi, real, "first"), (real, kapi, "second")):
            await writer("POST", "/api/v1/namespaces", {"metadata": {"name": space}})
            accounts = f"/api/v1/namespaces/{space}/serviceaccounts"
            await writer("POST", accounts, {"metadata": {"name": "default"}})
            made = []
            for manifest in full_manifests.stored(space):
                root, resource = kinds[full_manifests.identity(manifest)]
                middle = f"/namespaces/{space}" if resource["namespaced"] else ""
                path = f"{root}{middle}/{resource['name']}"
                at = await _made(writer, reader, path, manifest)
                made += [at] if at else []
            assert len(made) > 50
            for at in reversed(made):
                status, answer = await reader("DELETE", at, {"gracePeriodSeconds": 0})
                assert status in (200, 202), (at, answer)
        endpoints = await kapi.get("/api/v1/namespaces/default/endpoints/kubernetes")
        listed = [a["ip"] for s in endpoints["subsets"] for a in s["addresses"]]
        assert listed == ["192.0.2.1", "192.0.2.2"]


async def _made(writer: Server, reader: Server, path: str, manifest: Json) -> str:
    """Create it with one, then get, list and watch it with the other. Its path."""
    start = (await reader.get(path))["metadata"]["resourceVersion"]
    status, made = await writer("POST", path, manifest)
    if status == 409 and "being deleted" in made["message"]:
        return ""  # of the round before: finalizers hold it
    assert status == 201, (path, made)
    at = f"{path}/{made['metadata']['name']}"

    async def same() -> bool:
        return bool(await writer.get(at) == await reader.get(at))

    await eventually(same)  # controllers of either may add a status meanwhile
    assert made["metadata"]["name"] in [
        o["metadata"]["name"] for o in (await reader.get(path))["items"]
    ]
    connection = await Connection.open(reader.port)
    query = f"{path}?watch=1&resourceVersion={start}&timeoutSeconds=5"
    names = [e["object"]["metadata"]["name"] async for e in _until(connection, query, made)]
    await connection.close()
    assert made["metadata"]["name"] in names
    return at


async def _until(connection: Connection, query: str, made: Json) -> AsyncIterator[Json]:
    async for event in connection.watch(query):
        yield event
        if event["object"]["metadata"].get("uid") == made["metadata"]["uid"]:
            return


async def test_addresses_and_ports_are_given_once_by_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with both(tmp_path, monkeypatch) as servers:

        def service(name: str, **spec: Any) -> Json:
            ports = [{"port": 80, **({"nodePort": spec.pop("port")} if "port" in spec else {})}]
            return {
                "metadata": {"name": name},
                "spec": {"type": "NodePort", "ports": ports, **spec},
            }

        answers = await asyncio.gather(
            *(servers[i % 2]("POST", SERVICES, service(f"s{i}")) for i in range(40))
        )
        made = [answer for status, answer in answers if status == 201]
        assert len(made) == 40, json.dumps([a for s, a in answers if s != 201])
        addresses = [s["spec"]["clusterIP"] for s in made]
        ports = [s["spec"]["ports"][0]["nodePort"] for s in made]
        assert len(set(addresses)) == len(set(ports)) == 40
        for server in servers:
            for wanted in ({"clusterIP": addresses[0]}, {"port": ports[1]}):
                status, answer = await server("POST", SERVICES, service("dup", **wanted))
                assert status == 422, answer
        for server, other, old in zip(servers, servers[::-1], made[:2], strict=True):
            assert (await server("DELETE", f"{SERVICES}/{old['metadata']['name']}"))[0] == 200
            again = service("again", clusterIP=old["spec"]["clusterIP"])
            status, answer = await other("POST", SERVICES, again)
            assert status == 201, answer
            await other("DELETE", f"{SERVICES}/again")
