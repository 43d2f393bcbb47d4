"""JSON Web Tokens of other issuers: verified claims become a user, and rules have the last word.

One `JwtAuthenticator` for each issuer of the configuration; `JwtTokens` holds those in force, which
a new configuration replaces. A token of an issuer that nobody named is not this one's to judge.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#openid-connect-tokens
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kapi.authentication.authenticator import CREDENTIAL_ID, InvalidCredentials, TokenAnswer
from kapi.authentication.distributed_claims import DistributedClaims
from kapi.authentication.jwt_claims import TokenProblem, Verifier, untrusted_issuer
from kapi.authentication.jwt_configuration import JwtSettings, Mapping, Rule
from kapi.authentication.jwt_keys import Provider
from kapi.clock import Clock
from kapi.errors import quote
from kapi.messages import UserInfo

Json = dict[str, Any]
NOT_READY = "oidc: authenticator not initialized"
_TEXTS = "expression must return a string or a list of strings"
# Told of each token of an issuer: its hash, whether the token was good, seconds.
Tally = Callable[[str, bool, float], None]


class Expression(Protocol):
    text: str

    def value(self, of: Json) -> Any:
        """Raises an exception that says what failed."""


def issuer_hash(url: str) -> str:
    """How metrics name an issuer."""
    return f"sha256:{hashlib.sha256(url.encode()).hexdigest()}"


class JwtAuthenticator:
    """Of one issuer."""

    def __init__(
        self,
        settings: JwtSettings,
        provider: Provider,
        verifier: Verifier,
        distributed: DistributedClaims | None,
    ) -> None:
        self.url = settings.url
        self.hash = issuer_hash(settings.url)
        self.provider = provider
        self._settings = settings
        self._verifier = verifier
        self._distributed = distributed

    async def user(self, token: str) -> UserInfo:
        """The user of a token of this issuer. Raises TokenProblem."""
        if not await self.provider.discover():
            raise TokenProblem(NOT_READY)
        try:
            claims = await self._verifier.claims(token)
        except TokenProblem as problem:
            raise TokenProblem(f"oidc: verify token: {problem}") from problem
        if self._distributed is not None:
            try:
                claims = await self._distributed.expand(claims)
            except TokenProblem as problem:
                text = f"oidc: could not expand distributed claims: {problem}"
                raise TokenProblem(text) from problem
        return self._mapped(claims)

    async def close(self) -> None:
        await self.provider.close()
        if self._distributed is not None:
            await self._distributed.close()

    def _mapped(self, claims: Json) -> UserInfo:
        user = UserInfo(
            name=self._name(claims),
            groups=self._groups(claims),
            uid=self._uid(claims),
            extra=self._extra(claims),
        )
        for claim, wanted in self._settings.required:
            if claim not in claims:
                raise TokenProblem(f"oidc: required claim {claim} not present in ID token")
            found = _text(claims[claim], f"oidc: parse claim {claim}")
            if found != wanted:
                raise TokenProblem(
                    f"oidc: required claim {claim} value does not match. Got = {found}, "
                    f"want = {wanted}"
                )
        words = "oidc: error evaluating claim validation expression"
        _hold(self._settings.claim_rules, claims, words)
        if self._settings.user_rules:
            words = "oidc: error evaluating user info validation rule"
            _hold(self._settings.user_rules, _shown(user), words)
        return user

    def _name(self, claims: Json) -> str:
        mapping = self._settings.username
        if mapping.expression is not None:
            words = "oidc: error evaluating username claim expression"
            name = _value(mapping.expression, claims, words)
            if not isinstance(name, str):
                raise TokenProblem(f"{words}: username claim expression must return a string")
            if not name:
                raise TokenProblem("oidc: empty username via CEL expression is not allowed")
            return name
        claim = mapping.claim
        words = f"oidc: parse username claims {quote(claim)}"
        if claim not in claims:
            raise TokenProblem(f"{words}: claim not present")
        name = _text(claims[claim], words)
        if claim == "email" and "email_verified" in claims:
            verified = claims["email_verified"]
            if verified is not None and not isinstance(verified, bool):
                raise TokenProblem(
                    "oidc: parse 'email_verified' claim: json: cannot unmarshal "
                    f"{_json_kind(verified)} into Go value of type bool"
                )
            if not verified:
                raise TokenProblem("oidc: email not verified")
        return mapping.prefix + name

    def _groups(self, claims: Json) -> tuple[str, ...]:
        mapping = self._settings.groups
        if mapping.claim and mapping.claim in claims:
            value = claims[mapping.claim]
            listed = value if isinstance(value, list) else [value]
            words = f"oidc: parse groups claim {quote(mapping.claim)}"
            groups = [] if value is None else [_text(group, words) for group in listed]
            return tuple(mapping.prefix + group for group in groups)
        if mapping.expression is None:
            return ()
        words = "oidc: error evaluating group claim expression"
        return _texts(_value(mapping.expression, claims, words), words)

    def _uid(self, claims: Json) -> str:
        mapping: Mapping = self._settings.uid
        if claim := mapping.claim:
            words = f"oidc: parse uid claim {quote(claim)}"
            if claim not in claims:
                raise TokenProblem(f"{words}: claim not present")
            return _text(claims[claim], words)
        if mapping.expression is None:
            return ""
        words = "oidc: error evaluating uid claim expression"
        uid = _value(mapping.expression, claims, words)
        if not isinstance(uid, str):
            raise TokenProblem(f"{words}: uid claim expression must return a string")
        return uid

    def _extra(self, claims: Json) -> dict[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        jti = claims.get("jti")
        if isinstance(jti, str) and jti:
            extra[CREDENTIAL_ID] = (f"JTI={jti}",)
        for key, expression in self._settings.extra:
            value = _value(expression, claims, "")
            words = f"oidc: error evaluating extra claim expression: {expression.text}"
            if values := _texts(value, words):
                extra[key] = values
        return extra


class JwtTokens:
    """`kapi.authentication.authenticator.TokenAuthenticator` over the issuers in force."""

    def __init__(self, audiences: Sequence[str], clock: Clock, tally: Tally) -> None:
        """`audiences`: of this server; a token of another issuer is good for all of them."""
        self._audiences = tuple(audiences)
        self._clock = clock
        self._tally = tally
        self._issuers: dict[str, JwtAuthenticator] = {}

    @property
    def issuers(self) -> tuple[JwtAuthenticator, ...]:
        return tuple(self._issuers.values())

    def replace(self, issuers: Sequence[JwtAuthenticator]) -> tuple[JwtAuthenticator, ...]:
        """Take these into force; the old ones, for the caller to close."""
        old = self.issuers
        self._issuers = {issuer.url: issuer for issuer in issuers}
        return old

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        if not self._issuers:
            return None
        good_for = tuple(a for a in self._audiences if a in audiences)
        if audiences and not good_for:
            return None
        issuer = self._issuers.get(untrusted_issuer(token))
        if issuer is None:
            return None
        start = self._clock.monotonic()
        good = False
        try:
            user = await issuer.user(token)
            good = True
        except TokenProblem as problem:
            raise InvalidCredentials(str(problem)) from problem
        finally:
            self._tally(issuer.hash, good, self._clock.monotonic() - start)
        return user, good_for


# -- values ---------------------------------------------------------------------------------------


def _value(expression: Expression, claims: Json, words: str) -> Any:
    try:
        return expression.value(claims)
    except Exception as error:
        raise TokenProblem(f"{words}: {error}" if words else str(error)) from error


def _hold(rules: Sequence[Rule], of: Json, words: str) -> None:
    """Raises TokenProblem for the first rule that does not hold."""
    values = [_value(rule.expression, of, words) for rule in rules]
    for rule, value in zip(rules, values, strict=True):
        if not isinstance(value, bool):
            raise TokenProblem(f"{words}: validation expression must return a boolean")
        if not value:
            text = rule.expression.text
            raise TokenProblem(f"{words}: validation expression '{text}' failed: {rule.message}")


def _texts(value: Any, words: str) -> tuple[str, ...]:
    """Of a text or a list of texts; empty ones count as absent."""
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,) if value else ()
    if not isinstance(value, (list, tuple)) or not all(isinstance(v, str) for v in value):
        raise TokenProblem(f"{words}: {_TEXTS}")
    return tuple(v for v in value if v)


def _text(value: Any, words: str) -> str:
    """As Go's decoder reads a string: null leaves it empty."""
    if value is None:
        return ""
    if not isinstance(value, str):
        kind = _json_kind(value)
        raise TokenProblem(f"{words}: json: cannot unmarshal {kind} into Go value of type string")
    return value


def _json_kind(value: Any) -> str:
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, dict):
        return "object"
    if isinstance(value, list):
        return "array"
    return "string" if isinstance(value, str) else "number"


def _shown(user: UserInfo) -> Json:
    """The user as rules see it."""
    return {
        "username": user.name,
        "uid": user.uid,
        "groups": list(user.groups),
        "extra": {key: list(values) for key, values in user.extra.items()},
    }
