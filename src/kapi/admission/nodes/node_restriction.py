"""NodeRestriction: a kubelet writes about itself and the pods on its node, and about nothing else.

What the Node authorizer cannot see, the body of a request, is looked at here. Whoever is not a node
is not asked. What nodes may request tokens and certificates for is in `credentials.py`.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#noderestriction
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.nodes.credentials import NodeCredentials
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.authorization import node_references
from kapi.authorization.node import LEASE_NAMESPACE, node_of
from kapi.errors import quote

Json = dict[str, Any]
_LABELS = frozenset(
    (
        "beta.kubernetes.io/arch",
        "beta.kubernetes.io/instance-type",
        "beta.kubernetes.io/os",
        "failure-domain.beta.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "kubernetes.io/arch",
        "kubernetes.io/hostname",
        "kubernetes.io/os",
        "node.kubernetes.io/instance-type",
        "topology.kubernetes.io/region",
        "topology.kubernetes.io/zone",
    )
)
_LABEL_DOMAINS = ("kubelet.kubernetes.io", "node.kubernetes.io")
_RESERVED_DOMAINS = ("node-restriction.kubernetes.io",)
_KUBERNETES_DOMAINS = ("kubernetes.io", "k8s.io")
# What a node says of a claim: how large it has become, and how its growth goes.
_CLAIM_STATUS = ("capacity", "conditions", "allocatedResources", "allocatedResourceStatuses")
_REFERENCES = ("secrets", "configmaps")


class NodeRestriction:
    name = "NodeRestriction"

    def __init__(self, pods: Lister, nodes: Lister, credentials: NodeCredentials) -> None:
        self._pods = pods
        self._nodes = nodes
        self._about: Mapping[tuple[str, str], Callable[[str, Attributes], Any]] = {
            ("", "pods"): self._pod,
            ("", "nodes"): self._node,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "serviceaccounts"): credentials.token,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("certificates.k8s.io", "podcertificaterequests"): credentials.pod_certificate,
            ("certificates.k8s.io", "certificatesigningrequests"): credentials.certificate,
        }

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation != "CONNECT" and (group, resource) in self._about

    async def admit(self, attributes: Attributes) -> None:
        """Changes nothing: it stands before those that add what a node may not send."""
        a = attributes
        node = node_of(a.user)
        if node is None:
            return
        if not node:
            raise refused(a, f"could not determine node from user {quote(a.user.name)}")
        outcome = self._about[a.group, a.resource](node, a)
        if outcome is not None:
            await outcome

    # -- pods -------------------------------------------------------------------------------------

    def _pod(self, node: str, a: Attributes) -> None:
        if a.subresource == "status":
            self._pod_status(node, a)
        elif a.subresource == "eviction":
            if a.operation != "CREATE":
                raise refused(a, f"unexpected operation {a.operation}")
            if _node_name(self._existing(a)) != node:
                text = f"node {node} can only evict pods with spec.nodeName set to itself"
                raise refused(a, text)
        elif a.subresource:
            text = f"unexpected pod subresource {quote(a.subresource)}, only 'status' and "
            raise refused(a, f"{text}'eviction' are allowed")
        elif a.operation == "CREATE":
            self._mirror_pod(node, a)
        elif a.operation == "DELETE":
            if _node_name(self._existing(a)) != node:
                text = f"node {quote(node)} can only delete pods with spec.nodeName set to itself"
                raise refused(a, text)
        else:
            text = f"unexpected operation {quote(a.operation)}, node {quote(node)} can only create "
            raise refused(a, f"{text}and delete mirror pods")

    def _existing(self, a: Attributes) -> Json:
        pod = self._pods.get(a.namespace, a.name)
        if pod is None:
            raise errors.not_found("", "pods", a.name)
        return pod

    def _mirror_pod(self, node: str, a: Attributes) -> None:
        pod, who = a.object or {}, f"node {quote(node)}"
        meta, spec = pod.get("metadata") or {}, pod.get("spec") or {}
        if node_references.MIRROR_POD not in (meta.get("annotations") or {}):
            text = f'pod does not have "{node_references.MIRROR_POD}" annotation, {who} can only '
            raise refused(a, f"{text}create mirror pods")
        if spec.get("nodeName") != node:
            raise refused(a, f"{who} can only create pods with spec.nodeName set to itself")
        self._owner(node, a, meta.get("ownerReferences") or [])
        referred = {kind for kind, _ in node_references.of_pod(pod)}
        if spec.get("serviceAccountName"):
            raise refused(a, f"{who} can not create pods that reference a service account")
        kinds = [kind for kind in _REFERENCES if kind in referred]
        sources = [
            source
            for volume in spec.get("volumes") or ()
            for source in (volume.get("projected") or {}).get("sources") or ()
        ]
        if any(source.get("clusterTrustBundle") is not None for source in sources):
            kinds.append("clustertrustbundles")
        if any(v.get("persistentVolumeClaim") is not None for v in spec.get("volumes") or ()):
            kinds.append("persistentvolumeclaims")
        if spec.get("resourceClaims"):
            kinds.append("resourceclaims")
        if kinds:
            raise refused(a, f"{who} can not create pods that reference {kinds[0]}")

    def _owner(self, node: str, a: Attributes, owners: list[Json]) -> None:
        """A mirror pod belongs to its node."""
        who = f"node {quote(node)}"
        if len(owners) > 1:
            text = "can only create pods with a single owner reference set to itself"
            raise refused(a, f"{who} {text}")
        owner = owners[0] if owners else {}
        if (owner.get("apiVersion"), owner.get("kind"), owner.get("name")) != ("v1", "Node", node):
            text = "can only create pods with an owner reference set to itself"
            raise refused(a, f"{who} {text}")
        if not owner.get("controller"):
            text = "can only create pods with a controller owner reference set to itself"
            raise refused(a, f"{who} {text}")
        if owner.get("blockOwnerDeletion"):
            raise refused(a, f"{who} must not set blockOwnerDeletion on an owner reference")
        found = self._nodes.get("", node)
        if found is None:
            raise errors.not_found("", "nodes", node)
        uid, given = found["metadata"]["uid"], owner.get("uid", "")
        if uid != given:
            raise refused(a, f"node {node} UID mismatch: expected {given} got {uid}")

    def _pod_status(self, node: str, a: Attributes) -> None:
        if a.operation != "UPDATE":
            raise refused(a, f"unexpected operation {quote(a.operation)}")
        old, new, who = a.old or {}, a.object or {}, f"node {quote(node)}"
        if _node_name(old) != node:
            text = "can only update pod status for pods with spec.nodeName set to itself"
            raise refused(a, f"{who} {text}")
        if _labels(old) != _labels(new):
            raise refused(a, f"{who} cannot update labels through pod status")
        before, after = old.get("status") or {}, new.get("status") or {}
        if _device_claims(before) != _device_claims(after):
            raise refused(a, f"{who} cannot update resource claim statues")
        field = "extendedResourceClaimStatus"
        if before.get(field) != after.get(field):
            raise refused(a, f"{who} cannot update extended resource claim status")

    # -- the node itself --------------------------------------------------------------------------

    def _node(self, node: str, a: Attributes) -> None:
        who = f"node {quote(node)}"
        if a.name != node:
            raise refused(a, f"{who} is not allowed to modify node {quote(a.name)}")
        new, old = a.object or {}, a.old or {}
        spec, before = new.get("spec") or {}, old.get("spec") or {}
        if a.operation == "CREATE":
            if spec.get("configSource") is not None:
                text = "is not allowed to create pods with a non-nil configSource"
                raise refused(a, f"{who} {text}")
            forbidden = _forbidden_labels(_labels(new), {})
            if forbidden:
                listed = ", ".join(forbidden)
                raise refused(a, f"{who} is not allowed to set the following labels: {listed}")
        if a.operation == "UPDATE":
            source = spec.get("configSource")
            if source is not None and source != before.get("configSource"):
                text = "is not allowed to update configSource to a new non-nil configSource"
                raise refused(a, f"{who} {text}")
            if (spec.get("taints") or []) != (before.get("taints") or []):
                raise refused(a, f"{who} is not allowed to modify taints")
            owners = [(o.get("metadata") or {}).get("ownerReferences") or [] for o in (old, new)]
            if owners[0] != owners[1]:
                raise refused(a, f"{who} is not allowed to modify ownerReferences")
            forbidden = _forbidden_labels(_labels(new), _labels(old))
            if forbidden:
                raise refused(a, f"is not allowed to modify labels: {', '.join(forbidden)}")

    # -- others -----------------------------------------------------------------------------------

    def _claim(self, node: str, a: Attributes) -> None:
        if a.subresource != "status":
            raise refused(a, "may only update PVC status")
        if a.operation != "UPDATE":
            raise refused(a, f"unexpected operation {quote(a.operation)}")
        if _rest_of_claim(a.old or {}) != _rest_of_claim(a.object or {}):
            text = (
                "is not allowed to update fields other than status.quantity and status.conditions"
            )
            raise refused(a, f"node {quote(node)} {text}")

    def _lease(self, node: str, a: Attributes) -> None:
        if a.namespace != LEASE_NAMESPACE:
            text = f"can only access leases in the {quote(LEASE_NAMESPACE)} system namespace"
            raise refused(a, text)
        if _written_name(a) != node:
            text = "can only access node lease with the same name as the requesting node"
            raise refused(a, text)

    def _csi_node(self, node: str, a: Attributes) -> None:
        if _written_name(a) != node:
            text = "can only access CSINode with the same name as the requesting node"
            raise refused(a, text)

    def _slice(self, node: str, a: Attributes) -> None:
        """An update is of a slice that the authorizer has seen, and cannot change its node."""
        if a.operation == "UPDATE":
            return
        verb, obj = ("create", a.object) if a.operation == "CREATE" else ("delete", a.old)
        if _node_name(obj or {}) != node:
            text = f"can only {verb} ResourceSlice with the same NodeName as the requesting node"
            raise refused(a, text)


def _node_name(obj: Json) -> str:
    return (obj.get("spec") or {}).get("nodeName") or ""


def _labels(obj: Json) -> Json:
    return (obj.get("metadata") or {}).get("labels") or {}


def _written_name(a: Attributes) -> str:
    if a.operation == "CREATE":
        return str(((a.object or {}).get("metadata") or {}).get("name", ""))
    return a.name


def _device_claims(status: Json) -> list[tuple[Any, Any]]:
    claims = status.get("resourceClaimStatuses") or ()
    return [(c.get("name"), c.get("resourceClaimName")) for c in claims]


def _rest_of_claim(claim: Json) -> Json:
    meta = dict(claim.get("metadata") or {})
    status = dict(claim.get("status") or {})
    for field in ("resourceVersion", "managedFields"):
        meta.pop(field, None)
    for field in _CLAIM_STATUS:
        status.pop(field, None)
    return {**claim, "metadata": meta, "status": status}


def _forbidden_labels(new: Json, old: Json) -> list[str]:
    """Labels that change and are not a node's to set."""
    changed = {k for k in new.keys() | old.keys() if new.get(k) != old.get(k)}
    return sorted(key for key in changed if _is_reserved(key))


def _is_reserved(key: str) -> bool:
    domain, slash, _ = key.partition("/")
    if not slash:
        return False
    if _within(domain, _RESERVED_DOMAINS):
        return True
    known = key in _LABELS or _within(domain, _LABEL_DOMAINS)
    return _within(domain, _KUBERNETES_DOMAINS) and not known


def _within(domain: str, domains: tuple[str, ...]) -> bool:
    return any(domain == d or domain.endswith(f".{d}") for d in domains)
