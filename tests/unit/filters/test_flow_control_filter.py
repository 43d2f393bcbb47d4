"""The filter of priority and fairness: whatever happens to a request, its seat comes back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from kapi import errors
from kapi.clock import SystemClock
from kapi.controllers import fixed_objects
from kapi.errors import ApiError
from kapi.filters.flow_control import with_flow_control
from kapi.filters.panic_recovery import with_panic_recovery
from kapi.filters.timeout import with_timeout
from kapi.flowcontrol.levels import FlowControl
from kapi.flowcontrol.shown import show
from kapi.messages import (
    EmptyBody,
    Handler,
    Headers,
    Peer,
    Query,
    Request,
    RequestInfo,
    Response,
    UserInfo,
)
from kapi.metrics import Metrics

LEVEL = "small"
SEATS = 1


class Objects:
    def __init__(self, objects: list[dict[str, object]]) -> None:
        self.objects = objects
        self.changed = 1

    def list(self, namespace: str = "") -> list[dict[str, object]]:
        return self.objects


def level(*, queue: bool) -> dict[str, object]:
    response: dict[str, object] = {"type": "Reject"}
    if queue:
        queuing = {"queues": 1, "handSize": 1, "queueLengthLimit": 2}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": 1,
        "lendablePercent": 0,
        "borrowingLimitPercent": 0,
        "limitResponse": response,
    }
    return {"metadata": {"name": LEVEL}, "spec": {"type": "Limited", "limited": limited}}


SCHEMA: dict[str, object] = {
    "metadata": {"name": "jane"},
    "spec": {
        "matchingPrecedence": 9,
        "priorityLevelConfiguration": {"name": LEVEL},
        "distinguisherMethod": {"type": "ByUser"},
        "rules": [
            {
                "subjects": [{"kind": "User", "user": {"name": "jane"}}],
                "resourceRules": [
                    {
                        "verbs": ["*"],
                        "apiGroups": ["*"],
                        "resources": ["*"],
                        "clusterScope": True,
                        "namespaces": ["*"],
                    }
                ],
            }
        ],
    },
}


class Stage:
    """One seat, and a handler that answers when it is told to."""

    def __init__(self, *, queue: bool = True) -> None:
        fixed = fixed_objects.load()
        mandatory = {
            plural: [o for o in fixed[plural] if o["metadata"]["name"] in ("exempt", "catch-all")]
            for plural in ("flowschemas", "prioritylevelconfigurations")
        }
        self.metrics = Metrics()
        self.control = FlowControl(
            SystemClock(),
            Objects([SCHEMA]),
            Objects([level(queue=queue)]),
            mandatory,
            6 * SEATS,  # catch-all has five shares
            60.0,
            lambda group, plural: None,
            asyncio.get_running_loop().call_later,
        )
        show(self.metrics, self.control)
        self.open = asyncio.Event()
        self.entered = 0
        self.handler = with_flow_control(self._handle, self.control, self.metrics)

    async def _handle(self, request: Request) -> Response:
        self.entered += 1
        await self.open.wait()
        return Response(200, [], b"ok")

    @property
    def queues(self) -> tuple[int, int]:
        """Requests that wait, seats in use."""
        queues = self.control.levels[LEVEL].queues
        return queues.waiting, queues.seats_in_use

    def text(self) -> str:
        return self.metrics.render()[1].decode()

    @asynccontextmanager
    async def busy(self) -> AsyncIterator[Request]:
        """While its only seat is taken."""
        first = request()
        task = asyncio.ensure_future(self.handler(first))
        await settled(lambda: self.queues == (0, 1))
        yield first
        self.open.set()
        await task
        unwind(first)


async def settled(done: Callable[[], bool]) -> None:
    for _ in range(1000):  # turns of the loop, not time
        if done():
            return
        await asyncio.sleep(0)
    raise AssertionError("it never came to that")


def request(verb: str = "get", user: str = "jane", subresource: str = "") -> Request:
    made = Request(
        "GET", "/", "/", Query(""), Headers(()), EmptyBody(), Peer(),
        received_at=SystemClock().monotonic(), user=UserInfo(user, groups=("g",)),
    )  # fmt: skip
    made.info = RequestInfo(
        True, "/", verb, "api", version="v1", resource="pods", subresource=subresource
    )
    return made


def unwind(asked: Request) -> None:
    while asked.exit:
        asked.exit.pop()()


async def test_a_seat_is_held_to_the_last_byte() -> None:
    stage = Stage()
    stage.open.set()
    asked = request()
    assert (await stage.handler(asked)).status == 200
    assert stage.queues == (0, 1)
    assert [name for name, _ in asked.reply_headers] == [
        "X-Kubernetes-Pf-Flowschema-Uid",
        "X-Kubernetes-Pf-Prioritylevel-Uid",
    ]
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1\n' in stage.text()
    unwind(asked)
    assert stage.queues == (0, 0)
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 0\n' in stage.text()


async def test_a_request_waits_for_its_turn() -> None:
    stage = Stage()
    async with stage.busy():
        second = request("create")
        task = asyncio.ensure_future(stage.handler(second))
        await settled(lambda: stage.queues == (1, 1))
        assert 'apiserver_current_inqueue_requests{request_kind="mutating"} 1\n' in stage.text()
        assert stage.entered == 1
    assert (await asyncio.wait_for(task, 10)).status == 200
    unwind(second)
    assert stage.queues == (0, 0)
    assert 'apiserver_current_inqueue_requests{request_kind="mutating"} 0\n' in stage.text()


@pytest.mark.parametrize("queue", [True, False])
async def test_refusals(queue: bool) -> None:
    stage = Stage(queue=queue)
    async with stage.busy():
        waiting = [request() for _ in range(2 if queue else 0)]
        tasks = [asyncio.ensure_future(stage.handler(w)) for w in waiting]
        await settled(lambda: stage.queues == (len(waiting), 1))
        asked = request()
        answer = await stage.handler(asked)
        assert answer.status == 429
        assert answer.body == b"Too many requests, please try again later.\n"
        assert ("Retry-After", "1") in answer.headers
        assert ("Content-Type", "text/plain; charset=utf-8") in answer.headers
        assert len(asked.reply_headers) == 2
        other = request(user="joe")  # of another level
        stage.open.set()
        assert (await stage.handler(other)).status == 200
        unwind(asked)
        unwind(other)
        reason = "queue-full" if queue else "concurrency-limit"
        assert (
            f'rejected_requests_total{{flow_schema="jane",priority_level="{LEVEL}",' in stage.text()
        )
        assert f'reason="{reason}"}} 1\n' in stage.text()
    for task, each in zip(tasks, waiting, strict=True):
        assert (await asyncio.wait_for(task, 10)).status == 200
        unwind(each)
    assert stage.queues == (0, 0)


async def test_errors_give_the_seat_back() -> None:
    stage = Stage()
    for error in (errors.bad_request("no"), KeyError("bug")):

        async def fail(request: Request, error: Exception = error) -> Response:
            raise error

        asked = request()
        handler = with_panic_recovery(with_flow_control(fail, stage.control, stage.metrics))
        assert (await handler(asked)).status in (400, 500)
        assert stage.queues == (0, 1)
        unwind(asked)
        assert stage.queues == (0, 0)


async def test_a_deadline_gives_seat_and_place_back() -> None:
    stage = Stage()
    inner: Handler = stage.handler
    handler = with_timeout(inner, SystemClock(), 0.05, stage.metrics)
    asked, behind = request(), request()
    behind.received_at += 3600  # its own quarter comes later

    async def late(one: Request) -> None:
        with pytest.raises(ApiError) as raised:
            await handler(one)
        assert raised.value.code == 504

    await late(asked)
    assert stage.queues == (0, 1)
    waiting = asyncio.ensure_future(inner(behind))
    await settled(lambda: stage.queues == (1, 1))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert stage.queues == (0, 1)
    unwind(behind)
    unwind(asked)
    assert stage.queues == (0, 0)
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 0\n' in stage.text()


async def test_cancelled_between_its_turn_and_its_start() -> None:
    stage = Stage()
    first, second = request(), request()
    task = asyncio.ensure_future(stage.handler(first))
    await settled(lambda: stage.queues == (0, 1))
    waiting = asyncio.ensure_future(stage.handler(second))
    await settled(lambda: stage.queues == (1, 1))
    stage.open.set()
    await task
    unwind(first)  # the second has the seat now, and does not know yet
    assert stage.queues == (0, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    unwind(second)
    assert stage.queues == (0, 0)
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 0\n' in stage.text()


async def test_a_client_that_goes_leaves_the_queue() -> None:
    stage = Stage()
    gone: list[Callable[[], object] | None] = []
    async with stage.busy():
        asked = request()
        asked.when_gone = gone.append
        task = asyncio.ensure_future(stage.handler(asked))
        await settled(lambda: stage.queues == (1, 1))
        assert gone[0] is not None
        gone[0]()
        assert stage.queues == (0, 1)
        assert (await asyncio.wait_for(task, 10)).status == 429
        assert gone[-1] is None
        unwind(asked)
    assert stage.queues == (0, 0)
    assert 'reason="cancelled"} 1\n' in stage.text()


async def test_a_watch_holds_its_seat_until_it_has_begun() -> None:
    stage = Stage()
    begun: list[Callable[[], None]] = []

    async def watch(request: Request) -> Response:
        assert request.begun is not None
        begun.append(request.begun)
        request.begun = None
        return Response(200, [], b"")

    asked = request("watch")
    await with_flow_control(watch, stage.control, stage.metrics)(asked)
    assert stage.queues == (0, 1)
    begun[0]()
    assert stage.queues == (0, 0)
    assert stage.control.watches.interested(request("update").info) == 1
    unwind(asked)
    assert stage.queues == (0, 0)
    assert stage.control.watches.interested(request("update").info) == 0
    assert 'type="watch"} 1\n' in stage.text()


async def test_a_watch_of_another_server_has_begun_when_it_is_answered() -> None:
    stage = Stage()
    stage.open.set()
    asked = request("watch")
    await stage.handler(asked)
    assert stage.queues == (0, 0)
    unwind(asked)


@pytest.mark.parametrize(
    ("verb", "subresource"), [("proxy", ""), ("get", "log"), ("create", "exec")]
)
async def test_other_long_running_requests_pass_by(verb: str, subresource: str) -> None:
    stage = Stage()
    stage.open.set()
    for _ in range(5):
        asked = request(verb, subresource=subresource)
        assert (await stage.handler(asked)).status == 200
        assert asked.reply_headers == []
    assert stage.queues == (0, 0)
    assert "apiserver_longrunning_requests{" in stage.text()


async def test_waiting_ends_at_a_quarter_of_the_deadline() -> None:
    stage = Stage()
    async with stage.busy():
        asked = request()
        asked.deadline = asked.received_at + 0.08
        answer = await asyncio.wait_for(stage.handler(asked), 10)
        assert answer.status == 429
        assert SystemClock().monotonic() - asked.received_at >= 0.02
        unwind(asked)
        assert stage.queues == (0, 1)
    assert 'reason="time-out"} 1\n' in stage.text()
