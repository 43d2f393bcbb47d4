"""exec and attach through WebSocket, with a kubelet that speaks SPDY alone."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from other_server import Authority, Serving, http, scripted, server_tls
from server_harness import eventually
from spdy_kubelet import spdy_kubelet
from test_proxying import NS, Cluster, cluster

from kapi.handlers.proxying import frames_websocket as websocket
from kapi.outgoing.client import Answer

KEY = "MDEyMzQ1Njc4OWFiY2RlZg=="
V5 = "v5.channel.k8s.io"
SUCCESS = b'{"metadata":{},"status":"Success"}'


@asynccontextmanager
async def with_kubelet(tmp_path: Path) -> AsyncIterator[tuple[Cluster, Serving]]:
    ca = Authority(tmp_path)
    tls = server_tls(ca.serving("127.0.0.1"))
    flags: dict[str, Any] = {
        "kubelet_certificate_authority": ca.path,
        "kubelet_preferred_address_types": ("InternalIP",),
    }
    async with cluster(**flags) as c, scripted(http(spdy_kubelet), tls) as at:
        await c.node("n", "127.0.0.1", at.port)
        await c.pod("p", "10.1.1.1", 80, "n")
        yield c, at


def handshake(protocol: str = V5, **changed: str) -> list[tuple[str, str]]:
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Protocol": protocol,
    }
    return list((headers | {k.replace("_", "-"): v for k, v in changed.items()}).items())


class Terminal:
    """The client's side of a session."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self._buffer = b""

    async def send(self, channel: int, data: bytes, opcode: int = 2, *, last: bool = True) -> None:
        await self.raw(bytes((channel,)) + data, opcode, last=last)

    async def raw(self, payload: bytes, opcode: int = 2, *, last: bool = True) -> None:
        mask, size = b"\x01\x02\x03\x04", len(payload)
        first = (0x80 if last else 0) | opcode
        head = bytes((first, 0x80 | size)) if size < 126 else (
            bytes((first, 0x80 | 126)) + size.to_bytes(2, "big")
        )  # fmt: skip
        masked = bytes(b ^ mask[i % 4] for i, b in enumerate(payload))
        await self.answer.write(head + mask + masked)

    async def frame(self) -> tuple[int, bytes] | None:
        """Opcode and payload; None at the end of the connection."""
        while True:
            data = self._buffer
            if len(data) >= 2:
                size, at = data[1], 2
                if size == 126 and len(data) >= 4:
                    size, at = int.from_bytes(data[2:4], "big"), 4
                if (size < 126 or at == 4) and len(data) >= at + size:
                    self._buffer = data[at + size :]
                    return data[0] & 15, data[at : at + size]
            chunk = await self.answer.chunk()
            if not chunk:
                return None
            self._buffer += chunk

    async def message(self) -> tuple[int, bytes]:
        found = await self.frame()
        assert found is not None
        assert found[0] == 2, found
        return found[1][0], found[1][1:]

    async def rest(self) -> tuple[dict[int, bytes], int]:
        """What comes on each channel, and the close code."""
        out: dict[int, bytes] = {}
        while (found := await self.frame()) is not None:
            opcode, payload = found
            if opcode == 8:
                return out, int.from_bytes(payload, "big")
            out[payload[0]] = out.get(payload[0], b"") + payload[1:]
        return out, 0


@asynccontextmanager
async def terminal(c: Cluster, path: str) -> AsyncIterator[Terminal]:
    answer = await c.via.open("GET", f"{NS}/pods/p/{path}", handshake())
    try:
        assert answer.status == 101
        assert answer.header("sec-websocket-accept") == websocket.accept_key(KEY)
        assert answer.header("sec-websocket-protocol") == V5
        yield Terminal(answer)
    finally:
        answer.close()


async def _true(value: object) -> bool:
    return bool(value)


async def test_output_and_the_end(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _):
        async with terminal(c, "exec?command=echo&command=a") as t:
            assert await t.message() == (1, b"")  # all is well
            assert await t.rest() == ({1: b"ran echo a\n", 3: SUCCESS}, 1000)
        async with terminal(c, "attach?stdout=false") as t:
            assert await t.message() == (2, b"")
        async with terminal(c, "exec?command=ping") as t:
            assert (await t.rest())[0] == {1: b"ran ping\n", 3: SUCCESS}
        async with terminal(c, "exec?command=reset") as t:
            assert (await t.rest())[0] == {1: b"", 3: SUCCESS}


async def test_exit_codes(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _), terminal(c, "exec?command=false") as t:
        got, _code = await t.rest()
        assert (got[1], got[2]) == (b"ran false\n", b"went wrong\n")
        text = "command terminated with non-zero exit code: command terminated with exit code 3"
        assert got[3].decode() == (
            f'{{"metadata":{{}},"status":"Failure","message":"{text}","reason":"NonZeroExitCode",'
            '"details":{"causes":[{"reason":"ExitCode","message":"3"}]}}'
        )


