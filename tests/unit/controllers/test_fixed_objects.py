"""What a fresh server holds: made once, brought up to date, never robbed of what users added."""

from __future__ import annotations

import asyncio
import copy
from collections import Counter
from typing import Any

import pytest

from kapi.controllers import bootstrap_rbac, fixed_objects, objects
from kapi.controllers.fixed_objects import RequestHeaderSettings, Settings, bootstrap, load
from kapi.controllers.kubernetes_service import merge_service
from kapi.controllers.objects import Fixed, ensure, ensure_all
from kapi.errors import ApiError, already_exists, conflict, not_found

Json = dict[str, Any]
Key = tuple[str, str, str, str]
SETTINGS = Settings(
    service_ranges=("10.0.0.0/24",),
    advertise_address="192.0.2.7",
    secure_port=6443,
    client_ca="PEM",
    request_header=RequestHeaderSettings(
        ca="PROXY", allowed_names=("proxy",), username_headers=("X-Remote-User",),
        uid_headers=(), group_headers=("X-Remote-Group",), extra_prefixes=("X-Remote-Extra-",),
    ),
)  # fmt: skip


class FakeClock:
    def now(self) -> float:
        return 1_800_000_000.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None: ...


class Store:
    """Objects in memory with versions, as the registry would keep them."""

    def __init__(self) -> None:
        self.objects: dict[Key, Json] = {}
        self.writes: Counter[str] = Counter()
        self.under_way = self.most_under_way = 0

    async def get(self, group: str, resource: str, namespace: str, name: str) -> Json | None:
        return copy.deepcopy(self.objects.get((group, resource, namespace, name)))

    async def create(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        self.under_way += 1
        self.most_under_way = max(self.most_under_way, self.under_way)
        await asyncio.sleep(0)
        key = (group, resource, namespace, obj["metadata"]["name"])
        if namespace and ("", "namespaces", "", namespace) not in self.objects:
            raise not_found("", "namespaces", namespace)
        if key in self.objects:
            raise already_exists(group, resource, key[3])
        self.objects[key] = copy.deepcopy(obj)
        self.objects[key]["metadata"]["resourceVersion"] = "1"
        self.writes["create"] += 1
        self.under_way -= 1

    async def update(self, group: str, resource: str, namespace: str, obj: Json) -> None:
        key = (group, resource, namespace, obj["metadata"]["name"])
        version = self.objects[key]["metadata"]["resourceVersion"]
        if obj["metadata"]["resourceVersion"] != version:
            raise conflict(group, resource, key[3], "changed")
        self.objects[key] = copy.deepcopy(obj)
        self.objects[key]["metadata"]["resourceVersion"] = str(int(version) + 1)
        self.writes["update"] += 1

    async def delete(self, group: str, resource: str, namespace: str, name: str) -> None:
        del self.objects[(group, resource, namespace, name)]
        self.writes["delete"] += 1


async def start(store: Store, settings: Settings = SETTINGS) -> None:
    await bootstrap(store, load(), settings, FakeClock())


async def test_everything_is_made_once() -> None:
    store = Store()
    await start(store)
    assert store.writes == {"create": len(store.objects)}
    by_resource = Counter(key[1] for key in store.objects)
    assert by_resource == {
        "namespaces": 4, "clusterroles": 73, "clusterrolebindings": 54, "roles": 7,
        "rolebindings": 7, "priorityclasses": 2, "prioritylevelconfigurations": 8,
        "flowschemas": 11, "apiservices": 22, "configmaps": 2, "servicecidrs": 1,
        "services": 1, "endpoints": 1, "endpointslices": 1,
    }  # fmt: skip
    for key, obj in store.objects.items():
        assert obj["kind"], key
        assert obj["apiVersion"] == (f"{key[0]}/v1" if key[0] else "v1")
    await start(store)
    assert store.writes == {"create": len(store.objects)}


async def test_what_depends_on_the_options() -> None:
    store = Store()
    await start(store)
    service = store.objects[("", "services", "default", "kubernetes")]["spec"]
    assert (service["clusterIP"], service["ports"][0]["targetPort"]) == ("10.0.0.1", 6443)
    assert store.objects[("", "endpoints", "default", "kubernetes")]["subsets"] == [
        {
            "addresses": [{"ip": "192.0.2.7"}],
            "ports": [{"name": "https", "port": 6443, "protocol": "TCP"}],
        }
    ]
    name = "extension-apiserver-authentication"
    assert store.objects[("", "configmaps", "kube-system", name)]["data"] == {
        "client-ca-file": "PEM",
        "requestheader-client-ca-file": "PROXY",
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Remote-Extra-"]',
        "requestheader-allowed-names": '["proxy"]',
    }
    name = "kube-apiserver-legacy-service-account-token-tracking"
    tracking = store.objects[("", "configmaps", "kube-system", name)]["data"]
    assert tracking == {"since": "2027-01-15"}
    cidr = store.objects[("networking.k8s.io", "servicecidrs", "", "kubernetes")]["spec"]
    assert cidr == {"cidrs": ["10.0.0.0/24"]}


async def test_a_server_that_nobody_reaches_has_no_endpoints() -> None:
    store = Store()
    settings = Settings(
        service_ranges=("10.1.0.0/16",), advertise_address="127.0.0.1", secure_port=1
    )
    await start(store, settings)
    resources = {key[1] for key in store.objects}
    assert not resources & {"endpoints", "endpointslices"}
    name = "extension-apiserver-authentication"
    assert ("", "configmaps", "kube-system", name) not in store.objects


async def test_another_port_is_told_at_the_next_start() -> None:
    store = Store()
    await start(store)
    changed = Settings(
        service_ranges=("10.0.0.0/24",), advertise_address="192.0.2.8", secure_port=7443
    )
    await start(store, changed)
    assert store.writes["update"] == 3
    service = store.objects[("", "services", "default", "kubernetes")]
    assert service["spec"]["ports"][0]["targetPort"] == 7443
    slices = store.objects[("discovery.k8s.io", "endpointslices", "default", "kubernetes")]
    assert slices["endpoints"][0]["addresses"] == ["192.0.2.8"]
    assert merge_service(service, service) is None


async def test_a_role_gets_back_what_it_lacks_and_keeps_what_it_has() -> None:
    store = Store()
    await start(store)
    key = (bootstrap_rbac.GROUP, "clusterroles", "", "system:basic-user")
    own = {"verbs": ["get"], "apiGroups": ["x"], "resources": ["y"]}
    before = store.objects[key]["rules"]
    store.objects[key]["rules"] = [own]
    store.objects[key]["metadata"]["labels"] = {"mine": "1"}
    await start(store)
    role = store.objects[key]
    assert role["rules"][0] == own
    assert not role_lacks(role["rules"], before)
    assert role["metadata"]["labels"] == {
        "kubernetes.io/bootstrapping": "rbac-defaults", "mine": "1"
    }  # fmt: skip


def role_lacks(rules: list[Json], wanted: list[Json]) -> bool:
    merged = bootstrap_rbac.merge_role(
        {"metadata": {}, "rules": rules}, {"metadata": {}, "rules": wanted}
    )
    return merged is not None


async def test_a_protected_role_is_left_alone() -> None:
    store = Store()
    await start(store)
    key = (bootstrap_rbac.GROUP, "clusterroles", "", "system:basic-user")
    store.objects[key]["rules"] = []
    store.objects[key]["metadata"]["annotations"] = {bootstrap_rbac.AUTO_UPDATE: "false"}
    await start(store)
    assert store.objects[key]["rules"] == []


async def test_a_binding_gets_back_its_subjects_and_its_role() -> None:
    store = Store()
    await start(store)
    key = (bootstrap_rbac.GROUP, "clusterrolebindings", "", "system:discovery")
    subjects = store.objects[key]["subjects"]
    mine = {"kind": "User", "apiGroup": bootstrap_rbac.GROUP, "name": "jane"}
    store.objects[key]["subjects"] = [mine]
    await start(store)
    assert store.objects[key]["subjects"] == [mine, *subjects]
    store.objects[key]["roleRef"] = {**store.objects[key]["roleRef"], "name": "cluster-admin"}
    await start(store)
    assert store.writes["delete"] == 1
    assert store.objects[key]["roleRef"]["name"] == "system:discovery"


async def test_flow_control_that_someone_took_over_is_left() -> None:
    store = Store()
    await start(store)
    group = "flowcontrol.apiserver.k8s.io"
    ours = (group, "flowschemas", "", "catch-all")
    theirs = (group, "flowschemas", "", "exempt")
    for key in (ours, theirs):
        store.objects[key]["spec"] = {"changed": True}
    store.objects[theirs]["metadata"]["annotations"][fixed_objects.FLOW_AUTO_UPDATE] = "false"
    await start(store)
    assert store.objects[ours]["spec"] != {"changed": True}
    assert store.objects[theirs]["spec"] == {"changed": True}


async def test_an_api_service_of_someone_else_is_left() -> None:
    store = Store()
    await start(store)
    key = ("apiregistration.k8s.io", "apiservices", "", "v1.apps")
    store.objects[key]["metadata"]["labels"] = {}
    store.objects[key]["spec"] = {"service": {}}
    await start(store)
    assert store.objects[key]["spec"] == {"service": {}}


async def test_many_at_once_but_not_all() -> None:
    store = Store()
    await start(store)
    assert 1 < store.most_under_way <= objects.CONCURRENT_WRITES_MAX


async def test_a_race_is_run_again() -> None:
    class Racing(Store):
        async def create(self, group: str, resource: str, namespace: str, obj: Json) -> None:
            if not self.objects:
                await super().create(group, resource, namespace, obj)
            await super().create(group, resource, namespace, obj)

    obj = {"kind": "Namespace", "apiVersion": "v1", "metadata": {"name": "a"}}
    store = Racing()
    await ensure(store, Fixed(group="", resource="namespaces", object=obj))
    assert store.writes == {"create": 1}


async def test_a_refusal_is_raised() -> None:
    obj = {"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "namespace": "none"}}
    with pytest.raises(ApiError) as caught:
        await ensure_all(Store(), [Fixed(group="", resource="pods", object=obj)])
    assert caught.value.code == 404
