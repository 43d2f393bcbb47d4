"""What a kubelet may write."""

from __future__ import annotations

from typing import Any

import pytest
from admission_stage import Allowing, Objects, handled, passes, refusal, write
from certificate_requests import request

from kapi.admission.nodes.credentials import NodeCredentials
from kapi.admission.nodes.node_restriction import NodeRestriction
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
NODE = UserInfo("system:node:n", groups=("system:nodes",))
MIRROR = {"kubernetes.io/config.mirror": "x"}
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "node-uid", "controller": True}


def pod(name: str = "a", node: str = "n", **spec: Any) -> Json:
    meta = {"name": name, "namespace": "ns", "uid": f"{name}-uid"}
    return {"metadata": meta, "spec": {"nodeName": node, **spec}}


def plugin(*allowed: tuple[str, str, str], **objects: Objects) -> NodeRestriction:
    nodes = Objects({"metadata": {"name": "n", "uid": "node-uid"}})
    found = {"nodes": nodes, "pods": Objects(), **objects}
    credentials = NodeCredentials(
        lambda group, plural: found.get(plural, Objects()), Allowing(*allowed)
    )
    return NodeRestriction(found["pods"], found["nodes"], credentials)


def by_node(resource: str, obj: Json | None, old: Json | None = None, **more: Any) -> Any:
    return write(resource, obj, old, **{"user": NODE, **more})


async def test_others_are_not_asked() -> None:
    await passes(plugin(), write("pods", pod()))
    nobody = UserInfo("system:node:", groups=("system:nodes",))
    found = await refusal(plugin(), write("pods", pod(), user=nobody))
    assert found == 'could not determine node from user "system:node:"'
    assert not handled(plugin(), by_node("configmaps", {}))


def mirror(*owners: Json, **spec: Any) -> Json:
    meta = {"name": "a", "annotations": MIRROR, "ownerReferences": list(owners)}
    return {"metadata": meta, "spec": {"nodeName": "n", **spec}}


CONFIG = {"name": "v", "configMap": {"name": "c"}}
BUNDLE = {"name": "v", "projected": {"sources": [{"clusterTrustBundle": {}}]}}
CLAIM = {"name": "v", "persistentVolumeClaim": {"claimName": "c"}}


async def test_a_mirror_pod_of_its_own() -> None:
    await passes(plugin(), by_node("pods", mirror(OWNER)))


@pytest.mark.parametrize(
    ("obj", "words"),
    [
        (pod(), 'does not have "kubernetes.io/config.mirror" annotation, node "n" can only create'),
        (mirror(OWNER, nodeName="m"), "only create pods with spec.nodeName set to itself"),
        (mirror(), "only create pods with an owner reference set to itself"),
        (mirror(OWNER, OWNER), "a single owner reference set to itself"),
        (mirror({**OWNER, "name": "m"}), "only create pods with an owner reference set to itself"),
        (mirror({**OWNER, "controller": False}), "a controller owner reference set"),
        (mirror({**OWNER, "blockOwnerDeletion": True}), "must not set blockOwnerDeletion"),
        (mirror({**OWNER, "uid": "u"}), "node n UID mismatch: expected u got node-uid"),
        (mirror(OWNER, serviceAccountName="s"), "not create pods that reference a service account"),
        (mirror(OWNER, imagePullSecrets=[{"name": "s"}]), "not create pods that reference secrets"),
        (mirror(OWNER, volumes=[CONFIG]), "not create pods that reference configmaps"),
        (mirror(OWNER, volumes=[BUNDLE]), "not create pods that reference clustertrustbundles"),
        (mirror(OWNER, volumes=[CLAIM]), "not create pods that reference persistentvolumeclaims"),
        (
            mirror(OWNER, resourceClaims=[{"name": "c"}]),
            "not create pods that reference resourceclaims",
        ),
    ],
)
async def test_no_other_pods(obj: Json, words: str) -> None:
    assert words in await refusal(plugin(), by_node("pods", obj))


