"""kopf operators, over ConfigMaps and over a kind of their own: finalizers, notes in annotations,
status, daemons, events, a clean end."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from clients_harness import Serving
from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

pytestmark = [pytest.mark.client, pytest.mark.timeout(120)]

OPERATORS = Path(__file__).parent
FINALIZER = "example.com/mirror"
WAIT_SECONDS = 30.0


@pytest.fixture
def core(server: Serving) -> Iterator[Any]:
    make: Any = config.new_client_from_config
    api = make(config_file=str(server.kubeconfig))
    yield client.CoreV1Api(api)
    api.close()


@pytest.fixture
def namespace(core: Any, names: Iterator[str]) -> str:
    name = next(names)
    core.create_namespace({"metadata": {"name": name}})
    return name


@contextlib.contextmanager
def running(server: Serving, namespace: str, directory: Path, file: str) -> Iterator[Path]:
    """The running operator's log. It must end by SIGTERM with code 0, and with no errors told."""
    log = directory / "operator.log"
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--verbose"]
    command += ["--namespace", namespace, str(OPERATORS / file)]
    env = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(directory)}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(20)
        finally:
            process.kill()
    told = log.read_text()
    assert code == 0, told
    assert "[ERROR" not in told, told
    assert "Traceback" not in told, told


@pytest.fixture
def operator(server: Serving, namespace: str, tmp_path: Path) -> Iterator[Path]:
    with running(server, namespace, tmp_path, "operator_of_config_maps.py") as log:
        yield log


def until(condition: Callable[[], Any]) -> Any:
    """What a condition gives once it gives something."""
    end = time.monotonic() + WAIT_SECONDS
    while not (found := condition()):
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def find(read: Callable[[str, str], Any], name: str, namespace: str) -> Any:
    """The object, or None."""
    try:
        return read(name, namespace)
    except ApiException as error:
        if error.status != 404:
            raise
        return None


def test_an_operator(core: Any, namespace: str, operator: Path) -> None:
    until(lambda: "Initial authentication has finished" in operator.read_text())
    meta = {"name": "settings", "labels": {"mirror": "yes"}}
    core.create_namespaced_config_map(namespace, {"metadata": meta, "data": {"color": "blue"}})
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "other"}})

    def read_secret() -> Any:
        return find(core.read_namespaced_secret, "settings", namespace)

    secret = until(read_secret)
    assert secret.data == {"color": "Ymx1ZQ=="}
    config_map = core.read_namespaced_config_map("settings", namespace)
    assert config_map.metadata.finalizers == [FINALIZER]
    (owner,) = secret.metadata.owner_references
    assert (owner.kind, owner.name, owner.uid) == (
        "ConfigMap", "settings", config_map.metadata.uid,
    )  # fmt: skip
    last = "kopf.zalando.org/last-handled-configuration"
    until(
        lambda: (
            last
            in (core.read_namespaced_config_map("settings", namespace).metadata.annotations or {})
        )
    )

    core.patch_namespaced_config_map("settings", namespace, {"data": {"color": "red"}})
    until(lambda: read_secret().data == {"color": "cmVk"})
    core.patch_namespaced_secret(
        "settings", namespace, {"metadata": {"annotations": {"ask": "what"}}}
    )
    until(lambda: (read_secret().metadata.annotations or {}) == {"answer": "42"})

    (event,) = until(lambda: core.list_namespaced_event(namespace).items)
    assert (event.reason, event.message) == ("Mirrored", "the secret has the new data")
    assert event.involved_object.uid == config_map.metadata.uid
    core.delete_namespaced_config_map("settings", namespace)
    until(lambda: read_secret() is None)
    until(lambda: find(core.read_namespaced_config_map, "settings", namespace) is None)
    other = core.read_namespaced_config_map("other", namespace)
    assert (other.metadata.finalizers, other.metadata.annotations) == (None, None)


BACKUPS: Any = {
    "metadata": {"name": "backups.example.com"},
    "spec": {
        "group": "example.com",
        "scope": "Namespaced",
        "names": {"plural": "backups", "singular": "backup", "kind": "Backup"},
        "versions": [
            {
                "name": "v1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {
                        "type": "object",
                        "properties": {
                            "spec": {
                                "type": "object",
                                "required": ["schedule"],
                                "properties": {"schedule": {"type": "string"}},
                                "x-kubernetes-validations": [
                                    {
                                        "rule": "self.schedule.startsWith('@')",
                                        "message": "a schedule begins with @",
                                    }
                                ],
                            },
                            "status": {
                                "type": "object",
                                "properties": {
                                    "phase": {"type": "string"},
                                    "schedule": {"type": "string"},
                                },
                            },
                        },
                    }
                },
            }
        ],
    },
}


def test_an_operator_with_a_kind_of_its_own(
    core: Any, server: Serving, namespace: str, tmp_path: Path
) -> None:
    extensions = client.ApiextensionsV1Api(core.api_client)
    custom: Any = client.CustomObjectsApi(core.api_client)
    kind = ("example.com", "v1", namespace, "backups")
    extensions.create_custom_resource_definition(BACKUPS)

    def read() -> Any:
        return find(lambda name, _: custom.get_namespaced_custom_object(*kind, name), "nightly", "")

    def status() -> Any:
        return (read() or {}).get("status") or {}

    try:
        until(lambda: find(lambda *_: custom.list_namespaced_custom_object(*kind), "", ""))
        with running(server, namespace, tmp_path, "operator_of_backups.py") as log:
            until(lambda: "Initial authentication has finished" in log.read_text())
            body: Any = {"apiVersion": "example.com/v1", "kind": "Backup"}
            body |= {"metadata": {"name": "nightly"}, "spec": {"schedule": "@daily"}}
            wrong = {**body, "spec": {"schedule": "daily"}}
            with pytest.raises(ApiException) as refused:
                custom.create_namespaced_custom_object(*kind, wrong)
            assert "a schedule begins with @" in str(refused.value.body)
            custom.create_namespaced_custom_object(*kind, body)
            until(lambda: status() == {"phase": "Scheduled", "schedule": "@daily"})
            until(lambda: "looking after it" in log.read_text())
            assert read()["metadata"]["finalizers"] == ["example.com/backups"]
            custom.patch_namespaced_custom_object(*kind, "nightly", {"spec": {"schedule": "@x"}})
            until(lambda: status() == {"phase": "Rescheduled", "schedule": "@x"})
            custom.delete_namespaced_custom_object(*kind, "nightly")
            until(lambda: read() is None)
            told = log.read_text()
            assert "removed what was kept at @x" in told
            assert "not any more" in told
    finally:
        extensions.delete_custom_resource_definition("backups.example.com")
