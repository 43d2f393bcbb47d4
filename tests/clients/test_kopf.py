"""A kopf operator over ConfigMaps: finalizers, its notes in annotations, events, a clean end."""

from __future__ import annotations

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

pytestmark = [pytest.mark.client, pytest.mark.timeout(60)]

OPERATOR = Path(__file__).parent / "operator_of_config_maps.py"
FINALIZER = "example.com/mirror"
WAIT_SECONDS = 15.0


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


@pytest.fixture
def operator(server: Serving, namespace: str, tmp_path: Path) -> Iterator[Path]:
    """The running operator's log. It must end by SIGTERM with code 0, and with no errors told."""
    log = tmp_path / "operator.log"
    command = [sys.executable, "-m", "kopf", "run", "--standalone", "--verbose"]
    command += ["--namespace", namespace, str(OPERATOR)]
    env = {**os.environ, "KUBECONFIG": str(server.kubeconfig), "HOME": str(tmp_path)}
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT, env=env)
    try:
        yield log
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            code = process.wait(10)
        finally:
            process.kill()
    told = log.read_text()
    assert code == 0, told
    assert "[ERROR" not in told, told
    assert "Traceback" not in told, told


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
