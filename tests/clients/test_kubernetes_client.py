"""The official Python client: objects, patches, pages, watches, an informer's loop."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from clients_harness import Serving, serving
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException
from ports import free_ports

pytestmark = pytest.mark.client


def connect(server: Serving) -> Any:
    make: Any = config.new_client_from_config
    return make(config_file=str(server.kubeconfig))


def watcher() -> Any:
    make: Any = watch.Watch
    return make()


@pytest.fixture
def api(server: Serving) -> Iterator[Any]:
    made = connect(server)
    yield made
    made.close()


@pytest.fixture
def core(api: Any) -> Any:
    return client.CoreV1Api(api)


@pytest.fixture
def namespace(core: Any, names: Iterator[str]) -> str:
    name = next(names)
    core.create_namespace(client.V1Namespace(metadata=client.V1ObjectMeta(name=name)))
    core.create_namespaced_service_account(
        name, client.V1ServiceAccount(metadata=client.V1ObjectMeta(name="default"))
    )
    return name


def config_map(name: str, **data: str) -> Any:
    return client.V1ConfigMap(metadata=client.V1ObjectMeta(name=name), data=data)


def test_the_life_of_an_object(core: Any, namespace: str) -> None:
    made = core.create_namespaced_config_map(namespace, config_map("a", x="1"))
    assert made.metadata.uid
    assert made.metadata.creation_timestamp.tzinfo is not None
    read = core.read_namespaced_config_map("a", namespace)
    assert read.data == {"x": "1"}
    read.data["y"] = "2"
    replaced = core.replace_namespaced_config_map("a", namespace, read)
    assert replaced.metadata.resource_version != made.metadata.resource_version
    with pytest.raises(ApiException) as stale:
        core.replace_namespaced_config_map("a", namespace, read)
    assert (stale.value.status, stale.value.reason) == (409, "Conflict")
    with pytest.raises(ApiException) as taken:
        core.create_namespaced_config_map(namespace, config_map("a"))
    assert taken.value.status == 409
    gone = core.delete_namespaced_config_map("a", namespace)
    assert gone["status"] == "Success"
    with pytest.raises(ApiException) as missing:
        core.read_namespaced_config_map("a", namespace)
    assert missing.value.status == 404
    generated = client.V1ConfigMap(metadata=client.V1ObjectMeta(generate_name="g-"))
    name = core.create_namespaced_config_map(namespace, generated).metadata.name
    assert name.startswith("g-")
    assert len(name) == len("g-") + 5


def test_workloads_and_their_subresources(api: Any, core: Any, namespace: str) -> None:
    apps: Any = client.AppsV1Api(api)
    labels = {"app": "web"}
    template = client.V1PodTemplateSpec(
        metadata=client.V1ObjectMeta(labels=labels),
        spec=client.V1PodSpec(containers=[client.V1Container(name="web", image="nginx:1.27")]),
    )
    spec = client.V1DeploymentSpec(
        replicas=2, selector=client.V1LabelSelector(match_labels=labels), template=template
    )
    body = client.V1Deployment(metadata=client.V1ObjectMeta(name="web"), spec=spec)
    made = apps.create_namespaced_deployment(namespace, body)
    assert made.spec.strategy.rolling_update.max_surge == "25%"
    scale = apps.read_namespaced_deployment_scale("web", namespace)
    assert (scale.spec.replicas, scale.status.selector) == (2, "app=web")
    scale.spec.replicas = 5
    apps.replace_namespaced_deployment_scale("web", namespace, scale)
    patched = apps.patch_namespaced_deployment_status(
        "web", namespace, {"status": {"replicas": 5, "observedGeneration": 2}}
    )
    assert (patched.spec.replicas, patched.status.replicas, patched.metadata.generation) == (
        5, 5, 2,
    )  # fmt: skip
    pod = client.V1Pod(metadata=client.V1ObjectMeta(name="p"), spec=template.spec)
    core.create_namespaced_pod(namespace, pod)
    target = client.V1ObjectReference(kind="Node", name="somewhere")
    binding = client.V1Binding(metadata=client.V1ObjectMeta(name="p"), target=target)
    core.create_namespaced_pod_binding("p", namespace, binding, _preload_content=False)
    assert core.read_namespaced_pod("p", namespace).spec.node_name == "somewhere"
    eviction = client.V1Eviction(metadata=client.V1ObjectMeta(name="p"))
    core.create_namespaced_pod_eviction("p", namespace, eviction)
    assert core.read_namespaced_pod("p", namespace).metadata.deletion_timestamp is not None


def test_patches(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("a", x="1"))
    patched = core.patch_namespaced_config_map("a", namespace, {"data": {"y": "2"}})
    assert patched.data == {"x": "1", "y": "2"}
    steps = [{"op": "remove", "path": "/data/x"}, {"op": "add", "path": "/data/z", "value": "3"}]
    assert core.patch_namespaced_config_map("a", namespace, steps).data == {"y": "2", "z": "3"}
    merged = core.patch_namespaced_config_map(
        "a", namespace, {"data": {"y": None}}, _content_type="application/merge-patch+json"
    )
    assert merged.data == {"z": "3"}
    applied = core.patch_namespaced_config_map(
        "b",
        namespace,
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b"}, "data": {"k": "v"}},
        field_manager="tests",
        _content_type="application/apply-patch+yaml",
    )
    (entry,) = applied.metadata.managed_fields
    assert (entry.manager, entry.operation, entry.fields_v1) == (
        "tests", "Apply", {"f:data": {"f:k": {}}},
    )  # fmt: skip


def test_pages(core: Any, namespace: str) -> None:
    for i in range(7):
        core.create_namespaced_config_map(namespace, config_map(f"c{i}"))
    first = core.list_namespaced_config_map(namespace, limit=3)
    assert first.metadata.remaining_item_count == 4
    core.delete_namespaced_config_map("c5", namespace)  # a page shows the moment of the first
    names, token = [item.metadata.name for item in first.items], first.metadata._continue
    while token:
        page = core.list_namespaced_config_map(namespace, limit=3, _continue=token)
        assert page.metadata.resource_version == first.metadata.resource_version
        names += [item.metadata.name for item in page.items]
        token = page.metadata._continue
    assert names == [f"c{i}" for i in range(7)]
    with pytest.raises(ApiException) as bad:
        core.list_namespaced_config_map(namespace, _continue="nonsense")
    assert bad.value.status == 400


def test_the_dynamic_client(api: Any, core: Any, namespace: str) -> None:
    make: Any = dynamic.DynamicClient
    jobs = make(api).resources.get(api_version="batch/v1", kind="Job")
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "a"}]}}
    body = {"metadata": {"name": "j"}, "spec": {"template": template}}
    made = jobs.create(namespace=namespace, body=body)
    assert made.spec.backoffLimit == 6
    assert [job.metadata.name for job in jobs.get(namespace=namespace).items] == ["j"]
    applied = jobs.server_side_apply(
        namespace=namespace,
        body={
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": {"name": "j", "labels": {"a": "b"}},
        },
        field_manager="tests",
    )
    assert applied.metadata.labels.a == "b"
    jobs.delete(name="j", namespace=namespace)


class Informer(threading.Thread):
    """What every controller does: list, watch from there, go on where a connection broke, and list
    again when told that the past is gone."""

    def __init__(self, core: Any, namespace: str) -> None:
        super().__init__(daemon=True)
        self._core = core
        self._namespace = namespace
        self._stream = watcher()
        self._stopped = False
        self.known: dict[str, Any] = {}
        self.lists = self.expired = self.broken = 0
        self.version = ""  # where to go on; empty: list first

    def run(self) -> None:
        while not self._stopped:
            try:
                self._turn()
            except ApiException as error:
                if error.status != 410:
                    raise
                self.expired += 1
                self.version = ""
            except urllib3.exceptions.HTTPError:
                self.broken += 1
                time.sleep(0.05)

    def _turn(self) -> None:
        if not self.version:
            listed = self._core.list_namespaced_config_map(self._namespace)
            self.lists += 1
            self.known = {item.metadata.name: item.data for item in listed.items}
            self.version = listed.metadata.resource_version
        for event in self._stream.stream(
            self._core.list_namespaced_config_map,
            self._namespace,
            resource_version=self.version,
            timeout_seconds=3,
            allow_watch_bookmarks=True,
        ):
            obj = event["raw_object"]
            if event["type"] == "DELETED":
                self.known.pop(obj["metadata"]["name"])
            elif event["type"] in ("ADDED", "MODIFIED"):
                self.known[obj["metadata"]["name"]] = obj.get("data")
            self.version = obj["metadata"]["resourceVersion"]

    def stop(self) -> None:
        self._stopped = True
        self._stream.stop()
        self.join(20)
        assert not self.is_alive()


def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_an_informer(core: Any, namespace: str) -> None:
    core.create_namespaced_config_map(namespace, config_map("before", a="0"))
    informer = Informer(core, namespace)
    informer.start()
    until(lambda: "before" in informer.known)
    for i in range(20):
        core.create_namespaced_config_map(namespace, config_map(f"c{i}", a="0"))
    for i in range(0, 20, 2):
        core.patch_namespaced_config_map(f"c{i}", namespace, {"data": {"a": "1"}})
    for i in range(0, 20, 4):
        core.delete_namespaced_config_map(f"c{i}", namespace)
    core.delete_namespaced_config_map("before", namespace)
    expected = {f"c{i}": {"a": "1" if i % 2 == 0 else "0"} for i in range(20) if i % 4}
    until(lambda: informer.known == expected)
    informer.stop()
    assert informer.lists == 1


def is_compacted(core: Any) -> bool:
    """Whether the history of the first version is gone from the store."""
    first = {"resource_version": "1", "resource_version_match": "Exact"}
    try:
        core.list_namespaced_config_map("default", **first)
    except ApiException as error:
        return bool(error.status == 410)
    return False


@pytest.mark.timeout(120)  # two servers start
def test_an_informer_survives_a_restart(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    with serving(tmp_path, "--etcd-compaction-interval=1s", port=port) as server:
        api = connect(server)
        core = client.CoreV1Api(api)
        core.create_namespaced_config_map("default", config_map("one"))
        informer = Informer(core, "default")
        informer.start()
        until(lambda: "one" in informer.known)
        until(lambda: is_compacted(core))
    with serving(tmp_path, port=port):
        core.create_namespaced_config_map("default", config_map("two"))
        until(lambda: "two" in informer.known)
        # What the first server compacted is gone: whoever asks for it has to list again.
        late = Informer(core, "default")
        late.version = "1"
        late.start()
        until(lambda: "two" in late.known)
        assert set(late.known) == set(informer.known) == {"one", "two"}
        assert (late.expired, late.lists) == (1, 1)
        assert (informer.expired, informer.lists) == (0, 1)
        late.stop()
        informer.stop()
        api.close()


def test_a_watch_that_cannot_be(core: Any, namespace: str) -> None:
    stream = watcher()
    wrong = stream.stream(
        core.list_namespaced_config_map, namespace, resource_version="x", timeout_seconds=1
    )
    with pytest.raises(ApiException) as error:
        next(wrong)
    assert error.value.status == 500
    quiet = stream.stream(
        core.list_namespaced_config_map, namespace, timeout_seconds=1, label_selector="a=b"
    )
    assert list(quiet) == []
