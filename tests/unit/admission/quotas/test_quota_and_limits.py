"""Resource quotas and limit ranges: what is counted, refused and filled in; quotas under races."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kapi import errors
from kapi.admission.plugin import Attributes
from kapi.admission.quotas.limit_ranger import LimitRanger
from kapi.admission.quotas.pod_usage import pod_totals
from kapi.admission.quotas.resource_quota import ResourceQuotaPlugin
from kapi.admission.quotas.usage import concerned, in_scope, usage
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]


def container(name: str = "c", **resources: Json) -> Json:
    return {"name": name, "resources": resources}


def pod(*containers: Json, **spec: Any) -> Json:
    given = {"containers": list(containers) or [container()], **spec}
    return {"metadata": {"name": "a"}, "spec": given, "status": {"phase": "Pending"}}


def write(obj: Json, resource: str = "pods", old: Json | None = None, **more: Any) -> Attributes:
    given: Json = {
        "operation": "CREATE" if old is None else "UPDATE",
        "group": "",
        "version": "v1",
        "kind": "",
        "resource": resource,
        "subresource": "",
        "namespace": "ns",
        "name": "a",
        "object": obj,
        "old": old,
        "user": UserInfo(name="jane"),
        "dry_run": False,
    }
    return Attributes(**{**given, **more})


class Store:
    """Quotas with revisions, written by compare-and-swap."""

    def __init__(self, **quotas: Json) -> None:
        self.quotas = quotas
        self.revisions = dict.fromkeys(quotas, 1)
        self.writes = 0

    def get(self, namespace: str, name: str) -> Json | None:
        return self.quotas.get(name)

    def list(self, namespace: str = "") -> list[Json]:
        return [q for name in self.quotas if (q := self._read(name))]

    def _read(self, name: str) -> Json:
        revision = str(self.revisions[name])
        return {**self.quotas[name], "metadata": {"name": name, "resourceVersion": revision}}

    async def live(self, plural: str, namespace: str, name: str) -> Json | None:
        await asyncio.sleep(0)  # others run here
        return self._read(name)

    async def write(self, namespace: str, quota: Json) -> None:
        await asyncio.sleep(0)
        name = quota["metadata"]["name"]
        if quota["metadata"]["resourceVersion"] != str(self.revisions[name]):
            raise errors.conflict("", "resourcequotas", name, errors.OBJECT_MODIFIED)
        self.quotas[name] = {k: v for k, v in quota.items() if k != "metadata"}
        self.revisions[name] += 1
        self.writes += 1

    def used(self, name: str = "q") -> Json:
        out: Json = self.quotas[name]["status"]["used"]
        return out

    def plugin(self) -> ResourceQuotaPlugin:
        return ResourceQuotaPlugin(self, self.live, self.write)


def quota(hard: Json, used: Json | None = None, **spec: Any) -> Json:
    status = {"hard": hard, "used": dict.fromkeys(hard, "0") if used is None else used}
    return {"spec": {"hard": hard, **spec}, "status": status}


class TestQuota:
    async def test_what_a_pod_uses_is_charged(self) -> None:
        store = Store(q=quota({"pods": "2", "requests.cpu": "1", "limits.memory": "2Gi"}))
        given = pod(container(requests={"cpu": "250m"}, limits={"memory": "512Mi"}))
        await store.plugin().validate(write(given))
        assert store.used() == {"pods": "1", "requests.cpu": "250m", "limits.memory": "512Mi"}

    async def test_too_much_is_refused_in_words(self) -> None:
        hard = {"pods": "1", "requests.cpu": "1"}
        store = Store(q=quota(hard, {"pods": "1", "requests.cpu": "900m"}))
        with pytest.raises(ApiError) as caught:
            await store.plugin().validate(write(pod(container(requests={"cpu": "200m"}))))
        assert (caught.value.code, caught.value.message) == (
            403,
            'pods "a" is forbidden: exceeded quota: q, requested: pods=1,requests.cpu=200m, '
            "used: pods=1,requests.cpu=900m, limited: pods=1,requests.cpu=1",
        )
        assert store.writes == 0

    async def test_what_is_limited_must_be_said(self) -> None:
        store = Store(q=quota({"limits.cpu": "1", "memory": "1Gi"}))
        with pytest.raises(ApiError) as caught:
            await store.plugin().validate(write(pod(container("b"), container("a"))))
        assert caught.value.message == (
            'pods "a" is forbidden: failed quota: q: must specify limits.cpu for: b,a; memory '
            "for: b,a"
        )

    async def test_a_quota_that_was_not_counted_yet(self) -> None:
        store = Store(q=quota({"pods": "1", "count/pods": "1"}, {}))
        with pytest.raises(ApiError) as caught:
            await store.plugin().validate(write(pod()))
        assert caught.value.message == (
            'pods "a" is forbidden: status unknown for quota: q, resources: count/pods,pods'
        )

    async def test_a_dry_run_looks_and_leaves(self) -> None:
        store = Store(q=quota({"pods": "1"}))
        await store.plugin().validate(write(pod(), dry_run=True))
        assert store.used() == {"pods": "0"}

    async def test_a_refusal_charges_no_quota(self) -> None:
        store = Store(first=quota({"pods": "5"}), second=quota({"pods": "0"}))
        with pytest.raises(ApiError):
            await store.plugin().validate(write(pod()))
        assert store.used("first") == {"pods": "0"}

    async def test_many_at_once_never_exceed_it(self) -> None:
        store = Store(q=quota({"pods": "7"}))
        plugin = store.plugin()
        done = await asyncio.gather(
            *(plugin.validate(write(pod())) for _ in range(20)), return_exceptions=True
        )
        refused = [e for e in done if isinstance(e, ApiError)]
        assert all("exceeded quota" in e.message for e in refused)
        assert (len(done) - len(refused), store.used()) == (7, {"pods": "7"})
        assert store.writes == 7

    async def test_a_race_without_end_is_a_conflict(self) -> None:
        store = Store(q=quota({"pods": "7"}))

        async def always_late(namespace: str, changed: Json) -> None:
            raise errors.conflict("", "resourcequotas", "q", errors.OBJECT_MODIFIED)

        with pytest.raises(ApiError) as caught:
            await ResourceQuotaPlugin(store, store.live, always_late).validate(write(pod()))
        assert caught.value.code == 409

    async def test_updates_charge_the_difference(self) -> None:
        hard = {"services.nodeports": "3", "services": "1"}
        store = Store(q=quota(hard, {"services.nodeports": "1", "services": "1"}))
        old = {"spec": {"type": "NodePort", "ports": [{}]}}
        new = {"spec": {"type": "NodePort", "ports": [{}, {}]}}
        await store.plugin().validate(write(new, "services", old))
        assert store.used() == {"services": "1", "services.nodeports": "2"}
        more = {"spec": {"type": "NodePort", "ports": [{}, {}, {}, {}]}}
        with pytest.raises(ApiError, match=r"requested: services\.nodeports=2, used: "):
            await store.plugin().validate(write(more, "services", new))

    async def test_a_change_to_less_gives_nothing_back(self) -> None:
        store = Store(q=quota({"services.nodeports": "3"}, {"services.nodeports": "2"}))
        old = {"spec": {"type": "NodePort", "ports": [{}, {}]}}
        await store.plugin().validate(write({"spec": {"type": "ClusterIP"}}, "services", old))
        assert (store.used(), store.writes) == ({"services.nodeports": "2"}, 0)

    async def test_a_quota_of_which_some_was_not_counted_yet(self) -> None:
        hard = {"services": "1", "services.nodeports": "1", "pods": "1"}
        store = Store(q=quota(hard, {"services": "0"}))
        with pytest.raises(ApiError) as caught:
            await store.plugin().validate(write({"spec": {}}, "services"))
        assert caught.value.message == (
            'services "a" is forbidden: status unknown for quota: q, '
            "resources: services,services.nodeports"
        )
        await store.plugin().validate(write({}, "secrets"))

    def test_what_it_looks_at(self) -> None:
        plugin = Store().plugin()
        assert plugin.handles("CREATE", "apps", "deployments", "")
        assert plugin.handles("UPDATE", "", "pods", "resize")
        assert not plugin.handles("UPDATE", "", "pods", "")
        assert not plugin.handles("CREATE", "", "pods", "binding")
        assert not plugin.handles("CREATE", "events.k8s.io", "events", "")


class TestUsage:
    def test_what_concerns_a_kind(self) -> None:
        hard = (
            "pods", "count/pods", "cpu", "requests.cpu", "limits.memory", "hugepages-2Mi",
            "requests.hugepages-2Mi", "requests.example.com/gpu", "requests.storage", "services",
            "services.nodeports", "count/services", "count/jobs.batch", "secrets",
            "fast.storageclass.storage.k8s.io/requests.storage", "persistentvolumeclaims",
        )  # fmt: skip
        assert concerned("", "pods", hard) == sorted(hard[:8])
        assert concerned("", "services", hard) == sorted(hard[9:12])
        assert concerned("batch", "jobs", hard) == ["count/jobs.batch"]
        assert concerned("", "secrets", hard) == ["secrets"]
        assert concerned("", "persistentvolumeclaims", hard) == sorted((hard[8], *hard[14:]))

    def test_counts(self) -> None:
        assert usage("apps", "deployments", {}) == {"count/deployments.apps": "1"}
        assert usage("", "secrets", {}) == {"count/secrets": "1", "secrets": "1"}

    def test_a_pod_that_ended_uses_nothing(self) -> None:
        ended = {**pod(container(requests={"cpu": "1"})), "status": {"phase": "Succeeded"}}
        assert usage("", "pods", ended) == {"count/pods": "1"}

    def test_a_balancer_without_node_ports(self) -> None:
        spec: Json = {"type": "LoadBalancer", "ports": [{"nodePort": 30000}, {}]}
        used = usage("", "services", {"spec": spec})
        assert (used["services.loadbalancers"], used["services.nodeports"]) == ("1", "2")
        spec["allocateLoadBalancerNodePorts"] = False
        assert usage("", "services", {"spec": spec})["services.nodeports"] == "1"

    def test_a_claim_counts_for_its_class(self) -> None:
        spec = {"storageClassName": "fast", "resources": {"requests": {"storage": "1Gi"}}}
        used = usage("", "persistentvolumeclaims", {"spec": spec})
        assert used["requests.storage"] == "1Gi"
        assert used["fast.storageclass.storage.k8s.io/requests.storage"] == "1Gi"
        assert used["fast.storageclass.storage.k8s.io/persistentvolumeclaims"] == "1"

    def test_the_peak_of_initialization_counts(self) -> None:
        spec = {
            "containers": [container(requests={"cpu": "1"}), container(requests={"cpu": "1"})],
            "initContainers": [
                {**container("side", requests={"cpu": "500m"}), "restartPolicy": "Always"},
                container("init", requests={"cpu": "4", "memory": "1Gi"}),
            ],
            "overhead": {"cpu": "100m", "memory": "1Mi"},
        }
        assert pod_totals(spec, "requests") == {"cpu": "4600m", "memory": "1025Mi"}
        assert pod_totals(spec, "limits") == {}

    @pytest.mark.parametrize(
        ("scope", "spec", "holds"),
        [
            ({"scopeName": "Terminating"}, {"activeDeadlineSeconds": 1}, True),
            ({"scopeName": "NotTerminating"}, {"activeDeadlineSeconds": 1}, False),
            ({"scopeName": "BestEffort"}, {}, True),
            ({"scopeName": "NotBestEffort"}, {}, False),
            (
                {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
                {"priorityClassName": "high"},
                True,
            ),
            (
                {"scopeName": "PriorityClass", "operator": "NotIn", "values": ["high"]},
                {"priorityClassName": "high"},
                False,
            ),
            ({"scopeName": "PriorityClass", "operator": "Exists"}, {}, False),
            ({"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"}, {}, False),
            (
                {"scopeName": "CrossNamespacePodAffinity", "operator": "Exists"},
                {"affinity": {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
                    {"namespaceSelector": {}}]}}},
                True,
            ),
        ],
    )  # fmt: skip
    def test_scopes(self, scope: Json, spec: Json, holds: bool) -> None:
        scoped = quota({}, scopeSelector={"matchExpressions": [scope]})
        obj = {"spec": spec, "status": {"qosClass": "BestEffort"}}
        assert in_scope(scoped, "pods", obj) is holds
        assert not in_scope(scoped, "services", obj)
        assert in_scope(quota({}), "services", obj)


class Ranges:
    def __init__(self, *limits: Json) -> None:
        self.ranges = [{"metadata": {"name": "r"}, "spec": {"limits": list(limits)}}]

    def get(self, namespace: str, name: str) -> Json | None:
        return None

    def list(self, namespace: str = "") -> list[Json]:
        return self.ranges


class TestLimits:
    async def found(self, item: Json, obj: Json, resource: str = "pods") -> str:
        try:
            await LimitRanger(Ranges(item)).validate(write(obj, resource))
        except ApiError as error:
            return error.message.removeprefix(f'{resource} "a" is forbidden: ')
        return ""

    async def test_defaults(self) -> None:
        item = {
            "type": "Container",
            "default": {"memory": "512Mi", "cpu": "1"},
            "defaultRequest": {"cpu": "100m"},
        }
        given = pod(container("x", limits={"cpu": "2"}), initContainers=[{"name": "i"}])
        await LimitRanger(Ranges(item)).admit(write(given))
        main, init = given["spec"]["containers"][0], given["spec"]["initContainers"][0]
        assert main["resources"] == {
            "limits": {"cpu": "2", "memory": "512Mi"},
            "requests": {"cpu": "100m"},
        }
        assert list(main["resources"]) == ["limits", "requests"]
        assert init["resources"]["limits"] == {"cpu": "1", "memory": "512Mi"}
        assert given["metadata"]["annotations"] == {
            "kubernetes.io/limit-ranger": "LimitRanger plugin set: cpu request for container x; "
            "memory limit for container x; cpu request for init container i; cpu, memory limit "
            "for init container i"
        }

    async def test_nothing_to_say(self) -> None:
        item = {"type": "Container", "default": {"cpu": "1"}}
        given = pod(container(limits={"cpu": "2"}))
        await LimitRanger(Ranges(item)).admit(write(given))
        assert "annotations" not in given["metadata"]

    async def test_bounds_of_a_container(self) -> None:
        item = {"type": "Container", "min": {"cpu": "100m"}, "max": {"cpu": "1"}}
        good = pod(container(requests={"cpu": "100m"}, limits={"cpu": "1"}))
        assert await self.found(item, good) == ""
        assert await self.found(item, pod()) == (
            "[minimum cpu usage per Container is 100m.  No request is specified, "
            "maximum cpu usage per Container is 1.  No limit is specified]"
        )
        assert await self.found(
            item, pod(container(requests={"cpu": "50m"}, limits={"cpu": "2"}))
        ) == (
            "[minimum cpu usage per Container is 100m, but request is 50m, "
            "maximum cpu usage per Container is 1, but limit is 2]"
        )  # fmt: skip

    async def test_bounds_of_a_pod(self) -> None:
        item = {"type": "Pod", "max": {"memory": "1Gi"}}
        two = [container(n, limits={"memory": "768Mi"}) for n in ("a", "b")]
        assert await self.found(item, pod(*two)) == (
            "maximum memory usage per Pod is 1Gi, but limit is 1536Mi"
        )

    async def test_ratios(self) -> None:
        item = {"type": "Container", "maxLimitRequestRatio": {"cpu": "2"}}
        wide = pod(container(requests={"cpu": "100m"}, limits={"cpu": "250m"}))
        assert await self.found(item, wide) == (
            "cpu max limit to request ratio per Container is 2, but provided ratio is 2.500000"
        )
        assert await self.found(item, pod()) == (
            "cpu max limit to request ratio per Container is 2, but no request is specified or "
            "request is 0"
        )

    async def test_claims(self) -> None:
        item = {
            "type": "PersistentVolumeClaim",
            "min": {"storage": "1Gi"},
            "max": {"storage": "2Gi"},
        }

        async def claim(size: str) -> str:
            obj = {"spec": {"resources": {"requests": {"storage": size}}}}
            return await self.found(item, obj, "persistentvolumeclaims")

        assert await claim("1Gi") == ""
        assert await claim("1Mi") == (
            "minimum storage usage per PersistentVolumeClaim is 1Gi, but request is 1Mi"
        )
        assert await claim("3Gi") == (
            "maximum storage usage per PersistentVolumeClaim is 2Gi, but request is 3Gi"
        )
