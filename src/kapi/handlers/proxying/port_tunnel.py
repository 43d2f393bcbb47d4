"""Port-forward through WebSocket: binary messages that carry SPDY to the kubelet and back.

A client offers the subprotocol `SPDY/3.1+portforward.k8s.io`; the kubelet is asked to upgrade to
SPDY, and from then on the bytes inside the messages are the bytes of that connection.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

from kapi import errors
from kapi.handlers.proxying import frames_websocket as websocket
from kapi.handlers.proxying.forward import NotUpgraded, run_either, sent, spdy_call, status_error
from kapi.messages import Pipe, Request, Response
from kapi.outgoing.client import Answer, Client
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.words import AddressNotAllowed, OutgoingError

PREFIX = "SPDY/3.1+"
PORT_FORWARD = "portforward.k8s.io"
ERROR_BYTES_MAX = 50_000


def is_tunnel(request: Request) -> bool:
    """Whether the client wants to tunnel through WebSocket."""
    offered = request.websocket or ()
    return any(protocol.startswith(PREFIX) for protocol in offered)


class PortTunnel:
    def __init__(self, client: Client) -> None:
        self._client = client

    async def open(self, request: Request, endpoint: Endpoint, target: str) -> Response:
        """101 with a tunnel to the kubelet. Raises ApiError."""
        chosen = PREFIX + PORT_FORWARD
        if chosen not in (request.websocket or ()):
            offered = " ".join(request.websocket or ())
            raise errors.bad_request(f"unable to negotiate protocol: client supports [{offered}]")
        if not request.can_tunnel:
            return status_error(NotUpgraded("request connection cannot be hijacked"))
        call = spdy_call(endpoint, target, (PORT_FORWARD,))
        try:
            answer = await sent(self._client, request, call)
        except AddressNotAllowed as error:
            raise errors.bad_request(str(error)) from error
        except OutgoingError as error:
            return status_error(NotUpgraded(f"error dialing backend: {error}"))
        request.exit.append(answer.close)
        if not answer.upgraded:
            try:
                text = (await answer.read(ERROR_BYTES_MAX)).decode("utf-8", "replace")
            except OutgoingError as error:
                text = str(error)
            return status_error(NotUpgraded(f"unable to upgrade streaming request: {text}"))
        key = request.headers.get("sec-websocket-key")
        headers = websocket.accepted(key, chosen)

        async def run(pipe: Pipe) -> None:
            await _carry(pipe, answer)

        return Response(101, headers, upgrade=run)


async def _carry(pipe: Pipe, answer: Answer) -> None:
    reader = websocket.Reader(pipe)

    async def up() -> None:
        while data := await reader.read():
            await answer.write(data)

    async def down() -> None:
        while data := await answer.chunk():
            for piece in websocket.pieces(data):
                await pipe.write(piece)
        await pipe.write(websocket.close_frame())

    try:
        await run_either(up, down)
    except websocket.BrokenFrame:
        await pipe.write(websocket.close_frame(1002))
