"""exec and attach through WebSocket, translated to SPDY for the kubelet.

`connect.py` hands over requests that offer the subprotocol `v5.channel.k8s.io`. The WebSocket is
accepted first; whatever fails from then on is a Status on channel 3, as the end of the command
is. A message begins with its channel: 0 stdin, 1 stdout, 2 stderr, 3 error, 4 resize; 255 and a
channel close that one. What nobody has read is bounded: each side waits for the other.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/4006-transition-spdy-to-websockets
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from kapi import errors
from kapi.codec import json_format
from kapi.handlers.proxying import frames_websocket as websocket
from kapi.handlers.proxying.forward import NotUpgraded, spdy_call, status_error
from kapi.handlers.proxying.remote_streams import RemoteStreams, StreamsFailed
from kapi.messages import Pipe, Request, Response
from kapi.outgoing.client import Answer, Call, Client, url_error
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.words import OutgoingError

V5 = "v5.channel.k8s.io"
# In the order of preference; the last two only differ in what they say on the error stream.
VERSIONS = (V5, "v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io")
STDIN, STDOUT, STDERR, ERROR, RESIZE, CLOSE = 0, 1, 2, 3, 4, 255
ERROR_BYTES_MAX = 64 * 1024  # of the error stream, and of a refusal
RESIZE_BYTES_MAX = 4096  # of sizes that have not come to their end
PIECE_BYTES = 32 * 1024  # of a message
GOING_AWAY = 1001  # the close code where there is no Status to give
_REDIRECTS = (301, 302, 303, 307, 308)
_CHANNELS = {"stdout": STDOUT, "stderr": STDERR}
_SUCCESS: dict[str, Any] = {"metadata": {}, "status": "Success"}

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which streams the client asks for."""

    stdin: bool
    stdout: bool
    stderr: bool
    tty: bool

    def types(self) -> list[str]:
        """Of the kubelet's streams, in the order in which they are created."""
        stderr = self.stderr and not self.tty
        named = (("stdin", self.stdin), ("stdout", self.stdout), ("stderr", stderr))
        kinds = ["error", *(kind for kind, on in named if on)]
        return [*kinds, "resize"] if self.tty else kinds


def is_translated(request: Request) -> bool:
    return V5 in (request.websocket or ())


class StreamTranslator:
    def __init__(self, client: Client, sleep: Callable[[float], Awaitable[None]]) -> None:
        self._client = client
        self._sleep = sleep

    def open(self, request: Request, endpoint: Endpoint, target: str, wanted: Wanted) -> Response:
        """101 with a session; an empty or short refusal for a broken handshake. Raises ApiError."""
        refusal = _refusal(request)
        if refusal is not None:
            return refusal
        if not request.can_tunnel:
            return status_error(NotUpgraded("request connection cannot be hijacked"))
        call = spdy_call(endpoint, target, VERSIONS)
        key = request.headers.get("sec-websocket-key")
        headers = websocket.accepted(key, V5)

        async def run(pipe: Pipe) -> None:
            await _Session(pipe, self._client, call, wanted, self._sleep).run()

        return Response(101, headers, upgrade=run)


def _refusal(request: Request) -> Response | None:
    """The rules of golang.org/x/net/websocket; the origin is not looked at here."""
    if request.method != "GET":
        return Response(405, [("Content-Type", "")], b"bad method")
    if not request.headers.get("sec-websocket-key"):
        return Response(400, [("Content-Type", "")], b"mismatch challenge/response")
    if request.headers.get("sec-websocket-version") != "13":
        supported = [("Content-Type", ""), ("Sec-WebSocket-Version", "13")]
        return Response(400, supported, b"missing or bad WebSocket Version")
    return None


