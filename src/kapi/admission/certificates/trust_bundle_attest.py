"""ClusterTrustBundleAttest: who publishes the roots of a signer may attest for it.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#clustertrustbundleattest
"""

from __future__ import annotations

from typing import Any

from kapi.admission.certificates import signers
from kapi.admission.plugin import Attributes, Operation
from kapi.authorization.authorizer import Authorizer

Json = dict[str, Any]
# What a garbage collector changes: such an update publishes nothing.
_COLLECTION = ("ownerReferences", "finalizers", "managedFields", "resourceVersion", "generation")


class ClusterTrustBundleAttest:
    name = "ClusterTrustBundleAttest"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and (group, resource) == (
            signers.GROUP,
            "clustertrustbundles",
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        signer = ((a.object or {}).get("spec") or {}).get("signerName", "")
        if not signer or (a.old is not None and _rest(a.object) == _rest(a.old)):
            return
        await signers.require(self._authorizer, a, "attest", signer, "attest for")


def _rest(obj: Json | None) -> Json:
    meta = {k: v for k, v in (obj or {}).get("metadata", {}).items() if k not in _COLLECTION}
    return {**(obj or {}), "metadata": meta}
