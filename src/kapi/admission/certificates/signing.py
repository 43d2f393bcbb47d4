"""CertificateSigning: who puts a certificate, or a word about it, into a request may sign for its
signer.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificatesigning
"""

from __future__ import annotations

from kapi.admission.certificates import signers
from kapi.admission.plugin import Attributes, Operation
from kapi.authorization.authorizer import Authorizer


class CertificateSigning:
    name = "CertificateSigning"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == (
            "UPDATE",
            signers.GROUP,
            signers.REQUESTS,
            "status",
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        old, new = ((o or {}).get("status") or {} for o in (a.old, a.object))
        if all(old.get(f) == new.get(f) for f in ("certificate", "conditions")):
            return
        signer = ((a.old or {}).get("spec") or {}).get("signerName", "")
        await signers.require(self._authorizer, a, "sign", signer, "sign requests with")
