"""Sockets: binds an address, speaks HTTP on it through uvicorn's protocols, and drains.

`server.py` and `__main__.py` own a `Listener`; several may live in one process and one event
loop. Signals are not looked at here, and no task is made beside uvicorn's one per request.

    sock = bind("127.0.0.1", 6443)
    listener = Listener(app, clock, tls=server_context(files))
    await listener.start(sock)
    await listener.drain(seconds=60)          # nothing new, finish what runs, then cut
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl

from uvicorn.config import Config

from kapi.clock import Clock
from kapi.edge.asgi import App
from kapi.edge.listener_state import ListenerState
from kapi.edge.protocol import IDLE_SECONDS, HttpProtocol

BACKLOG = 1024  # connections that wait to be accepted
TLS_HANDSHAKE_SECONDS = (
    10.0  # net/http has none; without one a silent client holds a socket for good
)
TLS_SHUTDOWN_SECONDS = 5.0  # for the last bytes and the peer's goodbye
IDLE_CLOSE_SECONDS = 0.05  # at drain: for idle peers to say goodbye, before their sockets are cut
CANCEL_SECONDS = 2.0  # after the drain: for cancelled handlers to unwind
WEBSOCKET_MESSAGE_BYTES_MAX = 1 << 20  # what a client may send in one message


class AddressInUse(Exception):
    """Somebody else listens there."""


class BadAddress(Exception):
    """The address is not one of this machine, or may not be bound."""


def bind(address: str, port: int) -> socket.socket:
    """A bound socket that does not listen yet; port 0 takes a free one."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0 if address == "::" else 1)
        sock.bind((address, port))
        sock.listen(BACKLOG)  # only now does Linux say that the port is taken
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        if error.errno in (48, 98):  # EADDRINUSE on macOS and Linux
            raise AddressInUse(f"{host_port(address, port)} is in use") from error
        reason = error.strerror or str(error)
        raise BadAddress(f"cannot listen on {host_port(address, port)}: {reason}") from error
    return sock


def bind_unix(path: str) -> socket.socket:
    """A bound socket of this machine, in place of what has the path. Raises BadAddress."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        sock.bind(path)
        os.chmod(path, 0o600)  # nobody can connect before it listens
        sock.setblocking(False)
    except OSError as error:
        sock.close()
        raise BadAddress(f"cannot listen on {path}: {error.strerror or error}") from error
    return sock


def host_port(address: str, port: int) -> str:
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


class Listener:
    """One listening socket and its connections."""

    def __init__(
        self, app: App, clock: Clock, *, tls: ssl.SSLContext | None, http2: bool = False
    ) -> None:
        config = Config(
            app,
            http="httptools",
            ws="none",  # protocol.py hands over to its own
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            timeout_keep_alive=IDLE_SECONDS,
            ws_max_size=WEBSOCKET_MESSAGE_BYTES_MAX,
            ws_per_message_deflate=False,
            interface="asgi3",
        )
        config.load()
        self._tls = tls
        self._http2 = http2
        self._state = ListenerState(config, clock, app.tunnels)
        self._server: asyncio.Server | None = None

    async def start(self, sock: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        state = self._state
        state.default_headers()
        tls = self._tls
        if sock.family == socket.AF_UNIX:
            self._server = await loop.create_unix_server(lambda: self._protocol(loop), sock=sock)
            return
        self._server = await loop.create_server(
            lambda: self._protocol(loop),
            sock=sock,
            ssl=tls,
            backlog=BACKLOG,
            ssl_handshake_timeout=TLS_HANDSHAKE_SECONDS if tls else None,
            ssl_shutdown_timeout=TLS_SHUTDOWN_SECONDS if tls else None,
        )

    def _protocol(self, loop: asyncio.AbstractEventLoop) -> asyncio.Protocol:
        if self._http2:
            from kapi.edge.http2 import Negotiated

            return Negotiated(self._state, loop)
        return HttpProtocol(self._state, loop)

    @property
    def connections(self) -> int:
        return len(self._state.uvicorn.connections)

    def stop_accepting(self) -> None:
        """No new connections; those that are there go on."""
        if self._server is not None:
            self._server.close()

    async def drain(self, seconds: float) -> None:
        """Idle connections end now, busy ones after their answer, those left in the end are cut."""
        self.stop_accepting()
        state = self._state
        state.draining = True
        connections = list(state.uvicorn.connections)
        idle = [c for c in connections if isinstance(c, HttpProtocol) and c.idle]
        for connection in connections:
            connection.shutdown()
        await self._emptied(min(IDLE_CLOSE_SECONDS, seconds))
        for lingering in idle:
            lingering.transport.abort()
        await self._emptied(seconds)
        await self._cut()
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CANCEL_SECONDS):
                    await self._server.wait_closed()
            self._server = None

    async def _emptied(self, seconds: float) -> None:
        state = self._state
        if not state.uvicorn.connections and not state.uvicorn.tasks:
            return
        state.emptied = asyncio.Event()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while state.uvicorn.connections:
                    state.emptied.clear()
                    await state.emptied.wait()
                if state.uvicorn.tasks:
                    await asyncio.wait(set(state.uvicorn.tasks))
        state.emptied = None

    async def _cut(self) -> None:
        state = self._state
        for connection in list(state.uvicorn.connections):
            connection.transport.abort()
        tasks = set(state.uvicorn.tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_SECONDS)
        await asyncio.sleep(0)  # connection_lost of the aborted ones
