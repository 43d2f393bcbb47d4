"""Bound tokens of service accounts: issue and check them. Those kept in Secrets are in
`legacy_tokens.py`.

A bound token names its account and, if bound, a Pod, Secret or Node, each by name and uid; it is
good while all of them exist. `kinds/access/authentication.py` issues (serviceaccounts/token), the
authenticator union checks. Errors carry the real server's words, which TokenReview shows.
https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from kapi.authentication.authenticator import (
    CREDENTIAL_ID,
    Getter,
    InvalidCredentials,
    TokenAnswer,
)
from kapi.authentication.service_account_keys import KeySet, Signer
from kapi.clock import Clock, Entropy
from kapi.errors import quote
from kapi.messages import UserInfo

Json = dict[str, Any]

USER_PREFIX = "system:serviceaccount:"
GROUP = "system:serviceaccounts"
LEEWAY_S = 60  # how far clocks may differ, and how long a deleted object still counts
EXTENDED_EXPIRATION_S = 24 * 365 * 60 * 60  # what a token lives that asked for WARN_AFTER_S
STALE = "authentication.k8s.io/stale-token"  # an audit annotation
WARN_AFTER_S = 60 * 60 + 7  # the lifetime that marks a token mounted into a pod

POD_NAME = "authentication.kubernetes.io/pod-name"
POD_UID = "authentication.kubernetes.io/pod-uid"
NODE_NAME = "authentication.kubernetes.io/node-name"
NODE_UID = "authentication.kubernetes.io/node-uid"

_INVALIDATED = "service account token has been invalidated"


def username(namespace: str, name: str) -> str:
    return f"{USER_PREFIX}{namespace}:{name}"


def groups(namespace: str) -> tuple[str, ...]:
    return (GROUP, f"{GROUP}:{namespace}")


def split_username(name: str) -> tuple[str, str] | None:
    """(namespace, name) of a service account's user name; None if it is not one."""
    if not name.startswith(USER_PREFIX):
        return None
    namespace, colon, account = name[len(USER_PREFIX) :].partition(":")
    if not colon or not _is_label(namespace) or not is_subdomain(account):
        return None
    return namespace, account


_LABEL = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-")


def _is_label(text: str, limit: int = 63) -> bool:
    edge = text[:1] + text[-1:]
    return 0 < len(text) <= limit and _LABEL.issuperset(text) and "-" not in edge


def is_subdomain(text: str) -> bool:
    return len(text) <= 253 and all(_is_label(part, 253) for part in text.split("."))


@dataclass(frozen=True, slots=True)
class Reference:
    """An object by name and uid, as a token names it."""

    name: str
    uid: str = ""

    def claim(self) -> Json:
        return {"name": self.name, "uid": self.uid} if self.uid else {"name": self.name}


# (resource of the core group, namespace, name) -> the object as the store has it now.
Live = Callable[[str, str, str], Awaitable[Json | None]]


class Objects:
    """What a token can be bound to: from the cache, else from the store, which may be ahead."""

    def __init__(self, listers: Mapping[str, Getter], live: Live) -> None:
        """`listers` by resource: serviceaccounts, pods, secrets, nodes."""
        self._listers = dict(listers)
        self._live = live

    async def find(self, resource: str, namespace: str, name: str) -> Json | None:
        found = self._listers[resource].get(namespace, name)
        return found if found is not None else await self._live(resource, namespace, name)


