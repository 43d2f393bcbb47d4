"""The filters around every request, each alone: what it lets through, adds and refuses."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from kapi import errors
from kapi.clock import SystemClock
from kapi.errors import ApiError
from kapi.filters.cors import with_cors
from kapi.filters.long_running import is_long_running
from kapi.filters.max_in_flight import with_max_in_flight
from kapi.filters.panic_recovery import with_panic_recovery
from kapi.filters.response_headers import with_response_headers
from kapi.filters.timeout import with_timeout
from kapi.filters.wait_group import WaitGroup, with_wait_group
from kapi.filters.warning import header_values, with_warnings
from kapi.messages import (
    AuditFacts,
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


def request(
    method: str = "GET",
    path: str = "/api/v1/pods",
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    user: UserInfo | None = None,
    **info: Any,
) -> Request:
    verb = info.pop("verb", "list")
    made = Request(
        method=method,
        raw_path=path,
        path=path,
        query=Query(query),
        headers=Headers(list((headers or {}).items())),
        body=EmptyBody(),
        peer=Peer(),
        received_at=SystemClock().monotonic(),
        user=user,
        audit=AuditFacts("the-audit-id"),
    )
    made.info = RequestInfo(
        is_resource=True, path=path, verb=verb, version="v1", resource="pods", **info
    )
    return made


async def ok(request: Request) -> Response:
    return Response(200, [], b"ok")


def raising(error: BaseException) -> Handler:
    async def handler(request: Request) -> Response:
        raise error

    return handler


def unwind(request: Request) -> None:
    while request.exit:
        request.exit.pop()()


# -- long running ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verb", "subresource", "long"),
    [
        ("watch", "", True),
        ("proxy", "", True),
        ("get", "log", True),
        ("create", "exec", True),
        ("create", "attach", True),
        ("create", "portforward", True),
        ("get", "proxy", True),
        ("list", "", False),
        ("update", "status", False),
        ("create", "eviction", False),
    ],
)
def test_long_running(verb: str, subresource: str, long: bool) -> None:
    info = RequestInfo(is_resource=True, path="", verb=verb, subresource=subresource)
    assert is_long_running(info) is long


# -- panic recovery -------------------------------------------------------------------------------


async def test_an_api_error_is_its_status() -> None:
    error = errors.not_found("apps", "deployments", "x")
    response = await with_panic_recovery(raising(error))(request())
    assert response.status == 404
    assert response.headers == [("Content-Type", "application/json")]
    assert isinstance(response.body, bytes)
    assert response.body.endswith(b"}\n")
    assert json.loads(response.body) == error.status()


@pytest.mark.parametrize(
    ("accept", "query", "content_type", "start"),
    [
        ("application/yaml", "", "application/yaml", b"apiVersion: v1\ncode: 404\n"),
        ("application/json", "pretty=true", "application/json", b'{\n  "kind": "Status",'),
        ("text/html", "", "application/json", b'{\n  "kind": "Status",'),
        ("", "", "application/json", b'{"kind":"Status","apiVersion":"v1","metadata":{},'),
    ],
)
async def test_form_of_errors(accept: str, query: str, content_type: str, start: bytes) -> None:
    asked = request(query=query, headers={"accept": accept})
    response = await with_panic_recovery(raising(errors.path_not_found()))(asked)
    assert dict(response.headers)["Content-Type"] == content_type
    assert isinstance(response.body, bytes)
    assert response.body.startswith(start)


async def test_headers_of_an_error() -> None:
    error = errors.service_unavailable("later", retry_after=3)
    response = await with_panic_recovery(raising(error))(request())
    assert ("Retry-After", "3") in response.headers
    refused = ApiError(403, "Forbidden", "no", headers=(("X-Content-Type-Options", "nosniff"),))
    response = await with_panic_recovery(raising(refused))(request())
    assert ("X-Content-Type-Options", "nosniff") in response.headers


async def test_anything_else_is_a_500_without_secrets_and_a_log_entry(
    caplog: pytest.LogCaptureFixture,
) -> None:
    response = await with_panic_recovery(raising(KeyError("the secret")))(request())
    assert response.status == 500
    assert isinstance(response.body, bytes)
    status = json.loads(response.body)
    assert status["reason"] == "InternalError"
    assert "the-audit-id" in status["message"]
    assert "secret" not in status["message"]
    [record] = caplog.records
    assert record.exc_info is not None


async def test_cancellation_passes() -> None:
    with pytest.raises(asyncio.CancelledError):
        await with_panic_recovery(raising(asyncio.CancelledError()))(request())


# -- response headers -----------------------------------------------------------------------------


async def test_headers_of_every_answer() -> None:
    asked = request()
    await with_response_headers(ok, ("max-age=60", "preload"))(asked)
    assert asked.reply_headers == [
        ("Cache-Control", "no-cache, private"),
        ("Strict-Transport-Security", "max-age=60; preload"),
    ]


async def test_refusal_while_draining() -> None:
    draining = False
    handler = with_response_headers(ok, (), lambda: draining)
    assert (await handler(request())).status == 200
    draining = True
    response = await handler(request())
    assert response.status == 429
    assert ("Retry-After", "5") in response.headers
    assert ("Connection", "close") in response.headers
    assert (await handler(request(path="/readyz"))).status == 200


# -- wait group -----------------------------------------------------------------------------------


async def test_requests_are_counted_until_their_last_byte() -> None:
    group = WaitGroup()
    handler = with_wait_group(ok, group)
    one, two, watch = request(), request(), request(verb="watch")
    for asked in (one, two, watch):
        await handler(asked)
    assert group.active == 2
    waiting = asyncio.ensure_future(group.wait_empty())
    await asyncio.sleep(0)
    unwind(one)
    await asyncio.sleep(0)
    assert not waiting.done()
    unwind(two)
    await asyncio.wait_for(waiting, 10)


async def test_a_draining_server_refuses() -> None:
    group = WaitGroup()
    handler = with_wait_group(ok, group)
    group.drain()
    for verb in ("list", "watch"):
        with pytest.raises(ApiError) as raised:
            await handler(request(verb=verb))
        assert (raised.value.code, raised.value.message) == (503, "apiserver is shutting down")
        assert ("Retry-After", "1") in raised.value.headers
    assert (await handler(request(path="/livez"))).status == 200


# -- timeout --------------------------------------------------------------------------------------


async def stuck(request: Request) -> Response:
    await asyncio.Event().wait()
    return Response(200)


@pytest.mark.parametrize(("verb", "words"), [("get", "allotted timeout"), ("create", "requested")])
async def test_a_late_answer_is_a_504(verb: str, words: str) -> None:
    metrics = Metrics()
    handler = with_timeout(stuck, SystemClock(), 60, metrics)
    with pytest.raises(ApiError) as raised:
        await handler(request(verb=verb, query="timeout=20ms"))
    assert (raised.value.code, raised.value.reason) == (504, "Timeout")
    assert words in raised.value.message
    assert b'apiserver_request_terminations_total{code="504"' in metrics.render()[1]


@pytest.mark.parametrize(
    ("query", "seconds"),
    [
        ("", 60),
        ("timeout=5s", 5),
        ("timeout=99h", 60),
        ("timeout=0", 60),
        ("timeout=-5s", 60),
        ("timeout=", 60),
        ("timeout=1s&timeout=2s", 1),
    ],
)
async def test_deadline(query: str, seconds: float) -> None:
    asked = request(query=query)
    await with_timeout(ok, SystemClock(), 60, Metrics())(asked)
    assert asked.deadline == pytest.approx(asked.received_at + seconds)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5", 'time: missing unit in duration "5"'),
        ("abc", 'time: invalid duration "abc"'),
        ("5x", 'time: unknown unit "x" in duration "5x"'),
    ],
)
async def test_unreadable_timeout(text: str, words: str) -> None:
    with pytest.raises(ApiError) as raised:
        await with_timeout(ok, SystemClock(), 60, Metrics())(request(query=f"timeout={text}"))
    assert raised.value.message == f"invalid timeout specified in the request URL - {words}"
    assert raised.value.code == 400


async def test_long_running_requests_have_no_deadline() -> None:
    asked = request(verb="watch", query="timeout=nonsense")
    await with_timeout(ok, SystemClock(), 60, Metrics())(asked)
    assert asked.deadline is None


async def test_a_timeout_of_the_handler_is_its_own() -> None:
    with pytest.raises(TimeoutError):
        await with_timeout(raising(TimeoutError()), SystemClock(), 60, Metrics())(request())


# -- warnings -------------------------------------------------------------------------------------


async def test_warnings_go_with_successes_and_failures() -> None:
    async def warned(request: Request) -> Response:
        request.warn('a "b" \\ ü')
        request.warn('a "b" \\ ü')
        if request.path == "/bad":
            raise errors.bad_request("no")
        return Response(200)

    good, bad = request(), request(path="/bad")
    await with_warnings(warned)(good)
    with pytest.raises(ApiError):
        await with_warnings(warned)(bad)
    assert good.reply_headers == bad.reply_headers == [("Warning", '299 - "a \\"b\\" \\\\ ü"')]


def test_texts_that_cannot_be_sent_are_left_out() -> None:
    assert header_values(["a\nb", "c", "d\x7f"]) == ['299 - "c"']


def test_long_warnings_are_cut_only_when_all_do_not_fit() -> None:
    assert header_values(["x" * 4096]) == ['299 - "' + "x" * 4096 + '"']
    long = ["a" * 4000, "b" * 90, "c" * 300]
    assert [len(v) - len('299 - ""') for v in header_values(long)] == [256, 90, 256]


def test_warnings_past_the_bound_are_left_out() -> None:
    many = [str(n).rjust(300, "x") for n in range(50)]
    values = header_values(many)
    assert len(values) == 16  # 16 × 256 = 4096
    assert all(len(v) == 256 + len('299 - ""') for v in values)


# -- CORS -----------------------------------------------------------------------------------------


async def test_cors() -> None:
    handler = with_cors(ok, [r"^https://good\.example(:\d+)?$"])
    asked = request(headers={"origin": "https://good.example:8443"})
    assert (await handler(asked)).status == 200
    sent = dict(asked.reply_headers)
    assert sent["Access-Control-Allow-Origin"] == "https://good.example:8443"
    assert sent["Access-Control-Allow-Credentials"] == "true"
    preflight = request("OPTIONS", headers={"origin": "https://good.example"})
    assert (await handler(preflight)).status == 204
    for origin in ("https://good.example.evil", ""):
        other = request("OPTIONS", headers={"origin": origin})
        assert (await handler(other)).status == 200
        assert other.reply_headers == []


# -- max in flight --------------------------------------------------------------------------------

MASTER = UserInfo("admin", groups=("system:masters",))
JANE = UserInfo("jane", groups=("developers",))


async def test_slots() -> None:
    metrics = Metrics()
    handler = with_max_in_flight(ok, reading=1, mutating=1, metrics=metrics)
    first = request(verb="list", user=JANE)
    assert (await handler(first)).status == 200
    refused = await handler(request(verb="get", user=JANE))
    assert refused.status == 429
    assert ("Retry-After", "1") in refused.headers
    assert refused.body == b"Too many requests, please try again later.\n"
    for passing in (
        request(verb="get", user=MASTER),
        request(verb="watch", user=JANE),
        request(verb="create", user=JANE),
    ):
        assert (await handler(passing)).status == 200
    assert (await handler(request(verb="patch", user=JANE))).status == 429
    text = metrics.render()[1].decode()
    assert 'apiserver_current_inflight_requests{request_kind="readOnly"} 1\n' in text
    assert 'code="429"' in text
    unwind(first)
    assert (await handler(request(verb="get", user=JANE))).status == 200


async def test_no_bound() -> None:
    handler = with_max_in_flight(ok, reading=0, mutating=0, metrics=Metrics())
    for _ in range(50):
        assert (await handler(request(user=JANE))).status == 200


async def test_long_running_requests_are_counted() -> None:
    metrics = Metrics()
    handler = with_max_in_flight(ok, reading=1, mutating=1, metrics=metrics)
    asked = request(verb="watch", user=JANE)
    await handler(asked)
    assert b'verb="WATCH",version=""} 1\n' in metrics.render()[1]
    unwind(asked)
    assert b'verb="WATCH",version=""} 0\n' in metrics.render()[1]