class _Session:
    """One WebSocket and one connection to a kubelet."""

    def __init__(
        self,
        pipe: Pipe,
        client: Client,
        call: Call,
        wanted: Wanted,
        sleep: Callable[[float], Awaitable[None]],
    ) -> None:
        self._pipe = pipe
        self._client = client
        self._call = call
        self._wanted = wanted
        self._sleep = sleep
        self._gone = False  # the client
        self._streams: RemoteStreams | None = None
        self._ready = asyncio.Event()
        self._sizes = Sizes()

    async def run(self) -> None:
        wanted = self._wanted
        first = STDOUT if wanted.stdout else STDERR if wanted.stderr else ERROR
        await self._say(first, b"")  # the client waits for a sign that all is well
        loop = asyncio.get_running_loop()
        reading = loop.create_task(self._up())
        session = loop.create_task(self._down())
        try:
            await asyncio.wait((reading, session), return_when=asyncio.FIRST_COMPLETED)
            if not session.done() and not self._ready.is_set():
                return  # the client left before anything was run
            await session
        finally:
            reading.cancel()
            session.cancel()
            await asyncio.gather(reading, session, return_exceptions=True)

    # -- from the client --------------------------------------------------------------------------

    async def _up(self) -> None:
        """Messages to streams, until the client leaves; stdin ends with it."""
        reader = websocket.Reader(self._pipe)
        code = 1002
        try:
            while message := await reader.message():
                await self._ready.wait()
                if not await self._take(message):
                    break
            else:
                code = 1000
        except (websocket.BrokenFrame, OSError):
            pass
        await self._write(websocket.close_frame(code))
        self._gone = True
        if self._streams is not None:
            await self._streams.end("stdin")
        with contextlib.suppress(OSError):
            self._pipe.write_eof()

    async def _take(self, message: bytes) -> bool:
        """False for one that ends the connection."""
        assert self._streams is not None
        channel, data = message[0], message[1:]
        if channel == CLOSE:
            if len(data) != 1 or data[0] > RESIZE:
                return False
            if data[0] == STDIN:
                await self._streams.end("stdin")
        elif channel == STDIN:
            await self._streams.send("stdin", data)
        elif channel == RESIZE and self._wanted.tty:
            for size in self._sizes.feed(data):
                await self._streams.send("resize", size)
        return True

    # -- from the kubelet -------------------------------------------------------------------------

    async def _down(self) -> None:
        answer: Answer | None = None
        try:
            answer = await self._connected()
            status = await self._relay(answer)
        except StreamsFailed as error:
            status = internal_error(str(error))
        finally:
            if answer is not None:
                answer.close()
        if status is not None:
            await self._say(ERROR, json_format.dumps(status))
        await self._write(websocket.close_frame(1000 if status is not None else GOING_AWAY))

    async def _connected(self) -> Answer:
        """The kubelet, upgraded. Raises StreamsFailed."""
        call = self._call
        try:
            answer = await self._client.send(call)
        except OutgoingError as error:
            raise StreamsFailed(f"error sending request: {url_error(call, error)}") from error
        named = answer.header("connection").lower(), answer.header("upgrade").lower()
        if answer.upgraded and "upgrade" in named[0] and "spdy/3.1" in named[1]:
            return answer
        try:
            if answer.status in _REDIRECTS and answer.header("location"):
                why = url_error(call, OutgoingError("redirect not allowed"))
                raise StreamsFailed(f"error sending request: {why}")
            text = "" if answer.upgraded else refusal_text(await answer.read(ERROR_BYTES_MAX))
        except OutgoingError:
            text = "unable to read error from server response"
        finally:
            answer.close()
        raise StreamsFailed(f"unable to upgrade connection: {text or 'empty server response'}")

    async def _relay(self, answer: Answer) -> Json | None:
        """Run the streams to their end; the Status for the client, None if there is none to give.
        Raises StreamsFailed.
        """
        streams = self._streams = RemoteStreams(answer, self._sleep)
        await streams.open(self._wanted.types())
        self._ready.set()
        pinging = asyncio.get_running_loop().create_task(streams.ping())
        said = bytearray()
        until = ["error", *(k for k in self._wanted.types() if k in _CHANNELS)]
        if self._gone:
            await streams.end("stdin")
        try:
            async for kind, data in streams.run(until):
                if kind == "error":
                    said += data[: ERROR_BYTES_MAX - len(said)]
                elif kind in _CHANNELS:
                    for start in range(0, len(data), PIECE_BYTES):
                        await self._say(_CHANNELS[kind], data[start : start + PIECE_BYTES])
        finally:
            pinging.cancel()
        if said:
            return status_of(bytes(said), answer.header("x-stream-protocol-version"))
        return None if streams.lost else _SUCCESS

    async def _say(self, channel: int, data: bytes) -> None:
        await self._write(websocket.frame(bytes((channel,)) + data))

    async def _write(self, data: bytes) -> None:
        """What a client that has left does not take is dropped: the command goes on to its end."""
        if self._gone:
            return
        try:
            await self._pipe.write(data)
        except OSError:
            self._gone = True


