"""Who asks: sets `request.user`, or answers 401. Credentials do not travel further.

The authenticator is the whole union; `anonymous` is asked only when it found nothing, and is None
when anonymous requests are not allowed. Every user that is found belongs to system:authenticated
from here on.
"""

from __future__ import annotations

from kapi.authentication.authenticator import (
    ANONYMOUS,
    AUTHENTICATED_GROUP,
    UNAUTHENTICATED_GROUP,
    Authenticator,
    InvalidCredentials,
)
from kapi.authentication.request_header import STANDARD, HeaderNames
from kapi.errors import unauthorized
from kapi.messages import Handler, Headers, Request, Response, UserInfo


def with_authentication(
    handler: Handler,
    authenticator: Authenticator,
    anonymous: Authenticator | None,
    proxy_headers: HeaderNames = STANDARD,
) -> Handler:
    owners = (STANDARD, proxy_headers.lowered())

    async def filtered(request: Request) -> Response:
        try:
            user = await authenticator.authenticate(request)
        except InvalidCredentials as e:
            raise unauthorized() from e
        if user is not None:
            for key, value in user.notes:
                request.audit.annotate(key, value)
            user = authenticated(user)
        elif anonymous is not None:
            user = await anonymous.authenticate(request)
        if user is None:
            raise unauthorized()
        request.user = user
        _strip(request, owners)
        return await handler(request)

    return filtered


def authenticated(user: UserInfo) -> UserInfo:
    """The user as a member of system:authenticated, unless he is known not to be."""
    if (
        user.name == ANONYMOUS
        or AUTHENTICATED_GROUP in user.groups
        or UNAUTHENTICATED_GROUP in user.groups
    ):
        return user
    return UserInfo(user.name, user.uid, (*user.groups, AUTHENTICATED_GROUP), user.extra)


def _strip(request: Request, owners: tuple[HeaderNames, ...]) -> None:
    items = request.headers.items
    kept = [
        item
        for item in items
        if item[0] != "authorization" and not any(names.owns(item[0]) for names in owners)
    ]
    if len(kept) != len(items):
        request.headers = Headers(kept)
