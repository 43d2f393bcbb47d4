"""A whole server asks an image policy server that a kubeconfig file names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from other_server import Asked, Authority, http, scripted, server_tls
from server_harness import running

from kapi.admission import kubeconfig
from kapi.admission.kubeconfig import KubeconfigError

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"


def pod(name: str, image: str) -> Json:
    return {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": image}]}}


def config(path: Path, cluster: Json, **user: str) -> str:
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "c", "cluster": cluster}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return str(path)


async def test_images_are_reviewed(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    (tmp_path / "policy-ca.pem").write_text(authority.pem)
    seen: list[tuple[str, str]] = []

    async def handle(asked: Asked) -> None:
        review = orjson.loads(asked.body)
        seen.append((asked.target, asked.header("authorization")))
        good = all("bad" not in c["image"] for c in review["spec"]["containers"])
        review["status"] = {"allowed": good, "reason": "" if good else "bad image"}
        await asked.answer(200, orjson.dumps(review), "application/json")

    async with scripted(http(handle), server_tls(authority.serving("127.0.0.1"))) as serving:
        file = config(
            tmp_path / "policy.kubeconfig",
            {
                "server": f"https://127.0.0.1:{serving.port}/review?a=b",
                "certificate-authority": "policy-ca.pem",
            },
            token="secret",
        )
        admission = tmp_path / "admission.json"
        admission.write_text(json.dumps({"imagePolicy": {"kubeConfigFile": file}}))
        flags: Json = {
            "enable_admission_plugins": ("ImagePolicyWebhook",),
            "disable_admission_plugins": ("ServiceAccount",),
            "admission_control_config_file": str(admission),
        }
        async with running(alone=False, **flags) as run:
            await run.client.post(PODS, pod("a", "good"))
            refused = await run.client("POST", PODS, pod("b", "bad"))
            assert refused.status == 403
            assert refused.message.endswith("denied one or more images: bad image")
    assert seen[0] == ("/review?a=b", "Bearer secret")


@pytest.mark.parametrize(
    ("cluster", "user", "words"),
    [
        ({}, {}, "server: must be a URL"),
        ({"server": "ftp://x"}, {}, "server: must be a URL"),
        ({"server": "https://x", "certificate-authority": "gone"}, {}, "no such file"),
        ({"server": "https://x", "certificate-authority-data": "!"}, {}, "illegal base64 data"),
        ({"server": "https://x"}, {"client-key-data": "eA=="}, "client-key-data: holds no PEM"),
        ({"server": "https://x"}, {"client-certificate": "gone"}, "no such file"),
        ({"server": "https://x"}, {"tokenFile": "gone"}, "no such file"),
        ({"server": "https://x"}, {"exec": {"command": "x"}}, "users: exec: is not done here"),
        ({"server": "https://x:99999"}, {}, "ort out of range"),
        ({"server": "https://x", "certificate-authority": 5}, {}, "k: "),
        ({"server": "https://x", "certificate-authority-data": 5}, {}, "k: "),
        ({"server": "https://x"}, {"tokenFile": ["a"]}, "k: "),
        ({"server": "https://x", "proxy-url": "http://p"}, {}, "proxy-url: is not done here"),
    ],
)
def test_files_that_cannot_be_used(tmp_path: Path, cluster: Json, user: Json, words: str) -> None:
    with pytest.raises(KubeconfigError, match=words):
        kubeconfig.load(config(tmp_path / "k", cluster, **user))


def test_a_password_in_the_address_is_not_shown(tmp_path: Path) -> None:
    server = kubeconfig.load(config(tmp_path / "k", {"server": "https://me:secret@x:1/a?b=c"}))
    assert (server.url, server.host, server.path) == ("https://x:1/a?b=c", "x:1", "/a?b=c")


def test_other_files(tmp_path: Path) -> None:
    with pytest.raises(KubeconfigError, match="no such file"):
        kubeconfig.load(str(tmp_path / "gone"))
    (tmp_path / "odd").write_text("- 1")
    with pytest.raises(KubeconfigError, match="must be an object"):
        kubeconfig.load(str(tmp_path / "odd"))
    for field in ("clusters", "contexts", "users"):
        (tmp_path / "odd").write_text(f"{field}: 1")
        with pytest.raises(KubeconfigError, match="not iterable"):
            kubeconfig.load(str(tmp_path / "odd"))
