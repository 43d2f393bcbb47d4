"""Whether a user may act for a signer of certificates: asked by the plugins about certificates.

A rule may name the signer, or all of its domain as `example.com/*`.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#authorization
"""

from __future__ import annotations

from kapi.admission.plugin import Attributes, refused
from kapi.authorization import authorizer as authorization
from kapi.authorization.authorizer import Authorizer, allows
from kapi.errors import quote
from kapi.messages import UserInfo

GROUP = "certificates.k8s.io"
REQUESTS = "certificatesigningrequests"


async def require(authorizer: Authorizer, a: Attributes, verb: str, signer: str, to: str) -> None:
    """`verb`: approve, sign or attest; `to`: what for, in the words of the answer. Raises 403."""
    if not await _may(authorizer, a.user, verb, signer):
        raise refused(a, f"user not permitted to {to} signerName {quote(signer)}")


async def _may(authorizer: Authorizer, user: UserInfo, verb: str, signer: str) -> bool:
    for name in (signer, signer.partition("/")[0] + "/*"):
        asked = authorization.Attributes(
            user=user,
            verb=verb,
            is_resource=True,
            group=GROUP,
            version="*",
            resource="signers",
            name=name,
        )
        if await allows(authorizer, asked):
            return True
    return False
