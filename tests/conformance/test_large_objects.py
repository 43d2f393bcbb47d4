"""Large objects are worked on beside the event loop, so that other requests go on."""

import threading
from typing import Any

import pytest
from server_harness import APPLY_PATCH, MERGE_PATCH, Client, running

from kapi.errors import FINDINGS_MAX
from kapi.kinds.cluster.config import ConfigMapStrategy
from kapi.registry.beside import INLINE_BYTES_MAX

MAPS = "/api/v1/namespaces/default/configmaps"


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The threads in which config maps are validated, one for each time."""
    seen: list[str] = []
    validate = ConfigMapStrategy.validate

    def seeing(self: ConfigMapStrategy, *args: Any) -> Any:
        seen.append(threading.current_thread().name)
        return validate(self, *args)

    monkeypatch.setattr(ConfigMapStrategy, "validate", seeing)
    return seen


def config_map(name: str, size: int) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": {"a": "x" * size}}


async def in_thread(client: Client, threads: list[str], *request: Any, **more: Any) -> str:
    threads.clear()
    assert (await client(*request, **more)).status in (200, 201)
    return threads[-1]


async def test_what_is_large_is_validated_aside(threads: list[str]) -> None:
    async with running() as server:
        ask, loop = server.client, threading.current_thread().name
        assert await in_thread(ask, threads, "POST", MAPS, config_map("small", 10)) == loop
        large = config_map("large", INLINE_BYTES_MAX)
        beside = await in_thread(ask, threads, "POST", MAPS, large)
        assert beside.startswith("kapi-aside")
        large["data"]["b"] = "c"
        assert await in_thread(ask, threads, "PUT", f"{MAPS}/large", large) == beside
        # A small change of what is large.
        for kind, key in ((MERGE_PATCH, "c"), (APPLY_PATCH, "d")):
            body = {"apiVersion": "v1", "kind": "ConfigMap", "data": {key: "e"}}
            path = f"{MAPS}/large?fieldManager=m"
            assert await in_thread(ask, threads, "PATCH", path, body, content_type=kind) == beside
        found = (await ask("GET", f"{MAPS}/large")).expect(200)
        assert len(found["data"]["a"]) == INLINE_BYTES_MAX


async def test_an_object_with_very_many_findings() -> None:
    body = b'{"metadata":{"name":"a","ownerReferences":[' + b",".join([b"{}"] * 50_000) + b"]}}"
    async with running() as server:
        answer = await server.client("POST", MAPS, body)
        causes = answer.expect(422)["details"]["causes"]
        assert len(causes) == FINDINGS_MAX + 1
        assert causes[0]["field"] == "metadata.ownerReferences[0].apiVersion"
        few = body.replace(b",{}" * 49_000, b"")
        answer = await server.client("POST", MAPS, few)
        assert len(answer.expect(422)["details"]["causes"]) == 4 * 1000


async def test_a_review_with_very_many_findings() -> None:
    requirements: list[dict[str, Any]] = [{}] * (FINDINGS_MAX + 1)
    selector = {"requirements": requirements}
    attributes = {"verb": "get", "resource": "pods", "labelSelector": selector}
    body = {"spec": {"user": "a", "resourceAttributes": attributes}}
    async with running() as server:
        path = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
        answer = await server.client("POST", path, body)
        assert len(answer.expect(422)["details"]["causes"]) == FINDINGS_MAX + 1
