"""A kubelet that runs commands over SPDY alone, for `other_server.http`.

`spdy_kubelet` refuses every other upgrade, and one that was passed on from a client: only a server
that translates gets anything run. A `Command` gets the streams that were opened.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from other_server import Asked

from kapi.handlers.proxying.spdy_frames import (
    Data,
    Decoder,
    Encoder,
    Frame,
    Ping,
    RstStream,
    SynReply,
    SynStream,
)

SUCCESS = {"metadata": {}, "status": "Success"}


def failure(code: int) -> dict[str, Any]:
    return {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [{"reason": "ExitCode", "message": str(code)}]},
    }


@dataclass
class Session:
    """One connection; `words` are those of the command."""

    asked: Asked
    words: list[str]
    ids: dict[str, int] = field(default_factory=dict)
    inbox: list[Frame] = field(default_factory=list)
    encoder: Encoder = field(default_factory=Encoder)
    decoder: Decoder = field(default_factory=Decoder)

    async def frame(self) -> Frame | None:
        while not self.inbox:
            chunk = await self.asked.reader.read(65536)
            if not chunk:
                return None
            self.inbox += self.decoder.feed(chunk)
        return self.inbox.pop(0)

    async def read(self) -> tuple[str, bytes, bool] | None:
        """The next data with its stream's type."""
        while (frame := await self.frame()) is not None:
            if isinstance(frame, Data):
                kinds = {number: kind for kind, number in self.ids.items()}
                return kinds[frame.stream], frame.data, frame.fin
        return None

    async def write(self, frame: Frame) -> None:
        self.asked.writer.write(self.encoder.encode(frame))
        await self.asked.writer.drain()

    async def say(self, kind: str, data: bytes, *, fin: bool = False) -> None:
        await self.write(Data(self.ids[kind], data, fin))

    async def end(self, status: dict[str, Any]) -> None:
        await self.say("error", json.dumps(status).encode(), fin=True)
        for kind in ("stdout", "stderr"):
            if kind in self.ids:
                await self.say(kind, b"", fin=True)


async def cat(session: Session) -> None:
    """Everything that comes goes back; a size says so on stdout."""
    while (found := await session.read()) is not None:
        kind, data, fin = found
        if data:
            await session.say("stdout", data if kind == "stdin" else b"size " + data)
        if fin and kind == "stdin":
            break
    await session.end(SUCCESS)


async def echo(session: Session) -> None:
    await session.say("stdout", f"ran {' '.join(session.words)}\n".encode())
    await session.end(SUCCESS)


async def fail(session: Session) -> None:
    await session.say("stdout", b"ran false\n")
    await session.say("stderr", b"went wrong\n")
    await session.end(failure(3))


async def pinging(session: Session) -> None:
    await session.write(Ping(2))
    while (frame := await session.frame()) != Ping(2):
        assert frame is not None
    await echo(session)


async def vanish(session: Session) -> None:
    session.asked.writer.transport.abort()


async def break_rules(session: Session) -> None:
    session.asked.writer.write(b"\xff" * 64)


async def flood(session: Session) -> None:
    for _ in range(64):
        await session.say("stdout", bytes(65536))
    await session.end(SUCCESS)


async def reset(session: Session) -> None:
    for number in session.ids.values():
        await session.write(RstStream(number, 5))


Command = Callable[[Session], Awaitable[None]]
COMMANDS: dict[str, Command] = {
    "cat": cat, "echo": echo, "false": fail, "ping": pinging, "vanish": vanish,
    "break": break_rules, "flood": flood, "reset": reset,
}  # fmt: skip


async def spdy_kubelet(asked: Asked) -> None:
    """exec and attach; `refuse`, `away` and `silent` do not even upgrade."""
    words = parse_qs(urlsplit(asked.target).query).get("command", ["echo", "attached"])
    passed_on = asked.header("X-Forwarded-For")
    if passed_on or asked.header("Upgrade") != "SPDY/3.1" or asked.method != "POST":
        await asked.answer(400, b"only SPDY here", "text/plain")
        return
    if words[0] == "refuse":
        await asked.answer(500, b'{"kind":"Status","message":"no such container"}')
        return
    if words[0] == "silent":
        await asked.reader.read()
        return
    if words[0] == "away":
        await asked.answer(302, b"", extra="Location: /elsewhere\r\n")
        return
    version = asked.header("X-Stream-Protocol-Version").split(", ")[0]
    await asked.switch("SPDY/3.1", f"X-Stream-Protocol-Version: {version}\r\n")
    session = Session(asked, words)
    query = parse_qs(urlsplit(asked.target).query)
    tty = "tty" in query
    expected = {"error"}
    for name, kind in (("input", "stdin"), ("output", "stdout"), ("error", "stderr")):
        if name in query and not (tty and kind == "stderr"):
            expected.add(kind)
    if tty:
        expected.add("resize")
    while set(session.ids) != expected:
        frame = await session.frame()
        assert isinstance(frame, SynStream), frame
        session.ids[frame.headers["streamtype"]] = frame.stream
        await session.write(SynReply(frame.stream))
    await COMMANDS.get(words[0], echo)(session)
    asked.writer.close()
