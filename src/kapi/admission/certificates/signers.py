"""Whether a user may act for a signer of certificates: asked by the plugins about certificates.

A rule may name the signer, or all of its domain as `example.com/*`.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
"""

from __future__ import annotations

from kapi.authorization.authorizer import Attributes, Authorizer, Decision
from kapi.messages import UserInfo

GROUP = "certificates.k8s.io"
REQUESTS = "certificatesigningrequests"


async def may(authorizer: Authorizer, user: UserInfo, verb: str, signer: str) -> bool:
    """`verb`: approve, sign or attest."""
    for name in (signer, signer.partition("/")[0] + "/*"):
        asked = Attributes(
            user=user,
            verb=verb,
            is_resource=True,
            group=GROUP,
            version="*",
            resource="signers",
            name=name,
        )
        decision, _ = await authorizer.authorize(asked)
        if decision is Decision.ALLOW:
            return True
    return False
