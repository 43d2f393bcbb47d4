"""Servers beside the one under test, for real clients: in a thread with an event loop of its own.

`kubelet` is a node's agent as far as kubectl sees it: logs that end or go on, commands that run
over SPDY alone, port-forwards that are accepted.
"""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, urlsplit

from other_server import Asked, http, scripted
from spdy_kubelet import spdy_kubelet

START_SECONDS = 20.0


@contextmanager
def beside(
    handle: Callable[[Asked], Awaitable[None]], tls: ssl.SSLContext | None, host: str
) -> Iterator[int]:
    """A server in a thread; its port."""
    loop = asyncio.new_event_loop()
    ports: list[int] = []
    ready = threading.Event()
    stop: asyncio.Event | None = None

    async def serve() -> None:
        nonlocal stop
        stop = asyncio.Event()
        async with scripted(http(handle), tls, host) as at:
            ports.append(at.port)
            ready.set()
            await stop.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        assert ready.wait(START_SECONDS), "the other server does not start"
        yield ports[0]
    finally:
        if stop is not None:
            loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS)
        loop.close()


async def kubelet(asked: Asked) -> None:
    kind = asked.path.split("/")[1]
    query = parse_qs(urlsplit(asked.target).query)
    if kind == "containerLogs":
        await asked.begin_chunks(kind="text/plain")
        lines = int(query.get("tailLines", ["3"])[0])
        for i in range(lines):
            await asked.chunk(f"line {i}\n".encode())
        if "follow" in query:
            await asyncio.sleep(0.3)
            await asked.chunk(b"later\n")
        await asked.chunk(b"")
    elif kind in ("exec", "attach"):
        await spdy_kubelet(asked)
    elif kind == "portForward":
        await asked.switch("SPDY/3.1", "X-Stream-Protocol-Version: portforward.k8s.io\r\n")
        await asked.reader.read()
    else:
        await asked.answer(404, b"not here")
