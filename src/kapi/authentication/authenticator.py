"""The authentication protocol, and `union`: the first success wins.

https://kubernetes.io/docs/reference/access-authn-authz/authentication/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from kapi.messages import Request, UserInfo


class Authenticator(Protocol):
    async def authenticate(self, request: Request) -> UserInfo | None:
        """Who asks; None if the request carries nothing this one knows. Raises ApiError 401 for credentials it knows to be wrong."""


class TokenAuthenticator(Protocol):
    async def authenticate_token(
        self, token: str, audiences: Sequence[str]
    ) -> tuple[UserInfo, tuple[str, ...]] | None:
        """The user of a bearer token and the audiences it is good for; None if the token is not of this kind."""
