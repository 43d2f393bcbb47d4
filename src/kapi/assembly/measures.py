"""What fills the metrics that the edge and the filters do not: who is let in, and what cache and
store hold.

`server.py` puts the wrappers around the authenticator and the authorizer of the chain, and calls
`watch_parts` once. Gauges are read when somebody asks for `/metrics`, not when they change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from kapi.authentication.authenticator import Authenticator, InvalidCredentials
from kapi.authorization.authorizer import Attributes, Authorizer, Decision
from kapi.cacher.cacher import Cacher
from kapi.cacher.resource_cache import ResourceCache
from kapi.clock import Clock
from kapi.messages import Request, UserInfo
from kapi.metrics import Cell, HistogramCell, Metrics
from kapi.storage.interface import Storage

if TYPE_CHECKING:
    from kapi.storage.etcd import EtcdStorage

# Labels: where lists are answered from, and the store that is this server's own.
WATCH_CACHE, ETCD, STORE = "watchcache", "etcd", "kapi"
# The revision of a cache is shown modulo this, so that it stays exact as a float.
REVISION_SHOWN = 10**15
# What is stored without an API, with the names that the real server has for it.
_WITHOUT_API = {
    "masterleases": ("", "apiServerIPInfo"),
    "ranges": ("", "servicenodeportallocations"),
}

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


def watch_parts(
    metrics: Metrics,
    cacher: Cacher,
    storage: Storage,
    etcds: Sequence[EtcdStorage] = (),
    *,
    counts_objects: bool = True,
) -> None:
    """From now on each rendering tells what the cache and the store hold, and how they are read.

    `counts_objects`: also how many objects there are of each kind.
    """
    shown = _CacheMetrics(metrics, ETCD if etcds else STORE, counts_objects=counts_objects)
    requests = _EtcdMetrics(metrics) if etcds else None

    def fill() -> None:
        metrics.resource_objects.clear()
        names = dict(_WITHOUT_API)
        for cache in cacher.caches():
            for group, plural in cache.resources:
                names.setdefault(cache.prefix, (group, plural))
                shown.fill(cache, group, plural)
        if requests is not None:
            requests.fill(etcds, names)
            return
        held = storage.statistics()
        size = held.get("live_bytes", 0) + held.get("history_bytes", 0)
        metrics.storage_size.cell(STORE).value = size

    metrics.on_render(fill)


class _CacheMetrics:
    """What is counted with each resource."""

    def __init__(self, metrics: Metrics, store: str, *, counts_objects: bool) -> None:
        self._store = store
        self._counts_objects = counts_objects
        self._objects = metrics.resource_objects
        self._received = (
            metrics.cache_events_received,
            metrics.metric("apiserver_storage_events_received_total"),
            metrics.metric("apiserver_watch_cache_events_dispatched_total"),
        )
        self._revision = metrics.metric("apiserver_watch_cache_resource_version")
        self._initializations = metrics.metric("apiserver_watch_cache_initializations_total")
        self._fresh = metrics.metric("apiserver_watch_cache_consistent_read_total")
        self._waits = metrics.histogram("apiserver_watch_cache_read_wait_seconds")
        lists = "apiserver_storage_list_"
        self._lists = metrics.metric(f"{lists}total")
        self._fetched = metrics.metric(f"{lists}fetched_objects_total")
        self._evaluated = metrics.metric(f"{lists}evaluated_objects_total")
        self._returned = metrics.metric(f"{lists}returned_objects_total")

    def fill(self, cache: ResourceCache, group: str, plural: str) -> None:
        if self._counts_objects:
            self._objects.cell(group, plural).value = len(cache.snapshot)
        for metric in self._received:
            metric.cell(group, plural).value = cache.received
        self._revision.cell(group, plural).value = cache.revision % REVISION_SHOWN
        reads = cache.reads
        self._initializations.cell(group, plural).value = reads.initializations
        fresh = reads.fresh + reads.late
        for count, fallback in ((fresh, "false"), (reads.fallbacks, "true")):
            if count:
                self._fresh.cell(group, plural, "true", fallback).value = count
        if reads.fresh or any(reads.waits.counts):
            waits = HistogramCell(reads.waits.bounds)
            waits.counts = [reads.waits.counts[0] + reads.fresh, *reads.waits.counts[1:]]
            waits.sum = reads.waits.sum
            self._waits.show(waits, group, plural)
        for lists, place in ((reads.cached, WATCH_CACHE), (reads.stored, self._store)):
            if lists.served:
                self._lists.cell(group, plural, place, "").value = lists.served
                self._fetched.cell(group, plural, place, "").value = lists.fetched
                self._evaluated.cell(group, plural, place).value = lists.evaluated
                self._returned.cell(group, plural, place).value = lists.returned


class _EtcdMetrics:
    """What is counted with each etcd."""

    def __init__(self, metrics: Metrics) -> None:
        self._sizes = metrics.storage_size
        self._requests = metrics.metric("etcd_requests_total")
        self._errors = metrics.metric("etcd_request_errors_total")
        self._seconds = metrics.histogram("etcd_request_duration_seconds")
        self._bookmarks = metrics.metric("etcd_bookmark_total")
        self._leases = metrics.histogram("etcd_lease_object_counts")

    def fill(self, etcds: Sequence[EtcdStorage], names: Mapping[str, tuple[str, str]]) -> None:
        """`names`: group and resource, by storage prefix."""
        self._sizes.clear()
        urls = dict.fromkeys(m.url for etcd in etcds for m in etcd.client.members)
        for at, url in enumerate(urls):
            size = next((etcd.sizes[url] for etcd in etcds if url in etcd.sizes), None)
            if size is not None:
                self._sizes.cell(f"etcd-{at}").value = size
        for etcd in etcds:
            for (operation, prefix), tally in etcd.requests.tallies.items():
                if prefix in names:
                    labels = (operation, *names[prefix])
                    self._requests.cell(*labels).value = tally.requests
                    self._seconds.show(tally.seconds, *labels)
                    if tally.errors:
                        self._errors.cell(*labels).value = tally.errors
        self._leases.show(etcds[0].leases.used)
        answers = sum(etcd.statistics()["progress_answers"] for etcd in etcds)
        self._bookmarks.cell("", "").value = answers
