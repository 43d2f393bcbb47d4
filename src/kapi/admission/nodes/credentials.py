"""What a node may request for others: tokens of service accounts and certificates of its pods, and
certificates of its own.

Part of NodeRestriction.
https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.admission.certificates.requests import subject
from kapi.admission.listers import Listers
from kapi.admission.plugin import Attributes, refused
from kapi.authorization import authorizer as authorization
from kapi.authorization.authorizer import Authorizer, allows
from kapi.authorization.node import NODE_USER_PREFIX
from kapi.authorization.node_references import MIRROR_POD, claim_name
from kapi.errors import ApiError, quote

Json = dict[str, Any]
# Signers whose certificates make a node.
_NODE_SIGNERS = ("kubernetes.io/kube-apiserver-client-kubelet", "kubernetes.io/kubelet-serving")
_STALE = "The object might have been deleted and then recreated"


class NodeCredentials:
    def __init__(self, lister: Listers, authorizer: Authorizer) -> None:
        self._lister = lister
        self._authorizer = authorizer

    # -- tokens -----------------------------------------------------------------------------------

    async def token(self, node: str, a: Attributes) -> None:
        """TokenRequests are bound to a pod that runs here, for an audience that the pod uses."""
        if (a.operation, a.subresource) != ("CREATE", "token"):
            return
        spec = (a.object or {}).get("spec") or {}
        bound = spec.get("boundObjectRef") or {}
        if (bound.get("apiVersion"), bound.get("kind")) != ("v1", "Pod") or not bound.get("name"):
            raise refused(a, "node requested token not bound to a pod")
        if not bound.get("uid"):
            raise refused(a, "node requested token with a pod binding without a uid")
        pod = self._lister("", "pods").get(a.namespace, bound["name"])
        if pod is None:
            raise errors.not_found("", "pods", bound["name"])
        if pod["metadata"]["uid"] != bound["uid"]:
            text = f"the UID in the bound object reference ({bound['uid']}) does not match the UID "
            raise refused(a, f"{text}in record. {_STALE}")
        if (pod.get("spec") or {}).get("nodeName") != node:
            raise refused(a, "node requested token bound to a pod scheduled on a different node")
        await self._audience(a, pod, spec.get("audiences") or [])

    async def _audience(self, a: Attributes, pod: Json, audiences: list[str]) -> None:
        if len(audiences) > 1:
            raise refused(a, "node may only request 0 or 1 audiences")
        audience = audiences[0] if audiences else ""
        problem = ""
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            used, missing = self._uses(pod, volume, audience)
            if used:
                return
            problem = problem or missing
        if await self._allows(a, "request-serviceaccounts-token-audience", "", audience, a.name):
            return
        if problem:
            raise refused(a, f"error validating audience {quote(audience)}: {problem}")
        text = f"audience {quote(audience)} not found in pod spec volume, {a.user.name} is not "
        raise refused(a, f"{text}authorized to request tokens for this audience")

    def _uses(self, pod: Json, volume: Json, audience: str) -> tuple[bool, str]:
        """Whether a volume of the pod needs such a token, and what is missing to tell."""
        for source in (volume.get("projected") or {}).get("sources") or ():
            token = source.get("serviceAccountToken")
            if token is not None and token.get("audience", "") == audience:
                return True, ""
        driver = (volume.get("csi") or {}).get("driver", "")
        claim = claim_name(pod, volume)
        if claim:
            driver, missing = self._driver(pod["metadata"].get("namespace", ""), claim)
            if missing:
                return False, missing
        if not driver:
            return False, ""
        found = self._lister("storage.k8s.io", "csidrivers").get("", driver)
        if found is None:
            return False, f"csidriver.storage.k8s.io {quote(driver)} not found"
        tokens = (found.get("spec") or {}).get("tokenRequests") or ()
        return any(token.get("audience", "") == audience for token in tokens), ""

    def _driver(self, namespace: str, name: str) -> tuple[str, str]:
        """The driver behind a claim, and what is missing to tell."""
        claim = self._lister("", "persistentvolumeclaims").get(namespace, name)
        if claim is None:
            return "", f"persistentvolumeclaim {quote(name)} not found"
        bound = (claim.get("spec") or {}).get("volumeName", "")
        if not bound:
            return "", ""
        volume = self._lister("", "persistentvolumes").get("", bound)
        if volume is None:
            return "", f"persistentvolume {quote(bound)} not found"
        return (((volume.get("spec") or {}).get("csi")) or {}).get("driver", ""), ""

    async def _allows(self, a: Attributes, verb: str, group: str, resource: str, name: str) -> bool:
        asked = authorization.Attributes(
            user=a.user,
            verb=verb,
            is_resource=True,
            group=group,
            version="v1",
            namespace=a.namespace,
            resource=resource,
            name=name,
        )
        return await allows(self._authorizer, asked)

    # -- certificates -----------------------------------------------------------------------------

    async def certificate(self, node: str, a: Attributes) -> None:
        """A certificate that makes a node is for this one."""
        if (a.operation, a.subresource) != ("CREATE", ""):
            return
        spec = (a.object or {}).get("spec") or {}
        if spec.get("signerName") not in _NODE_SIGNERS:
            return
        try:
            asked = subject(spec.get("request", ""))
        except ValueError as error:
            raise refused(a, f"unable to parse csr: {error}") from None
        wanted = f"{NODE_USER_PREFIX}{node}"
        if asked.common_name != wanted:
            raise refused(a, f"can only create a node CSR with CN={wanted}")

    async def pod_certificate(self, node: str, a: Attributes) -> None:
        """Names a pod that runs here, with its account, all as they are now."""
        if a.operation != "CREATE":
            raise refused(a, f"unexpected operation {a.operation}")
        if a.subresource:
            raise refused(a, f"unexpected subresource {a.subresource}")
        spec = (a.object or {}).get("spec") or {}
        named = spec.get("nodeName", "")
        if named != node:
            text = f"PodCertificateRequest.Spec.NodeName={quote(named)}, which is not the "
            raise refused(a, f"{text}requesting node {quote(node)}")
        pod_name = spec.get("podName", "")
        full = f"{a.namespace}/{pod_name}"
        found = self._lister("", "nodes").get("", node)
        if found is None:
            raise _stale(f"while retrieving node {quote(node)} named in the PodCertificateRequest")
        uid, given = found["metadata"]["uid"], spec.get("nodeUID", "")
        if uid != given:
            text = f"PodCertificateRequest for pod {quote(full)} names node UID {quote(given)}"
            raise _stale(f"{text}, inconsistent with the running node ({quote(uid)})")
        pod = self._lister("", "pods").get(a.namespace, pod_name)
        if pod is None:
            raise _stale(f"while retrieving pod {quote(full)} named in the PodCertificateRequest")
        uid, given = pod["metadata"]["uid"], spec.get("podUID", "")
        if uid != given:
            text = f"PodCertificateRequest for pod {quote(full)} contains pod UID ({quote(given)})"
            raise _stale(f"{text} which differs from running pod {quote(uid)}")
        if (pod.get("spec") or {}).get("nodeName") != node:
            text = f"pod {quote(full)} is not running on node {quote(node)} named in the "
            raise refused(a, f"{text}PodCertificateRequest")
        if MIRROR_POD in (pod["metadata"].get("annotations") or {}):
            raise refused(a, f"pod {quote(full)} is a mirror pod")
        self._account(a, full, pod, spec)
        await self._signer(a, full, pod, spec)

    def _account(self, a: Attributes, full: str, pod: Json, spec: Json) -> None:
        name = spec.get("serviceAccountName", "")
        own = (pod.get("spec") or {}).get("serviceAccountName", "")
        start = f"PodCertificateRequest for pod {quote(full)}"
        if name != own:
            text = f"{start} contains serviceAccountName ({quote(name)}) that differs from running "
            raise refused(a, f"{text}pod ({quote(own)})")
        account = self._lister("", "serviceaccounts").get(a.namespace, name)
        if account is None:
            where = quote(f"{a.namespace}/{name}")
            text = f"while retrieving service account {where} named in the PodCertificateRequest"
            raise _stale(text)
        uid, given = account["metadata"]["uid"], spec.get("serviceAccountUID", "")
        if uid != given:
            text = f"{start} names service account UID {quote(given)}, which differs from the "
            raise _stale(f"{text}running service account ({quote(uid)})")

    async def _signer(self, a: Attributes, full: str, pod: Json, spec: Json) -> None:
        """The pod mounts such a certificate, or somebody allowed the node to ask for it."""
        signer = spec.get("signerName", "")
        for volume in (pod.get("spec") or {}).get("volumes") or ():
            for source in (volume.get("projected") or {}).get("sources") or ():
                if (source.get("podCertificate") or {}).get("signerName") == signer:
                    return
        if await self._allows(
            a,
            "request-serviceaccounts-podcertificate-signer",
            "certificates.k8s.io",
            signer.replace("/", ":"),
            spec.get("serviceAccountName", ""),
        ):
            return
        text = f"pod {quote(full)} does not mount a podCertificate projected volume for signer "
        raise refused(a, text + quote(signer))


def _stale(text: str) -> ApiError:
    """What may be right in a moment, when this server has seen it, too: a conflict, to be tried
    again.
    """
    return ApiError(409, "Conflict", text)
