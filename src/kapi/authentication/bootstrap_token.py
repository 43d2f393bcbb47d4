"""Bootstrap tokens: `abcdef.0123456789abcdef`, kept as Secrets in kube-system, for nodes that join.

Every doubt (no such Secret, expired, not for authentication, groups that are not allowed) means
that the token is unknown, never an error of its own.
https://kubernetes.io/docs/reference/access-authn-authz/bootstrap-tokens/
"""

from __future__ import annotations

import base64
import binascii
import hmac
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from kapi.authentication.authenticator import Getter, TokenAnswer
from kapi.clock import Clock
from kapi.messages import UserInfo

NAMESPACE = "kube-system"
SECRET_TYPE = "bootstrap.kubernetes.io/token"
GROUP = "system:bootstrappers"
USER_PREFIX = "system:bootstrap:"
_TOKEN = re.compile(r"([a-z0-9]{6})\.([a-z0-9]{16})")
_EXTRA_GROUP = re.compile(r"system:bootstrappers:[a-z0-9:-]{0,255}[a-z0-9]")


class BootstrapTokens:
    def __init__(self, secrets: Getter, audiences: Sequence[str], clock: Clock) -> None:
        self._secrets = secrets
        self._audiences = tuple(audiences)
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        match = _TOKEN.fullmatch(token)
        if match is None:
            return None
        token_id, token_secret = match.groups()
        good_for = tuple(a for a in self._audiences if a in audiences)
        if audiences and self._audiences and not good_for:
            return None
        secret = self._secrets.get(NAMESPACE, f"bootstrap-token-{token_id}")
        if (
            secret is None
            or secret["metadata"].get("deletionTimestamp")
            or secret.get("type") != SECRET_TYPE
        ):
            return None
        data = _decoded(secret.get("data"))
        if not hmac.compare_digest(data.get("token-secret", b""), token_secret.encode()):
            return None
        if data.get("token-id", b"").decode("utf-8", "replace") != token_id:
            return None
        if self._expired(data.get("expiration", b"")):
            return None
        if data.get("usage-bootstrap-authentication") != b"true":
            return None
        groups = _groups(data.get("auth-extra-groups", b"").decode("utf-8", "replace"))
        if groups is None:
            return None
        return UserInfo(name=USER_PREFIX + token_id, groups=groups), good_for

    def _expired(self, text: bytes) -> bool:
        """A date that cannot be read counts as passed."""
        if not text:
            return False
        try:
            expiration = datetime.fromisoformat(text.decode())
        except ValueError:
            return True
        if expiration.tzinfo is None:
            return True
        return datetime.fromtimestamp(self._clock.now(), UTC) > expiration


def _decoded(data: Any) -> dict[str, bytes]:
    decoded: dict[str, bytes] = {}
    for key, value in (data or {}).items():
        try:
            decoded[key] = base64.b64decode(value)
        except (binascii.Error, ValueError, TypeError):
            continue
    return decoded


def _groups(text: str) -> tuple[str, ...] | None:
    """The groups, sorted and each once; None if one of them is not allowed."""
    found = {GROUP}
    for group in text.split(",") if text else ():
        if _EXTRA_GROUP.fullmatch(group) is None:
            return None
        found.add(group)
    return tuple(sorted(found))
