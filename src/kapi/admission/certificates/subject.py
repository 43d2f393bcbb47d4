"""CertificateSubjectRestriction: no certificate for clients makes its holder a member of
system:masters.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#certificatesubjectrestriction
"""

from __future__ import annotations

from kapi.admission.certificates import signers
from kapi.admission.certificates.requests import subject
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.authorization.always import MASTERS

CLIENT_SIGNER = "kubernetes.io/kube-apiserver-client"


class CertificateSubjectRestriction:
    name = "CertificateSubjectRestriction"

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == (
            "CREATE",
            signers.GROUP,
            signers.REQUESTS,
            "",
        )

    async def validate(self, attributes: Attributes) -> None:
        spec = (attributes.object or {}).get("spec") or {}
        if spec.get("signerName") != CLIENT_SIGNER:
            return
        try:
            asked = subject(spec.get("request", ""))
        except ValueError as error:
            raise refused(attributes, f"failed to parse CSR: {error}") from None
        if MASTERS in asked.organizations:
            text = f"use of {CLIENT_SIGNER} signer with {MASTERS} group is not allowed"
            raise refused(attributes, text)
