"""lightkube: typed models of every kind, over httpx."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from clients_harness import Serving
from lightkube import ApiError, Client, KubeConfig
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.apps_v1 import DeploymentSpec
from lightkube.models.autoscaling_v1 import ScaleSpec
from lightkube.models.core_v1 import Container, PodSpec, PodTemplateSpec
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Namespace, Pod, ServiceAccount
from lightkube.types import CascadeType, PatchType

pytestmark = pytest.mark.client


@pytest.fixture
def api(server: Serving) -> Iterator[Any]:
    loaded = KubeConfig.from_file(str(server.kubeconfig))
    made: Any = Client(config=loaded, field_manager="tests", trust_env=False)
    yield made
    made._client._client.close()


@pytest.fixture
def namespace(api: Any, names: Iterator[str]) -> str:
    name = next(names)
    api.create(Namespace(metadata=ObjectMeta(name=name)))
    api.create(ServiceAccount(metadata=ObjectMeta(name="default", namespace=name)))
    return name


def config_map(name: str, namespace: str, **more: Any) -> ConfigMap:
    meta = ObjectMeta(name=name, namespace=namespace, labels=more.pop("labels", None))
    return ConfigMap(apiVersion="v1", kind="ConfigMap", metadata=meta, data=more)


def test_the_life_of_an_object(api: Any, namespace: str) -> None:
    made = api.create(config_map("a", namespace, x="1"))
    made.data["y"] = "2"
    replaced = api.replace(made)
    assert replaced.data == {"x": "1", "y": "2"}
    with pytest.raises(ApiError) as stale:
        api.replace(made)
    assert (stale.value.status.code, stale.value.status.reason) == (409, "Conflict")
    patched = api.patch(ConfigMap, "a", {"data": {"x": None}}, namespace=namespace)
    assert patched.data == {"y": "2"}
    steps = [{"op": "add", "path": "/data/z", "value": "3"}]
    patched = api.patch(ConfigMap, "a", steps, namespace=namespace, patch_type=PatchType.JSON)
    assert patched.data == {"y": "2", "z": "3"}
    api.delete(ConfigMap, "a", namespace=namespace)
    with pytest.raises(ApiError) as missing:
        api.get(ConfigMap, "a", namespace=namespace)
    assert missing.value.status.code == 404


def test_apply(api: Any, namespace: str) -> None:
    applied = api.apply(config_map("a", namespace, x="1"))
    assert applied.metadata.managedFields[0].manager == "tests"
    with pytest.raises(ApiError) as conflict:
        api.apply(config_map("a", namespace, x="2"), field_manager="other")
    status: Any = conflict.value.status
    assert (status.code, status.details.causes[0].field) == (409, ".data.x")
    forced = api.apply(config_map("a", namespace, x="2"), field_manager="other", force=True)
    assert forced.data == {"x": "2"}


def test_lists_and_pages(api: Any, namespace: str) -> None:
    for i in range(7):
        api.create(config_map(f"c{i}", namespace, labels={"odd": "yes" if i % 2 else "no"}))
    listed = api.list(ConfigMap, namespace=namespace, chunk_size=3)
    assert [c.metadata.name for c in listed] == [f"c{i}" for i in range(7)]
    odd = api.list(ConfigMap, namespace=namespace, labels={"odd": "yes"})
    assert [c.metadata.name for c in odd] == ["c1", "c3", "c5"]
    one = api.list(ConfigMap, namespace=namespace, fields={"metadata.name": "c2"})
    assert [c.metadata.name for c in one] == ["c2"]
    api.deletecollection(ConfigMap, namespace=namespace)
    assert list(api.list(ConfigMap, namespace=namespace)) == []


def test_workloads_and_their_subresources(api: Any, namespace: str) -> None:
    template = PodTemplateSpec(
        metadata=ObjectMeta(labels={"app": "web"}),
        spec=PodSpec(containers=[Container(name="web", image="nginx:1.27")]),
    )
    spec = DeploymentSpec(
        replicas=2, selector=LabelSelector(matchLabels={"app": "web"}), template=template
    )
    meta = ObjectMeta(name="web", namespace=namespace)
    made = api.create(Deployment(metadata=meta, spec=spec))
    assert made.spec.strategy.rollingUpdate.maxUnavailable == "25%"
    scaled = api.replace(
        Deployment.Scale(metadata=meta, spec=ScaleSpec(replicas=4)), "web", namespace=namespace
    )
    assert scaled.spec.replicas == 4
    status = {"status": {"replicas": 4, "observedGeneration": 2}}
    patched = api.patch(Deployment.Status, "web", status, namespace=namespace)
    assert (patched.spec.replicas, patched.status.replicas) == (4, 4)
    pod = api.create(
        Pod(metadata=ObjectMeta(generateName="p-", namespace=namespace), spec=template.spec)
    )
    assert pod.status.phase == "Pending"
    api.delete(Deployment, "web", namespace=namespace, cascade=CascadeType.BACKGROUND)


def test_a_watch(api: Any, namespace: str) -> None:
    listed = api.list(ConfigMap, namespace=namespace)
    assert list(listed) == []
    version = listed.resourceVersion

    def change() -> None:
        api.create(config_map("a", namespace))
        api.patch(ConfigMap, "a", {"data": {"x": "1"}}, namespace=namespace)
        api.delete(ConfigMap, "a", namespace=namespace)

    changing = threading.Thread(target=change)
    changing.start()
    seen = []
    for event, obj in api.watch(ConfigMap, namespace=namespace, resource_version=version):
        seen.append((event, obj.metadata.name))
        if event == "DELETED":
            break
    changing.join()
    assert seen == [("ADDED", "a"), ("MODIFIED", "a"), ("DELETED", "a")]


def test_kinds_it_has_no_model_of(api: Any, namespace: str) -> None:
    leases: Any = create_namespaced_resource("coordination.k8s.io", "v1", "Lease", "leases")
    meta = {"name": "leader", "namespace": namespace}
    made = api.create(
        leases(metadata=meta, spec={"holderIdentity": "me", "leaseDurationSeconds": 15})
    )
    assert made["spec"] == {"holderIdentity": "me", "leaseDurationSeconds": 15}
