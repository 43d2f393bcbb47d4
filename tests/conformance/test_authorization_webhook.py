"""Whole servers that ask authorization webhooks: good ones, those that are down, slow, or lie."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from review_servers import Reply, never, reviewing, unreachable
from server_harness import Running, eventually, running

from kapi.assembly import reloading

Json = dict[str, Any]
PODS = "/api/v1/namespaces/default/pods"
ALICE = "alice-token"
V1 = "apiserver.config.k8s.io/v1"
OTHER = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
SELF = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
RULES = "/apis/authorization.k8s.io/v1/selfsubjectrulesreviews"
ANYBODY: Json = {"type": "AlwaysAllow", "name": "alwaysallow"}
CONFIG_INFO = r"authorization_config_controller_last_config_info{.*?} 1"
RBAC: Json = {"type": "RBAC", "name": "rbac"}


def webhook(kubeconfig: str, name: str = "hook", **more: Any) -> Json:
    settings = {
        "timeout": "10s",
        "subjectAccessReviewVersion": "v1",
        "matchConditionSubjectAccessReviewVersion": "v1",
        "failurePolicy": "NoOpinion",
        "connectionInfo": {"type": "KubeConfigFile", "kubeConfigFile": kubeconfig},
        **more,
    }
    return {"type": "Webhook", "name": name, "webhook": settings}


def config(path: Path, *authorizers: Json) -> str:
    document = {
        "apiVersion": V1,
        "kind": "AuthorizationConfiguration",
        "authorizers": list(authorizers),
    }
    path.write_text(json.dumps(document))
    return str(path)


def metric(run: Running, series: str, /, **labels: str) -> float:
    """The sum of a metric's series with these labels."""
    _, body = run.server.metrics.render()
    found = 0.0
    for line in body.decode().splitlines():
        head, _, value = line.rpartition(" ")
        if head.partition("{")[0] == series and all(
            f'{k}="{v}"' in head for k, v in labels.items()
        ):
            found += float(value)
    return found


def allow(review: Json) -> Reply:
    return {"allowed": True, "reason": "for ada"}


EVALUATIONS = "apiserver_authorization_webhook_evaluations_total"


async def test_by_flags(tmp_path: Path) -> None:
    def answer(review: Json) -> Reply:
        spec = review["spec"]
        verb = (spec.get("resourceAttributes") or spec["nonResourceAttributes"])["verb"]
        if verb == "delete":
            return {"allowed": False, "denied": True, "reason": "nobody deletes"}
        return {"allowed": verb == "list", "reason": f"not to {verb}"}

    async with reviewing(tmp_path, answer, user={"token": "secret"}) as hook:
        flags: Json = {
            "authorization_mode": ("Webhook", "RBAC"),
            "authorization_webhook_config_file": hook.kubeconfig,
        }
        async with running(alone=False, **flags) as run:
            client = run.client
            await client.get(f"{PODS}?labelSelector=a%3Db", token=ALICE)
            await client.get(f"{PODS}?labelSelector=a%3Db", token=ALICE)  # remembered
            (review,) = hook.asked
            assert review["apiVersion"] == "authorization.k8s.io/v1beta1"
            assert review["spec"]["user"] == "alice"
            assert review["spec"]["group"] == ["team", "system:authenticated"]
            assert review["spec"]["resourceAttributes"] == {
                "namespace": "default",
                "verb": "list",
                "version": "v1",
                "resource": "pods",
                "labelSelector": {
                    "requirements": [{"key": "a", "operator": "In", "values": ["b"]}]
                },
            }
            assert hook.heads[0][:2] == ("/hook?timeout=30s", "Bearer secret")
            denied = await client("DELETE", f"{PODS}/x", token=ALICE)
            assert denied.status == 403
            assert denied.message == (
                'pods "x" is forbidden: User "alice" cannot delete resource "pods" in API group '
                '"" in the namespace "default": nobody deletes'
            )
            other = await client("GET", f"{PODS}/x", token=ALICE)
            assert other.message.endswith('in the namespace "default": not to get')
            # Administrators are not asked about.
            before = len(hook.asked)
            await client.get(PODS)
            assert len(hook.asked) == before
            rules = await client.post(RULES, {"spec": {"namespace": "default"}}, token=ALICE)
            assert rules["status"]["incomplete"] is True
            assert rules["status"]["evaluationError"] == (
                "webhook authorizer does not support user rule resolution"
            )


async def test_a_client_certificate_is_shown(tmp_path: Path) -> None:
    async with reviewing(tmp_path, allow, client=True) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig))
        async with running(alone=False, authorization_config=file) as run:
            await run.client.get(PODS, token=ALICE)
    assert hook.heads[0][2] == "kapi"


