"""`kubectl proxy` in front of the server, and curl in front of the proxy, as in
https://kubernetes.io/docs/tasks/extend-kubernetes/http-proxy-access-api/
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator

import orjson
import pytest
from clients_harness import Terminal, line_of

pytestmark = [
    pytest.mark.client,
    pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine"),
]

CURL_SECONDS = 20.0
CONFIG_MAP = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings}\ndata: {a: '1'}\n"


@pytest.fixture
def proxy(terminal: Terminal) -> Iterator[str]:
    """Where the proxy listens."""
    with terminal.background("kubectl", "proxy", "--port=0") as process:
        said = re.fullmatch(r"Starting to serve on (127\.0\.0\.1:\d+)", line_of(process.stdout))
        assert said is not None
        yield f"http://{said[1]}"


def curl(*arguments: str, stdin: bytes = b"") -> str:
    done = subprocess.run(
        ["curl", "--silent", "--show-error", "--noproxy", "*", *arguments],
        input=stdin,
        capture_output=True,
        timeout=CURL_SECONDS,
        check=True,
    )
    return done.stdout.decode()


def test_the_pages_of_the_documentation(proxy: str, terminal: Terminal) -> None:
    versions = curl(f"{proxy}/api/")
    assert re.sub(r"[0-9a-f.:\[\]]+:\d+", "HOST", versions) == (
        '{\n  "kind": "APIVersions",\n  "versions": [\n    "v1"\n  ],\n'
        '  "serverAddressByClientCIDRs": [\n    {\n      "clientCIDR": "0.0.0.0/0",\n'
        '      "serverAddress": "HOST"\n    }\n  ]\n}'
    )
    terminal.says("run web --image=nginx")
    pods = curl(f"{proxy}/api/v1/namespaces/{terminal.namespace}/pods")
    assert re.match(
        r'\{\n  "kind": "PodList",\n  "apiVersion": "v1",\n  "metadata": \{\n'
        r'    "resourceVersion": "\d+"\n  \},\n  "items": \[\n    \{\n      "metadata": \{\n'
        r'        "name": "web",\n',
        pods,
    )
    assert orjson.loads(curl(f"{proxy}/version"))["major"] == "1"
    assert curl(f"{proxy}/healthz") == "ok"
    missing = orjson.loads(curl(f"{proxy}/api/v1/namespaces/{terminal.namespace}/pods/nope"))
    assert missing == {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": 'pods "nope" not found',
        "reason": "NotFound",
        "details": {"name": "nope", "kind": "pods"},
        "code": 404,
    }


def test_the_life_of_an_object(proxy: str, terminal: Terminal) -> None:
    collection = f"{proxy}/api/v1/namespaces/{terminal.namespace}/configmaps"
    yaml = ("--header", "Content-Type: application/yaml", "--data-binary", "@-")
    made = orjson.loads(curl(*yaml, collection, stdin=CONFIG_MAP))
    assert (made["kind"], made["data"]) == ("ConfigMap", {"a": "1"})
    assert made["metadata"]["managedFields"][0]["manager"] == "curl"
    again = curl("--write-out", "%{http_code}", *yaml, collection, stdin=CONFIG_MAP)
    assert again.endswith("409")
    merge = ("--request", "PATCH", "--header", "Content-Type: application/merge-patch+json")
    changed = orjson.loads(curl(*merge, "--data", '{"data":{"b":"2"}}', f"{collection}/settings"))
    assert changed["data"] == {"a": "1", "b": "2"}
    changed["data"] = {"c": "3"}
    put = ("--request", "PUT", "--header", "Content-Type: application/json", "--data-binary", "@-")
    body = orjson.dumps(changed)
    assert orjson.loads(curl(*put, f"{collection}/settings", stdin=body))["data"] == {"c": "3"}
    stale = orjson.loads(curl(*put, f"{collection}/settings", stdin=body))
    assert (stale["code"], stale["reason"]) == (409, "Conflict")
    table = orjson.loads(
        curl("--header", "Accept: application/json;as=Table;v=v1;g=meta.k8s.io", collection)
    )
    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Data", "Age"]
    assert table["rows"][0]["cells"][:2] == ["settings", 1]
    version = table["metadata"]["resourceVersion"]
    gone = orjson.loads(curl("--request", "DELETE", f"{collection}/settings"))
    assert (gone["status"], gone["details"]["name"]) == ("Success", "settings")
    watch = f"{collection}?watch=1&resourceVersion={version}&timeoutSeconds=1"
    events = [orjson.loads(line) for line in curl("--no-buffer", watch).splitlines()]
    assert [(e["type"], e["object"]["data"]) for e in events] == [("DELETED", {"c": "3"})]


def test_another_prefix(terminal: Terminal) -> None:
    command = ["kubectl", "proxy", "--port=0", "--api-prefix=/k8s-api/"]
    with terminal.background(*command) as process:
        said = line_of(process.stdout).rpartition(" ")[2]
        assert orjson.loads(curl(f"http://{said}/k8s-api/version"))["major"] == "1"
        assert (
            curl("--output", "/dev/null", "--write-out", "%{http_code}", f"http://{said}/version")
            == "404"
        )