class Issuer:
    """Makes tokens."""

    def __init__(self, url: str, signer: Signer, clock: Clock, entropy: Entropy) -> None:
        self._url = url
        self._signer = signer
        self._clock = clock
        self._entropy = entropy

    def new_id(self) -> str:
        """The id of a token to be."""
        return self._entropy.uid()

    def issue(
        self,
        namespace: str,
        account: Reference,
        audiences: Sequence[str],
        lifetime_s: int,
        *,
        pod: Reference | None = None,
        secret: Reference | None = None,
        node: Reference | None = None,
        warn_after_s: int = 0,
        credential: str = "",
    ) -> str:
        """A signed token. Its use is worth an audit annotation after `warn_after_s`; 0: never.
        `credential`: its id, of `new_id`.
        """
        now = int(self._clock.now())
        kubernetes: Json = {"namespace": namespace, "serviceaccount": account.claim()}
        for name, reference in (("pod", pod), ("secret", secret), ("node", node)):
            if reference is not None:
                kubernetes[name] = reference.claim()
        if warn_after_s:
            kubernetes["warnafter"] = now + warn_after_s
        return self._signer.sign(
            {
                "aud": list(audiences),
                "exp": now + lifetime_s,
                "iat": now,
                "iss": self._url,
                "jti": credential or self.new_id(),
                "kubernetes.io": kubernetes,
                "nbf": now,
                "sub": username(namespace, account.name),
            }
        )


class ServiceAccountTokens:
    """Checks bound tokens of any of the issuers, the first of which is the one that we issue as."""

    def __init__(
        self,
        issuers: Sequence[str],
        keys: KeySet,
        audiences: Sequence[str],
        objects: Objects,
        clock: Clock,
    ) -> None:
        self._issuers = frozenset(issuers)
        self._keys = keys
        self._audiences = tuple(audiences)
        self._objects = objects
        self._clock = clock

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        claims = verified_claims(token, self._issuers, self._keys)
        if claims is None:
            return None
        good_for = good_audiences(claims, audiences, self._audiences)
        self._check_times(claims)
        return await self._user(claims), good_for

    def _check_times(self, claims: Json) -> None:
        now = self._clock.now()
        if _number(claims, "nbf") > now + LEEWAY_S:
            raise InvalidCredentials("service account token is not valid yet")
        expiry = _number(claims, "exp")
        if expiry and now - LEEWAY_S > expiry:
            raise InvalidCredentials("service account token has expired")
        if _number(claims, "iat") > now + LEEWAY_S:
            raise InvalidCredentials(
                "service account token claims could not be validated due to "
                "unexpected validation error"
            )

    async def _user(self, claims: Json) -> UserInfo:
        private = claims.get("kubernetes.io")
        if not isinstance(private, dict):
            private = {}
        namespace = claim_text(private, "namespace")
        account = _reference(private, "serviceaccount") or Reference("")
        await self._check_account(namespace, account)
        secret = _reference(private, "secret")
        if secret is not None:
            await self._check_bound("secret", namespace, secret)
        extra: dict[str, tuple[str, ...]] = {}
        if jti := claim_text(claims, "jti"):
            extra[CREDENTIAL_ID] = (f"JTI={jti}",)
        pod = _reference(private, "pod")
        if pod is not None:
            await self._check_bound("pod", namespace, pod)
            extra[POD_NAME] = (pod.name,)
            extra[POD_UID] = (pod.uid,)
        node = _reference(private, "node")
        if node is not None:
            if pod is None:  # a pod's token names the node for information only
                await self._check_bound("node", "", node)
            extra[NODE_NAME] = (node.name,)
            if node.uid:
                extra[NODE_UID] = (node.uid,)
        return UserInfo(
            name=username(namespace, account.name),
            uid=account.uid,
            groups=groups(namespace),
            extra=extra,
            notes=self._stale(private, claim_text(claims, "sub")),
        )

    def _stale(self, private: Json, subject: str) -> tuple[tuple[str, str], ...]:
        """A token that is used although its client should have got a new one."""
        warn_after, now = _number(private, "warnafter"), self._clock.now()
        if not warn_after or now <= warn_after:
            return ()
        late = int(now) - int(warn_after)
        return ((STALE, f"subject: {subject}, seconds after warning threshold: {late}"),)

    async def _check_account(self, namespace: str, account: Reference) -> None:
        found = await self._objects.find("serviceaccounts", namespace, account.name)
        if found is None:
            raise InvalidCredentials(f"serviceaccounts {quote(account.name)} not found")
        if self._gone(found):
            raise InvalidCredentials(f"service account {namespace}/{account.name} has been deleted")
        uid = found["metadata"].get("uid", "")
        if uid != account.uid:
            raise InvalidCredentials(
                f"service account UID ({uid}) does not match claim ({account.uid})"
            )

    async def _check_bound(self, what: str, namespace: str, reference: Reference) -> None:
        found = await self._objects.find(f"{what}s", namespace, reference.name)
        if found is None or self._gone(found):
            raise InvalidCredentials(_INVALIDATED)
        uid = found["metadata"].get("uid", "")
        if uid != reference.uid:
            raise InvalidCredentials(
                f"{what} UID ({uid}) does not match service account {what} "
                f"ref claim ({reference.uid})"
            )

    def _gone(self, found: Json) -> bool:
        deleted = found["metadata"].get("deletionTimestamp")
        if not deleted:
            return False
        return datetime.fromisoformat(deleted).timestamp() < self._clock.now() - LEEWAY_S


