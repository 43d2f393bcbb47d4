"""Whole servers that ask a webhook whose token it is: good ones, those that are down, or lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from review_servers import Reply, reviewing, unreachable
from server_harness import running

Json = dict[str, Any]
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
WHO_AM_I = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
REVIEWS = "/apis/authentication.k8s.io/v1/tokenreviews"
OURS = "https://kubernetes.default.svc.cluster.local"
FLAG = "authentication_token_webhook_config_file"


def flags(kubeconfig: str, **more: Any) -> Any:
    return {"alone": False, FLAG: kubeconfig, **more}


def answer(review: Json) -> Reply:
    token = review["spec"]["token"]
    if token == "good":
        user = {"username": "ada", "uid": "7", "groups": ["dev"], "extra": {"k": ["v"]}}
        return {"authenticated": True, "user": user}
    if token == "elsewhere":
        return {"authenticated": True, "user": {"username": "x"}, "audiences": ["other"]}
    if token == "bad":
        return {"authenticated": False, "error": "no such token"}
    return {"authenticated": False}


async def error_of(run: Any, token: str) -> str:
    review = await run.client.post(REVIEWS, {"spec": {"token": token}})
    return str(review["status"].get("error"))


@pytest.mark.parametrize("version", ["v1", "v1beta1"])
async def test_whose_token_it_is(tmp_path: Path, version: str) -> None:
    async with reviewing(tmp_path, answer, user={"username": "a", "password": "b"}) as hook:
        more = {"authentication_token_webhook_version": version}
        async with running(**flags(hook.kubeconfig, **more)) as run:
            found = await run.client.post(WHO, WHO_AM_I, token="good")
            assert found["status"]["userInfo"] == {
                "username": "ada",
                "uid": "7",
                "groups": ["dev", "system:authenticated"],
                "extra": {"k": ["v"]},
            }
            (review,) = hook.asked
            assert review == {
                "kind": "TokenReview",
                "apiVersion": f"authentication.k8s.io/{version}",
                "metadata": {},
                "spec": {"token": "good", "audiences": [OURS]},
                "status": {"user": {}},
            }
            assert hook.heads[0][:2] == ("/hook?timeout=30s", "Basic YTpi")
            # Tokens that the server knows itself are not sent.
            await run.client.get("/api")
            assert len(hook.asked) == 1


async def test_tokens_that_are_not_good(tmp_path: Path) -> None:
    async with (
        reviewing(tmp_path, answer) as hook,
        running(**flags(hook.kubeconfig)) as run,
    ):
        assert await error_of(run, "bad") == "[invalid bearer token, no such token]"
        assert await error_of(run, "unknown") == "invalid bearer token"
        assert await error_of(run, "elsewhere") == "invalid bearer token"
        for token in ("bad", "unknown", "elsewhere"):
            refused = await run.client("GET", "/api", token=token)
            assert (refused.status, refused.message) == (401, "Unauthorized")
        # What is unknown is remembered, a failure is not.
        assert [r["spec"]["token"] for r in hook.asked].count("unknown") == 1
        assert [r["spec"]["token"] for r in hook.asked].count("bad") == 2


async def test_nothing_is_remembered(tmp_path: Path) -> None:
    async with reviewing(tmp_path, answer) as hook:
        more = {"authentication_token_webhook_cache_ttl": 0.0}
        async with running(**flags(hook.kubeconfig, **more)) as run:
            for _ in range(2):
                await error_of(run, "unknown")
            assert len(hook.asked) == 2


async def test_answers_for_very_many_audiences_are_not_remembered(tmp_path: Path) -> None:
    async with (
        reviewing(tmp_path, answer) as hook,
        running(**flags(hook.kubeconfig)) as run,
    ):
        for audiences, asked in ((["a"], 1), ([f"a{i}" for i in range(5000)], 3)):
            for _ in range(2):
                spec = {"token": "unknown", "audiences": audiences}
                await run.client.post(REVIEWS, {"spec": spec})
            assert len(hook.asked) == asked


STATUS = b'{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","status":%s}'
GOOD = b'{"authenticated":true,"user":%s}'


@pytest.mark.parametrize(
    "reply",
    [
        (200, b"hello"),
        (200, b"{}"),
        (200, STATUS % b"[]"),
        (200, STATUS % b'{"authenticated":1}'),
        (200, STATUS % (GOOD % b"[1]")),
        (200, STATUS % (GOOD % b'{"username":1}')),
        (200, STATUS % (GOOD % b'{"username":"a","groups":"root"}')),
        (200, STATUS % (GOOD % b'{"username":"a","groups":[1]}')),
        (200, STATUS % (GOOD % b'{"username":"a","extra":{"a":"b"}}')),
        (200, STATUS % b'{"authenticated":true,"audiences":"x"}'),
        (403, b"no"),
        (200, b'{"you sent": "some-secret"}'),
        (403, b'{"kind":"Status","status":"Failure","message":"some-secret?"}'),
        (302, b""),
    ],
)
async def test_answers_that_are_none(tmp_path: Path, reply: Reply) -> None:
    async with (
        reviewing(tmp_path, lambda review: reply) as hook,
        running(**flags(hook.kubeconfig)) as run,
    ):
        refused = await run.client("GET", "/api", token="some-secret")
        assert (refused.status, refused.message) == (401, "Unauthorized")
        text = await error_of(run, "some-secret")
        assert text.startswith("[invalid bearer token, ")
        assert "some-secret" not in text
        await run.client.get("/api")


async def test_a_webhook_that_is_not_there(tmp_path: Path) -> None:
    async with running(**flags(unreachable(tmp_path))) as run:
        assert (await run.client("GET", "/api", token="x")).status == 401
        assert "connection refused" in await error_of(run, "x")
        await run.client.get("/api")


async def test_many_groups_and_long_tokens(tmp_path: Path) -> None:
    groups = [f"g{i}" for i in range(20_000)]
    user = {"username": "ada", "groups": groups}
    async with (
        reviewing(tmp_path, lambda review: {"authenticated": True, "user": user}) as hook,
        running(**flags(hook.kubeconfig)) as run,
    ):
        review = await run.client.post(REVIEWS, {"spec": {"token": "t" * 1_000_000}})
        assert len(review["status"]["user"]["groups"]) == 20_001
