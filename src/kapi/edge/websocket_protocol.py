"""WebSocket on a socket: uvicorn's protocol with the patience and the extensions of ours.

`protocol.py` hands a connection over once a handshake came that can succeed. Imported only then.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from kapi.edge.listener_state import WRITE_STALL_SECONDS, ListenerState

if TYPE_CHECKING:
    from websockets.http11 import Request as Handshake

GOODBYE_SECONDS = 1.0  # for a WebSocket client to answer our close; Go does not wait at all


class WebSocketProtocol(WebSocketsSansIOProtocol):
    """One WebSocket connection, with the extensions of the HTTP connection it was before."""

    def __init__(
        self, state: ListenerState, extensions: dict[str, Any], offered: list[bytes]
    ) -> None:
        """`offered`: the subprotocol headers, which the library reads more strictly than Go."""
        super().__init__(state.config, state.uvicorn, {})
        self._offered = offered
        self.close_timeout = GOODBYE_SECONDS
        self._state = state
        self._extensions = extensions
        self._write_timer: asyncio.TimerHandle | None = None

    def handle_connect(self, event: Handshake) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:  # the application starts in the next turn of the loop
            scope = self.scope
            scope["extensions"] = {**self._extensions, **scope["extensions"]}
            texts = [text for value in self._offered for text in value.decode("latin-1").split(",")]
            scope["subprotocols"] = [text.strip() for text in texts if text.strip()]
            headers = [(b"sec-websocket-protocol", value) for value in self._offered]
            scope["headers"] = [*scope["headers"], *headers]

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_write_timer()
        super().connection_lost(exc)
        self._state.connection_lost()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._write_timer is None:
            self._write_timer = self.loop.call_later(WRITE_STALL_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stop_write_timer()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