async def test_pods_that_run_there() -> None:
    pods = Objects(pod(), pod("b", "m"))

    def deletion(name: str) -> Any:
        return by_node("pods", None, pod(), operation="DELETE", name=name)

    def eviction(name: str) -> Any:
        return by_node("pods", {}, subresource="eviction", name=name)

    here = plugin(pods=pods)
    await passes(here, deletion("a"))
    await passes(here, eviction("a"))
    words = "pods with spec.nodeName set to itself"
    assert await refusal(here, deletion("b")) == f'node "n" can only delete {words}'
    assert await refusal(here, eviction("b")) == f"node n can only evict {words}"
    for absent in (deletion("c"), eviction("c")):
        with pytest.raises(ApiError, match='pods "c" not found'):
            await here.admit(absent)
    update = by_node("pods", pod(), pod())
    assert await refusal(here, update) == (
        'unexpected operation "UPDATE", node "n" can only create and delete mirror pods'
    )
    assert await refusal(here, by_node("pods", {}, pod(), subresource="resize")) == (
        "unexpected pod subresource \"resize\", only 'status' and 'eviction' are allowed"
    )


async def test_status_of_pods() -> None:
    def status(new: Json, old: Json) -> Any:
        return by_node("pods", new, old, subresource="status")

    await passes(plugin(), status({**pod(), "status": {"phase": "Running"}}, pod()))
    assert await refusal(plugin(), status(pod(node="m"), pod(node="m"))) == (
        'node "n" can only update pod status for pods with spec.nodeName set to itself'
    )
    labelled = pod()
    labelled["metadata"]["labels"] = {"a": "b"}
    assert await refusal(plugin(), status(labelled, pod())) == (
        'node "n" cannot update labels through pod status'
    )
    claims = {"resourceClaimStatuses": [{"name": "c", "resourceClaimName": "r"}]}
    assert await refusal(plugin(), status({**pod(), "status": claims}, pod())) == (
        'node "n" cannot update resource claim statues'
    )
    extended = {"extendedResourceClaimStatus": {"resourceClaimName": "r"}}
    assert await refusal(plugin(), status({**pod(), "status": extended}, pod())) == (
        'node "n" cannot update extended resource claim status'
    )


def node(**labels: str) -> Json:
    return {
        "metadata": {"name": "n", "labels": {k.replace("__", "/"): v for k, v in labels.items()}}
    }


async def test_its_own_node() -> None:
    good = node(a="b", **{"kubernetes.io__hostname": "n", "x.kubelet.kubernetes.io__y": "z"})
    await passes(plugin(), by_node("nodes", good, name="n", namespace=""))
    bad = node(**{"x.k8s.io__a": "b", "node-restriction.kubernetes.io__c": "d"})
    assert await refusal(plugin(), by_node("nodes", bad, name="n")) == (
        'node "n" is not allowed to set the following labels: '
        "node-restriction.kubernetes.io/c, x.k8s.io/a"
    )
    assert await refusal(plugin(), by_node("nodes", good, name="m")) == (
        'node "n" is not allowed to modify node "m"'
    )
    await passes(plugin(), by_node("nodes", bad, bad, name="n"))
    assert await refusal(plugin(), by_node("nodes", node(), bad, name="n")) == (
        "is not allowed to modify labels: node-restriction.kubernetes.io/c, x.k8s.io/a"
    )
    tainted = {**node(), "spec": {"taints": [{"key": "a"}]}}
    assert await refusal(plugin(), by_node("nodes", tainted, node(), name="n")) == (
        'node "n" is not allowed to modify taints'
    )
    await passes(plugin(), by_node("nodes", {**node(), "spec": {"taints": []}}, node(), name="n"))
    owned = {"metadata": {"name": "n", "ownerReferences": [{"name": "x"}]}}
    assert await refusal(plugin(), by_node("nodes", owned, node(), name="n")) == (
        'node "n" is not allowed to modify ownerReferences'
    )
    sourced = {**node(), "spec": {"configSource": {}}}
    assert "non-nil configSource" in await refusal(plugin(), by_node("nodes", sourced, name="n"))
    assert "new non-nil configSource" in await refusal(
        plugin(), by_node("nodes", sourced, node(), name="n")
    )


