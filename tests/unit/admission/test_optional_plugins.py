"""Plugins that are off unless asked for, and small ones about nodes."""

from __future__ import annotations

from typing import Any

import pytest
from admission_stage import Allowing, Objects, handled, passes, refusal, write

from kapi.admission.configuration import ConfigurationError
from kapi.admission.nodes.features import NodeDeclaredFeatureValidator
from kapi.admission.objects.always import AlwaysAdmit, AlwaysDeny
from kapi.admission.objects.event_rate_limit import EventRateLimit, Limit
from kapi.admission.objects.event_rate_limit import configure as rate_limits
from kapi.admission.objects.external_ips import DenyServiceExternalIPs
from kapi.admission.objects.namespace_autoprovision import NamespaceAutoProvision
from kapi.admission.objects.namespace_exists import NamespaceExists
from kapi.admission.objects.owner_references import OwnerReferencesPermissionEnforcement
from kapi.admission.plugin import refused
from kapi.admission.pods import toleration_restriction as tolerations
from kapi.admission.pods.always_pull_images import AlwaysPullImages
from kapi.admission.pods.anti_affinity import LimitPodHardAntiAffinityTopology
from kapi.admission.pods.extended_resources import ExtendedResourceToleration
from kapi.admission.pods.node_selector import PodNodeSelector
from kapi.admission.pods.node_selector import configure as node_selectors
from kapi.admission.pods.resize import PodResizeValidator
from kapi.admission.pods.toleration_restriction import PodTolerationRestriction
from kapi.admission.pods.topology_labels import PodTopologyLabels
from kapi.errors import ApiError, already_exists
from kapi.messages import UserInfo

Json = dict[str, Any]


async def nothing(plural: str, namespace: str, name: str) -> Json | None:
    return None


def namespace(**annotations: str) -> Json:
    given = {f"scheduler.alpha.kubernetes.io/{k}": v for k, v in annotations.items()}
    return {"metadata": {"name": "ns", "annotations": given}}


def pod(**spec: Any) -> Json:
    return {"metadata": {"name": "a"}, "spec": spec}


def test_refusals_name_what_has_no_name_yet() -> None:
    assert 'pods "a" is' in refused(write("pods", {}), "x").message
    generated = write("pods", {"metadata": {"generateName": "web-"}}, name="")
    assert 'pods "web-" is' in refused(generated, "x").message
    assert 'pods "Unknown" is' in refused(write("pods", None, name=""), "x").message


async def test_everything_and_nothing() -> None:
    await passes(AlwaysAdmit(), write("pods", {}))
    words = "admission control is denying all modifications"
    assert await refusal(AlwaysDeny(), write("pods", {})) == words
    await passes(AlwaysDeny(), write("pods", {}, user=UserInfo("system:apiserver")))


class TestNamespaces:
    async def test_are_made(self) -> None:
        made: list[Json] = []

        async def create(group: str, plural: str, obj: Json) -> None:
            made.append(obj)

        plugin = NamespaceAutoProvision(Objects(), create)
        await passes(plugin, write("pods", {}, dry_run=True))
        await passes(plugin, write("nodes", {}, namespace=""))
        await passes(NamespaceAutoProvision(Objects(namespace()), create), write("pods", {}))
        assert made == []
        await passes(plugin, write("pods", {}))
        assert [o["metadata"]["name"] for o in made] == ["ns"]
        assert not handled(plugin, write("namespaces", {}))

    async def test_are_made_by_one_of_many(self) -> None:
        async def taken(group: str, plural: str, obj: Json) -> None:
            raise already_exists("", "namespaces", "ns")

        async def refuses(group: str, plural: str, obj: Json) -> None:
            raise ApiError(422, "Invalid", "no such name")

        await passes(NamespaceAutoProvision(Objects(), taken), write("pods", {}))
        with pytest.raises(ApiError, match="no such name"):
            await NamespaceAutoProvision(Objects(), refuses).admit(write("pods", {}))

    async def test_must_be_there(self) -> None:
        await passes(NamespaceExists(Objects(namespace()), nothing), write("pods", {}))
        with pytest.raises(ApiError, match='namespaces "ns" not found'):
            await NamespaceExists(Objects(), nothing).validate(write("pods", {}))

        async def live(plural: str, where: str, name: str) -> Json | None:
            return namespace()

        await passes(NamespaceExists(Objects(), live), write("pods", {}))


