"""A server of a test behind a real socket, and a client that speaks HTTP/1.1 to it.

For what needs a connection: upgrades, tunnels, streams both ways. `base` is its address.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from server_harness import ADMIN, Running

from kapi.clock import SystemClock
from kapi.edge.asgi import App
from kapi.edge.listener import Listener, bind
from kapi.outgoing.client import Answer, Call, Client, Fetched
from kapi.outgoing.dial import Endpoint


@dataclass
class Socketed:
    """The server at its address."""

    port: int
    client: Client

    def call(
        self,
        method: str,
        target: str,
        headers: Sequence[tuple[str, str]] = (),
        body: bytes = b"",
        token: str = ADMIN,
    ) -> Call:
        all_headers = [("Authorization", f"Bearer {token}"), *headers]
        endpoint = Endpoint("127.0.0.1", self.port)
        return Call(method=method, target=target, endpoint=endpoint, headers=all_headers, body=body)

    async def fetch(self, method: str, target: str, *args: object, **more: object) -> Fetched:
        call = self.call(method, target, *args, **more)  # type: ignore[arg-type]
        return await self.client.fetch(call, timeout_s=10, limit=10 << 20)

    async def open(self, method: str, target: str, *args: object, **more: object) -> Answer:
        call = self.call(method, target, *args, **more)  # type: ignore[arg-type]
        return await self.client.send(call)


@asynccontextmanager
async def socketed(run: Running) -> AsyncIterator[Socketed]:
    app = App(run.server.handler, SystemClock(), run.server.metrics, tunnels=run.server.tunnels)
    listener = Listener(app, SystemClock(), tls=None)
    sock = bind("127.0.0.1", 0)
    await listener.start(sock)
    client = Client(SystemClock())
    try:
        yield Socketed(sock.getsockname()[1], client)
    finally:
        await client.close()
        await listener.drain(1.0)
