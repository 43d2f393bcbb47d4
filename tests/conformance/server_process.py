"""`kapi serve` as a process, and a small HTTP client for it that sees what is on the wire."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

Json = dict[str, Any]
TOKEN = "admin-token"
START_WAIT_S = 30.0
ANSWER_WAIT_S = 20.0


class Process:
    """A running server; its log goes to a file."""

    def __init__(self, directory: Path, *flags: str, before: Callable[[], None] | None = None):
        """`before` runs in the child."""
        self.directory = directory
        self.log_file = directory.parent / f"{directory.name}.log"
        tokens = directory.parent / "tokens.csv"
        tokens.write_text(f"{TOKEN},admin,1,system:masters\n")
        with self.log_file.open("ab") as log:
            self.popen = subprocess.Popen(
                [
                    *(sys.executable, "-m", "kapi", "serve"),
                    *(f"--data-dir={directory}", f"--token-auth-file={tokens}"),
                    *("--secure-port=0", *flags),
                ],
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, "HOME": str(directory.parent)},
                preexec_fn=before,
            )
        self.port = 0

    async def ready(self) -> None:
        """Wait until it says where its kubeconfig is. Raises AssertionError if it ends instead."""
        assert self.popen.stdout is not None
        line = await asyncio.wait_for(asyncio.to_thread(self.popen.stdout.readline), START_WAIT_S)
        assert line, self.log
        self.port = port_of(Path(line.decode().strip().removeprefix("export KUBECONFIG=")))

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def kill(self) -> None:
        self.popen.send_signal(signal.SIGKILL)
        self.popen.wait()

    def terminate(self) -> None:
        self.popen.send_signal(signal.SIGTERM)

    async def ended(self, wait: float) -> int:
        """The exit code. Raises TimeoutExpired."""
        return await asyncio.to_thread(self.popen.wait, wait)

    def close(self) -> None:
        if self.popen.poll() is None:
            self.kill()
        if self.popen.stdout is not None:
            self.popen.stdout.close()


def port_of(kubeconfig: Path) -> int:
    return int(kubeconfig.read_text().split("https://127.0.0.1:")[1].split()[0])


@asynccontextmanager
async def serving(directory: Path, *flags: str, **more: Any) -> AsyncIterator[Process]:
    process = Process(directory, *flags, **more)
    try:
        await process.ready()
        yield process
    finally:
        process.close()


class Gone(Exception):
    """The server closed the connection before the answer was whole."""


def tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


class Connection:
    """One connection; requests one after the other."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port, ssl=tls()))

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except OSError:
            return  # the other end was faster

    async def request(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """Status and JSON, or text. Raises Gone."""
        data = b"" if body is None else json.dumps(body).encode()
        await self.send(method, path, data, [f"Content-Length: {len(data)}"])
        async with asyncio.timeout(ANSWER_WAIT_S):
            status, headers = await self.head()
            try:
                length = int(headers.get("content-length", 0))
                text = await self.reader.readexactly(length)
            except (asyncio.IncompleteReadError, OSError) as error:
                raise Gone from error
        if "json" not in headers.get("content-type", ""):
            return status, text.decode()
        return status, json.loads(text)

    async def send(self, method: str, path: str, data: bytes, headers: list[str]) -> None:
        head = [
            f"{method} {path} HTTP/1.1", "Host: kapi", f"Authorization: Bearer {TOKEN}",
            "User-Agent: suite/1.0", *(["Content-Type: application/json"] if data else []),
            *headers, "", "",
        ]  # fmt: skip
        try:
            self.writer.write("\r\n".join(head).encode() + data)
            await self.writer.drain()
        except OSError as error:
            raise Gone from error

    async def head(self) -> tuple[int, dict[str, str]]:
        try:
            text = await self.reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, OSError) as error:
            raise Gone from error
        first, *lines = text.decode().split("\r\n")
        pairs = (line.split(": ", 1) for line in lines if line)
        return int(first.split()[1]), {name.lower(): value for name, value in pairs}

    async def watch(self, path: str) -> AsyncIterator[Json]:
        """Events of a watch until the server ends it or goes away."""
        await self.send("GET", path, b"", [])
        status, _ = await self.head()
        assert status == 200, status
        pending = b""
        while True:
            try:
                size = int(await self.reader.readuntil(b"\r\n"), 16)
                chunk = await self.reader.readexactly(size + 2)
            except (asyncio.IncompleteReadError, OSError):
                return
            if not size:
                return
            pending += chunk[:-2]
            while b"\n" in pending:
                line, _, pending = pending.partition(b"\n")
                yield json.loads(line)


@asynccontextmanager
async def connected(port: int) -> AsyncIterator[Connection]:
    connection = await Connection.open(port)
    try:
        yield connection
    finally:
        await connection.close()
