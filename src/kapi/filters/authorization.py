"""May they: asks the authorizer, answers 403 with the real server's words.

`attributes` is what of a request an authorizer sees; impersonation and the registry use it too.
"""

from __future__ import annotations

from kapi.authorization.authorizer import Attributes, Authorizer, Decision, Undecided, refusal
from kapi.filters.request_info import internal_server_error
from kapi.messages import Handler, Request, Response, UserInfo

DECISION = "authorization.k8s.io/decision"  # audit annotations
REASON = "authorization.k8s.io/reason"
FAILED = "internal error"  # as a reason


def with_authorization(handler: Handler, authorizer: Authorizer) -> Handler:
    async def filtered(request: Request) -> Response:
        asked = attributes(request)
        annotations = request.audit.annotations
        try:
            decision, reason = await authorizer.authorize(asked)
        except Undecided as failed:
            annotations[REASON] = FAILED
            return internal_server_error(request, failed.failure)
        if decision is Decision.ALLOW:
            annotations[DECISION] = "allow"
            annotations[REASON] = reason
            return await handler(request)
        annotations[DECISION] = "forbid"
        annotations[REASON] = reason
        error = refusal(asked, reason)
        error.headers = (("X-Content-Type-Options", "nosniff"),)
        raise error

    return filtered


def attributes(request: Request, user: UserInfo | None = None) -> Attributes:
    """What is asked, by the user of the request or another."""
    who = user or request.user
    assert who is not None, "authentication comes before authorization"
    info = request.info
    if not info.is_resource:
        return Attributes(user=who, verb=info.verb, is_resource=False, path=info.path)
    return Attributes(
        user=who,
        verb=info.verb,
        is_resource=True,
        group=info.group,
        version=info.version,
        namespace=info.namespace,
        resource=info.resource,
        subresource=info.subresource,
        name=info.name,
        path=info.path,
        field_selector=info.field_selector,
        label_selector=info.label_selector,
    )
