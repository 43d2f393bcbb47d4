"""From a compact JWT to claims that somebody's key vouches for.

The cheap checks come first: form, issuer, audience, times and algorithm, then the signature, for
which keys may have to be fetched. The algorithm is one of a list that names only asymmetric ones,
and must be that of the key, so a public key never passes for a shared secret. Words are those of
the real server's libraries; a token itself is never part of them.
https://www.rfc-editor.org/rfc/rfc8725
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson

from kapi.authentication.jwt_keys import IssuerError, Provider
from kapi.authentication.service_account import decoded_part
from kapi.clock import Clock
from kapi.errors import quote

Json = dict[str, Any]
TOKEN_CHARS_MAX = 1 << 20  # as much as a TokenReview brings; a header never holds so much
NOT_BEFORE_LEEWAY_S = 60.0
_GOOGLE, _GOOGLE_OLD = "https://accounts.google.com", "accounts.google.com"
_INT64 = range(-(1 << 63), 1 << 63)


class TokenProblem(Exception):
    """What is wrong with a token of a known issuer."""


def untrusted_issuer(token: str) -> str:
    """The issuer that a token says it is of; "" if it is no JWT."""
    if len(token) > TOKEN_CHARS_MAX or token.count(".") != 2:
        return ""
    claims = _object(decoded_part(token.split(".")[1]))
    issuer = claims.get("iss") if claims is not None else None
    if issuer == _GOOGLE_OLD:
        return _GOOGLE
    return issuer if isinstance(issuer, str) else ""


def _object(data: bytes | None) -> Json | None:
    if data is None:
        return None
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


class Verifier:
    """Of the tokens of one issuer for some audiences."""

    def __init__(
        self,
        issuer: str,
        audiences: Sequence[str],
        algorithms: Sequence[str],
        provider: Provider,
        clock: Clock,
    ) -> None:
        self._issuer = issuer
        self._audiences = tuple(audiences)
        self._algorithms = tuple(algorithms)
        self._provider = provider
        self._clock = clock

    async def claims(self, token: str) -> Json:
        """Raises TokenProblem."""
        parts = token.split(".")
        header, payload = (_object(decoded_part(part)) for part in parts[:2])
        signature = decoded_part(parts[2])
        if header is None or payload is None or signature is None:
            raise TokenProblem("oidc: malformed jwt: go-jose/go-jose: compact JWS format must have "
                               "three parts")  # fmt: skip
        self._check_claims(payload)
        name, kid = header.get("alg", ""), header.get("kid", "")
        if name not in self._algorithms:
            raise TokenProblem(
                f"oidc: id token signed with unsupported algorithm, expected "
                f"{_listed(self._algorithms)} got {quote(str(name)[:20])}"
            )
        if "crit" in header or not isinstance(kid, str):
            raise TokenProblem("oidc: malformed jwt: unsupported header")
        message = f"{parts[0]}.{parts[1]}".encode()
        try:
            await self._provider.verify(str(name), kid, message, signature)
        except IssuerError as error:
            raise TokenProblem(f"failed to verify signature: {error}") from error
        try:
            found: Json = _in_range(payload)
        except RecursionError as error:
            raise TokenProblem("oidc: failed to unmarshal claims: exceeded max depth") from error
        return found

    def _check_claims(self, claims: Json) -> None:
        issuer = claims.get("iss")
        if issuer != self._issuer and (issuer, self._issuer) != (_GOOGLE_OLD, _GOOGLE):
            raise TokenProblem(
                "oidc: id token issued by a different provider, expected "
                f"{quote(self._issuer)} got {quote(str(issuer))}"
            )
        audience = _audience(claims.get("aud"))
        ours = self._audiences
        if not any(a in ours for a in audience):
            wanted = quote(ours[0]) if len(ours) == 1 else f"in {_listed(sorted(ours))}"
            raise TokenProblem(f"oidc: expected audience {wanted} got {_listed(audience)}")
        now = self._clock.now()
        expiry = _time(claims, "exp")
        if expiry < now:
            raise TokenProblem(f"oidc: token is expired (Token Expiry: {_shown(expiry)})")
        _time(claims, "iat")
        if claims.get("nbf") is not None:
            begin = _time(claims, "nbf")
            if now + NOT_BEFORE_LEEWAY_S < begin:
                raise TokenProblem(
                    f"oidc: current time {_shown(now)} before the nbf (not before) time: "
                    f"{_shown(begin)}"
                )


def _audience(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if value is None:
        return []
    if isinstance(value, list) and all(isinstance(a, str) for a in value):
        return value
    raise TokenProblem(
        "oidc: failed to unmarshal claims: json: cannot unmarshal into Go struct field "
        "idToken.aud of type string"
    )


def _time(claims: Json, name: str) -> float:
    """Seconds since the epoch; 0 if it is not said."""
    value = claims.get(name)
    if value is None:
        return 0.0
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TokenProblem(
            f"oidc: failed to unmarshal claims: json: cannot unmarshal into Go struct field "
            f"idToken.{name} of type json.Number"
        )
    return float(value)


def _shown(seconds: float) -> str:
    """As Go prints a time."""
    try:
        return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%d %H:%M:%S +0000 UTC")
    except (ValueError, OverflowError, OSError):
        return str(seconds)


def _listed(texts: Sequence[str]) -> str:
    return "[" + " ".join(map(quote, texts)) + "]"


def _in_range(value: Any) -> Any:
    """Integers beyond 64 bits as floats: expressions have no others."""
    if isinstance(value, dict):
        return {key: _in_range(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_in_range(inner) for inner in value]
    if isinstance(value, int) and value not in _INT64:
        return float(value)
    return value
