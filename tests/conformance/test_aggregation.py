"""A group version of another server: availability, discovery, OpenAPI, requests, and what a bad
backend can do to the rest: nothing.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from other_server import Asked, Authority, Serving, http, machine_address, scripted, server_tls
from served_socket import Socketed, socketed
from server_harness import Running, eventually, running
from wardle import AGGREGATED, BASE, FRONT_PROXY, GROUP, VERSION, Wardle

from kapi.outgoing.words import OutgoingError

Json = dict[str, Any]
API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
NAME = f"{VERSION}.{GROUP}"
WIDGETS = f"{BASE}/namespaces/default/widgets"


@dataclass
class Aggregated:
    run: Running
    via: Socketed
    wardle: Wardle
    backend: Serving
    ca: Authority
    here: str

    async def service(self, name: str = "wardle", port: int = 0) -> None:
        """The service and its one endpoint."""
        spec = {"ports": [{"name": "https", "port": 443}]}
        path = "/api/v1/namespaces/default/services"
        await self.run.client.post(path, {"metadata": {"name": name}, "spec": spec})
        await self.slice(name, port or self.backend.port)

    async def slice(self, name: str, port: int, suffix: str = "1", *, ready: bool = True) -> None:
        endpoint = {"addresses": [self.here], "conditions": {"ready": ready}}
        found = {
            "metadata": {
                "name": f"{name}-{suffix}",
                "labels": {"kubernetes.io/service-name": name},
            },
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": "https", "port": port}],
        }
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
        await self.run.client.post(path, found)

    async def register(self, service: str = "wardle", **spec: Any) -> None:
        bundle = base64.b64encode(self.ca.pem.encode()).decode()
        obj = {
            "metadata": {"name": NAME},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 2000,
                "versionPriority": 15,
                "service": {"namespace": "default", "name": service},
                "caBundle": bundle,
                **spec,
            },
        }
        await self.run.client.post(API_SERVICES, obj)

    async def condition(self) -> tuple[str, str, str]:
        obj = await self.run.client.get(f"{API_SERVICES}/{NAME}")
        for found in (obj.get("status") or {}).get("conditions") or ():
            return found["status"], found["reason"], found["message"]
        return "", "", ""

    async def becomes(self, reason: str) -> str:
        """The message, once the condition has that reason."""

        async def there() -> bool:
            return (await self.condition())[1] == reason

        await eventually(there, wait=10)
        return (await self.condition())[2]

    async def discovered(self) -> Json:
        """The group version in aggregated discovery."""
        document = await self.run.client.get("/apis", headers={"accept": AGGREGATED})
        for group in document["items"]:
            if group["metadata"]["name"] == GROUP:
                found: Json = group["versions"][0]
                return found
        return {}

    async def fresh(self, freshness: str = "Current") -> Json:
        async def there() -> bool:
            return (await self.discovered()).get("freshness") == freshness

        await eventually(there, wait=10)
        return await self.discovered()


@asynccontextmanager
async def aggregated(
    tmp_path: Path,
    handle: Callable[[Asked], Awaitable[None]] | None = None,
    *,
    plain: bool = False,
    names: tuple[str, ...] = ("wardle.default.svc",),
) -> AsyncIterator[Aggregated]:
    ca, front = Authority(tmp_path), Authority(tmp_path, "front-ca")
    certificate, key = front.client(FRONT_PROXY)
    wardle, here = Wardle(plain=plain), machine_address()
    tls = server_tls(ca.serving(*names), front.path)
    async with (
        scripted(http(handle or wardle), tls, here) as backend,
        running(
            alone=False,  # the backend has tasks of its own
            enable_aggregator_routing=True,
            proxy_client_cert_file=certificate,
            proxy_client_key_file=key,
        ) as run,
        socketed(run) as via,
    ):
        yield Aggregated(run, via, wardle, backend, ca, here)


@pytest.mark.parametrize("plain", [False, True])
async def test_it_is_found_and_discovered(tmp_path: Path, plain: bool) -> None:
    async with aggregated(tmp_path, plain=plain) as a:
        await a.register()
        missing = await a.becomes("ServiceNotFound")
        assert missing == 'service/wardle in "default" is not present'
        await a.service()
        assert await a.becomes("Passed") == "all checks passed"
        found = await a.fresh()
        (resource,) = found["resources"]
        assert (resource["resource"], resource["shortNames"]) == ("widgets", ["wg"])
        assert [s["subresource"] for s in resource.get("subresources", [])] == (
            ["spin"] if plain else []
        )
        groups = await a.run.client.get("/apis")
        names = [group["name"] for group in groups["groups"]]
        assert names.index("storagemigration.k8s.io" if "storagemigration.k8s.io" in names
                           else "coordination.k8s.io") < names.index(GROUP)  # fmt: skip
        group = await a.run.client.get(f"/apis/{GROUP}")
        assert group["preferredVersion"] == {"groupVersion": f"{GROUP}/{VERSION}",
                                             "version": VERSION}  # fmt: skip
        listed = await a.run.client.get(f"/apis/{GROUP}/{VERSION}")
        assert [r["name"] for r in listed["resources"]] == ["widgets", "widgets/spin"]
        document = await a.run.client.get("/apis", headers={"accept": AGGREGATED})
        (apps,) = [g for g in document["items"] if g["metadata"]["name"] == "apps"]
        assert "pods" not in [r["resource"] for r in apps["versions"][0]["resources"]]


async def test_requests_go_there_with_the_user_and_without_his_credentials(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        forged = [
            ("X-Remote-User", "root"),
            ("X-Remote-Group", "system:masters"),
            ("X-Remote-Extra-Scopes", "all"),
            ("Content-Type", "application/json"),
        ]
        body = json.dumps({"metadata": {"name": "w", "namespace": "default"}}).encode()
        made = await a.via.fetch("POST", WIDGETS + "?b=2&a=%201", forged, body)
        assert (made.status, json.loads(made.body)["metadata"]["name"]) == (201, "w")
        asked = a.wardle.requests[-1]
        assert asked.target == WIDGETS + "?a=+1&b=2"
        assert asked.header("X-Remote-User") == "admin"
        assert asked.header("X-Remote-Group") == "system:masters, system:authenticated"
        assert asked.header("X-Remote-Uid") == "admin-uid"
        assert asked.header("X-Remote-Extra-Scopes") == ""
        assert asked.header("Authorization") == ""
        assert asked.header("Audit-Id") == made.header("audit-id") != ""
        got = await a.via.fetch("GET", WIDGETS + "/none")
        assert (got.status, b"not found" in got.body) == (404, True)


async def test_who_may_not_does_not_get_there(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        got = await a.via.fetch("GET", WIDGETS, token="alice-token")
        assert got.status == 403
        assert b"cannot list resource" in got.body
        assert not a.wardle.requests


async def test_watches_stream(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        answer = await a.via.open("GET", WIDGETS + "?watch=true")
        assert answer.status == 200
        for name in ("a", "b"):
            body = json.dumps({"metadata": {"name": name, "namespace": "default"}}).encode()
            await a.via.fetch("POST", WIDGETS, [("Content-Type", "application/json")], body)
            event = json.loads(await answer.chunk())
            assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", name)
        answer.close()


async def test_a_stop_ends_watches(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        answer = await a.via.open("GET", WIDGETS + "?watch=true")
        a.run.server.drain()
        with pytest.raises(OutgoingError):
            async with asyncio.timeout(10):
                await answer.chunk()
        answer.close()


async def test_openapi_is_merged(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        await a.fresh()
        index = await a.run.client.get("/openapi/v3")
        url = index["paths"][f"apis/{GROUP}/{VERSION}"]["serverRelativeURL"]
        assert url == f"/openapi/v3{BASE}?hash=1"
        got = await a.via.fetch("GET", url)
        assert json.loads(got.body)["info"]["title"] == "wardle"
        v2 = await a.run.client.get("/openapi/v2", headers={"accept": "application/json"})
        assert f"{BASE}/namespaces/{{namespace}}/widgets" in v2["paths"]
        assert v2["paths"]["/api/v1/pods"]["get"]["description"] != "not ours to say"
        assert "com.example.wardle.v1alpha1.Widget" in v2["definitions"]
        assert "unused" not in v2["definitions"]
        assert v2["info"]["title"] == "Kubernetes"


async def test_why_it_is_not_available(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.register(service_port := "wardle")
        await a.becomes("ServiceNotFound")
        spec = {"ports": [{"name": "https", "port": 8443}]}
        path = "/api/v1/namespaces/default/services"
        await a.run.client.post(path, {"metadata": {"name": service_port}, "spec": spec})
        assert await a.becomes("ServicePortError") == (
            'service/wardle in "default" is not listening on port 443'
        )
        ports = {"spec": {"ports": [{"name": "https", "port": 443}]}}
        await a.run.client.patch(f"{path}/wardle", ports)
        assert await a.becomes("EndpointsNotFound") == (
            'cannot find endpointslices for service/wardle in "default"'
        )
        await a.slice("wardle", 1, ready=False)
        assert await a.becomes("MissingEndpoints") == (
            'endpointslices for service/wardle in "default" have no addresses'
            ' with port name "https"'
        )
        await a.slice("wardle", 1, "2")
        message = await a.becomes("FailedDiscoveryCheck")
        url = f"https://{a.here}:1{BASE}"
        refused = f'Get "{url}": dial tcp {a.here}:1: connect: connection refused'
        assert message == f"failing or missing response from {url}: {refused}"
        got = await a.via.fetch("GET", WIDGETS)
        assert (got.status, got.body) == (503, b"service unavailable\n")
        assert got.header("content-type") == "text/plain; charset=utf-8"
        assert (await a.discovered())["freshness"] == "Stale"


async def test_it_goes_stale_and_comes_back(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        await a.fresh()
        a.wardle.broken = True
        await a.slice("wardle", a.backend.port, "2")  # a change: it is checked again
        message = await a.becomes("FailedDiscoveryCheck")
        assert message.endswith(f"bad status from https://{a.here}:{a.backend.port}{BASE}: 500")
        stale = await a.fresh("Stale")
        assert [r["resource"] for r in stale["resources"]] == ["widgets"]
        assert (await a.run.client("GET", "/apis/apps/v1")).status == 200
        a.wardle.broken = False
        await a.becomes("Passed")
        await a.fresh()


async def test_a_wrong_certificate_is_an_error_for_the_client(tmp_path: Path) -> None:
    async with aggregated(tmp_path, names=("other.default.svc",)) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")  # the check does not look at the name
        got = await a.via.fetch("GET", WIDGETS)
        assert (got.status, got.body.decode()) == (
            503,
            "error trying to reach service: tls: failed to verify certificate: x509: certificate is"
            " valid for other.default.svc, not wardle.default.svc\n",
        )


async def garbage(asked: Asked) -> None:
    await asked.answer(200, b"[" * 100_000, AGGREGATED)


async def wrong_shape(asked: Asked) -> None:
    document = {
        "items": [
            {"metadata": {"name": GROUP}, "versions": [{"version": VERSION, "resources": [7]}]}
        ],
        "resources": [{"name": 5, "verbs": "all"}],
        "paths": {BASE[1:]: {"serverRelativeURL": "/api/v1/secrets"}},
    }
    await asked.answer(200, json.dumps(document).encode(), AGGREGATED)


async def endless(asked: Asked) -> None:
    await asked.begin_chunks(kind=AGGREGATED)
    while not (asked.writer.is_closing() or asked.reader.at_eof()):
        await asked.chunk(b" " * 65536)


@pytest.mark.parametrize("handle", [garbage, wrong_shape, endless])
async def test_an_evil_backend_spoils_its_own_group_only(
    tmp_path: Path, handle: Callable[[Asked], Awaitable[None]]
) -> None:
    async with aggregated(tmp_path, handle) as a:
        await a.service()
        await a.register()
        before = a.backend.connections

        async def asked() -> bool:
            return a.backend.connections > before and (await a.condition())[0] != ""

        await eventually(asked, wait=15)
        document = await a.run.client.get("/apis", headers={"accept": AGGREGATED})
        assert len(document["items"]) > 15
        found = await a.discovered()
        assert (found["freshness"], found.get("resources", [])) == ("Stale", [])
        index = await a.run.client.get("/openapi/v3")
        assert f"apis/{GROUP}/{VERSION}" not in index["paths"]
        assert (await a.run.client("GET", "/api/v1/pods")).status == 200


async def test_redirects_are_not_passed_on(tmp_path: Path) -> None:
    async def redirecting(asked: Asked) -> None:
        if asked.header("X-Remote-User") == "system:kube-aggregator":
            await asked.answer(200, b"{}")
        else:
            await asked.answer(302, b"", extra="Location: https://evil.example/\r\n")

    async with aggregated(tmp_path, redirecting) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        got = await a.via.fetch("GET", WIDGETS)
        assert (got.status, got.body) == (
            502,
            b"the backend attempted to redirect this request, which is not permitted",
        )


async def test_when_it_is_removed_its_paths_are_nobodys(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.service()
        await a.register()
        await a.becomes("Passed")
        await a.run.client.delete(f"{API_SERVICES}/{NAME}")
        await a.run.caught_up()
        got = await a.via.fetch("GET", WIDGETS)
        assert (got.status, got.body) == (404, b"404 page not found\n")
        assert await a.discovered() == {}


async def test_one_that_becomes_local_is_available(tmp_path: Path) -> None:
    async with aggregated(tmp_path) as a:
        await a.register()
        await a.becomes("ServiceNotFound")
        change = {"spec": {"service": None, "caBundle": None}}
        await a.run.client.patch(f"{API_SERVICES}/{NAME}", change)
        assert await a.becomes("Local") == "Local APIServices are always available"
