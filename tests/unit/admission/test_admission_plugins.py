"""What the small admission plugins change and refuse."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from kapi.admission.chain import PluginDependencies, default_plugins
from kapi.admission.nodes.taint_nodes import TaintNodesByCondition
from kapi.admission.objects.claim_resize import ClaimResize
from kapi.admission.objects.default_ingress_class import DefaultIngressClass
from kapi.admission.objects.default_storage_class import DefaultStorageClass
from kapi.admission.objects.namespace_lifecycle import NamespaceLifecycle
from kapi.admission.objects.storage_protection import StorageObjectInUseProtection
from kapi.admission.plugin import AdmissionChain, Attributes, Operation
from kapi.admission.pods.default_tolerations import DefaultTolerationSeconds
from kapi.admission.pods.priority import Priority
from kapi.admission.pods.runtime_class import RuntimeClassPlugin
from kapi.admission.pods.service_account import ServiceAccountPlugin
from kapi.clock import Entropy
from kapi.errors import ApiError
from kapi.messages import UserInfo
from kapi.options.table import Options

Json = dict[str, Any]


class Objects:
    """A lister of a few objects."""

    def __init__(self, *objects: Json) -> None:
        self.objects = list(objects)

    def get(self, namespace: str, name: str) -> Json | None:
        return next((o for o in self.list(namespace) if o["metadata"]["name"] == name), None)

    def list(self, namespace: str = "") -> list[Json]:
        return [o for o in self.objects if o["metadata"].get("namespace", "") in ("", namespace)]


def named(name: str, **fields: Any) -> Json:
    return {"metadata": {"name": name}, **fields}


async def nothing(plural: str, namespace: str, name: str) -> Json | None:
    return None


def write(resource: str, obj: Json | None, old: Json | None = None, **more: Any) -> Attributes:
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


async def refusal(plugin: Any, attributes: Attributes, step: str = "admit") -> str:
    with pytest.raises(ApiError) as caught:
        await getattr(plugin, step)(attributes)
    return caught.value.message


class TestNamespaceLifecycle:
    def plugin(self, *namespaces: Json) -> NamespaceLifecycle:
        return NamespaceLifecycle(Objects(*namespaces), nothing)

    async def test_in_a_namespace_that_is_there(self) -> None:
        await self.plugin(named("ns")).admit(write("pods", {}))

    async def test_in_one_that_is_absent(self) -> None:
        text = await refusal(self.plugin(), write("pods", {}))
        assert text == 'namespaces "ns" not found'

    async def test_in_one_that_the_cache_does_not_know_yet(self) -> None:
        async def live(plural: str, namespace: str, name: str) -> Json | None:
            return named(name) if plural == "namespaces" else None

        await NamespaceLifecycle(Objects(), live).admit(write("pods", {}))

    async def test_in_one_on_its_way_out(self) -> None:
        plugin = self.plugin(named("ns", status={"phase": "Terminating"}))
        with pytest.raises(ApiError) as caught:
            await plugin.admit(write("pods", {}))
        assert caught.value.message == (
            'pods "a" is forbidden: unable to create new content in namespace ns because it is '
            "being terminated"
        )
        assert (caught.value.details or {})["causes"] == [
            {
                "reason": "NamespaceTerminating",
                "message": "namespace ns is being terminated",
                "field": "metadata.namespace",
            }
        ]
        await plugin.admit(write("pods", {}, {}))  # what is there may still change

    @pytest.mark.parametrize("name", ["default", "kube-system", "kube-public"])
    async def test_some_stay(self, name: str) -> None:
        deletion = write("namespaces", None, operation="DELETE", name=name, namespace=name)
        text = await refusal(self.plugin(), deletion)
        assert text == f'namespaces "{name}" is forbidden: this namespace may not be deleted'
        await self.plugin().admit(
            write("namespaces", None, operation="DELETE", name="other", namespace="other")
        )

    async def test_reviews_need_no_namespace(self) -> None:
        review = write("localsubjectaccessreviews", {}, group="authorization.k8s.io")
        await self.plugin().admit(review)


class TestTolerations:
    async def tolerations(self, *own: Json) -> list[Json]:
        pod: Json = {"spec": {"tolerations": list(own)} if own else {}}
        await DefaultTolerationSeconds(300, 200).admit(write("pods", pod))
        out: list[Json] = pod["spec"]["tolerations"]
        return out

    async def test_both_are_added(self) -> None:
        assert await self.tolerations() == [
            {
                "key": f"node.kubernetes.io/{key}",
                "operator": "Exists",
                "effect": "NoExecute",
                "tolerationSeconds": seconds,
            }
            for key, seconds in (("not-ready", 300), ("unreachable", 200))
        ]

    async def test_what_is_tolerated_stays_as_it_is(self) -> None:
        own = {"key": "node.kubernetes.io/not-ready", "operator": "Exists"}
        assert [t["key"] for t in await self.tolerations(own)] == [
            "node.kubernetes.io/not-ready",
            "node.kubernetes.io/unreachable",
        ]
        assert await self.tolerations({"operator": "Exists"}) == [{"operator": "Exists"}]
        other = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
        assert len(await self.tolerations(other)) == 3


class TestPriority:
    HIGH = named("high", value=1000, preemptionPolicy="Never")

    async def spec(self, *classes: Json, **spec: Any) -> Json:
        pod = {"metadata": {"name": "a"}, "spec": spec}
        await Priority(Objects(*classes)).admit(write("pods", pod))
        return spec

    async def test_none(self) -> None:
        assert await self.spec() == {"priority": 0, "preemptionPolicy": "PreemptLowerPriority"}

    async def test_a_class(self) -> None:
        assert await self.spec(self.HIGH, priorityClassName="high") == {
            "priorityClassName": "high",
            "priority": 1000,
            "preemptionPolicy": "Never",
        }

    async def test_the_default_class(self) -> None:
        default = named("usual", value=5, globalDefault=True)
        spec = await self.spec(self.HIGH, default)
        assert (spec["priorityClassName"], spec["priority"]) == ("usual", 5)

    async def test_refusals(self) -> None:
        async def refused(**spec: Any) -> str:
            plugin = Priority(Objects(self.HIGH))
            return await refusal(plugin, write("pods", {"metadata": {}, "spec": spec}))

        assert await refused(priorityClassName="none") == (
            'pods "a" is forbidden: no PriorityClass with name none was found'
        )
        assert await refused(priority=7) == (
            'pods "a" is forbidden: the integer value of priority (7) must not be provided in '
            "pod spec; priority admission controller computed 0 from the given PriorityClass name"
        )
        assert await refused(preemptionPolicy="Never") == (
            'pods "a" is forbidden: the string value of PreemptionPolicy (Never) must not be '
            "provided in pod spec; priority admission controller computed PreemptLowerPriority "
            "from the given PriorityClass name"
        )

    async def test_updates_keep_it(self) -> None:
        new: Json = {"spec": {}}
        old: Json = {"spec": {"priority": 7, "preemptionPolicy": "Never"}}
        await Priority(Objects()).admit(write("pods", new, old))
        assert new == old

    async def test_there_is_one_default_class(self) -> None:
        plugin = Priority(Objects(named("usual", globalDefault=True)))
        second = write(
            "priorityclasses", {"globalDefault": True}, group="scheduling.k8s.io", name="b"
        )
        assert await refusal(plugin, second, "validate") == (
            'priorityclasses.scheduling.k8s.io "b" is forbidden: PriorityClass usual is already '
            "marked as default. Only one default can exist"
        )
        second.name = "usual"
        await plugin.validate(second)


ENV: Json = {
    "name": "c",
    "env": [{"name": "E", "valueFrom": {"secretKeyRef": {"name": "x", "key": "k"}}}],
}
ENV_FROM: Json = {"name": "c", "envFrom": [{"secretRef": {"name": "x"}}]}


class TestServiceAccounts:
    async def pod(self, *accounts: Json, **spec: Any) -> Json:
        pod = {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c"}], **spec}}
        plugin = ServiceAccountPlugin(Objects(*accounts), nothing, Entropy())
        await plugin.admit(write("pods", pod))
        return pod["spec"]

    async def test_a_token_is_mounted(self) -> None:
        spec = await self.pod(named("default"))
        assert spec["serviceAccountName"] == spec["serviceAccount"] == "default"
        (volume,) = spec["volumes"]
        assert volume["name"].startswith("kube-api-access-")
        sources = volume["projected"]["sources"]
        assert [next(iter(s)) for s in sources] == [
            "serviceAccountToken",
            "configMap",
            "downwardAPI",
        ]
        assert sources[0]["serviceAccountToken"]["expirationSeconds"] == 3607
        assert spec["containers"][0]["volumeMounts"] == [
            {
                "name": volume["name"],
                "readOnly": True,
                "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
            }
        ]

    async def test_unless_the_pod_or_the_account_says_no(self) -> None:
        quiet = named("default", automountServiceAccountToken=False)
        assert "volumes" not in await self.pod(quiet)
        assert "volumes" not in await self.pod(named("default"), automountServiceAccountToken=False)
        assert "volumes" in await self.pod(quiet, automountServiceAccountToken=True)

    async def test_a_container_that_mounts_there_keeps_its_own(self) -> None:
        own = {"name": "mine", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
        spec = await self.pod(named("default"), containers=[{"name": "c", "volumeMounts": [own]}])
        assert spec["containers"][0]["volumeMounts"] == [own]
        assert "volumes" not in spec

    async def test_pull_secrets_come_from_the_account(self) -> None:
        account = named("default", imagePullSecrets=[{"name": "s"}])
        assert (await self.pod(account))["imagePullSecrets"] == [{"name": "s"}]
        own = [{"name": "mine"}]
        assert (await self.pod(account, imagePullSecrets=own))["imagePullSecrets"] == own

    async def test_an_account_that_is_absent(self) -> None:
        plugin = ServiceAccountPlugin(Objects(), nothing, Entropy())
        pod = {"metadata": {}, "spec": {"serviceAccountName": "x"}}
        assert await refusal(plugin, write("pods", pod)) == (
            'pods "a" is forbidden: error looking up service account ns/x: serviceaccount "x" '
            "not found"
        )

    async def test_mirrors_use_none(self) -> None:
        plugin = ServiceAccountPlugin(Objects(), nothing, Entropy())
        meta = {"annotations": {"kubernetes.io/config.mirror": "x"}}
        plain: Json = {"metadata": meta, "spec": {}}
        await plugin.admit(write("pods", plain))
        assert plain["spec"] == {}
        named_one = {"metadata": meta, "spec": {"serviceAccountName": "x"}}
        assert (await refusal(plugin, write("pods", named_one))).endswith(
            "a mirror pod may not reference service accounts"
        )

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            (
                {"volumes": [{"name": "v", "secret": {"secretName": "x"}}]},
                'volume with secret.secretName="x" is not allowed because service account robot '
                "does not reference that secret",
            ),
            (
                {"initContainers": [ENV]},
                'init container c with envVar E referencing secret.secretName="x" is not allowed',
            ),
            (
                {"containers": [ENV_FROM]},
                'container c with envFrom referencing secret.secretName="x" is not allowed',
            ),
            (
                {"imagePullSecrets": [{"name": "x"}]},
                'imagePullSecrets[0].name="x" is not allowed because service account robot does '
                "not reference that imagePullSecret",
            ),
        ],
    )
    async def test_an_account_may_limit_secrets(self, spec: Json, words: str) -> None:
        limiting = {"annotations": {"kubernetes.io/enforce-mountable-secrets": "true"}}
        account: Json = {"metadata": {"name": "robot", "namespace": "ns"}}
        given = {"metadata": {}, "spec": {"serviceAccountName": "robot", **spec}}
        free = ServiceAccountPlugin(Objects(account), nothing, Entropy())
        await free.admit(write("pods", copy.deepcopy(given)))
        asked = copy.deepcopy(given)
        account["metadata"].update(limiting)
        plugin = ServiceAccountPlugin(Objects(account), nothing, Entropy())
        for step in ("admit", "validate"):
            assert words in await refusal(plugin, write("pods", asked), step)
        for field in ("secrets", "imagePullSecrets"):
            account[field] = [{"name": "x"}]
        await plugin.validate(write("pods", asked))

    async def test_secrets_of_ephemeral_containers(self) -> None:
        annotations = {"kubernetes.io/enforce-mountable-secrets": "true"}
        meta = {"name": "robot", "namespace": "ns", "annotations": annotations}
        plugin = ServiceAccountPlugin(Objects({"metadata": meta}), nothing, Entropy())
        spec = {"serviceAccountName": "robot", "containers": [ENV], "ephemeralContainers": [ENV]}
        asked = write("pods", {"spec": spec}, {}, subresource="ephemeralcontainers")
        assert plugin.handles(asked.operation, "", "pods", asked.subresource)
        await plugin.admit(asked)
        assert "ephemeral container c with envVar E" in await refusal(plugin, asked, "validate")
        del spec["ephemeralContainers"]
        await plugin.validate(asked)

    async def test_mirrors_refer_to_no_secret(self) -> None:
        meta = {"annotations": {"kubernetes.io/config.mirror": "x"}}
        plugin = ServiceAccountPlugin(Objects(), nothing, Entropy())
        token: Json = {"projected": {"sources": [{"serviceAccountToken": {}}]}}
        for spec, words in (
            ({"containers": [ENV]}, "a mirror pod may not reference secrets"),
            ({"volumes": [token]}, "a mirror pod may not use ServiceAccountToken volume"),
        ):
            asked = write("pods", {"metadata": meta, "spec": spec})
            assert words in await refusal(plugin, asked, "validate")


class TestRuntimeClasses:
    HEAVY = named(
        "heavy",
        overhead={"podFixed": {"cpu": "100m"}},
        scheduling={"nodeSelector": {"vm": "yes"}, "tolerations": [{"key": "vm"}]},
    )

    async def admit(self, **spec: Any) -> Json:
        pod = {"metadata": {}, "spec": {"runtimeClassName": "heavy", **spec}}
        plugin = RuntimeClassPlugin(Objects(self.HEAVY))
        await plugin.admit(write("pods", pod))
        await plugin.validate(write("pods", pod))
        return pod["spec"]

    async def test_a_pod_gets_what_the_class_says(self) -> None:
        spec = await self.admit(nodeSelector={"a": "b"}, tolerations=[{"key": "k"}])
        assert spec["overhead"] == {"cpu": "100m"}
        assert spec["nodeSelector"] == {"a": "b", "vm": "yes"}
        assert spec["tolerations"] == [{"key": "k"}, {"key": "vm"}]

    async def test_refusals(self) -> None:
        with pytest.raises(ApiError, match="Overhead doesn't match RuntimeClass's"):
            await self.admit(overhead={"cpu": "1"})
        with pytest.raises(
            ApiError, match=r"conflict: runtimeClass\.scheduling\.nodeSelector\[vm]"
        ):
            await self.admit(nodeSelector={"vm": "no"})
        with pytest.raises(ApiError, match='pod rejected: RuntimeClass "none" not found'):
            await self.admit(runtimeClassName="none")

    async def test_overhead_without_a_class(self) -> None:
        pod = {"metadata": {}, "spec": {"overhead": {"cpu": "1"}}}
        text = await refusal(RuntimeClassPlugin(Objects()), write("pods", pod), "validate")
        assert text == (
            'pods "a" is forbidden: pod rejected: Pod Overhead set without corresponding '
            "RuntimeClass defined Overhead"
        )


def dated(name: str, day: int, **annotations: str) -> Json:
    meta = {"name": name, "creationTimestamp": f"2026-01-0{day}T00:00:00Z"}
    return {"metadata": {**meta, "annotations": annotations}}


class TestDefaultClasses:
    STORAGE = "storageclass.kubernetes.io/is-default-class"
    INGRESS = "ingressclass.kubernetes.io/is-default-class"

    async def test_of_storage(self) -> None:
        mark = {self.STORAGE: "true"}
        plugin = DefaultStorageClass(
            Objects(dated("old", 1, **mark), dated("new", 2, **mark), dated("other", 3))
        )
        claim: Json = named("c", spec={})
        await plugin.admit(write("persistentvolumeclaims", claim))
        assert claim["spec"]["storageClassName"] == "new"
        for own in ("", "x"):
            claim = named("c", spec={"storageClassName": own})
            await plugin.admit(write("persistentvolumeclaims", claim))
            assert claim["spec"]["storageClassName"] == own

    async def test_of_ingresses(self) -> None:
        plugin = DefaultIngressClass(Objects(dated("nginx", 1, **{self.INGRESS: "true"})))
        ingress: Json = named("i", spec={})
        await plugin.admit(write("ingresses", ingress, group="networking.k8s.io"))
        assert ingress["spec"]["ingressClassName"] == "nginx"
        old: Json = {"metadata": {"annotations": {"kubernetes.io/ingress.class": "x"}}, "spec": {}}
        await plugin.admit(write("ingresses", old, group="networking.k8s.io"))
        assert old["spec"] == {}


@pytest.mark.parametrize(
    ("resource", "finalizer"),
    [("persistentvolumeclaims", "pvc"), ("persistentvolumes", "pv")],
)
async def test_storage_is_protected_once(resource: str, finalizer: str) -> None:
    plugin = StorageObjectInUseProtection()
    obj: Json = named("a")
    for _ in range(2):
        await plugin.admit(write(resource, obj))
        assert obj["metadata"]["finalizers"] == [f"kubernetes.io/{finalizer}-protection"]


async def test_new_nodes_are_tainted_once() -> None:
    node: Json = named("n")
    taint = {"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}
    for _ in range(2):
        await TaintNodesByCondition().admit(write("nodes", node))
        assert node["spec"]["taints"] == [taint]


class TestClaimResize:
    def claim(self, size: str, phase: str = "Bound", name: str = "fast") -> Json:
        resources = {"requests": {"storage": size}}
        return {
            "spec": {"resources": resources, "storageClassName": name},
            "status": {"phase": phase},
        }

    async def resize(self, new: Json, old: Json) -> None:
        classes = Objects(named("fast", allowVolumeExpansion=True), named("slow"))
        await ClaimResize(classes).validate(write("persistentvolumeclaims", new, old))

    async def test_growing(self) -> None:
        await self.resize(self.claim("2Gi"), self.claim("1Gi"))
        await self.resize(self.claim("1Gi", name="slow"), self.claim("1Gi", name="slow"))

    async def test_refusals(self) -> None:
        with pytest.raises(ApiError, match="Only bound persistent volume claims can be expanded"):
            await self.resize(self.claim("2Gi"), self.claim("1Gi", "Pending"))
        for name in ("slow", "absent", ""):
            with pytest.raises(ApiError, match="only dynamically provisioned pvc can be resized"):
                await self.resize(self.claim("2Gi", name=name), self.claim("1Gi", name=name))


class TestChain:
    def names(self, *off: str) -> list[str]:
        async def no_write(namespace: str, quota: Json) -> None: ...

        async def no_create(group: str, plural: str, obj: Json) -> None: ...

        chain = default_plugins(
            PluginDependencies(
                lister=lambda group, plural: Objects(),
                clock=None,  # type: ignore[arg-type]
                entropy=Entropy(),
                options=Options(disable_admission_plugins=off),
                authorizer=None,
                live=nothing,
                create=no_create,
                resources_of=lambda group, kind: [],
                write_quota=no_write,
                image_review=lambda path: None,
            )
        )
        return chain.names

    def test_namespaces_come_first_and_quotas_last(self) -> None:
        names = self.names()
        assert (names[0], names[-1]) == ("NamespaceLifecycle", "ResourceQuota")

    def test_a_plugin_that_is_off_is_absent(self) -> None:
        assert set(self.names()) - set(self.names("Priority", "PodSecurity")) == {
            "Priority",
            "PodSecurity",
        }

    async def test_who_handles_what_is_remembered_but_for_those_that_say_it_changes(self) -> None:
        class Plugin:
            def __init__(self, name: str, *, live: bool) -> None:
                self.name, self.live = name, live
                self.wants, self.asked = True, 0

            def handles(
                self, operation: Operation, group: str, resource: str, subresource: str
            ) -> bool:
                self.asked += 1
                return self.wants and resource == "pods"

            async def admit(self, attributes: Attributes) -> None:
                seen.append(self.name)

        seen: list[str] = []
        fixed, changing = Plugin("fixed", live=False), Plugin("changing", live=True)
        chain = AdmissionChain((fixed, changing))

        async def admitted(resource: str) -> list[str]:
            seen.clear()
            await chain.admit(write(resource, {}))
            return list(seen)

        for _ in range(3):
            assert await admitted("pods") == ["fixed", "changing"]
            assert await admitted("services") == []
        assert fixed.asked == 2
        changing.wants = False
        assert await admitted("pods") == ["fixed"]
        changing.wants = True
        assert await admitted("pods") == ["fixed", "changing"]
