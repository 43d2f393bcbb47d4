"""Webhooks are asked about what is sent to subresources, as it was sent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from server_harness import Running, running
from webhook_server import allow, configuration, patch, webhooks

from kapi.credentials import certificates

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"
POD = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}


def keys(folder: Path) -> Json:
    """Flags without which no tokens are made."""
    key = folder / "sa.key"
    key.write_bytes(certificates.make_token_key())
    return {
        "service_account_issuer": ("https://kapi.example",),
        "service_account_signing_key_file": str(key),
        "service_account_key_file": (str(key),),
    }


async def prepared(run: Running) -> None:
    await run.client.post(ACCOUNTS, {"metadata": {"name": "default"}})
    await run.caught_up()
    await run.client.post(PODS, POD)


CASES: list[tuple[str, str, str, str, Any, Json]] = [
    ("POST", f"{PODS}/p/binding", "pods/binding", "CREATE",
     {"metadata": {"name": "p"}, "target": {"kind": "Node", "name": "n"}},
     {"group": "", "version": "v1", "kind": "Binding"}),
    ("POST", f"{PODS}/p/eviction", "pods/eviction", "CREATE",
     {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "p"}},
     {"group": "policy", "version": "v1", "kind": "Eviction"}),
    ("POST", f"{ACCOUNTS}/default/token", "serviceaccounts/token", "CREATE", {"spec": {}},
     {"group": "authentication.k8s.io", "version": "v1", "kind": "TokenRequest"}),
    ("POST", f"{PODS}/p/exec?command=ls&container=c", "pods/exec", "CONNECT", None,
     {"group": "", "version": "v1", "kind": "PodExecOptions"}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "resource", "operation", "body", "kind"),
    CASES,
    ids=[case[2] for case in CASES],
)
async def test_what_is_sent_is_shown(
    tmp_path: Path,
    method: str,
    path: str,
    resource: str,
    operation: str,
    body: Any,
    kind: Json,
) -> None:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["*"],
        "resources": ["pods", resource],
    }
    async with webhooks(tmp_path) as hooks, running(alone=False, **keys(tmp_path)) as run:
        await prepared(run)
        hooks.paths["/v"] = lambda request: {
            "allowed": not request.get("subResource"),
            "status": {"code": 418, "message": "not here"},
        }
        one = {"name": "v.example.com", "clientConfig": hooks.client("/v"), "rules": [rule]}
        url = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
        await run.client.post(url, configuration("Validating", "c", one))
        await run.caught_up()
        answer = await run.client(method, path, body)
        text = 'admission webhook "v.example.com" denied the request: not here'
        assert (answer.status, answer.message) == (418, text)
        (asked,) = hooks.asked("/v")
        assert asked["kind"] == asked["requestKind"] == kind
        assert asked["operation"] == operation
        assert asked["object"]["kind"] == kind["kind"]
        assert asked["oldObject"] is None
        assert f"{asked['resource']['resource']}/{asked['subResource']}" == resource
        hooks.paths["/v"] = allow
        await run.client(method, path, body)
        told = [(r["operation"], r.get("subResource", "")) for r in hooks.asked("/v")]
        assert told[1] == (operation, resource.partition("/")[2])
        assert ("UPDATE", "binding") not in told


async def test_a_request_for_a_token_may_be_changed(tmp_path: Path) -> None:
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE"],
        "resources": ["serviceaccounts/token"],
    }
    async with webhooks(tmp_path) as hooks, running(alone=False, **keys(tmp_path)) as run:
        await prepared(run)
        hooks.paths["/m"] = patch({"op": "add", "path": "/spec/expirationSeconds", "value": 900})
        one = {"name": "m.example.com", "clientConfig": hooks.client("/m"), "rules": [rule]}
        url = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
        await run.client.post(url, configuration("Mutating", "c", one))
        await run.caught_up()
        made = await run.client.post(f"{ACCOUNTS}/default/token", {"spec": {}})
        assert made["spec"]["expirationSeconds"] == 900
