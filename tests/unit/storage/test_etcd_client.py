"""Which members a client of etcd speaks to, and how: what needs no etcd."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import h2.config
import h2.connection
import h2.events
import pytest

from kapi.clock import SystemClock
from kapi.storage import etcd_client
from kapi.storage.etcd_client import EtcdClient, EtcdFiles, Member
from kapi.storage.interface import Unavailable

FILES = EtcdFiles("/ca.crt", "/a.crt", "/a.key")


@pytest.mark.parametrize(
    ("url", "files", "secure"),
    [
        ("http://127.0.0.1:1", FILES, False),
        ("https://127.0.0.1:1", EtcdFiles(), True),
        ("127.0.0.1:1", EtcdFiles(), False),
        ("127.0.0.1:1", FILES, True),
        ("127.0.0.1:1", EtcdFiles(ca="/ca.crt"), True),
    ],
)
async def test_who_is_spoken_to_over_tls(url: str, files: EtcdFiles, secure: bool) -> None:
    seen: list[bool] = []

    class Seen(EtcdFiles):
        def context(self) -> None:  # type: ignore[override]
            seen.append(True)
            raise OSError

    member = Member(url, Seen(*files.paths), SystemClock())
    with pytest.raises(OSError):
        await member.connect(0)
    assert bool(seen) is secure


class Etcd:
    """Answers every call with nothing, until it is `cut`: then it hears and says nothing."""

    def __init__(self) -> None:
        self.port = 0
        self.calls = 0
        self.connections = 0
        self.pings = 0
        self.cut = False

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        server.initiate_connection()
        writer.write(server.data_to_send())
        while data := await reader.read(65_536):
            if self.cut:
                continue
            for event in server.receive_data(data):
                self.pings += isinstance(event, h2.events.PingReceived)
                if isinstance(event, h2.events.StreamEnded):
                    self.calls += 1
                    number = event.stream_id
                    server.send_headers(number, [(":status", "200")])
                    server.send_data(number, b"\0\0\0\0\0")
                    server.send_headers(number, [("grpc-status", "0")], end_stream=True)
            writer.write(server.data_to_send())
        writer.close()


@contextlib.asynccontextmanager
async def client_of(count: int) -> AsyncIterator[tuple[EtcdClient, list[Etcd]]]:
    etcds = [Etcd() for _ in range(count)]
    async with contextlib.AsyncExitStack() as stack:
        for etcd in etcds:
            listener = await asyncio.start_server(etcd.serve, "127.0.0.1", 0)
            etcd.port = listener.sockets[0].getsockname()[1]
            await stack.enter_async_context(listener)
        servers = [f"http://127.0.0.1:{etcd.port}" for etcd in etcds]
        client = EtcdClient(servers, EtcdFiles(), SystemClock())
        try:
            yield client, etcds
        finally:
            await client.close()


async def test_a_write_does_not_go_to_a_member_that_went_away_in_silence(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with client_of(2) as (client, (first, second)):
        await client.write("KV/Put", b"x")
        first.cut = True
        monkeypatch.setattr(etcd_client, "QUIET_S", 0.0)
        monkeypatch.setattr(etcd_client, "AWAKE_S", 0.05)
        assert await client.write("KV/Put", b"x") == b""
        assert (first.calls, second.calls) == (1, 1)


async def test_a_quiet_connection_that_answers_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(etcd_client, "QUIET_S", -1.0)
    async with client_of(1) as (client, (etcd,)):
        for _ in range(3):
            await client.write("KV/Put", b"x")
        assert (etcd.calls, etcd.connections) == (3, 1)


async def test_writes_at_once_ask_a_quiet_connection_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """etcd hangs up on who asks it four times in five seconds, with all that is under way."""
    async with client_of(1) as (client, (etcd,)):
        await client.write("KV/Put", b"x")
        monkeypatch.setattr(etcd_client, "QUIET_S", -1.0)
        await asyncio.gather(*(client.write("KV/Put", b"x") for _ in range(20)))
        assert (etcd.pings, etcd.calls, etcd.connections) == (1, 21, 1)


async def test_a_write_that_was_sent_is_not_sent_again() -> None:
    """It came to a member that was asked a moment ago: who knows what became of it?"""
    async with client_of(2) as (client, (first, second)):
        await client.write("KV/Put", b"x")
        first.cut = True
        with pytest.raises(Unavailable) as caught:
            await client.write("KV/Put", b"x", timeout=0.1)
        assert caught.value.uncertain
        assert second.calls == 0
