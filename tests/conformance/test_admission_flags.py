"""A whole server with admission plugins chosen and configured by flags, and the kubelet's side of
it: the Node authorizer with NodeRestriction.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from server_harness import MERGE_PATCH, Client, running

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
KUBELET = {"Impersonate-User": "system:node:n", "Impersonate-Group": "system:nodes"}


def pod(name: str, **spec: Any) -> Json:
    return {
        "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}], **spec},
    }


async def default_account(client: Client) -> None:
    path = "/api/v1/namespaces/default/serviceaccounts"
    await client("POST", path, {"metadata": {"name": "default"}})


def configuration(path: Path, *plugins: Json) -> str:
    path.write_text(
        json.dumps(
            {
                "apiVersion": "apiserver.config.k8s.io/v1",
                "kind": "AdmissionConfiguration",
                "plugins": list(plugins),
            }
        )
    )
    return str(path)


async def test_plugins_on_and_off() -> None:
    flags: Json = {
        "enable_admission_plugins": ("AlwaysPullImages", "NamespaceAutoProvision"),
        "disable_admission_plugins": ("ServiceAccount", "Priority"),
    }
    async with running(**flags) as run:
        made = await run.client.post("/api/v1/namespaces/fresh/pods", pod("a"))
        assert made["spec"]["containers"][0]["imagePullPolicy"] == "Always"
        assert "priority" not in made["spec"]
        assert "serviceAccountName" not in made["spec"]
        await run.client.get("/api/v1/namespaces/fresh")


async def test_plugins_configured(tmp_path: Path) -> None:
    security = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline", "enforce-version": "v1.30"},
        "exemptions": {"namespaces": ["kube-system"]},
    }
    (tmp_path / "selectors.yaml").write_text(
        "podNodeSelectorPluginConfig:\n  clusterDefaultNodeSelector: disk=fast\n"
    )
    path = configuration(
        tmp_path / "admission.json",
        {"name": "PodSecurity", "configuration": security},
        {"name": "PodNodeSelector", "path": "selectors.yaml"},
    )
    flags: Json = {
        "admission_control_config_file": path,
        "enable_admission_plugins": ("PodNodeSelector",),
        "disable_admission_plugins": ("ServiceAccount",),
    }
    async with running(**flags) as run:
        made = await run.client.post(PODS, pod("a"))
        assert made["spec"]["nodeSelector"] == {"disk": "fast"}
        refused = await run.client("POST", PODS, pod("b", hostNetwork=True))
        assert refused.status == 403
        assert 'violates PodSecurity "baseline:v1.30"' in refused.message
        await run.client.post("/api/v1/namespaces/kube-system/pods", pod("b", hostNetwork=True))


async def test_a_kubelet_with_its_own_pods() -> None:
    flags: Json = {
        "authorization_mode": ("Node", "RBAC"),
        "enable_admission_plugins": ("NodeRestriction",),
        "allow_privileged": True,
    }
    async with running(**flags) as run:
        client = run.client
        await default_account(client)
        await client.post("/api/v1/namespaces/default/secrets", {"metadata": {"name": "s"}})
        labels = {"topology.kubernetes.io/zone": "z"}
        node = {"metadata": {"name": "n", "labels": labels}}
        await client.post("/api/v1/nodes", node, headers=KUBELET)
        other = await client("POST", "/api/v1/nodes", {"metadata": {"name": "m"}}, headers=KUBELET)
        assert other.message == (
            'nodes "m" is forbidden: node "n" is not allowed to modify node "m"'
        )
        taints = {"spec": {"taints": [{"key": "a", "effect": "NoSchedule"}]}}
        tainted = await client(
            "PATCH", "/api/v1/nodes/n", taints, content_type=MERGE_PATCH, headers=KUBELET
        )
        assert "is not allowed to modify taints" in tainted.message

        secret = "/api/v1/namespaces/default/secrets/s"
        assert (await client("GET", secret, headers=KUBELET)).status == 403
        volumes = [{"name": "v", "secret": {"secretName": "s"}}]
        await client.post(PODS, pod("a", volumes=volumes))
        await client.post(PODS, pod("b"))
        await run.caught_up()
        binding = {"metadata": {"name": "a"}, "target": {"kind": "Node", "name": "n"}}
        await client.post(f"{PODS}/a/binding", binding)
        await run.caught_up()
        bound = await client.get(f"{PODS}/a")
        assert bound["metadata"]["labels"] == labels
        assert (await client("GET", secret, headers=KUBELET)).status == 200

        status = {"status": {"phase": "Running"}}
        own = await client(
            "PATCH", f"{PODS}/a/status", status, content_type=MERGE_PATCH, headers=KUBELET
        )
        assert own.status == 200
        for path, body in ((f"{PODS}/b/eviction", "b"), (f"{PODS}/a/eviction", "a")):
            eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": body}}
            evicted = await client("POST", path, eviction, headers=KUBELET)
            if body == "b":
                assert evicted.message == (
                    'pods "b" is forbidden: node n can only evict pods with spec.nodeName set '
                    "to itself"
                )
            else:
                assert evicted.status == 201


@pytest.mark.parametrize(("user", "status"), [("approver", 403), ("admin", 200)])
async def test_who_may_approve_certificates(user: str, status: int) -> None:
    from certificate_requests import request

    async with running() as run:
        client = run.client
        rbac = "/apis/rbac.authorization.k8s.io/v1"
        rule = {
            "apiGroups": ["certificates.k8s.io"],
            "resources": ["certificatesigningrequests/approval"],
            "verbs": ["*"],
        }
        await client.post(f"{rbac}/clusterroles", {"metadata": {"name": "r"}, "rules": [rule]})
        subjects = [{"kind": "User", "name": "approver", "apiGroup": "rbac.authorization.k8s.io"}]
        role = {"kind": "ClusterRole", "name": "r", "apiGroup": "rbac.authorization.k8s.io"}
        await client.post(
            f"{rbac}/clusterrolebindings",
            {"metadata": {"name": "b"}, "subjects": subjects, "roleRef": role},
        )
        await run.caught_up()
        spec = {
            "request": request("x"),
            "signerName": "example.com/s",
            "usages": ["client auth"],
        }
        path = "/apis/certificates.k8s.io/v1/certificatesigningrequests"
        made = await client.post(path, {"metadata": {"name": "c"}, "spec": spec})
        made["status"] = {
            "conditions": [{"type": "Approved", "status": "True", "reason": "r", "message": "m"}]
        }
        headers = {} if user == "admin" else {"Impersonate-User": user}
        answer = await client("PUT", f"{path}/c/approval", made, headers=headers)
        assert answer.status == status
        if status == 403:
            assert answer.message == (
                'certificatesigningrequests.certificates.k8s.io "c" is forbidden: user not '
                'permitted to approve requests with signerName "example.com/s"'
            )


async def test_a_server_that_denies_everything_starts() -> None:
    async with running(enable_admission_plugins=("AlwaysDeny",)) as run:
        answer = await run.client("POST", "/api/v1/namespaces", {"metadata": {"name": "x"}})
        assert answer.message == (
            'namespaces "x" is forbidden: admission control is denying all modifications'
        )
