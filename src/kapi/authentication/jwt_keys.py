"""The keys of an issuer of tokens: where it publishes them, and which of them signed a token.

An issuer's discovery document names the key set. The set is fetched once and kept; a signature that
none of its keys made has it fetched again, because issuers change their keys. How often that may
happen is bounded: anybody can send tokens that nobody signed.
https://openid.net/specs/openid-connect-discovery-1_0.html
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kapi.authentication.service_account_keys import PublicKey, algorithm
from kapi.clock import Clock
from kapi.errors import quote

Json = dict[str, Any]
WELL_KNOWN = "/.well-known/openid-configuration"
DOCUMENT_BYTES_MAX = 1 << 20  # of a discovery document or a key set; real ones have a few KB
KEYS_MAX = 256  # of a set; further ones are not looked at
RSA_BITS = range(1024, 8192 + 1)  # shorter ones, which Go does not take either, can be broken
RSA_EXPONENT_MAX = (1 << 31) - 1
FETCHES_MAX, FETCH_EVERY_S = 5, 2.0  # so many at once, then one every so often
DISCOVER_EVERY_S = 10.0  # after a failure
_REPLACED = "the issuers changed"
_SHOWN_MAX = 200  # of a document that is none, in messages
_CURVES: Mapping[str, ec.EllipticCurve] = {
    "P-256": ec.SECP256R1(),
    "P-384": ec.SECP384R1(),
    "P-521": ec.SECP521R1(),
}
_CURVE_OF = {"ES256": "secp256r1", "ES384": "secp384r1", "ES512": "secp521r1"}


class IssuerError(Exception):
    """An issuer's documents cannot be had."""


class Page(Protocol):
    @property
    def status(self) -> int: ...
    @property
    def body(self) -> bytes: ...


Get = Callable[[str, int], Awaitable[Page]]  # url, most bytes; raises an exception with a text
# Told of each fetch of a key set: whether it worked, and the hash of the set.
Fetched = Callable[[bool, str], None]


@dataclass(frozen=True, slots=True)
class JwtKey:
    id: str
    key: PublicKey

    def verifies(self, name: str, message: bytes, signature: bytes) -> bool:
        """`name`: an asymmetric algorithm of RFC 7518; never true for one of another key type."""
        if isinstance(self.key, rsa.RSAPublicKey):
            fits = name[:2] in ("RS", "PS")
        else:
            fits = _CURVE_OF.get(name) == self.key.curve.name
        return fits and bool(algorithm(name).verify(message, self.key, signature))


def read_keys(body: bytes) -> list[JwtKey]:
    """Those of a key set that can be used. Raises IssuerError if it is none."""
    try:
        document = orjson.loads(body)
        listed = document["keys"]
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise IssuerError(f"oidc: failed to decode keys: {error} {_shown(body)}") from error
    if not isinstance(listed, list):
        raise IssuerError(f"oidc: failed to decode keys: not a list {_shown(body)}")
    found = []
    for entry in listed[:KEYS_MAX]:
        try:
            key = _key(entry)
        except (ValueError, TypeError, KeyError, binascii.Error, UnsupportedAlgorithm):
            continue  # of a kind that is not for us, or damaged
        if key is not None:
            found.append(key)
    return found


def _key(entry: Json) -> JwtKey | None:
    name = entry.get("kid", "") if isinstance(entry, dict) else None
    if not isinstance(name, str):
        return None
    key: PublicKey
    match entry.get("kty"):
        case "RSA":
            n, e = _number(entry["n"]), _number(entry["e"])
            if n.bit_length() not in RSA_BITS or e > RSA_EXPONENT_MAX:
                return None
            key = rsa.RSAPublicNumbers(e, n).public_key()
        case "EC":
            curve = _CURVES[entry["crv"]]
            numbers = ec.EllipticCurvePublicNumbers(_number(entry["x"]), _number(entry["y"]), curve)
            key = numbers.public_key()
        case _:
            return None
    return JwtKey(name, key)


def _number(text: str) -> int:
    data = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    return int.from_bytes(data, "big")


def _shown(body: bytes) -> str:
    return body[:_SHOWN_MAX].decode("utf-8", "replace")