async def test_claims_leases_drivers_and_slices() -> None:
    claims = "persistentvolumeclaims"
    old = {"metadata": {"name": "a"}, "spec": {"x": 1}, "status": {"phase": "Bound"}}
    grown = {**old, "status": {"phase": "Bound", "capacity": {"storage": "2"}, "conditions": []}}
    await passes(plugin(), by_node(claims, grown, old, subresource="status"))
    lost = {**old, "status": {"phase": "Lost"}}
    assert await refusal(plugin(), by_node(claims, lost, old, subresource="status")) == (
        'node "n" is not allowed to update fields other than status.quantity and status.conditions'
    )
    assert await refusal(plugin(), by_node(claims, old, old)) == "may only update PVC status"
    for resource, what in (
        ("coordination.k8s.io/leases", "node lease"),
        ("storage.k8s.io/csinodes", "CSINode"),
    ):
        own = {"metadata": {"name": "n"}}
        where: Json = {"namespace": "kube-node-lease"}
        await passes(plugin(), by_node(resource, own, **where))
        await passes(plugin(), by_node(resource, own, own, name="n", **where))
        words = f"can only access {what} with the same name as the requesting node"
        assert (
            await refusal(plugin(), by_node(resource, {"metadata": {"name": "m"}}, **where))
            == words
        )
        assert await refusal(plugin(), by_node(resource, own, own, name="m", **where)) == words
    assert await refusal(plugin(), by_node("coordination.k8s.io/leases", own)) == (
        'can only access leases in the "kube-node-lease" system namespace'
    )
    slices = "resource.k8s.io/resourceslices"
    slice_of = {"metadata": {"name": "s"}, "spec": {"nodeName": "m"}}
    words = "can only {} ResourceSlice with the same NodeName as the requesting node"
    assert await refusal(plugin(), by_node(slices, slice_of)) == words.format("create")
    gone = by_node(slices, None, slice_of, operation="DELETE")
    assert await refusal(plugin(), gone) == words.format("delete")
    await passes(plugin(), by_node(slices, slice_of, slice_of))
    await passes(plugin(), by_node(slices, {"spec": {"nodeName": "n"}}))


def token(audiences: list[str] | None = None, **bound: str) -> Any:
    reference = {"apiVersion": "v1", "kind": "Pod", "name": "a", "uid": "a-uid", **bound}
    spec = {"boundObjectRef": reference, "audiences": audiences or []}
    return by_node("serviceaccounts", {"spec": spec}, subresource="token", name="sa")


def projected(audience: str) -> Json:
    source = {"serviceAccountToken": {"audience": audience, "path": "t"}}
    return {"name": "p", "projected": {"sources": [source]}}


class TestTokens:
    @pytest.mark.parametrize(
        ("asked", "words"),
        [
            (token(kind="Secret"), "node requested token not bound to a pod"),
            (token(name=""), "node requested token not bound to a pod"),
            (token(uid=""), "node requested token with a pod binding without a uid"),
            (
                token(uid="x"),
                "reference (x) does not match the UID in record. The object might have been",
            ),
            (token(name="b", uid="b-uid"), "bound to a pod scheduled on a different node"),
            (token(["x", "y"]), "node may only request 0 or 1 audiences"),
            (
                token(["x"]),
                'audience "x" not found in pod spec volume, system:node:n',
            ),
        ],
    )
    async def test_refused(self, asked: Any, words: str) -> None:
        pods = Objects(pod(volumes=[projected("vault")]), pod("b", "m"))
        assert words in await refusal(plugin(pods=pods), asked)

    async def test_for_what_the_pod_uses(self) -> None:
        pods = Objects(pod(volumes=[projected(""), projected("vault")]))
        await passes(plugin(pods=pods), token())
        await passes(plugin(pods=pods), token(["vault"]))
        with pytest.raises(ApiError, match='pods "z" not found'):
            await plugin(pods=pods).admit(token(name="z"))

    async def test_for_what_somebody_allowed(self) -> None:
        rule = ("request-serviceaccounts-token-audience", "registry", "sa")
        await passes(plugin(rule, pods=Objects(pod())), token(["registry"]))

    async def test_for_what_a_driver_of_the_pod_uses(self) -> None:
        driver = {"metadata": {"name": "d"}, "spec": {"tokenRequests": [{"audience": "aws"}]}}
        claim = {"metadata": {"name": "c", "namespace": "ns"}, "spec": {"volumeName": "v"}}
        volume = {"metadata": {"name": "v"}, "spec": {"csi": {"driver": "d"}}}
        own = {**claim, "metadata": {"name": "a-e", "namespace": "ns"}}
        for volumes in (
            [{"name": "x", "csi": {"driver": "d"}}],
            [{"name": "x", "persistentVolumeClaim": {"claimName": "c"}}],
            [{"name": "e", "ephemeral": {}}],
        ):
            here = plugin(
                pods=Objects(pod(volumes=volumes)),
                csidrivers=Objects(driver),
                persistentvolumeclaims=Objects(claim, own),
                persistentvolumes=Objects(volume),
            )
            await passes(here, token(["aws"]))
            assert "not found in pod spec volume" in await refusal(here, token(["gcp"]))

    async def test_what_cannot_be_told(self) -> None:
        claimed = pod(volumes=[{"name": "x", "persistentVolumeClaim": {"claimName": "c"}}])
        here = plugin(pods=Objects(claimed))
        assert await refusal(here, token(["x"])) == (
            'error validating audience "x": persistentvolumeclaim "c" not found'
        )