async def test_pods_apart_by_node_only() -> None:
    def apart(key: str) -> Json:
        rule = {"requiredDuringSchedulingIgnoredDuringExecution": [{"topologyKey": key}]}
        return pod(affinity={"podAntiAffinity": rule})

    plugin = LimitPodHardAntiAffinityTopology()
    await passes(plugin, write("pods", apart("kubernetes.io/hostname")))
    await passes(plugin, write("pods", pod()))
    assert await refusal(plugin, write("pods", apart("zone")), "validate") == (
        "affinity.PodAntiAffinity.RequiredDuringScheduling has TopologyKey zone but only key "
        "kubernetes.io/hostname is allowed"
    )


async def test_images_are_always_pulled() -> None:
    plugin = AlwaysPullImages()
    given = pod(
        initContainers=[{"image": "i", "imagePullPolicy": "Never"}],
        containers=[{"image": "j"}],
        volumes=[{"name": "v", "image": {"reference": "r"}}, {"name": "w", "emptyDir": {}}],
    )
    spec = (await passes(plugin, write("pods", given)))["spec"]
    assert spec["initContainers"][0]["imagePullPolicy"] == "Always"
    assert spec["containers"][0]["imagePullPolicy"] == "Always"
    assert spec["volumes"][0]["image"]["pullPolicy"] == "Always"
    changed = pod(containers=[{"image": "j", "imagePullPolicy": "Never"}])
    assert await refusal(plugin, write("pods", changed), "validate") == (
        'spec.containers[0].imagePullPolicy: Unsupported value: "Never": supported values: "Always"'
    )
    await passes(plugin, write("pods", changed, changed))


async def test_external_addresses() -> None:
    def service(*addresses: str) -> Json:
        return {"spec": {"externalIPs": list(addresses)}}

    plugin = DenyServiceExternalIPs()
    words = "Use of external IPs is denied by admission control"
    assert await refusal(plugin, write("services", service("1.1.1.1")), "validate") == words
    more = write("services", service("1.1.1.1", "2.2.2.2"), service("1.1.1.1"))
    assert await refusal(plugin, more, "validate") == words
    await passes(plugin, write("services", service("1.1.1.1"), service("1.1.1.1", "2.2.2.2")))
    await passes(plugin, write("services", {}))


async def test_pods_with_devices_tolerate_their_nodes() -> None:
    requests = {"cpu": "1", "a.com/gpu": "1", "hugepages-2Mi": "1", "x.kubernetes.io/y": "1"}
    given = pod(
        containers=[{"resources": {"requests": requests}}],
        initContainers=[{"resources": {"requests": {"b.com/nic": "1"}}}],
        tolerations=[{"key": "k"}, {"key": "a.com/gpu", "operator": "Exists", "value": ""}],
    )
    found = await passes(ExtendedResourceToleration(), write("pods", given))
    assert found["spec"]["tolerations"] == [
        {"key": "k"},
        {"key": "a.com/gpu", "operator": "Exists"},
        {"key": "b.com/nic", "operator": "Exists"},
    ]
    assert (
        "tolerations"
        not in (await passes(ExtendedResourceToleration(), write("pods", pod())))["spec"]
    )


class TestOwners:
    OWNER: Json = {  # noqa: RUF012
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "name": "d",
        "uid": "u",
        "blockOwnerDeletion": True,
    }
    DELETE = ("delete", "pods", "a")
    HOLD = ("update", "deployments/finalizers", "d")

    def plugin(self, *allowed: tuple[str, str, str]) -> OwnerReferencesPermissionEnforcement:
        known = {("apps", "Deployment"): [("deployments", True)]}
        return OwnerReferencesPermissionEnforcement(
            Allowing(*allowed), lambda group, kind: known.get((group, kind), [])
        )

    def owned(self, *owners: Json) -> Json:
        return {"metadata": {"name": "a", "ownerReferences": list(owners)}}

    async def test_who_changes_owners_may_delete(self) -> None:
        change = write(
            "pods", self.owned({**self.OWNER, "blockOwnerDeletion": False}), self.owned()
        )
        words = "cannot set an ownerRef on a resource you can't delete: no rule, <nil>"
        assert await refusal(self.plugin(), change, "validate") == words
        await passes(self.plugin(self.DELETE), change)
        await passes(self.plugin(), write("pods", self.owned(self.OWNER), self.owned(self.OWNER)))

    async def test_who_holds_a_deletion_up_may_do_so(self) -> None:
        made = write("pods", self.owned(self.OWNER))
        words = (
            "cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't "
            "set finalizers on: no rule, <nil>"
        )
        assert await refusal(self.plugin(), made, "validate") == words
        await passes(self.plugin(self.HOLD), made)
        await passes(
            self.plugin(), write("pods", self.owned({**self.OWNER, "blockOwnerDeletion": False}))
        )

    async def test_an_owner_of_an_unknown_kind(self) -> None:
        odd = {**self.OWNER, "apiVersion": "v1", "kind": "Odd"}
        assert await refusal(self.plugin(), write("pods", self.owned(odd)), "validate") == (
            "cannot set blockOwnerDeletion in this case because cannot find RESTMapping for "
            'APIVersion v1 Kind Odd: no matches for kind "Odd" in version "v1"'
        )

    def test_kubelets_are_not_asked(self) -> None:
        assert not handled(self.plugin(), write("pods", {}, {}, subresource="status"))


