"""What must hold for any input: the one invariant of the tests in this folder.

A request gets an answer that is right for bad input: 2xx, or a 4xx `Status`. Where the real server
itself answers bad input with a 500, that Status has no reason (a bare Go error); a failure of ours
has one, and none may be seen. What was stored before is still there, and the server goes on
answering.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from server_harness import Answer, Client, Running, running

Json = dict[str, Any]
CONFIG_MAPS = "/api/v1/namespaces/default/configmaps"


def check(answer: Answer, what: object) -> None:
    """Raise AssertionError if an answer breaks the invariant; `what` was asked."""
    told = f"{what!r:.2000}: {answer.status} {answer.body[:600]!r}"
    if answer.status == 500:
        assert b"InternalError" not in answer.body, told
        return
    assert answer.status < 500 or answer.status == 503, told
    if answer.status == 503:  # what needs a kubelet, a port or an endpoint that is not there
        nobody = ("no endpoints", "no service port", "error trying to reach")
        assert answer.message.startswith(nobody), told
    if answer.status >= 400 and answer.body.startswith(b'{"kind":"Status"'):
        assert answer.json["code"] == answer.status, told


@asynccontextmanager
async def target(**flags: Any) -> AsyncIterator[Running]:
    """A server with everything on, and an object that must survive."""
    async with running(runtime_config={"api/all": "true"}, **flags) as run:
        account = {"metadata": {"name": "default"}}  # without it there are no pods
        await run.client.post("/api/v1/namespaces/default/serviceaccounts", account)
        kept = await run.client.post(
            CONFIG_MAPS, {"metadata": {"name": "kept"}, "data": {"a": "b"}}
        )
        yield run
        assert await run.client.get(f"{CONFIG_MAPS}/kept") == kept
        assert (await run.client("GET", "/readyz")).body == b"ok"


async def send(client: Client, method: str, path: str, body: Any = None, **more: Any) -> Answer:
    """A request whose answer must hold the invariant."""
    answer = await client(method, path, body, **more)
    check(answer, (method, path[:500], body, more))
    return answer
