"""Groups that a token does not hold, but says where: a URL that answers with another token.

For the groups claim only, as in the real server. Who signs that other token may be another issuer,
whose keys are found as those of the first.
https://openid.net/specs/openid-connect-core-1_0.html#AggregatedDistributedClaims
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kapi.authentication.jwt_claims import TokenProblem, Verifier, untrusted_issuer
from kapi.authentication.jwt_keys import Provider
from kapi.errors import quote

Json = dict[str, Any]
ISSUERS_MAX = 16  # whose keys are kept, of one authenticator
ANSWER_BYTES_MAX = 1 << 20


class Page(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


Get = Callable[[str, int, str], Awaitable[Page]]  # url, most bytes, token
MakeIssuer = Callable[[str], tuple[Provider, Verifier]]


class DistributedClaims:
    def __init__(self, claim: str, get: Get, issuer: MakeIssuer) -> None:
        self._claim = claim
        self._get = get
        self._make = issuer
        self._issuers: OrderedDict[str, tuple[Provider, Verifier]] = OrderedDict()

    async def expand(self, claims: Json) -> Json:
        """The claims, with the one that stands elsewhere. Raises TokenProblem."""
        name = self._claim
        if name in claims or "_claim_names" not in claims:
            return claims
        names = claims["_claim_names"]
        if not isinstance(names, dict) or not all(isinstance(v, str) for v in names.values()):
            raise TokenProblem("oidc: error parsing distributed claim names")
        sources = claims.get("_claim_sources")
        if sources is None:
            raise TokenProblem("oidc: no claim sources")
        if not isinstance(sources, dict):
            raise TokenProblem("oidc: could not parse claim sources")
        source = names.get(name)
        if source is None:
            return claims
        if source not in sources:
            raise TokenProblem(
                f"id token _claim_names contained a source {source} missing in _claims_sources"
            )
        found = sources[source]
        if not isinstance(found, dict):
            raise TokenProblem("oidc: could not parse claim sources")
        url, token = found.get("endpoint", ""), found.get("access_token", "")
        if not isinstance(url, str) or not isinstance(token, str):
            raise TokenProblem("oidc: could not parse claim sources")
        if not url:
            return claims
        return {**claims, name: await self._resolved(url, token)}

    async def _resolved(self, url: str, token: str) -> Any:
        try:
            jwt = await self._fetched(url, token)
        except Exception as error:
            text = f"while getting distributed claim {quote(self._claim)}: {error}"
            raise TokenProblem(text) from error
        issuer = untrusted_issuer(jwt)
        if not issuer:
            raise TokenProblem(
                f"getting untrusted issuer from endpoint {url} failed for claim "
                f"{quote(self._claim)}: malformed token"
            )
        provider, verifier = await self._issuer(issuer)
        if not await provider.discover():
            raise TokenProblem(
                f"verifying untrusted issuer {issuer} failed: verifier not initialized for "
                f"issuer: {quote(issuer)}"
            )
        try:
            claims = await verifier.claims(jwt)
        except TokenProblem as error:
            raise TokenProblem(f"verify distributed claim token: {error}") from error
        if self._claim not in claims:
            raise TokenProblem(
                f"jwt returned by distributed claim endpoint {quote(url)} did not contain "
                f"claim: {self._claim}"
            )
        return claims[self._claim]

    async def _fetched(self, url: str, token: str) -> str:
        page = await self._get(url, ANSWER_BYTES_MAX, token)
        if not 200 <= page.status <= 226:
            raise TokenProblem(f"error while getting distributed claim JWT: {page.status}")
        return page.body.decode("ascii", "replace").strip()

    async def _issuer(self, url: str) -> tuple[Provider, Verifier]:
        known = self._issuers.get(url)
        if known is None:
            known = self._issuers[url] = self._make(url)
        self._issuers.move_to_end(url)
        if len(self._issuers) > ISSUERS_MAX:
            _, (provider, _) = self._issuers.popitem(last=False)
            await provider.close()
        return known

    async def close(self) -> None:
        for provider, _ in list(self._issuers.values()):  # others may be found meanwhile
            await provider.close()
