"""A whole server keeps what it needs: what somebody took away comes back."""

from __future__ import annotations

from typing import Any

import pytest
from server_harness import Client, eventually, running

from kapi.assembly.shown_options import bootstrap_settings
from kapi.clock import SystemClock
from kapi.controllers import (
    default_service_range,
    fixed_objects,
    identity_lease,
    service_repair,
    upkeep,
)

Json = dict[str, Any]
NETWORK = "/apis/networking.k8s.io/v1"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases"
TRACKER = "/api/v1/namespaces/kube-system/configmaps/"
TRACKER += "kube-apiserver-legacy-service-account-token-tracking"


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upkeep, "LOOK_S", 0.02)
    monkeypatch.setattr(identity_lease, "RENEW_S", 0.02)
    monkeypatch.setattr(service_repair, "REPAIR_S", 0.02)
    monkeypatch.setattr(service_repair, "GRACE_S", -1e9)
    monkeypatch.setattr(default_service_range, "LOOK_S", 0.02)


async def comes_back(client: Client, path: str) -> None:
    uid = (await client.get(path))["metadata"]["uid"]
    await client.delete(path)

    async def new() -> bool:
        answer = await client("GET", path)
        return answer.status == 200 and answer.json["metadata"]["uid"] != uid

    await eventually(new, 10)


@pytest.mark.parametrize(
    "path",
    [
        TRACKER,
        "/api/v1/namespaces/default/services/kubernetes",
        "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas/probes",
        "/apis/apiregistration.k8s.io/v1/apiservices/v1.apps",
    ],
)
async def test_what_was_taken_comes_back(path: str, impatient: None) -> None:
    async with running() as run:
        await comes_back(run.client, path)


async def test_nothing_is_written_while_all_is_there() -> None:
    async with running() as run:
        await run.caught_up()
        settings = bootstrap_settings(run.server.options)
        wanted = fixed_objects.kept(fixed_objects.load(), settings, SystemClock())
        assert len(wanted) > 30
        lister = run.server._lister
        nobody: Any = None  # whoever writes fails
        keeper = upkeep.Upkeep(SystemClock(), lambda: wanted, lister, nobody)
        assert await keeper.step() == 0


async def test_a_file_that_cannot_be_read_is_no_end() -> None:
    def gone() -> list[Any]:
        raise FileNotFoundError("ca.crt")

    keeper = upkeep.Upkeep(SystemClock(), gone, None, None)  # type: ignore[arg-type]
    assert await keeper.step() == 0


async def test_the_server_tells_that_it_lives(impatient: None) -> None:
    async with running() as run:
        (lease,) = (await run.client.get(LEASES))["items"]
        assert lease["metadata"]["labels"]["apiserver.kubernetes.io/identity"] == "kube-apiserver"

        async def renewed() -> bool:
            (now,) = (await run.client.get(LEASES))["items"]
            return bool(now["spec"]["renewTime"] > lease["spec"]["renewTime"])

        await eventually(renewed, 10)


async def test_no_lease_without_the_gate() -> None:
    async with running(feature_gates={"APIServerIdentity": False}) as run:
        assert (await run.client.get(LEASES))["items"] == []


async def test_the_default_range_is_ready() -> None:
    async with running() as run:
        found = await run.client.get(f"{NETWORK}/servicecidrs/kubernetes")
        (condition,) = found["status"]["conditions"]
        assert (condition["type"], condition["status"]) == ("Ready", "True")
        assert condition["message"] == "Kubernetes default Service CIDR is ready"


async def test_addresses_of_services_are_repaired(impatient: None) -> None:
    async with running() as run:
        client = run.client
        spec = {"ports": [{"port": 80}]}
        services = "/api/v1/namespaces/default/services"
        made = await client.post(services, {"metadata": {"name": "a"}, "spec": spec})
        text = made["spec"]["clusterIP"]
        await client.delete(f"{NETWORK}/ipaddresses/{text}")

        async def there() -> bool:
            return (await client("GET", f"{NETWORK}/ipaddresses/{text}")).status == 200

        await eventually(there, 10)

        async def told() -> bool:
            events = (await client.get("/api/v1/namespaces/default/events"))["items"]
            return any(e["reason"] == "ClusterIPNotAllocated" for e in events)

        await eventually(told, 10)
        again = await client(
            "POST", services, {"metadata": {"name": "b"}, "spec": {**spec, "clusterIP": text}}
        )
        assert again.status == 422