def decoded_part(part: str) -> bytes | None:
    if not part.isascii() or "=" in part:
        return None
    try:
        return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None


def _json_object(data: bytes | None) -> Json | None:
    if data is None:
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def verified_claims(token: str, issuers: frozenset[str], keys: KeySet) -> Json | None:
    """The claims of a token of one of `issuers`; None for anything else.

    Raises InvalidCredentials if none of the keys has signed it.
    """
    parts = token.split(".")
    if len(parts) != 3:
        return None
    claims = _json_object(decoded_part(parts[1]))
    if claims is None:
        return None
    issuer = claims.get("iss")
    if not isinstance(issuer, str) or issuer not in issuers:
        return None
    header = _json_object(decoded_part(parts[0]))
    signature = decoded_part(parts[2])
    if header is None or signature is None:
        return None
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in _ALGORITHMS or "crit" in header:
        return None
    kid = header.get("kid", "")
    candidates = keys.candidates(kid) if isinstance(kid, str) else ()
    if not candidates:
        raise InvalidCredentials("invalid signature, no keys found")
    message = f"{parts[0]}.{parts[1]}".encode()
    for key in candidates:
        if key.algorithm == algorithm and key.verify(message, signature):
            return claims
    raise InvalidCredentials("go-jose/go-jose: error in cryptographic primitive")


_ALGORITHMS = frozenset(("RS256", "ES256", "ES384", "ES512"))


def good_audiences(claims: Json, wanted: Sequence[str], ours: tuple[str, ...]) -> tuple[str, ...]:
    """Those of the token's audiences that are wanted; without any: InvalidCredentials."""
    given = claims.get("aud")
    if isinstance(given, str):
        given = [given]
    if not isinstance(given, list) or not given:
        given = list(ours)  # a token of old is for this server
    wanted = wanted or ours
    good_for = tuple(a for a in given if a in wanted)
    if not good_for and ours:
        raise InvalidCredentials(
            f"token audiences {_quoted(given)} is invalid for the target audiences "
            f"{_quoted(wanted)}"
        )
    return good_for


def _quoted(texts: Sequence[Any]) -> str:
    return "[" + " ".join(quote(str(t)) for t in texts) + "]"


def _number(claims: Mapping[str, Any], key: str) -> float:
    value = claims.get(key)
    return float(value) if isinstance(value, int | float) else 0.0


def claim_text(claims: Mapping[str, Any], key: str) -> str:
    value = claims.get(key)
    return value if isinstance(value, str) else ""


def _reference(claims: Mapping[str, Any], key: str) -> Reference | None:
    value = claims.get(key)
    if not isinstance(value, dict):
        return None
    return Reference(claim_text(value, "name"), claim_text(value, "uid"))