async def test_certificates_of_its_own() -> None:
    requests = "certificates.k8s.io/certificatesigningrequests"

    def asked(common_name: str, signer: str = "kubernetes.io/kubelet-serving") -> Any:
        return by_node(requests, {"spec": {"signerName": signer, "request": request(common_name)}})

    await passes(plugin(), asked("system:node:n"))
    await passes(plugin(), asked("x", "example.com/s"))
    words = "can only create a node CSR with CN=system:node:n"
    assert await refusal(plugin(), asked("system:node:m")) == words
    odd = by_node(requests, {"spec": {"signerName": "kubernetes.io/kubelet-serving"}})
    assert (await refusal(plugin(), odd)).startswith("unable to parse csr: ")


class TestPodCertificates:
    KIND = "certificates.k8s.io/podcertificaterequests"
    GOOD: Json = {  # noqa: RUF012
        "nodeName": "n",
        "nodeUID": "node-uid",
        "podName": "a",
        "podUID": "a-uid",
        "serviceAccountName": "sa",
        "serviceAccountUID": "sa-uid",
        "signerName": "example.com/s",
    }

    def here(
        self, *allowed: tuple[str, str, str], signer: str = "example.com/s"
    ) -> NodeRestriction:
        mounted = {"projected": {"sources": [{"podCertificate": {"signerName": signer}}]}}
        mirrored = pod("m", serviceAccountName="sa")
        mirrored["metadata"]["annotations"] = MIRROR
        pods = Objects(
            pod(serviceAccountName="sa", volumes=[mounted]), pod("b", "elsewhere"), mirrored
        )
        account = {"metadata": {"name": "sa", "namespace": "ns", "uid": "sa-uid"}}
        return plugin(*allowed, pods=pods, serviceaccounts=Objects(account))

    def asked(self, **fields: str) -> Any:
        return by_node(self.KIND, {"spec": {**self.GOOD, **fields}})

    async def test_as_things_are(self) -> None:
        await passes(self.here(), self.asked())

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"nodeName": "m"}, 'NodeName="m", which is not the requesting node "n"'),
            ({"podName": "b", "podUID": "b-uid"}, 'pod "ns/b" is not running on node "n" named'),
            ({"podName": "m", "podUID": "m-uid"}, 'pod "ns/m" is a mirror pod'),
            (
                {"serviceAccountName": "x"},
                'serviceAccountName ("x") that differs from running pod ("sa")',
            ),
        ],
    )
    async def test_refused(self, fields: dict[str, str], words: str) -> None:
        assert words in await refusal(self.here(), self.asked(**fields))

    @pytest.mark.parametrize("field", ["nodeUID", "podUID", "serviceAccountUID"])
    async def test_what_may_have_changed_is_a_conflict(self, field: str) -> None:
        with pytest.raises(ApiError) as caught:
            await self.here().admit(self.asked(**{field: "old"}))
        assert caught.value.code == 409
        assert '"old"' in caught.value.message

    async def test_for_a_signer_that_the_pod_mounts_or_somebody_allowed(self) -> None:
        words = (
            'pod "ns/a" does not mount a podCertificate projected volume for signer "example.com/s"'
        )
        assert await refusal(self.here(signer="other.com/s"), self.asked()) == words
        rule = ("request-serviceaccounts-podcertificate-signer", "example.com:s", "sa")
        await passes(self.here(rule, signer="other.com/s"), self.asked())
