"""HTTP/2, for who asks for it with `--http2` and has the package zttp: uvicorn's protocol, chosen
by ALPN.

`listener.py` imports this module only then. Every stream is a request of its own; a client of
HTTP/1.1 on the same port gets `protocol.py` as ever."""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.zttp_h2_impl import ZttpH2Protocol

from kapi.edge.asgi import TLS
from kapi.edge.asgi_form import Receive, Scope, Send
from kapi.edge.asked_certificates import handshake_done
from kapi.edge.listener_state import ListenerState
from kapi.edge.protocol import HttpProtocol
from kapi.edge.tls import tls_extension


class Http2Protocol(ZttpH2Protocol):
    """One HTTP/2 connection."""

    def __init__(self, state: ListenerState, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(state.config, state.uvicorn, {}, loop)
        self._state = state
        self._extensions: dict[str, Any] = {}
        self._inner = self.app
        self.app = self._run
        self.access_log = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        connection = transport.get_extra_info("ssl_object")
        tls = tls_extension(connection)
        handshake_done(connection)
        if tls is not None:
            self._extensions[TLS] = tls
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._state.default_headers()  # the `Date` of the answers
        super().data_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._state.connection_lost()

    async def _run(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["extensions"] = self._extensions
        await self._inner(scope, receive, send)


class Negotiated(asyncio.Protocol):
    """A connection whose protocol the TLS handshake has settled: hands over at once."""

    def __init__(self, state: ListenerState, loop: asyncio.AbstractEventLoop) -> None:
        self._state = state
        self._loop = loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        tls = transport.get_extra_info("ssl_object")
        chosen = tls.selected_alpn_protocol() if tls is not None else None
        kind = Http2Protocol if chosen == "h2" else HttpProtocol
        protocol = kind(self._state, self._loop)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
