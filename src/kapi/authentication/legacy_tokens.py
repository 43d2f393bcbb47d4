"""Tokens of service accounts that are kept in Secrets: good as long as the Secret holds them.

Errors carry the real server's words, which TokenReview shows.
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Sequence
from typing import Any

from kapi.authentication.authenticator import InvalidCredentials, TokenAnswer
from kapi.authentication.service_account import (
    Objects,
    claim_text,
    good_audiences,
    groups,
    split_username,
    username,
    verified_claims,
)
from kapi.authentication.service_account_keys import KeySet
from kapi.authentication.token_use import TokenUse
from kapi.errors import quote
from kapi.messages import UserInfo

Json = dict[str, Any]
LEGACY_ISSUER = "kubernetes/serviceaccount"


class LegacyTokens:
    """Checks tokens that are kept in Secrets of type kubernetes.io/service-account-token."""

    def __init__(
        self,
        keys: KeySet,
        audiences: Sequence[str],
        objects: Objects,
        use: TokenUse | None = None,
    ) -> None:
        """`use`: is told of each token that was good."""
        self._keys = keys
        self._audiences = tuple(audiences)
        self._objects = objects
        self._use = use

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        claims = verified_claims(token, frozenset((LEGACY_ISSUER,)), self._keys)
        if claims is None:
            return None
        good_for = good_audiences(claims, audiences, self._audiences)
        subject = claim_text(claims, "sub")
        if not subject:
            raise InvalidCredentials("sub claim is missing")
        values: list[str] = []
        for key, word in (
            ("namespace", "namespace"),
            ("secret.name", "secretName"),
            ("service-account.name", "serviceAccountName"),
            ("service-account.uid", "serviceAccountUID"),
        ):
            value = claim_text(claims, f"kubernetes.io/serviceaccount/{key}")
            if not value:
                raise InvalidCredentials(f"{word} claim is missing")
            values.append(value)
        namespace, secret_name, name, uid = values
        if split_username(subject) != (namespace, name):
            raise InvalidCredentials("sub claim is invalid")
        secret = await self._check_secret(namespace, secret_name, token)
        await self._check_account(namespace, name, uid)
        if self._use is not None:
            await self._use.used(secret)
        user = UserInfo(name=username(namespace, name), uid=uid, groups=groups(namespace))
        return user, good_for

    async def _check_secret(self, namespace: str, name: str, token: str) -> Json:
        secret = await self._objects.find("secrets", namespace, name)
        if secret is None or secret["metadata"].get("deletionTimestamp"):
            raise InvalidCredentials("Token has been invalidated")
        if secret["metadata"].get("labels", {}).get("kubernetes.io/legacy-token-invalid-since"):
            raise InvalidCredentials("Token has been invalidated")
        try:
            kept = base64.b64decode((secret.get("data") or {}).get("token") or "")
        except (binascii.Error, ValueError) as e:
            raise InvalidCredentials("Token does not match server's copy") from e
        if not hmac.compare_digest(kept, token.encode("utf-8", "surrogateescape")):
            raise InvalidCredentials("Token does not match server's copy")
        return secret

    async def _check_account(self, namespace: str, name: str, uid: str) -> None:
        account = await self._objects.find("serviceaccounts", namespace, name)
        if account is None:
            raise InvalidCredentials(f"serviceaccounts {quote(name)} not found")
        if account["metadata"].get("deletionTimestamp"):
            raise InvalidCredentials(f"ServiceAccount {namespace}/{name} has been deleted")
        if account["metadata"].get("uid", "") != uid:
            found = account["metadata"].get("uid", "")
            raise InvalidCredentials(f"ServiceAccount UID ({found}) does not match claim ({uid})")
