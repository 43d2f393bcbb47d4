"""Node: a kubelet may read what the pods on its node need, and write what is about itself.

Which objects those are is found in the cache: pods by node (`node_pods.py`), and from them secrets,
config maps, claims and volumes. What the authorizer cannot see (the body of a create) the admission
plugin NodeRestriction checks. Everything else a kubelet needs is in the rules of the role
`system:node`. Without an opinion the next authorizer is asked; the reason is then part of the 403.
https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from kapi.authorization import node_references
from kapi.authorization.authorizer import Attributes, Decision, Rules
from kapi.authorization.node_pods import Pods, PodsByNode
from kapi.authorization.rbac_rules import Rule, Ruleset
from kapi.errors import ApiError, quote
from kapi.messages import UserInfo
from kapi.selector import fields

Json = dict[str, Any]
NODES_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"
LEASE_NAMESPACE = "kube-node-lease"
_OWN_VERBS = ("get", "create", "update", "patch", "delete")
_ALLOW = (Decision.ALLOW, "")
_NO_OPINION = (Decision.NO_OPINION, "")
_Answer = tuple[Decision, str]


def node_of(user: UserInfo) -> str | None:
    """The node that a user is: empty if he does not say which, None if he is none."""
    if not user.name.startswith(NODE_USER_PREFIX) or NODES_GROUP not in user.groups:
        return None
    return user.name[len(NODE_USER_PREFIX) :]


class Lister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...


class NodeAuthorizer:
    def __init__(
        self, pods: Pods, lister: Callable[[str, str], Lister], rules: Iterable[Rule]
    ) -> None:
        """`lister` by group and plural; `rules`: those of the role system:node."""
        self._by_node = PodsByNode(pods)
        self._rules = Ruleset(rules)
        self._lister = lister
        self._about = {
            ("", "secrets"): self._read_in_namespace,
            ("", "configmaps"): self._read_in_namespace,
            ("", "persistentvolumeclaims"): self._claim,
            ("", "persistentvolumes"): self._get,
            ("resource.k8s.io", "resourceclaims"): self._get,
            ("storage.k8s.io", "volumeattachments"): self._get,
            ("", "serviceaccounts"): self._account,
            ("coordination.k8s.io", "leases"): self._lease,
            ("storage.k8s.io", "csinodes"): self._csi_node,
            ("resource.k8s.io", "resourceslices"): self._slice,
            ("", "nodes"): self._node,
            ("", "pods"): self._pod,
            ("certificates.k8s.io", "podcertificaterequests"): self._certificate_request,
        }

    async def authorize(self, attributes: Attributes) -> _Answer:
        a = attributes
        node = node_of(a.user)
        if node is None:
            return _NO_OPINION
        if not node:
            return _no(f"unknown node for user {quote(a.user.name)}")
        if a.is_resource:
            about = self._about.get((a.group, a.resource))
            if about is not None:
                return await about(node, a)
        return _ALLOW if self._rules.allows(a) else _NO_OPINION

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        if node_of(user) is not None:
            return Rules(
                incomplete=True,
                errors=["node authorizer does not support user rule resolution"],
            )
        return Rules()

    # -- by resource ------------------------------------------------------------------------------

    async def _read_in_namespace(self, node: str, a: Attributes) -> _Answer:
        if a.verb not in ("get", "list", "watch"):
            return _no("can only read resources of this type")
        if a.subresource:
            return _no("cannot read subresource")
        if not a.namespace:
            return _no("can only read namespaced object of this type")
        return await self._related(node, a)

    async def _claim(self, node: str, a: Attributes) -> _Answer:
        if a.subresource != "status":
            return await self._get(node, a)
        if a.verb not in ("update", "patch"):
            return _no("can only get/update/patch this type")
        return await self._related(node, a)

    async def _get(self, node: str, a: Attributes) -> _Answer:
        if a.verb != "get":
            return _no("can only get individual resources of this type")
        if a.subresource:
            return _no("cannot get subresource")
        return await self._related(node, a)

    async def _account(self, node: str, a: Attributes) -> _Answer:
        if a.verb == "get" and not a.subresource:
            return await self._get(node, a)
        if a.verb != "create" or not a.name:
            return _no("can only create tokens for individual service accounts")
        if a.subresource != "token":
            return _no("can only create token subresource of serviceaccount")
        return await self._related(node, a)

    async def _lease(self, node: str, a: Attributes) -> _Answer:
        if a.verb not in _OWN_VERBS:
            return _no("can only get, create, update, patch, or delete a node lease")
        if a.namespace != LEASE_NAMESPACE:
            return _no(f"can only access leases in the {quote(LEASE_NAMESPACE)} system namespace")
        # The name of what is made stands in the body: for admission to check.
        if a.verb != "create" and a.name != node:
            return _no("can only access node lease with the same name as the requesting node")
        return _ALLOW

    async def _csi_node(self, node: str, a: Attributes) -> _Answer:
        if a.verb not in _OWN_VERBS:
            return _no("can only get, create, update, patch, or delete a CSINode")
        if a.subresource:
            return _no("cannot authorize CSINode subresources")
        if a.verb != "create" and a.name != node:
            return _no("can only access CSINode with the same name as the requesting node")
        return _ALLOW

    async def _slice(self, node: str, a: Attributes) -> _Answer:
        if a.subresource:
            return _no("cannot authorize ResourceSlice subresources")
        if a.verb == "create":
            return _ALLOW
        if a.verb in ("get", "update", "patch", "delete"):
            return await self._related(node, a)
        if a.verb in ("watch", "list", "deletecollection"):
            if _selects(a, "spec.nodeName", node):
                return _ALLOW
            return _no(
                "can only list/watch/deletecollection resourceslices with nodeName field selector"
            )
        return _no(
            "only the following verbs are allowed for a ResourceSlice: get, watch, list, create, "
            "update, patch, delete, deletecollection"
        )

    async def _node(self, node: str, a: Attributes) -> _Answer:
        if not a.subresource and a.verb in ("create", "update", "patch"):
            return _ALLOW
        if not a.subresource and a.verb in ("get", "list", "watch"):
            if a.name == node:
                return _ALLOW
            if not a.name:
                return _no(f"node '{node}' cannot read all nodes, only its own Node object")
            return _no(f"node '{node}' cannot read '{a.name}', only its own Node object")
        if a.subresource == "status" and a.verb in ("update", "patch"):
            return _ALLOW
        return _NO_OPINION

    async def _pod(self, node: str, a: Attributes) -> _Answer:
        if not a.subresource:
            if a.verb == "get":
                return await self._get(node, a)
            if a.verb in ("list", "watch"):
                if _selects(a, "spec.nodeName", node):
                    return _ALLOW
                if a.name:
                    return await self._related(node, a)
                return _no("can only list/watch pods with spec.nodeName field selector")
            if a.verb in ("create", "delete"):
                return _ALLOW
        if a.subresource == "status" and a.verb in ("update", "patch"):
            return _ALLOW
        if a.subresource == "eviction" and a.verb == "create":
            return _ALLOW
        return _NO_OPINION

    async def _certificate_request(self, node: str, a: Attributes) -> _Answer:
        if a.subresource:
            return _no("nodes may not access the status subresource of PodCertificateRequests")
        if a.verb == "create":
            return _ALLOW
        if a.verb == "get":
            return await self._related(node, a)
        if a.verb in ("list", "watch"):
            if _selects(a, "spec.nodeName", node):
                return _ALLOW
            return _no("can only list/watch podcertificaterequests with nodeName field selector")
        return _no(f"nodes may not {a.verb} podcertificaterequests")

    # -- relations --------------------------------------------------------------------------------

    async def _related(self, node: str, a: Attributes) -> _Answer:
        if not a.name:
            return _no("No Object name found")
        if await self._is_related(node, a):
            return _ALLOW
        return _no(f"no relationship found between node '{node}' and this object")

    async def _is_related(self, node: str, a: Attributes) -> bool:
        if a.resource in _NODE_NAMED:
            obj = self._lister(a.group, a.resource).get(a.namespace, a.name)
            return ((obj or {}).get("spec") or {}).get("nodeName") == node
        if a.resource == "persistentvolumes":
            return await self._mounts(node, a.name)
        if await self._by_node.refers(node, a.namespace, (a.resource, a.name)):
            return True
        return a.resource == "secrets" and await self._by_volume(node, a.namespace, a.name)

    async def _mounts(self, node: str, name: str) -> bool:
        volume = self._lister("", "persistentvolumes").get("", name)
        claim = ((volume or {}).get("spec") or {}).get("claimRef")
        if claim is None:
            return False
        reference = ("persistentvolumeclaims", claim.get("name", ""))
        return await self._by_node.refers(node, claim.get("namespace", ""), reference)

    async def _by_volume(self, node: str, namespace: str, name: str) -> bool:
        """Whether a volume that is mounted on the node needs the secret."""
        claims = self._lister("", "persistentvolumeclaims")
        volumes = self._lister("", "persistentvolumes")
        for where, claim_name in await self._by_node.references(node, "persistentvolumeclaims"):
            claim = claims.get(where, claim_name)
            volume = volumes.get("", ((claim or {}).get("spec") or {}).get("volumeName", ""))
            bound_to = ((volume or {}).get("spec") or {}).get("claimRef") or {}
            if volume is None or (bound_to.get("namespace"), bound_to.get("name")) != (
                where,
                claim_name,
            ):
                continue
            if (namespace, name) in node_references.secrets_of_volume(volume):
                return True
        return False


# Kinds that name their node themselves.
_NODE_NAMED = ("pods", "volumeattachments", "resourceslices", "podcertificaterequests")


def _no(reason: str) -> _Answer:
    return Decision.NO_OPINION, f"node: {reason}"


def _selects(a: Attributes, field: str, value: str) -> bool:
    """Whether the request asks for objects with this value only."""
    try:
        return fields.parse(a.field_selector).exact(field) == value
    except ApiError:
        return False