class Provider:
    """One issuer. Whoever needs its keys first has them fetched; others wait for the same fetch."""

    def __init__(
        self, url: str, discovery_url: str, get: Get, clock: Clock, fetched: Fetched
    ) -> None:
        """`discovery_url`: instead of the place below `url`; "": that place."""
        self._url = url
        self._discovery = discovery_url or url.rstrip("/") + WELL_KNOWN
        self._get = get
        self._clock = clock
        self._fetched = fetched
        self._jwks_uri = ""
        self._keys: Sequence[JwtKey] = ()
        self._version = 0  # of the keys
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._closed = False
        self._failed_at: float | None = None
        self._left = float(FETCHES_MAX)
        self._counted_at = clock.monotonic()
        self.problem = f"oidc: authenticator for issuer {quote(url)} is not initialized"

    @property
    def ready(self) -> bool:
        return bool(self._jwks_uri)

    async def discover(self) -> bool:
        """Find out where the keys are, unless that failed just now. Whether it is known."""
        if self.ready:
            return True
        now = self._clock.monotonic()
        waiting = self._failed_at is not None and now < self._failed_at + DISCOVER_EVERY_S
        if not waiting or "discovery" in self._under_way:
            with contextlib.suppress(IssuerError):  # `problem` says it
                await self._shared("discovery", self._discover)
        return self.ready

    async def verify(self, name: str, kid: str, message: bytes, signature: bytes) -> None:
        """Raises IssuerError if no key of the issuer signed it."""
        if self._signed(name, kid, message, signature):
            return
        seen = self._version
        try:
            await self._fetch_keys()
        except IssuerError as error:
            raise IssuerError(f"fetching keys {error}") from error
        if self._version == seen or not self._signed(name, kid, message, signature):
            raise IssuerError("failed to verify id token signature")

    async def close(self) -> None:
        """End what is under way; nothing more is fetched. Known keys stay good."""
        self._closed = True
        tasks = list(self._under_way.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _signed(self, name: str, kid: str, message: bytes, signature: bytes) -> bool:
        return any(
            key.verifies(name, message, signature) for key in self._keys if not kid or key.id == kid
        )

    async def _shared(self, what: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run it once for all who want it. It goes on when who began it is gone."""
        task = self._under_way.get(what)
        if self._closed and task is None:
            raise IssuerError(_REPLACED)
        if task is None:

            async def alone() -> None:
                try:
                    await run()
                finally:
                    del self._under_way[what]

            task = asyncio.get_running_loop().create_task(alone(), name=f"jwt-{what}")
            task.add_done_callback(_looked_at)
            self._under_way[what] = task
        await asyncio.wait((task,))
        if task.cancelled():
            raise IssuerError(_REPLACED)
        task.result()

    async def _discover(self) -> None:
        try:
            self._jwks_uri = await self._discovered()
            self.problem = ""
        except IssuerError as error:
            self._failed_at = self._clock.monotonic()
            self.problem = (
                f"oidc: authenticator for issuer {quote(self._url)} is not healthy: {error}"
            )

    async def _discovered(self) -> str:
        page = await self._page(self._discovery)
        if page.status != 200:
            raise IssuerError(f"{page.status}: {_shown(page.body)}")
        try:
            document = orjson.loads(page.body)
        except orjson.JSONDecodeError as error:
            text = f"oidc: failed to decode provider discovery object: {error}"
            raise IssuerError(text) from error
        found = document if isinstance(document, dict) else {}
        issuer, uri = found.get("issuer", ""), found.get("jwks_uri", "")
        if issuer != self._url:
            raise IssuerError(
                "oidc: issuer did not match the issuer returned by provider, expected "
                f"{quote(self._url)} got {quote(str(issuer)[:_SHOWN_MAX])}"
            )
        if not isinstance(uri, str) or not uri:
            raise IssuerError("oidc: the provider discovery object names no jwks_uri")
        return uri

    async def _page(self, url: str) -> Page:
        try:
            return await self._get(url, DOCUMENT_BYTES_MAX)
        except Exception as error:
            raise IssuerError(str(error)) from error

    async def _fetch_keys(self) -> None:
        if "keys" not in self._under_way and not self._may_fetch():
            return
        await self._shared("keys", self._keys_fetched)

    def _may_fetch(self) -> bool:
        now = self._clock.monotonic()
        more = (now - self._counted_at) / FETCH_EVERY_S
        self._left = min(float(FETCHES_MAX), self._left + more)
        self._counted_at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True

    async def _keys_fetched(self) -> None:
        digest = ""
        try:
            page = await self._page(self._jwks_uri)
            if page.status != 200:
                raise IssuerError(f"oidc: get keys failed: {page.status} {_shown(page.body)}")
            self._keys = read_keys(page.body)
            self._version += 1
            digest = hashlib.sha256(page.body).hexdigest()
        finally:
            self._fetched(bool(digest), digest)


def _looked_at(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()