async def test_input_until_it_is_closed(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _):
        async with terminal(c, "exec?command=cat&stdin=true") as t:
            await t.send(0, b"one ")
            await t.send(0, b"tw", last=False)
            await t.raw(b"ping", 9)
            await t.raw(b"o ", 0)
            await t.send(1, b"not for reading")
            await t.send(9, b"no such channel")
            await t.send(0, b"x" * 60_000)
            await t.send(255, b"\x00")
            await t.send(0, b"too late")
            pong = False
            out = b""
            while (found := await t.frame()) is not None and found[0] != 8:
                pong = pong or found == (10, b"ping")
                out += found[1][1:] if found[0] == 2 and found[1][0] == 1 else b""
            assert pong
            assert out == b"one two " + b"x" * 60_000
        async with terminal(c, "exec?command=cat&stdin=true") as t:
            await t.send(255, b"\x00\x00")  # one channel is closed, not two
            _got, code = await t.rest()
            assert code == 1002


async def test_a_terminal_and_its_sizes(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _):
        async with terminal(c, "attach?command=cat&stdin=true&tty=true") as t:
            pass
        async with terminal(c, "exec?command=cat&stdin=true&tty=true&stderr=true") as t:
            assert await t.message() == (1, b"")
            await t.send(4, b'{"Width":80,"He')
            await t.send(4, b'ight":24}{"width":1}')
            out = b""
            while out.count(b"\n") < 2:
                out += (await t.message())[1]
            assert out == b'size {"Width":80,"Height":24}\nsize {"Width":1,"Height":0}\n'
            await t.send(255, b"\x00")
            assert (await t.rest())[0] == {3: SUCCESS}


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("refuse", "unable to upgrade connection: no such container"),
        ("away", "redirect not allowed"),
        ("break", "SPDY: "),
    ],
)
async def test_a_failure_is_a_status_on_the_error_channel(
    tmp_path: Path, command: str, message: str
) -> None:
    async with with_kubelet(tmp_path) as (c, _), terminal(c, f"exec?command={command}") as t:
        got, code = await t.rest()
        status = json.loads(got[3])
        assert (status["code"], status["reason"]) == (500, "InternalError")
        assert message in status["message"]
        assert (
            status["message"]
            == "Internal error occurred: " + (status["details"]["causes"][0]["message"])
        )
        assert code == 1000


async def test_a_kubelet_that_cannot_be_reached_or_is_lost(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _):
        async with terminal(c, "exec?command=vanish") as t:
            assert await t.rest() == ({1: b""}, 1001)
        await c.node("dead", "127.0.0.1", 1)
        await c.pod("q", "10.1.1.3", 80, "dead")
        answer = await c.via.open("GET", f"{NS}/pods/q/exec?command=ls", handshake())
        got, _code = await Terminal(answer).rest()
        message = json.loads(got[3])["message"]
        assert message.startswith(
            "Internal error occurred: error sending request: Post "
            '"https://127.0.0.1:1/exec/default/q/main?command=ls&error=1&output=1": dial tcp'
        )
        answer.close()


async def test_much_output_waits_for_a_slow_client(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, _), terminal(c, "exec?command=flood") as t:
        got, code = await t.rest()
        assert (len(got[1]), got[3], code) == (64 * 65536, SUCCESS, 1000)


async def test_a_server_that_stops_ends_what_goes_on(tmp_path: Path) -> None:
    stdin = "exec?command=cat&stdin=true"
    async with with_kubelet(tmp_path) as (c, _), terminal(c, stdin) as t:
        await t.send(0, b"x")
        assert await t.message() == (1, b"")
        assert await t.message() == (1, b"x")
        c.run.server.drain()
        assert await t.rest() == ({}, 1001)


async def test_a_client_that_leaves_ends_the_input(tmp_path: Path) -> None:
    async with with_kubelet(tmp_path) as (c, at):
        async with terminal(c, "exec?command=silent&stdin=true") as t:
            assert await t.message() == (1, b"")
            await eventually(lambda: _true(at.tasks))
        await eventually(lambda: _true(not at.tasks))  # nothing has run: it is given up
        async with terminal(c, "exec?command=cat&stdin=true") as t:
            await t.send(0, b"x")
            assert await t.message() == (1, b"")
            assert await t.message() == (1, b"x")
            assert at.tasks
        await eventually(lambda: _true(not at.tasks))


async def test_the_handshake_and_who_is_not_translated(tmp_path: Path) -> None:
    path = f"{NS}/pods/p/exec?command=ls"
    async with with_kubelet(tmp_path) as (c, _):
        for method, headers, status in (
            ("POST", handshake(), 405),
            ("GET", handshake(Sec_WebSocket_Version="12"), 400),
            ("GET", handshake(Sec_WebSocket_Key=""), 400),
        ):
            assert (await c.via.fetch(method, path, headers)).status == status
        other = await c.via.fetch("GET", path, handshake("v4.channel.k8s.io"))
        assert (other.status, other.body) == (400, b"only SPDY here")
        answer = await c.via.open("GET", path, handshake(f"v4.channel.k8s.io, {V5}"))
        assert answer.header("sec-websocket-protocol") == V5
        answer.close()
        declared = {"status": {"declaredFeatures": ["ExtendWebSocketsToKubelet"]}}
        await c.run.client.patch("/api/v1/nodes/n/status", declared)
        await c.run.caught_up()
        got = await c.via.fetch("GET", path, handshake())
        assert (got.status, got.body) == (400, b"only SPDY here")
