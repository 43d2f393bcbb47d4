"""What fills the metrics that the edge and the filters do not: who is let in, and what cache and
store hold.

`server.py` puts the wrappers around the authenticator and the authorizer of the chain, and calls
`watch_parts` once. Gauges are read when somebody asks for `/metrics`, not when they change."""

from __future__ import annotations

from kapi.authentication.authenticator import Authenticator, InvalidCredentials
from kapi.authorization.authorizer import Attributes, Authorizer, Decision
from kapi.cacher.cacher import Cacher
from kapi.clock import Clock
from kapi.messages import Request, UserInfo
from kapi.metrics import Cell, HistogramCell, Metrics
from kapi.storage.interface import Storage

STORE = "kapi"  # the label that names the store

_DECISIONS = {
    Decision.ALLOW: "allowed",
    Decision.DENY: "denied",
    Decision.NO_OPINION: "no-opinion",
}


class MeasuredAuthenticator:
    """Counts and times what another finds; nobody is a success where anonymous may pass."""

    def __init__(
        self, inner: Authenticator, metrics: Metrics, clock: Clock, *, anonymous: bool
    ) -> None:
        self._inner = inner
        self._clock = clock
        self._cells: dict[str, tuple[Cell, HistogramCell]] = {
            result: (
                metrics.authentication_attempts.cell(result),
                metrics.authentication_duration.cell(result),
            )
            for result in ("success", "failure", "error")
        }
        self._nobody = "success" if anonymous else "failure"

    async def authenticate(self, request: Request) -> UserInfo | None:
        start = self._clock.monotonic()
        result = "error"
        try:
            user = await self._inner.authenticate(request)
            result = "success" if user is not None else self._nobody
            return user
        except InvalidCredentials:
            result = "failure"
            raise
        finally:
            attempts, duration = self._cells[result]
            attempts.value += 1
            duration.observe(self._clock.monotonic() - start)


class MeasuredAuthorizer:
    """Counts and times another authorizer's decisions."""

    def __init__(self, inner: Authorizer, metrics: Metrics, clock: Clock) -> None:
        self._inner = inner
        self._clock = clock
        self._cells: dict[str, tuple[Cell, HistogramCell]] = {
            result: (
                metrics.authorization_attempts.cell(result),
                metrics.authorization_duration.cell(result),
            )
            for result in (*_DECISIONS.values(), "error")
        }

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        start = self._clock.monotonic()
        result = "error"
        try:
            decision, reason = await self._inner.authorize(attributes)
            result = _DECISIONS[decision]
            return decision, reason
        finally:
            attempts, duration = self._cells[result]
            attempts.value += 1
            duration.observe(self._clock.monotonic() - start)


def watch_parts(metrics: Metrics, cacher: Cacher, storage: Storage) -> None:
    """From now on each rendering tells how much the cache and the store hold."""

    def fill() -> None:
        metrics.resource_objects.clear()
        for cache in cacher.caches():
            for group, plural in cache.resources:
                objects = len(cache.snapshot)
                metrics.resource_objects.cell(group, plural).value = objects
                metrics.cache_events_received.cell(group, plural).value = cache.received
        held = storage.statistics()
        size = held.get("live_bytes", 0) + held.get("history_bytes", 0)
        size += held.get("database_bytes", 0)  # of an etcd
        metrics.storage_size.cell(STORE).value = size

    metrics.on_render(fill)
