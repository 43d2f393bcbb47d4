"""CertificateApproval: who approves or denies a request for a certificate may do so for its signer.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificateapproval
"""

from __future__ import annotations

from kapi.admission.certificates import signers
from kapi.admission.plugin import Attributes, Operation
from kapi.authorization.authorizer import Authorizer


class CertificateApproval:
    name = "CertificateApproval"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == (
            "UPDATE",
            signers.GROUP,
            signers.REQUESTS,
            "approval",
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        signer = ((a.old or {}).get("spec") or {}).get("signerName", "")
        await signers.require(self._authorizer, a, "approve", signer, "approve requests with")
