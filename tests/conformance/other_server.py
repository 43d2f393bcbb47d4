"""Servers that kapi calls, made for a test: raw scripts on a socket, and a small HTTP server.

`Authority` signs certificates into a directory. `scripted` serves connections by a function of
reader and writer; `http` serves requests by a function of `Asked`, and keeps connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import time

import pytest

from kapi.credentials import certificates

Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Authority:
    """A CA whose pairs are files."""

    def __init__(self, folder: Path, name: str = "test-ca") -> None:
        self._folder = folder
        self._pair = certificates.make_ca(name, time())
        self.name = name
        self.pem = self._pair.certificate.decode()
        self.path = str(self._write("ca.crt", self._pair.certificate))

    def _write(self, name: str, data: bytes) -> Path:
        path = self._folder / f"{self.name}-{name}"
        path.write_bytes(data)
        return path

    def serving(self, *names: str, made_at: float | None = None) -> tuple[str, str]:
        pair = certificates.make_serving(self._pair, names, made_at or time())
        return self._files("serving-" + "-".join(names).replace(":", "_").replace("*", "x"), pair)

    def client(self, user: str, *groups: str, made_at: float | None = None) -> tuple[str, str]:
        pair = certificates.make_client(self._pair, user, groups, made_at or time())
        return self._files("client-" + user, pair)

    def _files(self, name: str, pair: certificates.Pair) -> tuple[str, str]:
        return (
            str(self._write(f"{name}.crt", pair.certificate)),
            str(self._write(f"{name}.key", pair.key)),
        )


def machine_address() -> str:
    """An address of this machine that is not loopback: endpoints may not be that. Skips the test
    where there is none.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError as error:
            pytest.skip(f"this machine has no address but loopback: {error}")
        return str(probe.getsockname()[0])


def server_tls(pair: tuple[str, str], client_ca: str = "") -> ssl.SSLContext:
    """With `client_ca` a client must show a certificate of it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    if client_ca:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


@dataclass
class Serving:
    port: int
    connections: int = 0
    tasks: set[asyncio.Task[None]] = field(default_factory=set)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)


@contextlib.asynccontextmanager
async def scripted(
    script: Script, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Serving]:
    """Serves every connection by the script; what still runs in the end is cancelled."""
    serving = Serving(0)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        serving.tasks.add(task)
        serving.connections += 1
        serving.writers.append(writer)
        try:
            await script(reader, writer)
        except (OSError, EOFError, asyncio.CancelledError):
            pass  # gone, or the test is over
        finally:
            serving.tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, host, 0, ssl=tls)
    serving.port = server.sockets[0].getsockname()[1]
    try:
        yield serving
    finally:
        server.close()
        tasks = set(serving.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for writer in serving.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)  # connection_lost of the aborted ones


@dataclass
class Asked:
    """A request as it came, and how to answer it."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    body: bytes
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]

    def header(self, name: str) -> str:
        return ", ".join(v for k, v in self.headers if k.lower() == name.lower())

    @property
    def peer(self) -> str:
        """The common name of the client's certificate."""
        shown = self.writer.get_extra_info("peercert") or {}
        for rdn in shown.get("subject", ()):
            for key, value in rdn:
                if key == "commonName":
                    return str(value)
        return ""

    async def answer(
        self, status: int, body: bytes = b"", kind: str = "application/json", extra: str = ""
    ) -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n"
        self.writer.write(f"{head}{extra}\r\n".encode() + (b"" if self.method == "HEAD" else body))
        await self.writer.drain()

    async def begin_chunks(self, status: int = 200, kind: str = "application/json") -> None:
        head = f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.writer.write(head.encode())
        await self.writer.drain()

    async def chunk(self, data: bytes) -> None:
        """b"" ends the answer. Always lets others run: while TLS closes, a drain returns at once
        and the writer does not know yet that it is closing."""
        self.writer.write(b"%x\r\n%b\r\n" % (len(data), data))
        await self.writer.drain()
        await asyncio.sleep(0.001)

    async def switch(self, protocol: str, extra: str = "") -> None:
        """101: from now on reader and writer are the tunnel."""
        head = f"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n"
        self.writer.write(f"{head}{extra}\r\n".encode())
        await self.writer.drain()


async def read_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Asked:
    """Raises EOFError at the end of the connection."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ")
    headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
    lowered = {name.lower(): value for name, value in headers}
    body = b""
    if lowered.get("transfer-encoding") == "chunked":
        while size := int(await reader.readline(), 16):
            body += await reader.readexactly(size)
            await reader.readline()
        await reader.readline()
    elif "content-length" in lowered:
        body = await reader.readexactly(int(lowered["content-length"]))
    return Asked(method, target, headers, body, reader, writer)


def http(handle: Callable[[Asked], Awaitable[None]]) -> Script:
    """A script that answers request after request."""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not writer.is_closing():
            await handle(await read_request(reader, writer))

    return script
