"""What a kubelet may do: for the pods of its node, and about itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson
import pytest

from kapi.authorization import node_pods
from kapi.authorization.authorizer import Attributes, Decision
from kapi.authorization.node import NodeAuthorizer, node_of
from kapi.authorization.node_references import of_pod, secrets_of_volume
from kapi.messages import UserInfo

Json = dict[str, Any]
NODE = UserInfo("system:node:n", groups=("system:nodes",))
OTHER = UserInfo("system:node:m", groups=("system:nodes",))
RULES = [{"verbs": ["get"], "apiGroups": [""], "resources": ["services"]}]


@dataclass
class Item:
    object: Json
    revision: int

    @property
    def namespace(self) -> str:
        return str(self.object["metadata"].get("namespace", ""))

    @property
    def name(self) -> str:
        return str(self.object["metadata"]["name"])

    @property
    def tail(self) -> bytes:
        return orjson.dumps(self.object)

    def peek(self) -> Json:
        return self.object


@dataclass
class Event:
    type: str
    item: Item
    previous: Item | None
    revision: int


class Objects:
    """A lister of a few objects with a history."""

    def __init__(self, *objects: Json) -> None:
        self.revision = 1
        self.known_since = 0
        self.found: dict[tuple[str, str], Item] = {}
        self.history: list[Event] = []
        self.listed = 0
        for obj in objects:
            self.put(obj)

    def put(self, obj: Json) -> None:
        self.revision += 1
        item = Item(obj, self.revision)
        key = (item.namespace, item.name)
        self.history.append(Event("MODIFIED", item, self.found.get(key), self.revision))
        self.found[key] = item

    def remove(self, namespace: str, name: str) -> None:
        self.revision += 1
        item = self.found.pop((namespace, name))
        self.history.append(Event("DELETED", item, item, self.revision))

    def item(self, namespace: str, name: str) -> Item | None:
        return self.found.get((namespace, name))

    def get(self, namespace: str, name: str) -> Json | None:
        item = self.item(namespace, name)
        return item.object if item is not None else None

    def items(self) -> Sequence[Item]:
        self.listed += 1
        return list(self.found.values())

    def changes_after(self, revision: int) -> Sequence[Event] | None:
        if revision < self.known_since:
            return None
        return [e for e in self.history if e.revision > revision]


def pod(name: str, node: str = "n", namespace: str = "ns", **spec: Any) -> Json:
    return {
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"nodeName": node, **spec},
    }


def reads_secret(secret: str) -> Json:
    return {"containers": [{"name": "c", "envFrom": [{"secretRef": {"name": secret}}]}]}


class World:
    def __init__(self, *pods: Json, **others: Objects) -> None:
        self.pods = Objects(*pods)
        self.others = {"pods": self.pods, **others}
        self.authorizer = NodeAuthorizer(self.pods, self._lister, RULES)

    def _lister(self, group: str, plural: str) -> Objects:
        return self.others.get(plural) or Objects()

    async def ask(self, verb: str, resource: str, name: str = "", **more: Any) -> tuple[bool, str]:
        given = {"namespace": "ns", "user": NODE, **more}
        group, _, plural = resource.rpartition("/")
        asked = Attributes(
            verb=verb, is_resource=True, group=group, resource=plural, name=name, **given
        )
        decision, reason = await self.authorizer.authorize(asked)
        return decision is Decision.ALLOW, reason

    async def may(self, *args: Any, **more: Any) -> bool:
        return (await self.ask(*args, **more))[0]


def no(reason: str) -> tuple[bool, str]:
    return False, f"node: {reason}"


UNRELATED = no("no relationship found between node 'n' and this object")


def test_who_is_a_node() -> None:
    assert node_of(NODE) == "n"
    assert node_of(UserInfo("system:node:", groups=("system:nodes",))) == ""
    assert node_of(UserInfo("system:node:n", groups=("a",))) is None
    assert node_of(UserInfo("n", groups=("system:nodes",))) is None


async def test_secrets_of_the_pods_of_the_node() -> None:
    world = World(pod("a", **reads_secret("s")), pod("b", "m", **reads_secret("t")))
    for verb in ("get", "list", "watch"):
        assert await world.may(verb, "/secrets", "s")
    assert await world.ask("get", "/secrets", "t") == UNRELATED
    assert await world.may("get", "/secrets", "t", user=OTHER)
    assert await world.ask("get", "/secrets", "s", namespace="other") == UNRELATED
    assert await world.ask("list", "/secrets") == no("No Object name found")
    assert await world.ask("update", "/secrets", "s") == no("can only read resources of this type")
    assert await world.ask("get", "/secrets", "s", subresource="x") == no("cannot read subresource")
    assert await world.ask("get", "/secrets", "s", namespace="") == no(
        "can only read namespaced object of this type"
    )


async def test_the_index_follows_changes() -> None:
    world = World(pod("a", "", **reads_secret("s")))
    assert not await world.may("get", "/secrets", "s")
    world.pods.put(pod("a", **reads_secret("s")))
    assert await world.may("get", "/secrets", "s")
    world.pods.put(pod("a", **reads_secret("t")))
    assert not await world.may("get", "/secrets", "s")
    assert await world.may("get", "/secrets", "t")
    world.pods.remove("ns", "a")
    assert not await world.may("get", "/secrets", "t")
    assert world.pods.listed == 1


async def test_after_a_gap_it_starts_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node_pods, "SLICE_PODS", 2)
    world = World(*(pod(f"p{i}", **reads_secret(f"s{i}")) for i in range(5)))
    assert await world.may("get", "/secrets", "s4")
    world.pods.remove("ns", "p4")
    world.pods.history.clear()
    world.pods.known_since = world.pods.revision
    assert not await world.may("get", "/secrets", "s4")
    assert await world.may("get", "/secrets", "s3")
    assert world.pods.listed == 2


async def test_another_field_of_that_name_does_not_count() -> None:
    trap = pod("a", "m", **reads_secret("s"))
    trap["status"] = {"nodeName": "n"}
    assert await World(trap).ask("get", "/secrets", "s") == UNRELATED


async def test_mirror_pods_give_nothing() -> None:
    mirror = pod("a", **reads_secret("s"))
    mirror["metadata"]["annotations"] = {"kubernetes.io/config.mirror": "x"}
    assert await World(mirror).ask("get", "/secrets", "s") == UNRELATED


def test_all_that_a_pod_refers_to() -> None:
    key = {"name": "x", "key": "k"}
    volumes = [
        {"name": "1", "secret": {"secretName": "s1"}},
        {"name": "2", "csi": {"driver": "d", "nodePublishSecretRef": {"name": "s2"}}},
        {"name": "3", "projected": {"sources": [{"secret": {"name": "s3"}}]}},
        {"name": "4", "configMap": {"name": "c1"}},
        {"name": "5", "projected": {"sources": [{"configMap": {"name": "c2"}}]}},
        {"name": "6", "persistentVolumeClaim": {"claimName": "v1"}},
        {"name": "7", "ephemeral": {}},
        {"name": "8", "azureFile": {"secretName": "s4"}},
        {"name": "9", "iscsi": {"secretRef": {"name": "s5"}}},
        {"name": "10", "emptyDir": {}},
    ]
    env = [
        {"name": "A", "valueFrom": {"secretKeyRef": {**key, "name": "s6"}}},
        {"name": "B", "valueFrom": {"configMapKeyRef": {**key, "name": "c3"}}},
        {"name": "C", "value": "x"},
    ]
    obj = pod(
        "p",
        imagePullSecrets=[{"name": "s7"}],
        serviceAccountName="default",
        volumes=volumes,
        initContainers=[{"name": "i", "env": env}],
        ephemeralContainers=[{"name": "e", "envFrom": [{"configMapRef": {"name": "c4"}}]}],
        resourceClaims=[
            {"name": "a", "resourceClaimName": "r1"},
            {"name": "b", "resourceClaimTemplateName": "t"},
            {"name": "c", "resourceClaimTemplateName": "t"},
        ],
    )
    obj["status"] = {
        "resourceClaimStatuses": [{"name": "b", "resourceClaimName": "r2"}],
        "extendedResourceClaimStatus": {"resourceClaimName": "r3"},
    }
    found = of_pod(obj)
    by_kind = {kind: sorted(n for k, n in found if k == kind) for kind, _ in found}
    assert by_kind == {
        "secrets": ["s1", "s2", "s3", "s4", "s5", "s6", "s7"],
        "configmaps": ["c1", "c2", "c3", "c4"],
        "persistentvolumeclaims": ["p-7", "v1"],
        "resourceclaims": ["r1", "r2", "r3"],
        "serviceaccounts": ["default"],
    }


def volume(**source: Any) -> Json:
    spec = {"claimRef": {"namespace": "ns", "name": "data"}, **source}
    return {"metadata": {"name": "v"}, "spec": spec}


async def test_volumes_behind_claims_and_their_secrets() -> None:
    source = {
        "nodeStageSecretRef": {"namespace": "x", "name": "stage"},
        "controllerPublishSecretRef": {"namespace": "x", "name": "controller"},
    }
    claim = {"metadata": {"name": "data", "namespace": "ns"}, "spec": {"volumeName": "v"}}
    world = World(
        pod("a", volumes=[{"name": "d", "persistentVolumeClaim": {"claimName": "data"}}]),
        persistentvolumes=Objects(volume(csi=source)),
        persistentvolumeclaims=Objects(claim),
    )
    assert await world.may("get", "/persistentvolumeclaims", "data")
    assert await world.may("patch", "/persistentvolumeclaims", "data", subresource="status")
    assert await world.ask("get", "/persistentvolumeclaims", "data", subresource="status") == no(
        "can only get/update/patch this type"
    )
    assert await world.may("get", "/persistentvolumes", "v", namespace="")
    assert await world.ask("get", "/persistentvolumes", "w", namespace="") == UNRELATED
    assert await world.ask("list", "/persistentvolumes", namespace="") == no(
        "can only get individual resources of this type"
    )
    assert await world.may("get", "/secrets", "stage", namespace="x")
    assert await world.ask("get", "/secrets", "controller", namespace="x") == UNRELATED
    assert not await world.may("get", "/secrets", "stage", namespace="x", user=OTHER)


def test_secrets_of_volumes() -> None:
    azure = volume(azureFile={"secretName": "s"})
    assert secrets_of_volume(azure) == {("ns", "s")}
    azure["spec"]["azureFile"]["secretNamespace"] = "far"
    assert secrets_of_volume(azure) == {("far", "s")}
    assert secrets_of_volume(volume(rbd={"secretRef": {"name": "s"}})) == {("ns", "s")}
    assert secrets_of_volume(volume(nfs={})) == set()


async def test_kinds_that_name_their_node() -> None:
    attachment = {"metadata": {"name": "a"}, "spec": {"nodeName": "n"}}
    request = {"metadata": {"name": "r", "namespace": "ns"}, "spec": {"nodeName": "n"}}
    world = World(
        pod("a"),
        pod("b", "m"),
        volumeattachments=Objects(attachment),
        resourceslices=Objects(attachment),
        podcertificaterequests=Objects(request),
    )
    assert await world.may("get", "/pods", "a")
    assert await world.may("watch", "/pods", "a")
    assert await world.ask("get", "/pods", "b") == UNRELATED
    assert await world.ask("get", "/pods", "a", subresource="log") == (False, "")
    group = "storage.k8s.io"
    assert await world.may("get", f"{group}/volumeattachments", "a", namespace="")
    group = "resource.k8s.io"
    assert await world.may("create", f"{group}/resourceslices", namespace="")
    assert await world.may("delete", f"{group}/resourceslices", "a", namespace="")
    assert not await world.may("delete", f"{group}/resourceslices", "a", namespace="", user=OTHER)
    assert await world.ask("list", f"{group}/resourceslices", namespace="") == no(
        "can only list/watch/deletecollection resourceslices with nodeName field selector"
    )
    group = "certificates.k8s.io"
    assert await world.may("get", f"{group}/podcertificaterequests", "r")
    assert await world.may("create", f"{group}/podcertificaterequests")
    assert await world.ask("delete", f"{group}/podcertificaterequests", "r") == no(
        "nodes may not delete podcertificaterequests"
    )


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ("spec.nodeName=n", True),
        ("spec.nodeName==n,status.phase!=Failed", True),
        ("spec.nodeName=m", False),
        ("spec.nodeName!=n", False),
        ("", False),
        ("spec.nodeName=n\\", False),
    ],
)
async def test_lists_by_node_only(selector: str, allowed: bool) -> None:
    answer = await World().ask("list", "/pods", namespace="", field_selector=selector)
    if allowed:
        assert answer == (True, "")
    else:
        assert answer == no("can only list/watch pods with spec.nodeName field selector")


async def test_about_itself() -> None:
    world = World()
    leases, ns = "coordination.k8s.io/leases", {"namespace": "kube-node-lease"}
    assert await world.may("create", leases, **ns)
    assert await world.may("update", leases, "n", **ns)
    assert await world.ask("update", leases, "m", **ns) == no(
        "can only access node lease with the same name as the requesting node"
    )
    assert await world.ask("get", leases, "n") == no(
        'can only access leases in the "kube-node-lease" system namespace'
    )
    assert await world.ask("list", leases, **ns) == no(
        "can only get, create, update, patch, or delete a node lease"
    )
    assert await world.may("patch", "storage.k8s.io/csinodes", "n", namespace="")
    assert await world.ask("patch", "storage.k8s.io/csinodes", "m", namespace="") == no(
        "can only access CSINode with the same name as the requesting node"
    )
    assert await world.may("get", "/nodes", "n", namespace="")
    assert await world.may("patch", "/nodes", "m", namespace="", subresource="status")
    assert await world.ask("get", "/nodes", "m", namespace="") == no(
        "node 'n' cannot read 'm', only its own Node object"
    )
    assert await world.ask("list", "/nodes", namespace="") == no(
        "node 'n' cannot read all nodes, only its own Node object"
    )
    assert await world.ask("delete", "/nodes", "n", namespace="") == (False, "")


async def test_tokens_of_accounts_of_its_pods() -> None:
    world = World(pod("a", serviceAccountName="sa"))
    assert await world.may("create", "/serviceaccounts", "sa", subresource="token")
    assert await world.may("get", "/serviceaccounts", "sa")
    assert await world.ask("create", "/serviceaccounts", "x", subresource="token") == UNRELATED
    assert await world.ask("create", "/serviceaccounts", "sa") == no(
        "can only create token subresource of serviceaccount"
    )
    assert await world.ask("create", "/serviceaccounts", subresource="token") == no(
        "can only create tokens for individual service accounts"
    )


async def test_the_rest_is_by_rules() -> None:
    world = World()
    assert await world.may("get", "/services", "x")
    assert await world.ask("list", "/services") == (False, "")
    assert await world.ask("get", "/services", "x", user=UserInfo("jane")) == (False, "")
    nobody = UserInfo("system:node:", groups=("system:nodes",))
    assert await world.ask("get", "/services", "x", user=nobody) == no(
        'unknown node for user "system:node:"'
    )
    rules = await world.authorizer.rules_for(NODE, "ns")
    assert rules.incomplete
    assert rules.errors == ["node authorizer does not support user rule resolution"]
    assert not (await world.authorizer.rules_for(UserInfo("jane"), "ns")).incomplete
