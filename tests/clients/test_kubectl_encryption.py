"""Encryption at rest as the documents tell it: turned on, rotated, turned off, with kubectl."""

from __future__ import annotations

import base64
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from clients_harness import Terminal, serving

pytestmark = [pytest.mark.client, pytest.mark.timeout(120)]
FILE = """
apiVersion: apiserver.config.k8s.io/v1
kind: EncryptionConfiguration
resources:
  - resources: [secrets]
    providers:
{}
"""
CURRENT = (
    "SELECT l.value FROM current c JOIN log l ON l.revision = c.revision"
    " WHERE c.key LIKE '/registry/secrets/%'"
)


def provider(kind: str, *names: str) -> str:
    keys = "".join(
        f"            - name: {name}\n              secret: {base64.b64encode(key).decode()}\n"
        for name in names
        for key in (name.encode().ljust(32, b"."),)
    )
    return f"      - {kind}:\n          keys:\n{keys}"


IDENTITY = "      - identity: {}\n"


def stored(folder: Path) -> list[bytes]:
    with closing(sqlite3.connect(f"file:{folder / 'data' / 'kapi.db'}?mode=ro", uri=True)) as db:
        return [row[0] for row in db.execute(CURRENT)]


def test_the_steps_of_the_documents(binaries: Path, tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    flag = f"--encryption-provider-config={path}"
    with serving(tmp_path) as server:
        kubectl = Terminal(binaries, tmp_path / "home", server)
        kubectl.says("create secret generic one --from-literal=word=battery-staple")
        kubectl.says("create secret generic two -n kube-system --from-literal=word=horse")
    assert any(base64.b64encode(b"battery-staple") in value for value in stored(tmp_path))
    steps = (
        (provider("aescbc", "key1") + IDENTITY, b"k8s:enc:aescbc:v1:key1:"),
        (provider("aescbc", "key2", "key1"), b"k8s:enc:aescbc:v1:key2:"),
        (provider("secretbox", "key3") + provider("aescbc", "key2"), b"k8s:enc:secretbox:v1:key3:"),
        (IDENTITY + provider("secretbox", "key3"), b"{"),
    )
    for providers, start in steps:
        path.write_text(FILE.format(providers))
        path.chmod(0o600)
        with serving(tmp_path, flag) as server:
            kubectl = Terminal(binaries, tmp_path / "home", server)
            shown = kubectl.says("get secret one -o jsonpath={.data.word}")
            assert base64.b64decode(shown) == b"battery-staple"
            everything = kubectl.says("get secrets --all-namespaces -o json")
            said = kubectl.says("replace -f -", stdin=everything)
            assert said.splitlines() == ["secret/one replaced", "secret/two replaced"]
        values = stored(tmp_path)
        assert len(values) == 2
        assert all(value.startswith(start) for value in values), (start, values)
    with serving(tmp_path) as server:
        kubectl = Terminal(binaries, tmp_path / "home", server)
        assert len(kubectl.says("get secrets -A --no-headers").splitlines()) == 2


def test_what_cannot_be_decrypted_is_told_of(binaries: Path, tmp_path: Path) -> None:
    path = tmp_path / "enc.yaml"
    path.write_text(FILE.format(provider("aesgcm", "key1")))
    path.chmod(0o600)
    with serving(tmp_path, f"--encryption-provider-config={path}") as server:
        kubectl = Terminal(binaries, tmp_path / "home", server)
        kubectl.says("create secret generic one --from-literal=word=horse")
    with serving(tmp_path) as server:
        kubectl = Terminal(binaries, tmp_path / "home", server)
        words = (
            "ResourceVersion: 0, AdditionalErrorMsg: data from the storage is not transformable "
            "revision=0: identity transformer tried to read encrypted data"
        )
        corrupt = "StorageError: corrupt object, Code: 7, Key:"
        assert kubectl.fails("get secret one").strip() == (
            "Error from server (InternalError): Internal error occurred: "
            f"{corrupt} /secrets/default/one, {words}"
        )
        listed = kubectl.fails("get secrets")
        assert f"{corrupt} /registry/secrets/default/one, {words}" in listed
        kubectl.says("create configmap fine")
        path_of_it = "/api/v1/namespaces/default/secrets/one"
        option = "ignoreStoreReadErrorWithClusterBreakingPotential=true"
        kubectl.says(f"delete --raw {path_of_it}?{option}")
        assert kubectl.kubectl("get secrets -A").err == "No resources found\n"
