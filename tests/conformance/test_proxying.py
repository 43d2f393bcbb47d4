"""Pods, services and nodes through the API server; logs, exec, attach and port-forward."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from other_server import (
    Asked,
    Authority,
    Serving,
    http,
    machine_address,
    scripted,
    server_tls,
)
from served_socket import Socketed, socketed
from server_harness import Running, eventually, running

from kapi.handlers.proxying import frames_websocket as websocket

Json = dict[str, Any]
NS = "/api/v1/namespaces/default"
LOOPBACK = ("127.0.0.0/8",)


async def web(asked: Asked) -> None:
    """A small web application."""
    if asked.path == "/page":
        page = b'<html><a href="/next">x</a><a href="rel">y</a><img src="//cdn.example/i"></html>'
        extra = "Access-Control-Allow-Origin: *\r\n"
        await asked.answer(200, page, "text/html; charset=utf-8", extra)
    elif asked.path == "/moved":
        await asked.answer(302, b"", extra="Location: /there?x=1\r\n")
    elif asked.path == "/socket":
        await asked.switch("websocket", "Sec-WebSocket-Accept: abc\r\n")
        while data := await asked.reader.read(100):
            asked.writer.write(data[::-1])
    else:
        shown = [f"{asked.method} {asked.target}", *(f"{k}: {v}" for k, v in asked.headers)]
        await asked.answer(201, "\n".join(shown).encode() + b"\n\n" + asked.body, "text/plain")


def pod(name: str, port: int = 0, node: str = "") -> Json:
    container: Json = {"name": "main", "image": "i"}
    if port:
        container["ports"] = [{"name": "web", "containerPort": port}]
    spec: Json = {"containers": [container]}
    if node:
        spec["nodeName"] = node
    return {"metadata": {"name": name}, "spec": spec}


@dataclass
class Cluster:
    run: Running
    via: Socketed

    async def pod(self, name: str, address: str, port: int = 0, node: str = "") -> None:
        client = self.run.client
        await client.post(f"{NS}/pods", pod(name, port, node))
        status = {"status": {"podIP": address, "podIPs": [{"ip": address}]}}
        await client.patch(f"{NS}/pods/{name}/status", status)
        await self.run.caught_up()

    async def service(self, name: str, *pods: tuple[str, str, int], kind: str = "Pod") -> None:
        client = self.run.client
        ports = [{"name": "web", "port": 80}, {"name": "other", "port": 81}]
        await client.post(f"{NS}/services", {"metadata": {"name": name}, "spec": {"ports": ports}})
        for i, (pod_name, address, port) in enumerate(pods):
            target = {"kind": kind, "namespace": "default", "name": pod_name}
            endpoint = {"addresses": [address], "targetRef": target, "conditions": {"ready": True}}
            piece = {
                "metadata": {
                    "name": f"{name}-{i}",
                    "labels": {"kubernetes.io/service-name": name},
                },
                "addressType": "IPv4",
                "endpoints": [endpoint],
                "ports": [{"name": "web", "port": port}],
            }
            path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
            await client.post(path, piece)
        await self.run.caught_up()

    async def node(self, name: str, address: str, port: int) -> None:
        client = self.run.client
        await client.post("/api/v1/nodes", {"metadata": {"name": name}})
        status: Json = {
            "addresses": [{"type": "InternalIP", "address": address}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        }
        await client.patch(f"/api/v1/nodes/{name}/status", {"status": status})
        await self.run.caught_up()


@asynccontextmanager
async def cluster(**flags: Any) -> AsyncIterator[Cluster]:
    flags.setdefault("proxy_allowed_cidrs", LOOPBACK)
    async with running(**flags) as run:
        account = {"metadata": {"name": "default"}}
        await run.client.post(f"{NS}/serviceaccounts", account)
        async with socketed(run) as via:
            yield Cluster(run, via)


async def test_a_pod_is_reached_with_everything_that_was_asked() -> None:
    async with cluster() as c, scripted(http(web)) as at:
        await c.pod("p", "127.0.0.1", at.port)
        headers = [("X-Mine", "1"), ("Connection", "X-Hop"), ("X-Hop", "no"), ("Host", "me:1")]
        path = f"{NS}/pods/p/proxy/a%20b/%C3%A4?q=1&r=%20"
        got = await c.via.fetch("PUT", path, headers, b"data")
        assert got.status == 201
        head, _, body = got.body.decode().partition("\n\n")
        lines = head.splitlines()
        assert lines[0] == "PUT /a%20b/%C3%A4?q=1&r=%20"
        assert body == "data"
        assert "X-Mine: 1" in lines
        assert "X-Forwarded-For: 127.0.0.1" in lines
        assert f"X-Forwarded-Uri: {NS}/pods/p/proxy/a b/ä" in lines
        assert not any(line.lower().startswith(("authorization", "x-hop")) for line in lines)
        assert got.header("audit-id")


async def test_every_method_and_form_of_the_name() -> None:
    here = machine_address()
    async with cluster() as c, scripted(http(web), host=here) as at:
        await c.pod("p", here, at.port)
        await c.service("s", ("p", here, at.port))
        for method in ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD"):
            pods = (f"pods/p:{at.port}", "pods/http:p:")
            for name in (*pods, "services/s:web", "services/http:s:80"):
                got = await c.via.fetch(method, f"{NS}/{name}/proxy/x")
                assert got.status == 201, (method, name, got.body)
                if method != "HEAD":
                    assert got.body.startswith(f"{method} /x\n".encode())


@pytest.mark.parametrize(
    ("path", "status", "message"),
    [
        ("services/none/proxy/", 503, 'no endpoints available for service "none"'),
        ("services/none:80/proxy/", 404, 'services "none" not found'),
        ("services/s:99/proxy/", 503, 'no service port 99 found for service "s"'),
        ("services/s:other/proxy/", 503, 'no endpoints available for service "s:other"'),
        ("services/ftp:s:web/proxy/", 400, 'invalid service request "ftp:s:web"'),
        ("services/stray:web/proxy/", 503, 'no endpoints available for service "stray:web"'),
        ("pods/none/proxy/", 404, 'pods "none" not found'),
        ("pods/a:b:c:d/proxy/", 400, 'invalid pod request "a:b:c:d"'),
        (
            "pods/p:1/proxy/",
            503,
            "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused",
        ),
        ("pods/local/proxy/", 400, "address not allowed"),
    ],
)
async def test_why_not(path: str, status: int, message: str) -> None:
    async with cluster(proxy_allowed_cidrs=("127.0.0.1/32",)) as c:
        await c.pod("p", "127.0.0.1")
        await c.pod("local", "169.254.169.254", 80)
        await c.service("s", ("p", "10.1.1.1", 1))
        await c.service("stray", ("p", "10.1.1.9", 1))
        got = await c.via.fetch("GET", f"{NS}/{path}")
        assert (got.status, message in got.body.decode().replace('\\"', '"')) == (status, True), (
            got.body
        )


async def test_loopback_is_refused_unless_allowed() -> None:
    async with cluster(proxy_allowed_cidrs=()) as c, scripted(http(web)) as at:
        await c.pod("p", "127.0.0.1", at.port)
        await c.node("n", "127.0.0.1", at.port)
        await c.pod("on-n", "127.0.0.1", at.port, "n")
        for path in (
            f"{NS}/pods/p/proxy/",
            "/api/v1/nodes/n/proxy/",
            f"{NS}/pods/on-n/log",
        ):
            got = await c.via.fetch("GET", path)
            assert (got.status, b"address not allowed" in got.body) == (400, True), path
        assert at.connections == 0


async def test_redirects_and_pages_lead_back_through_the_proxy() -> None:
    async with cluster() as c, scripted(http(web)) as at:
        await c.pod("p", "127.0.0.1", at.port)
        base = f"{NS}/pods/p/proxy"
        got = await c.via.fetch("GET", base)
        assert (got.status, got.header("location")) == (301, base + "/")
        got = await c.via.fetch("GET", base + "/moved")
        assert (got.status, got.header("location")) == (302, base + "/there?x=1")
        got = await c.via.fetch("GET", base + "/page")
        assert got.body.decode() == (
            f'<html><a href="{base}/next">x</a><a href="rel">y</a>'
            '<img src="//cdn.example/i"></html>'
        )
        assert got.header("access-control-allow-origin") == ""


async def test_an_upgrade_is_a_tunnel() -> None:
    key = ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==")
    headers = [("Connection", "Upgrade"), ("Upgrade", "websocket"), key,
               ("Sec-WebSocket-Version", "13")]  # fmt: skip
    async with cluster() as c, scripted(http(web)) as at:
        await c.pod("p", "127.0.0.1", at.port)
        answer = await c.via.open("GET", f"{NS}/pods/p/proxy/socket", headers)
        assert (answer.status, answer.header("sec-websocket-accept")) == (101, "abc")
        await answer.write(b"abc")
        assert await answer.chunk() == b"cba"
        answer.close()
        got = await c.via.fetch("GET", f"{NS}/pods/p:1/proxy/socket", headers)
        assert got.status == 500
        assert b"error dialing backend: dial tcp 127.0.0.1:1: connect:" in got.body


# -- kubelets -------------------------------------------------------------------------------------


async def kubelet(asked: Asked) -> None:
    """Logs that grow, and streams that echo."""
    if asked.path.startswith("/containerLogs/default/p/main"):
        await asked.begin_chunks(kind="text/plain")
        for i in range(3):
            await asked.chunk(f"line {i} {asked.peer}\n".encode())
        await asked.chunk(b"")
    elif asked.path.startswith("/containerLogs"):
        await asked.answer(404, b"no such pod")
    elif asked.header("Upgrade"):
        await asked.switch(asked.header("Upgrade"), f"X-Target: {asked.target}\r\n")
        while data := await asked.reader.read(4096):
            asked.writer.write(data.upper())
    else:
        await asked.answer(200, f"{asked.method} {asked.target} {asked.peer}".encode())


@asynccontextmanager
async def with_kubelet(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Serving]]:
    ca = Authority(tmp_path)
    certificate, key = ca.client("kube-apiserver-kubelet-client", "system:masters")
    tls = server_tls(ca.serving("127.0.0.1"), ca.path)
    async with (
        cluster(
            kubelet_certificate_authority=ca.path,
            kubelet_client_certificate=certificate,
            kubelet_client_key=key,
            kubelet_preferred_address_types=("InternalIP",),
        ) as c,
        scripted(http(kubelet), tls) as at,
    ):
        await c.node("n", "127.0.0.1", at.port)
        await c.pod("p", "10.1.1.1", 80, "n")
        await c.pod("q", "10.1.1.2", 80, "n")
        yield c, at


async def test_logs_come_from_the_kubelet(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _):
        got = await c.via.fetch("GET", f"{NS}/pods/p/log?follow=true&tailLines=3")
        name = "kube-apiserver-kubelet-client"
        assert got.body.decode() == "".join(f"line {i} {name}\n" for i in range(3))
        assert (got.status, got.header("content-type")) == (200, "text/plain")
        got = await c.via.fetch("GET", f"{NS}/pods/q/log")
        words = b"the server could not find the requested resource ( pods/log q)"
        assert (got.status, words in got.body) == (404, True)


async def test_the_proxy_of_nodes(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, at):
        for name in ("n", f"n:{at.port}", f"https:n:{at.port}"):
            got = await c.via.fetch("GET", f"/api/v1/nodes/{name}/proxy/stats?x=1")
            assert got.body == b"GET /stats?x=1 kube-apiserver-kubelet-client"


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("exec?command=ls&command=-l&stdin=true&container=main",
         "/exec/default/p/main?command=ls&command=-l&error=1&input=1&output=1"),
        ("attach?tty=true&stderr=false", "/attach/default/p/main?output=1&tty=1"),
        ("portforward", "/portForward/default/p"),
    ],
)  # fmt: skip
async def test_streams_pass_as_they_are(tmp_path: Path, path: str, target: str) -> None:
    async with with_kubelet(tmp_path) as (c, _):
        plain = await c.via.fetch("POST", f"{NS}/pods/p/{path}")
        assert (plain.status, b"Upgrade request required" in plain.body) == (400, True)
        headers = [("Connection", "Upgrade"), ("Upgrade", "SPDY/3.1")]
        answer = await c.via.open("POST", f"{NS}/pods/p/{path}", headers)
        assert (answer.status, answer.header("x-target")) == (101, target)
        await answer.write(b"hello")
        assert await answer.chunk() == b"HELLO"
        answer.close()


async def test_port_forward_through_websocket_carries_spdy(tmp_path: Path) -> None:
    key = "MDEyMzQ1Njc4OWFiY2RlZg=="
    headers = [
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Key", key),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Protocol", "SPDY/3.1+portforward.k8s.io"),
    ]
    async with with_kubelet(tmp_path) as (c, _):
        answer = await c.via.open("GET", f"{NS}/pods/p/portforward", headers)
        assert answer.status == 101
        assert answer.header("sec-websocket-accept") == websocket.accept_key(key)
        assert answer.header("sec-websocket-protocol") == "SPDY/3.1+portforward.k8s.io"
        mask = b"\x01\x02\x03\x04"
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(b"spdy bytes"))
        await answer.write(bytes((0x82, 0x80 | 10)) + mask + masked)
        received = b""
        while len(received) < 12:
            received += await answer.chunk()
        assert received == bytes((0x82, 10)) + b"SPDY BYTES"
        answer.close()


async def test_a_websocket_needs_what_a_post_needs(tmp_path: Path) -> None:
    """Who may only get pods/exec must not run commands."""
    async with with_kubelet(tmp_path) as (c, _):
        rules = [{"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get"]}]
        group = "rbac.authorization.k8s.io"
        path = f"/apis/{group}/v1/namespaces/default"
        await c.run.client.post(f"{path}/roles", {"metadata": {"name": "r"}, "rules": rules})
        binding = {
            "metadata": {"name": "r"},
            "roleRef": {"apiGroup": group, "kind": "Role", "name": "r"},
            "subjects": [{"apiGroup": group, "kind": "User", "name": "alice"}],
        }
        await c.run.client.post(f"{path}/rolebindings", binding)
        await c.run.caught_up()
        headers = [
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg=="),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Protocol", "v5.channel.k8s.io"),
        ]
        target = f"{NS}/pods/p/exec?command=ls"
        got = await c.via.fetch("GET", target, headers, token="alice-token")
        assert (got.status, b"cannot create resource" in got.body) == (403, True)


async def test_a_dead_backend_harms_nobody() -> None:
    """It answers nothing, or never ends: other requests go on, and the client may leave."""

    async def silent(asked: Asked) -> None:
        await asked.reader.read()

    async def endless(asked: Asked) -> None:
        await asked.begin_chunks()
        while not (asked.writer.is_closing() or asked.reader.at_eof()):
            await asked.chunk(b"x" * 65536)

    async with cluster() as c, scripted(http(silent)) as one, scripted(http(endless)) as two:
        await c.pod("silent", "127.0.0.1", one.port)
        await c.pod("endless", "127.0.0.1", two.port)
        waiting = asyncio.ensure_future(c.via.fetch("GET", f"{NS}/pods/silent/proxy/"))
        flood = await c.via.open("GET", f"{NS}/pods/endless/proxy/")
        assert await flood.chunk()
        got = await c.via.fetch("GET", f"{NS}/pods/silent")
        assert got.status == 200
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        flood.close()

        async def nobody_waits() -> bool:
            """What was asked for clients that have left is given up."""
            return not one.tasks and not two.tasks

        await eventually(nobody_waits)