async def test_order_and_metrics(tmp_path: Path) -> None:
    def first(review: Json) -> Reply:
        return {"allowed": False, "denied": review["spec"]["resourceAttributes"]["name"] == "no"}

    async with (
        reviewing(tmp_path, first, name="first") as one,
        reviewing(tmp_path, allow, name="second") as two,
    ):
        conditions = [{"expression": "has(request.resourceAttributes)"}]
        file = config(
            tmp_path / "c",
            webhook(one.kubeconfig, "first", matchConditions=conditions),
            webhook(two.kubeconfig, "second"),
            RBAC,
        )
        async with running(alone=False, authorization_config=file) as run:
            assert (await run.client("GET", f"{PODS}/a", token=ALICE)).status == 404
            assert (await run.client("GET", f"{PODS}/no", token=ALICE)).status == 403
            assert (await run.client("GET", "/version", token=ALICE)).status == 200
            assert (len(one.asked), len(two.asked)) == (2, 2)
            decisions = "apiserver_authorization_decisions_total"
            assert metric(run, decisions, name="first", type="Webhook", decision="denied") == 1
            assert metric(run, decisions, name="second", decision="allowed") == 2
            assert metric(run, EVALUATIONS, name="first", result="success") == 2
            excluded = "apiserver_authorization_match_condition_exclusions_total"
            assert metric(run, excluded, name="first", type="Webhook") == 1
            seconds = "apiserver_authorization_match_condition_evaluation_seconds_count"
            assert metric(run, seconds, name="first") == 3
            assert metric(run, seconds, name="second") == 0
            asked = await run.client.post(
                SELF,
                {"spec": {"resourceAttributes": {"verb": "get", "resource": "x", "name": "no"}}},
                token=ALICE,
            )
            assert asked["status"] == {"allowed": False, "denied": True}


BODY = b'{"kind":"SubjectAccessReview","apiVersion":"authorization.k8s.io/v1","status":%s}'
BAD_ANSWERS: list[tuple[Reply, str]] = [
    ((200, b"hello"), "couldn't get version/kind; json parse error"),
    ((200, b"[]"), "json parse error: not an object"),
    ((200, b"{}"), "Object 'Kind' is missing in '{}'"),
    (
        (200, b'{"kind":"Pod","apiVersion":"v1"}'),
        'no kind "Pod" is registered for version "v1"',
    ),
    ((200, BODY % b"[]"), "json: cannot unmarshal into Go struct field"),
    ((200, BODY % b'{"allowed":"yes"}'), "cannot unmarshal status.allowed into Go value of type"),
    ((200, BODY % b'{"allowed":true,"reason":1}'), "cannot unmarshal status.reason"),
    ((200, b" " * (5 << 20)), "response body too large"),
    ((403, b"{}"), "unknown"),
    ((302, b""), "the server responded with the status code 302"),
]


@pytest.mark.parametrize(("reply", "words"), BAD_ANSWERS)
async def test_answers_that_are_none(tmp_path: Path, reply: Reply, words: str) -> None:
    async with reviewing(tmp_path, lambda review: reply) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig), RBAC)
        async with running(alone=False, authorization_config=file) as run:
            answer = await run.client("GET", PODS, token=ALICE)
            assert answer.status == 500
            assert answer.header("content-type") == "text/plain; charset=utf-8"
            text = answer.body.decode()
            assert text.startswith(f'Internal Server Error: "{PODS}": ')
            assert words in text.replace("&lt;", "<")
            # What RBAC allows is allowed whatever became of the webhook.
            assert (await run.client("GET", "/version", token=ALICE)).status == 200
            assert metric(run, EVALUATIONS, result="success") + metric(
                run, EVALUATIONS, result="error"
            ) == len(hook.asked)
            failed = "apiserver_authorization_webhook_evaluations_fail_open_total"
            assert metric(run, failed, name="hook") == 2


async def test_both_is_a_refusal(tmp_path: Path) -> None:
    reply = {"allowed": True, "denied": True, "reason": "why"}
    async with reviewing(tmp_path, lambda review: reply) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig), ANYBODY)
        async with running(alone=False, authorization_config=file) as run:
            answer = await run.client("GET", PODS, token=ALICE)
            assert answer.status == 500
            assert answer.body.decode().endswith(
                "webhook subject access review returned both allow and deny response\n"
            )
            spec = {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "pods"}}
            asked = await run.client.post(OTHER, {"spec": spec})
            assert asked["status"] == {
                "allowed": False,
                "denied": True,
                "reason": "why",
                "evaluationError": "webhook subject access review returned both allow and deny "
                "response",
            }


@pytest.mark.parametrize("policy", ["NoOpinion", "Deny"])
async def test_a_webhook_that_is_not_there(tmp_path: Path, policy: str) -> None:
    hook = webhook(unreachable(tmp_path), failurePolicy=policy)
    file = config(tmp_path / "c", hook, ANYBODY)
    async with running(authorization_config=file) as run:
        answer = await run.client("GET", PODS, token=ALICE)
        if policy == "NoOpinion":
            assert answer.status == 200
            assert metric(run, EVALUATIONS, result="error") == 1
            return
        assert answer.status == 500
        assert answer.body.decode() == (
            f'Internal Server Error: "{PODS}": Post "https://127.0.0.1:1/gone?timeout=10s": '
            "dial tcp 127.0.0.1:1: connect: connection refused\n"
        )
        failures = "authorization_attempts_total"
        assert metric(run, failures, result="error") == 1
        # The administrator can still repair it.
        await run.client.get(PODS)