class Sizes:
    """Sizes of a terminal: JSON documents one after the other, however they are cut."""

    def __init__(self) -> None:
        self._text = ""
        self._broken = False
        self._decoder = json.JSONDecoder()

    def feed(self, data: bytes) -> list[bytes]:
        """Whole ones, as the kubelet takes them. After one that is none there are no more."""
        if self._broken:
            return []
        self._text = (self._text + data.decode("utf-8", "replace")).lstrip()
        found = []
        while self._text:
            try:
                value, end = self._decoder.raw_decode(self._text)
            except (ValueError, RecursionError):
                self._broken = len(self._text) > RESIZE_BYTES_MAX
                break
            size = _size(value)
            if size is None:
                self._broken = True
                break
            found.append(size)
            self._text = self._text[end:].lstrip()
        return found


def _size(value: object) -> bytes | None:
    if value is None:
        value = {}
    if not isinstance(value, dict):
        return None
    numbers = {"width": 0, "height": 0}
    for key, number in value.items():
        if key.lower() in numbers and number is not None:
            if type(number) is not int or not 0 <= number <= 0xFFFF:
                return None
            numbers[key.lower()] = number
    return b'{"Width":%d,"Height":%d}\n' % (numbers["width"], numbers["height"])


# -- words ----------------------------------------------------------------------------------------


def internal_error(message: str) -> Json:
    """A Status as it goes over the error channel: without a kind."""
    status = errors.internal_error(message).status()
    return {key: value for key, value in status.items() if key not in ("kind", "apiVersion")}


def refusal_text(body: bytes) -> str:
    """What a kubelet says when it does not upgrade: the message of a Status, or its words."""
    with contextlib.suppress(ValueError, RecursionError):
        found = json.loads(body)
        if isinstance(found, dict):
            for name in ("message", "error"):
                text = found.get(name)
                if isinstance(text, str) and text.strip():
                    return text.strip()
    return body.decode("utf-8", "replace").strip()


def status_of(said: bytes, version: str) -> Json:
    """The Status for the client, of what the kubelet said on the error stream."""
    text = said.decode("utf-8", "replace")
    if version not in VERSIONS[:2]:
        return internal_error(f"error executing remote command: {text}")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        return _protocol_error(f"{error} in {errors.quote(text)}")
    status = found if isinstance(found, dict) else {}
    if status.get("status") == "Success":
        return _SUCCESS
    if status.get("status") != "Failure":
        return _protocol_error("unknown error")
    if status.get("reason") != "NonZeroExitCode":
        return internal_error(str(status.get("message") or ""))
    details = status.get("details")
    if not isinstance(details, dict):
        return _protocol_error("details must be set")
    causes = details.get("causes")
    for cause in causes if isinstance(causes, list) else ():
        if isinstance(cause, dict) and cause.get("reason") == "ExitCode":
            code = str(cause.get("message") or "")
            if not re.fullmatch(r"[0-9]{1,20}", code) or int(code) > 255:
                return _protocol_error(f"invalid exit code value {errors.quote(code)}")
            return exit_code(int(code))
    return _protocol_error("no ExitCode cause given")


def _protocol_error(what: str) -> Json:
    return internal_error(f"error stream protocol error: {what}")


def exit_code(code: int) -> Json:
    words = "command terminated with non-zero exit code: command terminated with exit code"
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"{words} {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }
