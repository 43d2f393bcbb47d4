"""kubectl where the API server passes on: an aggregated API server, a kubelet, a web interface
behind `kubectl proxy`.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import ProxyHandler, build_opener

import pytest
from clients_harness import Serving, Terminal, line_of, serving
from other_server import Asked, Authority, machine_address, server_tls
from other_servers import beside, kubelet
from wardle import FRONT_PROXY, GROUP, VERSION, Wardle

pytestmark = pytest.mark.client

Json = dict[str, Any]
WAIT_SECONDS = 20.0
NODE = "node-1"


@dataclass(frozen=True)
class Around:
    """A server, and what it passes on to."""

    serving: Serving
    here: str
    wardle: Wardle
    wardle_port: int
    kubelet_port: int
    web_port: int
    ca: Authority


async def web(asked: Asked) -> None:
    if asked.path == "/":
        await asked.answer(200, b'<a href="/about">about</a>', "text/html")
    else:
        await asked.answer(200, f"here is {asked.path}".encode(), "text/plain")


@pytest.fixture(scope="module")
def around(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Around]:
    folder = tmp_path_factory.mktemp("around")
    ca, front, here = Authority(folder), Authority(folder, "front-ca"), machine_address()
    certificate, key = front.client(FRONT_PROXY)
    wardle = Wardle()
    names = ("wardle.default.svc", here)
    flags = [
        "--enable-aggregator-routing", "--proxy-client-cert-file", certificate,
        "--proxy-client-key-file", key, "--kubelet-certificate-authority", ca.path,
        "--kubelet-preferred-address-types", "InternalIP",
    ]  # fmt: skip
    with (
        beside(wardle, server_tls(ca.serving(*names), front.path), here) as wardle_port,
        beside(kubelet, server_tls(ca.serving(*names)), here) as kubelet_port,
        beside(web, None, here) as web_port,
        serving(folder, *flags) as running,
    ):
        yield Around(running, here, wardle, wardle_port, kubelet_port, web_port, ca)


@pytest.fixture
def shell(binaries: Path, around: Around, tmp_path: Path) -> Terminal:
    made = Terminal(binaries, tmp_path / "home", around.serving)
    made.namespace = "default"
    if made.kubectl("get serviceaccount default", code=None).code:
        made.says("create serviceaccount default")
    return made


def apply(shell: Terminal, *objects: Json) -> None:
    listed = {"kind": "List", "apiVersion": "v1", "items": list(objects)}
    shell.kubectl("apply --server-side -f -", stdin=json.dumps(listed))


def service(around: Around, name: str, port: int, pod: str = "") -> list[Json]:
    endpoint: Json = {"addresses": [around.here], "conditions": {"ready": True}}
    if pod:
        endpoint["targetRef"] = {"kind": "Pod", "namespace": "default", "name": pod}
    labels = {"kubernetes.io/service-name": name}
    return [
        {
            "kind": "Service",
            "apiVersion": "v1",
            "metadata": {"name": name, "namespace": "default"},
            "spec": {"ports": [{"name": "web", "port": 443}]},
        },
        {
            "kind": "EndpointSlice",
            "apiVersion": "discovery.k8s.io/v1",
            "metadata": {"name": f"{name}-1", "namespace": "default", "labels": labels},
            "addressType": "IPv4",
            "endpoints": [endpoint],
            "ports": [{"name": "web", "port": port}],
        },
    ]


def test_an_aggregated_server_is_used_like_any_other(shell: Terminal, around: Around) -> None:
    api_service = {
        "kind": "APIService",
        "apiVersion": "apiregistration.k8s.io/v1",
        "metadata": {"name": f"{VERSION}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "version": VERSION,
            "groupPriorityMinimum": 2000,
            "versionPriority": 15,
            "service": {"namespace": "default", "name": "wardle"},
            "caBundle": base64.b64encode(around.ca.pem.encode()).decode(),
        },
    }
    apply(shell, *service(around, "wardle", around.wardle_port), api_service)
    shell.says(f"wait --for=condition=Available apiservice/{VERSION}.{GROUP} --timeout=20s")
    table = shell.says(f"get apiservices {VERSION}.{GROUP}").splitlines()
    assert re.fullmatch(rf"{VERSION}\.{GROUP} +default/wardle +True +\d+s", table[1]), table
    end = time.monotonic() + WAIT_SECONDS
    while "widgets" not in (resources := shell.kubectl("api-resources --cached=false").out):
        assert time.monotonic() < end, resources
    row = next(line for line in resources.splitlines() if line.startswith("widgets"))
    assert row.split() == ["widgets", "wg", f"{GROUP}/{VERSION}", "true", "Widget"]
    made = {
        "kind": "Widget",
        "apiVersion": f"{GROUP}/{VERSION}",
        "metadata": {"name": "first", "namespace": "default"},
    }
    said = shell.kubectl("create --validate=false -f -", stdin=json.dumps(made))
    assert said.out == f"widget.{GROUP}/first created\n"
    assert shell.says(f"get widgets.{GROUP} -o name") == f"widget.{GROUP}/first\n"
    assert shell.says("get wg").splitlines()[0].split() == ["NAME", "AGE"]
    assert f'widgets.{GROUP} "none" not found' in shell.fails("get wg none")
    command = ("kubectl", "get", f"widgets.{GROUP}", "-w", "-o", "name")
    with shell.background(*command) as watching:
        assert line_of(watching.stdout) == f"widget.{GROUP}/first"
        made["metadata"] = {"name": "second", "namespace": "default"}
        while not around.wardle.watchers:
            time.sleep(0.02)
        shell.kubectl("create --validate=false -f -", stdin=json.dumps(made))
        assert line_of(watching.stdout) == f"widget.{GROUP}/second"
    users = {asked.header("X-Remote-User") for asked in around.wardle.requests}
    assert len(users) == 1
    assert not any(asked.header("Authorization") for asked in around.wardle.requests)


@pytest.fixture
def pod(shell: Terminal, around: Around) -> str:
    """A pod on a node whose kubelet is there."""
    if not shell.kubectl(f"get node {NODE}", code=None).code:
        return "on-node"
    apply(
        shell,
        {"kind": "Node", "apiVersion": "v1", "metadata": {"name": NODE}},
        {
            "kind": "Pod",
            "apiVersion": "v1",
            "metadata": {"name": "on-node", "namespace": "default"},
            "spec": {
                "nodeName": NODE,
                "containers": [
                    {"name": "main", "image": "i", "ports": [{"containerPort": around.web_port}]}
                ],
            },
        },
    )
    status: Json = {
        "addresses": [{"type": "InternalIP", "address": around.here}],
        "daemonEndpoints": {"kubeletEndpoint": {"Port": around.kubelet_port}},
    }
    shell.kubectl(f"patch node {NODE} --subresource=status -p", json.dumps({"status": status}))
    there = {
        "status": {
            "phase": "Running",
            "podIP": around.here,
            "podIPs": [{"ip": around.here}],
            "containerStatuses": [
                {
                    "name": "main",
                    "image": "i",
                    "imageID": "i",
                    "ready": True,
                    "restartCount": 0,
                    "state": {"running": {}},
                }
            ],
        }
    }
    shell.kubectl("patch pod on-node --subresource=status -p", json.dumps(there))
    return "on-node"


def test_logs(shell: Terminal, pod: str) -> None:
    assert shell.says(f"logs {pod}") == "line 0\nline 1\nline 2\n"
    assert shell.says(f"logs {pod} --tail=1") == "line 0\n"
    assert shell.says(f"logs {pod} -f --tail=1") == "line 0\nlater\n"


def test_commands_run_through_websocket(shell: Terminal, pod: str) -> None:
    assert shell.says(f"exec {pod} -- echo hello") == "ran echo hello\n"
    said = shell.kubectl(f"exec {pod} -- false", code=3)
    assert said.out == "ran false\n"
    assert said.err == "went wrong\ncommand terminated with exit code 3\n"
    said = shell.kubectl(f"exec -i {pod} -- cat", stdin="one\ntwo\n" * 20_000)
    assert said.out == "one\ntwo\n" * 20_000
    assert "no such container" in shell.fails(f"exec {pod} -- refuse")


def test_port_forward_is_taken_up(shell: Terminal, pod: str) -> None:
    with shell.background("kubectl", "port-forward", f"pod/{pod}", ":80") as forwarding:
        said = line_of(forwarding.stdout)
        assert re.fullmatch(r"Forwarding from 127\.0\.0\.1:\d+ -> 80", said), said


def test_a_web_interface_behind_the_proxy(shell: Terminal, around: Around, pod: str) -> None:
    apply(shell, *service(around, "web", around.web_port, pod))
    with shell.background("kubectl", "proxy", "--port=0") as process:
        said = re.fullmatch(r"Starting to serve on (127\.0\.0\.1:\d+)", line_of(process.stdout))
        assert said is not None
        base = "/api/v1/namespaces/default/services/web:web/proxy"
        opener = build_opener(ProxyHandler({}))
        with opener.open(f"http://{said[1]}{base}") as answer:  # redirected to the slash
            assert answer.url.endswith(base + "/")
            assert answer.read().decode() == f'<a href="{base}/about">about</a>'
        with opener.open(f"http://{said[1]}{base}/about") as answer:
            assert answer.read().decode() == "here is /about"


def test_raw_paths_of_a_node(shell: Terminal, pod: str) -> None:
    path = f"/api/v1/nodes/{NODE}/proxy/containerLogs/default/{pod}/main?tailLines=1"
    assert shell.says(f"get --raw {path}") == "line 0\n"
    missing = shell.fails(f"get --raw /api/v1/nodes/{NODE}/proxy/nowhere")
    assert (
        missing
        == "Error from server (NotFound): the server could not find the requested resource\n"
    )
