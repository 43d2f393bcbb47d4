"""The authentication protocols, `union` and `token_union`: the first success wins.

An authenticator answers None for what it does not know and raises `InvalidCredentials` for
credentials it knows to be wrong; wrong credentials never fall through to anonymous, but another
authenticator of the union may still vouch for the request (a good certificate beside a stale
token).
https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from kapi.messages import Request, UserInfo

Json = dict[str, Any]

ANONYMOUS = "system:anonymous"
AUTHENTICATED_GROUP = "system:authenticated"
UNAUTHENTICATED_GROUP = "system:unauthenticated"
MASTERS_GROUP = "system:masters"
CREDENTIAL_ID = "authentication.kubernetes.io/credential-id"  # key of UserInfo.extra

# The user of a token and those of the wanted audiences that the token is good for.
TokenAnswer = tuple[UserInfo, tuple[str, ...]]


class InvalidCredentials(Exception):
    """Credentials known to be wrong. The texts are for logs and TokenReview: a client sees 401."""

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(str(a) for a in self.args)

    def __str__(self) -> str:
        """As the real server prints a list of errors: one bare, several in brackets, none twice."""
        texts = list(dict.fromkeys(self.texts))
        return texts[0] if len(texts) == 1 else "[" + ", ".join(texts) + "]"


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> UserInfo | None:
        """Who asks; None if the request carries nothing this one knows.

        Raises InvalidCredentials for credentials it knows to be wrong. May take the credentials
        out of the request after success.
        """


class TokenAuthenticator(Protocol):
    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        """The user of a bearer token; None if the token is not of this kind or not for `audiences`.

        Raises InvalidCredentials for a token it knows to be wrong.
        """


class Getter(Protocol):
    """What authenticators need of a lister: the current object, read-only, from the cache."""

    def get(self, namespace: str, name: str) -> Json | None: ...


class _Union:
    def __init__(self, members: tuple[Authenticator, ...]) -> None:
        self._members = members

    async def authenticate(self, request: Request) -> UserInfo | None:
        failures: list[str] = []
        for member in self._members:
            try:
                user = await member.authenticate(request)
            except InvalidCredentials as e:
                failures.extend(e.texts)
                continue
            if user is not None:
                return user
        if failures:
            raise InvalidCredentials(*failures)
        return None


class _TokenUnion:
    def __init__(self, members: tuple[TokenAuthenticator, ...]) -> None:
        self._members = members

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        failures: list[str] = []
        for member in self._members:
            try:
                answer = await member.authenticate_token(token, audiences)
            except InvalidCredentials as e:
                failures.extend(e.texts)
                continue
            if answer is not None:
                return answer
        if failures:
            raise InvalidCredentials(*failures)
        return None


def union(members: Iterable[Authenticator]) -> Authenticator:
    """Ask each in turn; the first user wins. With no user, all failures are raised together."""
    return _Union(tuple(members))


def token_union(members: Iterable[TokenAuthenticator]) -> TokenAuthenticator:
    """The same over token authenticators."""
    return _TokenUnion(tuple(members))
