"""Who is let in is counted, and cache and store tell what they hold."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from kapi.assembly.measures import MeasuredAuthenticator, MeasuredAuthorizer, watch_parts
from kapi.authentication.authenticator import InvalidCredentials
from kapi.authorization.authorizer import Attributes, Decision
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


def test_what_cache_and_store_hold() -> None:
    metrics = Metrics()
    cache = SimpleNamespace(resources={("apps", "deployments"): None}, snapshot=[1, 2], received=5)
    cacher: Any = SimpleNamespace(caches=lambda: [cache])
    storage: Any = SimpleNamespace(statistics=lambda: {"live_bytes": 7, "history_bytes": 3})
    watch_parts(metrics, cacher, storage)
    text = metrics.render()[1].decode()
    labels = '{group="apps",resource="deployments"}'
    assert f"apiserver_resource_objects{labels} 2\n" in text
    assert f"apiserver_watch_cache_events_received_total{labels} 5\n" in text
    assert 'apiserver_storage_size_bytes{storage_cluster_id="kapi"} 10\n' in text
