"""Webhooks are called as their clientConfig says; a failure has the real server's words."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from other_server import Asked, Authority, http, scripted, server_tls

from kapi.clock import SystemClock
from kapi.outgoing.client import Client
from kapi.outgoing.hooks import HookClient, HookError, address
from kapi.outgoing.words import OutgoingError

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"url": "https://h:1/x"}, "https://h:1/x?timeout=3s"),
        ({"url": "https://h"}, "https://h/?timeout=3s"),
        ({"service": {"name": "s", "namespace": "n"}}, "https://s.n.svc:443/?timeout=3s"),
        (
            {"service": {"name": "s", "namespace": "n", "port": 8443, "path": "/a/b"}},
            "https://s.n.svc:8443/a/b?timeout=3s",
        ),
    ],
)
def test_addresses(config: Json, expected: str) -> None:
    assert address(config, 3) == expected


async def test_a_service_is_dialled_where_it_is_and_named_as_it_is_called(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    hosts: list[str] = []

    async def handle(asked: Asked) -> None:
        hosts.append(asked.header("host"))
        await asked.answer(200, b"{}")

    tls = server_tls(authority.serving("s.n.svc"))
    client = Client(SystemClock())
    async with scripted(http(handle), tls) as serving:
        hooks = HookClient(client, lambda namespace, name, port: ("127.0.0.1", serving.port))
        bundle = base64.b64encode(authority.pem.encode()).decode()
        config = {"service": {"name": "s", "namespace": "n", "path": "/p"}, "caBundle": bundle}
        assert await hooks.post(config, b"{}", 5) == b"{}"
        assert hosts == ["s.n.svc:443"]
        other = {**config, "service": {"name": "t", "namespace": "n"}}
        with pytest.raises(HookError, match=r"certificate is valid for s\.n\.svc, not t\.n\.svc"):
            await hooks.post(other, b"{}", 5)
        await client.close()


@pytest.mark.parametrize(
    ("config", "text"),
    [
        (
            {"service": {"name": "s", "namespace": "n"}},
            'Post "https://s.n.svc:443/?timeout=5s": service "s" not found',
        ),
        ({"url": "https://127.0.0.1:1/x", "caBundle": "e30="}, "unable to parse bytes as PEM"),
        ({"url": "https://127.0.0.1:999999/x"}, "invalid port"),
        ({"url": "https://127.0.0.1:1/x"}, "connect: connection refused"),
    ],
)
async def test_calls_that_do_not_come_about(config: Json, text: str) -> None:
    def resolve(namespace: str, name: str, port: int) -> tuple[str, int]:
        raise OutgoingError(f'service "{name}" not found')

    client = Client(SystemClock())
    with pytest.raises(HookError) as raised:
        await HookClient(client, resolve).post(config, b"{}", 5)
    assert text in str(raised.value)
    await client.close()


async def test_a_kept_connection_that_was_closed_meanwhile(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    answered = 0

    async def handle(asked: Asked) -> None:
        nonlocal answered
        answered += 1
        if answered % 2:
            await asked.answer(200, b"{}")
        else:
            asked.writer.close()  # it was told nothing, and will not answer

    tls = server_tls(authority.serving("127.0.0.1"))
    client = Client(SystemClock())
    async with scripted(http(handle), tls) as serving:
        bundle = base64.b64encode(authority.pem.encode()).decode()
        config = {"url": f"https://127.0.0.1:{serving.port}/", "caBundle": bundle}
        hooks = HookClient(client, lambda namespace, name, port: ("", 0))
        for _ in range(3):
            assert await hooks.post(config, b"{}", 5) == b"{}"
        await client.close()