class Clock:
    def __init__(self) -> None:
        self.at = 0.0

    def now(self) -> float:
        return self.at

    def monotonic(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


class TestEventRates:
    VERSION = "eventratelimit.admission.k8s.io/v1alpha1"

    def event(self, name: str = "a", **more: Any) -> Any:
        about = {"involvedObject": {"kind": "Pod", "name": name}}
        return write("events", {"source": {"component": "k"}, **about}, **more)

    async def limited(self, plugin: EventRateLimit, *events: Any) -> list[str]:
        said = []
        for event in events:
            try:
                await plugin.validate(event)
                said.append("")
            except ApiError as error:
                said.append(f"{error.code} {error.reason} {error.message}")
        return said

    async def test_a_bucket_fills_by_the_clock(self) -> None:
        clock = Clock()
        plugin = EventRateLimit((Limit("Server", 2, 3, 1),), clock)
        words = "429 TooManyRequests Too many requests: limit reached on type Server for key "
        assert await self.limited(plugin, *[self.event()] * 4) == ["", "", "", words]
        clock.at += 0.5
        assert await self.limited(plugin, *[self.event()] * 2) == ["", words]
        assert await self.limited(plugin, self.event(dry_run=True)) == [""]

    @pytest.mark.parametrize(
        ("kind", "same", "other", "key"),
        [
            ("Namespace", {}, {"namespace": "x"}, "ns"),
            ("User", {}, {"user": UserInfo("joe")}, "jane"),
            ("SourceAndObject", {}, {"name": "b"}, "kPoda"),
        ],
    )
    async def test_by_what(self, kind: str, same: Json, other: Json, key: str) -> None:
        plugin = EventRateLimit((Limit(kind, 1, 1, 9),), Clock())
        words = f"429 TooManyRequests Too many requests: limit reached on type {kind} for key {key}"
        events = (self.event(), self.event(**same), self.event(**other))
        assert await self.limited(plugin, *events) == ["", words, ""]

    async def test_the_least_recent_is_forgotten(self) -> None:
        plugin = EventRateLimit((Limit("Namespace", 1, 1, 1),), Clock())
        events = (self.event(), self.event(namespace="x"), self.event())
        assert await self.limited(plugin, *events) == ["", "", ""]

    def test_configuration(self) -> None:
        part = {"apiVersion": self.VERSION, "kind": "Configuration"}
        limit = {"type": "User", "qps": 1, "burst": 2}
        assert rate_limits({**part, "limits": [limit]}) == (Limit("User", 1, 2, 4096),)
        for bad, words in (
            (None, "at least one limit"),
            ({**part, "limits": []}, "at least one limit"),
            ({**part, "kind": "X"}, "want Configuration"),
            ({**part, "limits": [{**limit, "type": "X"}]}, r"limits\[0\].type: Unsupported value"),
            ({**part, "limits": [{**limit, "qps": 0}]}, r"limits\[0\].qps: Invalid value: 0"),
            ({**part, "limits": [{**limit, "cacheSize": -1}]}, r"cacheSize: Invalid value: -1"),
        ):
            with pytest.raises(ConfigurationError, match=words):
                rate_limits(bad)


class TestNodeSelectors:
    def plugin(self, **configured: str) -> PodNodeSelector:
        given = (
            {"node-selector": configured.pop("annotation")} if "annotation" in configured else {}
        )
        return PodNodeSelector(Objects(namespace(**given)), nothing, configured)

    async def selector(self, plugin: PodNodeSelector, own: Json | None = None) -> Json:
        found = await passes(plugin, write("pods", pod(**({"nodeSelector": own} if own else {}))))
        return dict(found["spec"].get("nodeSelector") or {})

    async def test_of_the_namespace_or_the_cluster(self) -> None:
        assert await self.selector(self.plugin(annotation="a=b,c=d"), {"x": "y"}) == {
            "a": "b", "c": "d", "x": "y",
        }  # fmt: skip
        cluster = {"clusterDefaultNodeSelector": "k=v"}
        assert await self.selector(self.plugin(**cluster)) == {"k": "v"}
        assert await self.selector(self.plugin(annotation="", **cluster)) == {}

    async def test_conflicts(self) -> None:
        asked = write("pods", pod(nodeSelector={"a": "x"}))
        words = "pod node label selector conflicts with its namespace node label selector"
        assert await refusal(self.plugin(annotation="a=b"), asked) == words
        words = "pod node label selector labels conflict with its namespace whitelist"
        assert await refusal(self.plugin(ns="a=b"), asked, "validate") == words
        await passes(self.plugin(ns="a=x,c=d"), asked)

    def test_configuration(self) -> None:
        assert node_selectors(None) == {}
        found = node_selectors({"podNodeSelectorPluginConfig": {"ns": "a=b"}})
        assert found == {"ns": "a=b"}
        wrong: tuple[Any, ...] = ([1], [["a"]], {"a": 1})
        for bad in wrong:
            with pytest.raises(ConfigurationError, match="must be an object of texts"):
                node_selectors({"podNodeSelectorPluginConfig": bad})
        with pytest.raises(ConfigurationError, match="invalid selector: a"):
            node_selectors({"podNodeSelectorPluginConfig": {"ns": "a"}})


class TestTolerations:
    A: Json = {"key": "a", "operator": "Exists"}  # noqa: RUF012
    B: Json = {  # noqa: RUF012
        "key": "b",
        "operator": "Equal",
        "value": "1",
        "effect": "NoSchedule",
    }

    def plugin(
        self, *, default: Json | None = None, **annotations: str
    ) -> PodTolerationRestriction:
        part = {
            "apiVersion": "podtolerationrestriction.admission.k8s.io/v1alpha1",
            "kind": "Configuration",
            "default": [default] if default else [],
        }
        settings = tolerations.configure(part)
        return PodTolerationRestriction(Objects(namespace(**annotations)), nothing, settings)

    async def test_defaults(self) -> None:
        text = '[{"key":"a","operator":"Exists"}]'
        plugin = self.plugin(defaultTolerations=text, default=self.B)
        found = await passes(plugin, write("pods", pod()))
        assert found["spec"]["tolerations"] == [self.A]
        found = await passes(plugin, write("pods", pod(tolerations=[self.B])))
        assert found["spec"]["tolerations"] == [self.A, self.B]
        found = await passes(self.plugin(default=self.B), write("pods", pod()))
        assert found["spec"]["tolerations"] == [self.B]
        assert (await passes(self.plugin(), write("pods", pod())))["spec"] == {}

    async def test_pods_with_resources_stay_when_memory_is_short(self) -> None:
        asked = pod(containers=[{"resources": {"requests": {"cpu": "1"}}}])
        found = await passes(self.plugin(), write("pods", asked))
        (added,) = found["spec"]["tolerations"]
        assert added["key"] == "node.kubernetes.io/memory-pressure"

    async def test_what_is_allowed(self) -> None:
        plugin = self.plugin(tolerationsWhitelist='[{"key":"a","operator":"Exists"}]')
        narrow = {"key": "a", "operator": "Equal", "value": "x", "effect": "NoExecute"}
        await passes(plugin, write("pods", pod(tolerations=[narrow])))
        words = await refusal(plugin, write("pods", pod(tolerations=[self.B])), "validate")
        assert words.endswith("conflict with its namespace whitelist")
        broken = self.plugin(tolerationsWhitelist="[")
        asked = write("pods", pod(tolerations=[self.B]))
        assert "annotation scheduler" in await refusal(broken, asked, "validate")

    @pytest.mark.parametrize(
        ("wide", "narrow", "covered"),
        [
            ({"operator": "Exists"}, {"key": "a", "value": "x"}, True),
            ({"key": "a", "operator": "Exists"}, {"key": "b", "operator": "Exists"}, False),
            ({"key": "a", "operator": "Exists", "effect": "NoExecute"}, {"key": "a"}, False),
            ({"key": "a", "value": "x"}, {"key": "a", "value": "y"}, False),
            ({"key": "a", "value": "x"}, {"key": "a", "value": "x", "effect": "NoSchedule"}, True),
            (
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                {"key": "a", "effect": "NoExecute", "tolerationSeconds": 6},
                False,
            ),
            (
                {"operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5},
                {"key": "a", "effect": "NoExecute", "tolerationSeconds": 5},
                True,
            ),
        ],
    )
    def test_what_covers_what(self, wide: Json, narrow: Json, covered: bool) -> None:
        assert tolerations.covers(wide, narrow) is covered

    def test_merging_keeps_the_wide_ones(self) -> None:
        every = {"operator": "Exists"}
        assert tolerations.merge([self.A, self.B], [every]) == [every]
        assert tolerations.merge([self.A], [self.B, self.A]) == [self.A, self.B]


class TestNodes:
    def nodes(self, os: str = "linux", **status: Any) -> Objects:
        labels = {
            "topology.kubernetes.io/zone": "z",
            "topology.kubernetes.io/region": "r",
            "kubernetes.io/os": os,
        }
        return Objects({"metadata": {"name": "n", "labels": labels}, "status": status})

    async def test_zone_and_region_become_labels(self) -> None:
        plugin = PodTopologyLabels(self.nodes())
        given = pod(nodeName="n")
        given["metadata"]["labels"] = {"topology.kubernetes.io/zone": "mine", "a": "b"}
        expected = {"topology.kubernetes.io/region": "r", "topology.kubernetes.io/zone": "mine"}
        found = await passes(plugin, write("pods", given))
        assert found["metadata"]["labels"] == {**expected, "a": "b"}
        binding = {"target": {"kind": "Node", "name": "n"}}
        found = await passes(plugin, write("pods", binding, subresource="binding"))
        assert found["metadata"]["labels"]["topology.kubernetes.io/zone"] == "z"
        for untouched in ({"target": {"name": "n"}}, {"target": {"kind": "Node", "name": "x"}}):
            found = await passes(plugin, write("pods", dict(untouched), subresource="binding"))
            assert found == untouched
        assert "labels" not in (await passes(plugin, write("pods", pod())))["metadata"]

    async def test_a_resize_fits_the_node(self) -> None:
        def resize(cpu: str, memory: str = "1Gi") -> Any:
            def of(amounts: Json) -> Json:
                return pod(nodeName="n", containers=[{"resources": {"requests": amounts}}])

            new = of({"cpu": cpu, "memory": memory})
            return write("pods", new, of({"cpu": "1"}), subresource="resize")

        there = {"cpu": "2", "memory": "1Gi"}
        plugin = PodResizeValidator(self.nodes(allocatable=there))
        await passes(plugin, resize("2"))
        assert await refusal(plugin, resize("2500m", "2Gi"), "validate") == (
            "Node didn't have enough allocatable resources: cpu, requested: 2500, allocatable: "
            "2000; memory, requested: 2147483648, allocatable: 1073741824"
        )
        windows = PodResizeValidator(self.nodes("windows", allocatable=there))
        with pytest.raises(ApiError) as caught:
            await windows.validate(resize("2"))
        assert 'only supported on linux nodes, node "n" is "windows"' in caught.value.message
        causes = (caught.value.details or {})["causes"]
        assert causes == [{"reason": "UnsupportedPlatform"}]
        gone = PodResizeValidator(Objects())
        assert await refusal(gone, resize("2"), "validate") == 'node "n" not found'

    async def test_nodes_declare_what_they_can(self) -> None:
        def change(*, node: str = "n", **spec: Any) -> Any:
            return write(
                "pods", pod(nodeName=node, **spec), pod(nodeName=node), subresource="resize"
            )

        grown: Any = {"resources": {"requests": {"cpu": "1"}}}
        feature = "InPlacePodLevelResourcesVerticalScaling"
        plugin = NodeDeclaredFeatureValidator(self.nodes())
        assert await refusal(plugin, change(**grown), "validate") == (
            f'pod update requires features {feature} which are not available on node "n"'
        )
        assert await refusal(plugin, change(node="x", **grown), "validate") == 'node "x" not found'
        await passes(plugin, change(hostname="h"))
        await passes(
            NodeDeclaredFeatureValidator(self.nodes(declaredFeatures=[feature])), change(**grown)
        )
