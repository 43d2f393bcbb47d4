"""Lists of audit events on their way: their form, attempts, pauses, and what is lost."""

from __future__ import annotations

import asyncio

import orjson
import pytest
from audit_records import record

from kapi.audit import webhook_sink
from kapi.audit.policy import Level
from kapi.audit.sink import Sink
from kapi.audit.truncation import TruncatingSink
from kapi.audit.webhook_sink import ATTEMPTS_MAX, Delivery, PostError, WebhookSink, event_list
from kapi.clock import Entropy
from kapi.metrics import Metrics


class Hook:
    """`fail`: how often, before it takes a list."""

    def __init__(self, fail: int = 0) -> None:
        self.bodies: list[bytes] = []
        self.fail = fail
        self.calls = 0

    async def __call__(self, body: bytes) -> None:
        self.calls += 1
        if self.calls <= self.fail:
            raise PostError("connection refused")
        self.bodies.append(body)


class Pauses:
    """A clock that only notes how long somebody wanted to sleep."""

    def __init__(self) -> None:
        self.slept: list[float] = []

    def now(self) -> float:
        return 0.0

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        await asyncio.sleep(0)


def lost(metrics: Metrics, plugin: str = "webhook") -> float:
    return metrics.metric("apiserver_audit_error_total").cell(plugin).value


def delivery(hook: Hook, clock: Pauses, metrics: Metrics, batch_max: int = 0) -> Delivery:
    return Delivery(hook, clock, Entropy(1), metrics, backoff_s=10, batch_max=batch_max)


def test_a_list_is_an_event_list() -> None:
    found = orjson.loads(event_list([record("a"), record("b", request=b'{"x":1}')]))
    assert found == {
        "kind": "EventList",
        "apiVersion": "audit.k8s.io/v1",
        "metadata": {},
        "items": [
            {"auditID": "a", "stageTimestamp": "now"},
            {"auditID": "b", "requestObject": {"x": 1}, "stageTimestamp": "now"},
        ],
    }


async def test_what_fails_is_tried_again_with_longer_pauses() -> None:
    hook, clock, metrics = Hook(fail=3), Pauses(), Metrics()
    assert await delivery(hook, clock, metrics)([record()])
    assert len(hook.bodies) == 1
    for slept, pause in zip(clock.slept, (10, 15, 22.5), strict=True):
        assert pause <= slept <= pause * 1.2
    assert lost(metrics) == 0


async def test_after_the_last_attempt_events_are_lost() -> None:
    hook, metrics = Hook(fail=100), Metrics()
    assert not await delivery(hook, Pauses(), metrics)([record("a"), record("b")])
    assert hook.calls == ATTEMPTS_MAX
    assert lost(metrics) == 2


async def test_a_batch_that_is_too_large_is_split() -> None:
    hook, metrics = Hook(), Metrics()
    events = [record(str(i), request=b'"%b"' % (b"x" * 100)) for i in range(5)]
    assert await delivery(hook, Pauses(), metrics, batch_max=2 * events[0].size())(events)
    assert [len(orjson.loads(body)["items"]) for body in hook.bodies] == [2, 2, 1]


async def test_each_event_is_waited_for_where_answers_wait() -> None:
    hook, metrics = Hook(), Metrics()
    sink = WebhookSink(delivery(hook, Pauses(), metrics), metrics, strict=True)
    assert all(await asyncio.gather(sink.put(record("a")), sink.put(record("b"))))
    assert len(hook.bodies) == 2
    await sink.close()


async def test_large_events_lose_their_objects() -> None:
    metrics = Metrics()
    hook = Hook()
    inner: Sink = WebhookSink(delivery(hook, Pauses(), metrics), metrics, strict=False)
    sink = TruncatingSink(inner, 200, metrics)
    small = record("a", level=Level.REQUEST, request=b'{"small":1}')
    said = b'{"authorization.k8s.io/decision":"allow"}'
    large = record("b", level=Level.REQUEST, request=b'"%b"' % (b"x" * 500), annotations=said)
    hopeless = record("c" * 500, level=Level.REQUEST)
    for kept in (sink.put(small), sink.put(large)):
        assert kept is not None
        assert await kept
    assert sink.put(hopeless) is None
    one, two = (orjson.loads(body)["items"][0] for body in hook.bodies)
    assert one["requestObject"] == {"small": 1}
    assert "requestObject" not in two
    assert two["annotations"] == {
        "audit.k8s.io/truncated": "true",
        "authorization.k8s.io/decision": "allow",
    }
    assert lost(metrics, "truncate") == 1
    await sink.close()


async def test_events_on_their_way_are_bounded_by_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    large = record("large", response=b"x" * 1000)
    monkeypatch.setattr(webhook_sink, "DELIVERIES_BYTES_MAX", 2 * large.weight)
    hook, metrics = Hook(), Metrics()
    sink = WebhookSink(delivery(hook, Pauses(), metrics), metrics, strict=False)
    assert await asyncio.gather(*(sink.put(large) for _ in range(3))) == [True, True, False]
    assert lost(metrics) == 1
    assert await sink.put(large)
    await sink.close()


async def test_no_answer_fails_because_of_what_a_delivery_raises() -> None:
    async def post(body: bytes) -> None:
        raise RuntimeError

    metrics = Metrics()
    deliver = Delivery(post, Pauses(), Entropy(1), metrics, backoff_s=1)
    sink = WebhookSink(deliver, metrics, strict=False)
    assert await sink.put(record()) is False
    assert lost(metrics) == 1
    await sink.close()
