"""Client certificates over real TLS: ours, those of a stranger, and none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any

import pytest
import uvloop
from other_server import Authority
from server_harness import running

from kapi.clock import SystemClock
from kapi.edge.asgi import App
from kapi.edge.asked_certificates import sent
from kapi.edge.listener import Listener, bind
from kapi.edge.tls import TlsFiles, server_context

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
WHO = "/apis/authentication.k8s.io/v1/selfsubjectreviews"


class World:
    """A server whose clients have certificates of `ours`."""

    def __init__(self, folder: Path, port: int, ours: Authority) -> None:
        self.folder = folder
        self.port = port
        self.ours = ours

    async def get(
        self,
        pair: tuple[str, str] | None,
        version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3,
        count: int = 1,
    ) -> list[bytes]:
        """So many requests on one connection; the answers."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(self.ours.path)
        context.maximum_version = version
        if pair is not None:
            context.load_cert_chain(*pair)
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        try:
            found = []
            for _ in range(count):
                body = b'{"apiVersion":"authentication.k8s.io/v1","kind":"SelfSubjectReview"}'
                head = f"POST {WHO} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                head += f"Content-Length: {len(body)}\r\n\r\n"
                writer.write(head.encode() + body)
                answer = await reader.readuntil(b"\r\n\r\n")
                size = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
                found.append(answer + await reader.readexactly(size))
            return found
        finally:
            writer.transport.abort()


@asynccontextmanager
async def world(folder: Path) -> AsyncIterator[World]:
    ours = Authority(folder, "ours")
    certificate, key = ours.serving("127.0.0.1")
    tls = server_context(TlsFiles(certificate, key, (ours.path,)))
    async with running(client_ca_file=ours.path, alone=False) as run:
        app = App(run.server.handler, SystemClock(), run.server.metrics)
        listener = Listener(app, SystemClock(), tls=tls)
        sock = bind("127.0.0.1", 0)
        await listener.start(sock)
        try:
            yield World(folder, sock.getsockname()[1], ours)
        finally:
            await listener.drain(1.0)


@pytest.mark.parametrize("version", VERSIONS)
async def test_who_comes_in(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with world(tmp_path) as w:
        for answer in await w.get(w.ours.client("jane", "dev"), version, 3):
            assert answer.startswith(b"HTTP/1.1 201 ")
            assert b'"username":"jane"' in answer
        for answer in await w.get(Authority(tmp_path, "others").client("jane"), version, 3):
            assert answer.startswith(b"HTTP/1.1 401 ")
            assert b'"Unauthorized"' in answer
        (answer,) = await w.get(None, version)
        assert answer.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_expired_certificate(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with world(tmp_path) as w:
        long_ago = w.ours.client("jane", made_at=time() - 50 * 365 * 86400)
        (answer,) = await w.get(long_ago, version)
        assert answer.startswith(b"HTTP/1.1 401 ")


async def test_strangers_do_not_stand_in_the_way(tmp_path: Path) -> None:
    """One that has the name of our CA is trusted for its own connection alone."""
    async with world(tmp_path) as w:
        stranger = Authority(tmp_path, "others")
        mine = stranger.client("ours")  # its subject is the CA's
        for _ in range(3):
            (answer,) = await w.get(mine)
            assert answer.startswith(b"HTTP/1.1 401 ")
            (answer,) = await w.get(w.ours.client("jane"))
            assert answer.startswith(b"HTTP/1.1 201 ")
            (answer,) = await w.get(stranger.client("other"))
            assert answer.startswith(b"HTTP/1.1 401 ")


async def test_a_stranger_with_our_name_gets_no_further(tmp_path: Path) -> None:
    folder = tmp_path / "else"
    folder.mkdir()
    async with world(tmp_path) as w:
        forged = Authority(folder, "ours").client("jane")
        (answer,) = await w.get(forged)
        assert answer.startswith(b"HTTP/1.1 401 ")
        (answer,) = await w.get(w.ours.client("jane"))
        assert answer.startswith(b"HTTP/1.1 201 ")


def test_with_the_loop_of_the_command(tmp_path: Path) -> None:
    async def run() -> None:
        async with world(tmp_path) as w:
            for version in VERSIONS:
                (answer,) = await w.get(Authority(tmp_path, "others").client("jane"), version)
                assert answer.startswith(b"HTTP/1.1 401 ")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run())


HEAD = b"\0" * 4


@pytest.mark.parametrize(
    "data", [b"", HEAD, HEAD + b"\xff\xff\xff", HEAD + b"\0\0\5\0\0\x09abc", bytes(range(64))]
)
def test_messages_that_are_none(data: bytes) -> None:
    for with_context in (False, True):
        try:
            found: Any = sent(data, with_context=with_context)
        except ValueError:
            continue
        assert isinstance(found, list)
