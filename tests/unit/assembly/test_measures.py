"""Who is let in is counted, and cache and store tell what they hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kapi.assembly.measures import MeasuredAuthenticator, MeasuredAuthorizer, watch_parts
from kapi.authentication.authenticator import InvalidCredentials
from kapi.authorization.authorizer import Attributes, Decision
from kapi.cacher.reads import Reads
from kapi.clock import SystemClock
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, UserInfo
from kapi.metrics import Metrics

JANE = UserInfo("jane")
REQUEST = Request("GET", "/", "/", Query(""), Headers([]), EmptyBody(), Peer())


class Answering:
    """An authenticator and authorizer that gives or raises what it is told."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer

    def _give(self) -> Any:
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer

    async def authenticate(self, request: Request) -> UserInfo | None:
        return cast(UserInfo | None, self._give())

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return cast(tuple[Decision, str], self._give())


@pytest.mark.parametrize(
    ("answer", "anonymous", "result"),
    [
        (JANE, False, "success"),
        (None, True, "success"),
        (None, False, "failure"),
        (InvalidCredentials("no"), True, "failure"),
        (OSError("no"), True, "error"),
    ],
)
async def test_authentication(answer: Any, anonymous: bool, result: str) -> None:
    metrics = Metrics()
    inner = Answering(answer)
    measured = MeasuredAuthenticator(inner, metrics, SystemClock(), anonymous=anonymous)
    if isinstance(answer, Exception):
        with pytest.raises(type(answer)):
            await measured.authenticate(REQUEST)
    else:
        assert await measured.authenticate(REQUEST) is answer
    text = metrics.render()[1].decode()
    assert f'authentication_attempts{{result="{result}"}} 1\n' in text
    assert f'authentication_duration_seconds_count{{result="{result}"}} 1\n' in text


@pytest.mark.parametrize(
    ("answer", "result"),
    [
        ((Decision.ALLOW, "x"), "allowed"),
        ((Decision.DENY, "x"), "denied"),
        ((Decision.NO_OPINION, ""), "no-opinion"),
        (OSError("no"), "error"),
    ],
)
async def test_authorization(answer: Any, result: str) -> None:
    metrics = Metrics()
    measured = MeasuredAuthorizer(Answering(answer), metrics, SystemClock())
    asked = Attributes(user=JANE, verb="get", is_resource=False)
    if isinstance(answer, Exception):
        with pytest.raises(type(answer)):
            await measured.authorize(asked)
    else:
        assert await measured.authorize(asked) == answer
    text = metrics.render()[1].decode()
    assert f'authorization_attempts_total{{result="{result}"}} 1\n' in text
    assert f'authorization_duration_seconds_count{{result="{result}"}} 1\n' in text


STORAGE: Any = SimpleNamespace(statistics=lambda: {"live_bytes": 7, "history_bytes": 3})


def cacher_of(reads: Reads) -> Any:
    cache = SimpleNamespace(
        prefix="deployments",
        resources={("apps", "deployments"): None},
        snapshot=[1, 2],
        received=5,
        revision=10**15 + 9,
        reads=reads,
    )
    return SimpleNamespace(caches=lambda: [cache])


def test_what_cache_and_store_hold() -> None:
    metrics = Metrics()
    watch_parts(metrics, cacher_of(Reads()), STORAGE)
    text = metrics.render()[1].decode()
    labels = '{group="apps",resource="deployments"}'
    assert f"apiserver_watch_cache_events_dispatched_total{labels} 5\n" in text
    assert f"apiserver_storage_events_received_total{labels} 5\n" in text
    assert f"apiserver_watch_cache_resource_version{labels} 9\n" in text
    assert "etcd_" not in text
    assert "consistent_read" not in text
    assert f"apiserver_resource_objects{labels} 2\n" in text
    assert f"apiserver_watch_cache_events_received_total{labels} 5\n" in text
    assert 'apiserver_storage_size_bytes{storage_cluster_id="kapi"} 10\n' in text


def test_objects_are_not_counted_where_nobody_wants_it() -> None:
    metrics = Metrics()
    watch_parts(metrics, cacher_of(Reads()), STORAGE, counts_objects=False)
    text = metrics.render()[1].decode()
    assert "apiserver_resource_objects" not in text
    assert "apiserver_watch_cache_resource_version" in text


def test_how_the_cache_is_read() -> None:
    metrics = Metrics()
    reads = Reads(initializations=2, fresh=3, late=1, fallbacks=1)
    reads.waits.observe(0.3)
    reads.waits.observe(3.5)
    reads.cached.add(100, 0, 10)
    reads.cached.add(50, 0, 50)
    reads.stored.add(500, 500, 7)
    watch_parts(metrics, cacher_of(reads), STORAGE)
    for _ in range(2):  # rendering twice counts nothing twice
        text = metrics.render()[1].decode()
    labels = 'group="apps",resource="deployments"'
    assert f"apiserver_watch_cache_initializations_total{{{labels}}} 2\n" in text
    fallback = 'fallback="{}",' + labels + ',success="true"'
    consistent = "apiserver_watch_cache_consistent_read_total"
    assert f"{consistent}{{{fallback.format('false')}}} 4\n" in text
    assert f"{consistent}{{{fallback.format('true')}}} 1\n" in text
    waits = "apiserver_watch_cache_read_wait_seconds"
    for bound, count in (("0.005", 3), ("0.4", 4), ("+Inf", 5)):
        bucket = f'{waits}_bucket{{group="apps",le="{bound}",resource="deployments"}}'
        assert f"{bucket} {count}\n" in text
    assert f"{waits}_sum{{{labels}}} 3.8\n" in text
    assert f"{waits}_count{{{labels}}} 5\n" in text
    lists = "apiserver_storage_list"
    for place, served, fetched, evaluated, returned in (
        ("watchcache", 2, 150, 0, 60),
        ("kapi", 1, 500, 500, 7),
    ):
        at = f'{{{labels},storage="{place}"}}'
        indexed = f'{{group="apps",index="",resource="deployments",storage="{place}"}}'
        assert f"{lists}_total{indexed} {served}\n" in text
        assert f"{lists}_fetched_objects_total{indexed} {fetched}\n" in text
        assert f"{lists}_evaluated_objects_total{at} {evaluated}\n" in text
        assert f"{lists}_returned_objects_total{at} {returned}\n" in text