async def test_a_slow_webhook(tmp_path: Path) -> None:
    async with reviewing(tmp_path, never) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig, timeout="50ms"))
        async with running(alone=False, authorization_config=file) as run:
            answer = await run.client("GET", PODS, token=ALICE)
            assert answer.status == 500
            assert answer.body.decode().endswith("context deadline exceeded\n")
            assert metric(run, EVALUATIONS, result="timeout") == 1
            # Others do not wait with it.
            waiting = asyncio.ensure_future(run.client("GET", PODS, token=ALICE))
            await run.client.get(PODS)
            await waiting


async def test_failures_that_may_pass_are_tried_again(tmp_path: Path) -> None:
    replies: list[Reply] = [(500, b""), (429, b""), {"allowed": True}]

    async with reviewing(tmp_path, lambda review: replies.pop(0)) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig))
        async with running(alone=False, authorization_config=file) as run:
            await run.client.get(PODS, token=ALICE)
            assert len(hook.asked) == 3
            assert metric(run, EVALUATIONS, result="error") == 2


async def test_what_is_not_remembered(tmp_path: Path) -> None:
    async with reviewing(tmp_path, allow) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig, cacheAuthorizedRequests=False))
        async with running(alone=False, authorization_config=file) as run:
            for _ in range(2):
                await run.client.get(PODS, token=ALICE)
            assert len(hook.asked) == 2


async def test_long_questions_are_not_remembered(tmp_path: Path) -> None:
    async with reviewing(tmp_path, allow) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig))
        async with running(alone=False, authorization_config=file) as run:
            for _ in range(2):
                await run.client("GET", f"{PODS}/{'x' * 10_000}", token=ALICE)
            assert len(hook.asked) == 2


async def reloaded(run: Running, look: Callable[[], float], wanted: float) -> None:
    async def done() -> bool:
        return look() == wanted

    await eventually(done)


async def test_the_file_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "LOOK_EVERY_S", 0.01)
    path = tmp_path / "c"
    own = tmp_path / "own"
    counted = "apiserver_authorization_config_controller_automatic_reloads_total"
    async with reviewing(tmp_path, allow) as hook:
        good = (tmp_path / hook.kubeconfig).read_text()
        file = config(path, webhook(hook.kubeconfig), RBAC)
        async with running(alone=False, authorization_config=file) as run:
            await run.client.get(PODS, token=ALICE)
            first = re.findall(CONFIG_INFO, text(run))
            assert len(first) == 1
            config(path, RBAC)
            await reloaded(run, lambda: metric(run, counted, status="success"), 1)
            assert (await run.client("GET", PODS, token=ALICE)).status == 403
            path.write_text("{")
            await reloaded(run, lambda: metric(run, counted, status="failure"), 1)
            config(path, {"type": "Node", "name": "node"})
            await reloaded(run, lambda: metric(run, counted, status="failure"), 2)
            path.unlink()
            await reloaded(run, lambda: metric(run, counted, status="failure"), 3)
            assert (await run.client("GET", PODS, token=ALICE)).status == 403
            config(path, webhook(hook.kubeconfig))
            await reloaded(run, lambda: metric(run, counted, status="success"), 2)
            await run.client.get(PODS, token=ALICE)
            last = re.findall(CONFIG_INFO, text(run))
            assert len(last) == 1
            assert last != first
            # A webhook's own file is mended: then the same configuration comes into force.
            own.write_text("{")
            config(path, webhook(str(own)), RBAC)
            await reloaded(run, lambda: metric(run, counted, status="failure"), 4)
            own.write_text(good)
            path.write_text(path.read_text() + "\n")
            await reloaded(run, lambda: metric(run, counted, status="success"), 3)


def text(run: Running) -> str:
    return run.server.metrics.render()[1].decode()


async def test_many_ask_at_once(tmp_path: Path) -> None:
    async def answer(review: Json) -> Reply:
        await asyncio.sleep(0)
        name = review["spec"]["resourceAttributes"].get("name", "")
        return {"allowed": not name.endswith("7")}

    async with reviewing(tmp_path, answer) as hook:
        file = config(tmp_path / "c", webhook(hook.kubeconfig))
        async with running(alone=False, authorization_config=file) as run:
            answers = await asyncio.gather(
                *(run.client("GET", f"{PODS}/p{i}", token=ALICE) for i in range(100))
            )
            for i, answer_ in enumerate(answers):
                assert answer_.status == (403 if i % 10 == 7 else 404)
