"""Puts issuers of JSON Web Tokens into a server, and takes a changed configuration into force.

`identity.py` calls `build_issuers` where flags name any. `run` finds the keys of all issuers at the
start, so that the first token does not wait; it ends what is under way when the server stops. New
issuers come into force when all of them have been reached; until then the old ones stay.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from kapi import log
from kapi.assembly.reloading import NotYet, ReloadedFile, ReloadMetrics, sha256
from kapi.authentication.distributed_claims import DistributedClaims
from kapi.authentication.jwt_claims import Verifier
from kapi.authentication.jwt_configuration import (
    AnonymousSettings,
    Configuration,
    ConfigurationError,
    JwtSettings,
)
from kapi.authentication.jwt_keys import DISCOVER_EVERY_S, Fetched, Page, Provider
from kapi.authentication.jwt_tokens import JwtAuthenticator, JwtTokens, issuer_hash
from kapi.clock import Clock
from kapi.metrics import Metrics
from kapi.options.issuers import configured, of_file
from kapi.options.table import Options
from kapi.outgoing.client import Client
from kapi.outgoing.pages import Pages

REACHED_WITHIN_S = 60.0  # new issuers, or the old ones stay

_log = log.get("jwt")


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuerDependencies:
    options: Options
    client: Client
    clock: Clock
    metrics: Metrics
    server: str  # the identity of this server, for metrics


class Issuers:
    """`anonymous`: what the configuration said at the start; one that says else is refused."""

    def __init__(self, d: IssuerDependencies, audiences: Sequence[str]) -> None:
        """Raises ConfigurationError, OSError."""
        self._d = d
        self._server = sha256(d.server.encode())
        prefix = "apiserver_authentication_jwt_authenticator_"
        self._seconds = d.metrics.histogram(f"{prefix}latency_seconds")
        self._last = d.metrics.metric(f"{prefix}jwks_fetch_last_timestamp_seconds")
        self._info = d.metrics.metric(f"{prefix}jwks_fetch_last_key_set_info")
        self._hashes: dict[str, str] = {}  # of key sets, by issuer
        self._retired: tuple[JwtAuthenticator, ...] = ()
        self.tokens = JwtTokens(audiences, d.clock, self._tally)
        self._configuration: Configuration = configured(d.options)
        self.anonymous: AnonymousSettings | None = self._configuration.anonymous
        self.tokens.replace([self._made(settings) for settings in self._configuration.jwt])

    def file(self, data: bytes) -> ReloadedFile:
        """What looks at the file again. `data`: what is in force."""
        d = self._d
        metrics = ReloadMetrics(d.metrics, "authentication", d.server, d.clock)
        path = d.options.authentication_config
        return ReloadedFile(path, data, self._apply, metrics, d.clock)

    async def run(self) -> None:
        """Until cancelled."""
        said: set[str] = set()
        try:
            while True:
                await asyncio.gather(*(i.provider.discover() for i in self.tokens.issuers))
                problems = {i.provider.problem for i in self.tokens.issuers} - {""}
                for problem in sorted(problems - said):
                    _log.error("an issuer is not reached", error=problem)
                said = problems
                await self._d.clock.sleep(DISCOVER_EVERY_S)
        finally:
            await self._close((*self.tokens.issuers, *self._retired))

    async def _apply(self, data: bytes) -> bool:
        new = of_file(self._d.options, data)
        if new.said == self._configuration.said:
            return False
        if new.anonymous != self.anonymous:
            raise ConfigurationError(
                "anonymous: Forbidden: changed from initial configuration file"
            )
        issuers = [self._made(settings) for settings in new.jwt]
        try:
            await self._reached(issuers)
        except BaseException:
            await self._close(issuers)
            raise
        self._configuration = new
        # Who waits for the old ones is answered; those before them had their time.
        await self._close(self._retired)
        self._retired = self.tokens.replace(issuers)
        hashes = {issuer.hash for issuer in issuers}
        self._hashes = {name: said for name, said in self._hashes.items() if name in hashes}
        return True

    async def _reached(self, issuers: Sequence[JwtAuthenticator]) -> None:
        """Raises NotYet for one that is not."""
        deadline = self._d.clock.monotonic() + REACHED_WITHIN_S
        while True:
            await asyncio.gather(*(issuer.provider.discover() for issuer in issuers))
            missing = [i.provider.problem for i in issuers if not i.provider.ready]
            if not missing:
                return
            if self._d.clock.monotonic() >= deadline:
                raise NotYet("; ".join(missing))
            await self._d.clock.sleep(DISCOVER_EVERY_S)

    @staticmethod
    async def _close(issuers: Sequence[JwtAuthenticator]) -> None:
        for issuer in issuers:
            await issuer.close()

    def _made(self, settings: JwtSettings) -> JwtAuthenticator:
        pages = Pages(self._d.client, settings.ca)
        fetched = partial(self._fetched, issuer_hash(settings.url))
        provider, verifier = self._issuer(
            settings, pages, settings.url, settings.discovery_url, fetched
        )
        distributed = None
        if claim := settings.groups.claim:

            async def fetch(url: str, limit: int, token: str) -> Page:
                return await pages.get(url, limit=limit, token=token)

            # Whoever is found so is not counted: documents elsewhere say who it is.
            other = partial(
                self._issuer, settings, pages, discovery_url="", fetched=lambda good, digest: None
            )
            distributed = DistributedClaims(claim, fetch, other)
        return JwtAuthenticator(settings, provider, verifier, distributed)

    def _issuer(
        self,
        settings: JwtSettings,
        pages: Pages,
        url: str,
        discovery_url: str,
        fetched: Fetched,
    ) -> tuple[Provider, Verifier]:
        async def fetch(where: str, limit: int) -> Page:
            return await pages.get(where, limit=limit)

        clock = self._d.clock
        provider = Provider(url, discovery_url, fetch, clock, fetched)
        return provider, Verifier(url, settings.audiences, settings.algorithms, provider, clock)

    # -- metrics ----------------------------------------------------------------------------------

    def _tally(self, issuer: str, good: bool, seconds: float) -> None:
        self._seconds.cell(issuer, "success" if good else "failure").observe(seconds)

    def _fetched(self, issuer: str, good: bool, digest: str) -> None:
        result = "success" if good else "failure"
        self._last.cell(self._server, issuer, result).value = self._d.clock.now()
        if good:
            self._hashes[issuer] = f"sha256:{digest}"
            self._info.clear()
            for name, found in self._hashes.items():
                self._info.cell(self._server, found, name).value = 1
