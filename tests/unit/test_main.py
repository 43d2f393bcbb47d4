"""The command as a process: what it prints, its exit codes, its signals. Its server is a stub."""

from __future__ import annotations

import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

import kapi
from kapi.options.parser import flag_name
from kapi.options.table import DEFAULTS, FLAGS

pytestmark = pytest.mark.timeout(60)  # processes start and stop
WAIT_S = 20.0  # for what takes a second at most, on a busy machine

# Runs the command line with a server that answers at once; /watch streams until the shutdown, /slow
# answers a moment after it, /stuck never; /inside answers once one of the last two was asked.
RUNNER = """
import asyncio, sys, types
from kapi.messages import Response
from kapi.metrics import Metrics

class Server:
    def __init__(self, options, clock, entropy):
        self.metrics = Metrics()
        self.options = options
    async def start(self):
        self.stopping, self.inside = asyncio.Event(), asyncio.Event()
        if self.options.external_hostname == "in-use.example":
            from kapi.storage.interface import InUse
            raise InUse("/data is in use by another kapi (process 7)")
    def tunnels(self, path):
        return False
    def begin_shutdown(self):
        pass
    def drain(self):
        self.stopping.set()
    async def stop(self):
        self.stopping.set()
    async def handler(self, request):
        if request.path == "/watch":
            async def events():
                yield b"{}\\n"
                await self.stopping.wait()
                yield b"end\\n"
            return Response(200, [], events())
        if request.path == "/slow":
            self.inside.set()
            await self.stopping.wait()
            await asyncio.sleep(0.1)
        if request.path == "/stuck":
            self.inside.set()
            await asyncio.Event().wait()
        if request.path == "/inside":
            await self.inside.wait()
        names = [c.subject.rfc4514_string() for c in request.peer.certificates]
        return Response(200, [], repr(names).encode())

stub = types.ModuleType("kapi.server")
stub.Server = Server
sys.modules["kapi.server"] = stub
from kapi.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runner") / "run.py"
    path.write_text(RUNNER)
    return path


class Process:
    """A running `kapi serve`, ready."""

    def __init__(self, runner: Path, directory: Path | str, *flags: str, cwd: Path) -> None:
        self.environment = {**os.environ, "TMPDIR": str(cwd), "HOME": str(cwd)}
        words = [sys.executable, str(runner), "serve", f"--data-dir={directory}", *flags]
        self.popen = subprocess.Popen(
            [*words, "--secure-port=0"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        assert self.popen.stdout is not None
        self.line = self.popen.stdout.readline().rstrip("\n")
        assert self.line, self.popen.communicate()
        text = Path(self.line.removeprefix("export KUBECONFIG=")).read_text()
        self.port = int(text.split("https://127.0.0.1:")[1].split()[0])

    def connect(self, path: str, pki: Path | None = None) -> ssl.SSLSocket:
        """A connection on which a request was sent."""
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        if pki is not None:
            context.load_cert_chain(pki / "admin.crt", pki / "admin.key")
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=WAIT_S)
        sock = context.wrap_socket(plain)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
        return sock

    def signal(self, number: int = signal.SIGTERM) -> None:
        self.popen.send_signal(number)

    def wait(self) -> tuple[int, str]:
        """Exit code and log."""
        _, log = self.popen.communicate(timeout=WAIT_S)
        return self.popen.returncode, log


def read_all(sock: ssl.SSLSocket) -> bytes:
    chunks = []
    while chunk := sock.recv(65536):
        chunks.append(chunk)
    sock.close()
    return b"".join(chunks)


@pytest.fixture
def started(runner: Path, tmp_path: Path) -> Iterator[list[Process]]:
    processes: list[Process] = []
    yield processes
    for process in processes:
        if process.popen.poll() is None:
            process.popen.kill()
            process.popen.wait()
        for stream in (process.popen.stdout, process.popen.stderr):
            if stream is not None:
                stream.close()


def run(runner: Path, *words: str, env: dict[str, str] | None = None) -> tuple[int, str, str]:
    environment = {**os.environ, **(env or {})}
    command = [sys.executable, str(runner), *words]
    done = subprocess.run(command, capture_output=True, text=True, timeout=WAIT_S, env=environment)
    return done.returncode, done.stdout, done.stderr


def test_version(runner: Path) -> None:
    code, out, err = run(runner, "version")
    assert (code, err) == (0, "")
    assert out.startswith(f"kapi {kapi.__version__}")


def test_help(runner: Path) -> None:
    assert "kapi serve" in run(runner, "--help")[1]
    assert "--secure-port int" in run(runner, "serve", "--help")[1]
    assert "kapi kubeconfig" in run(runner, "kubeconfig", "--help")[1]


@pytest.mark.parametrize(
    ("words", "code", "problem"),
    [
        ([], 2, "a command is needed"),
        (["nope"], 2, "unknown command: nope"),
        (["serve", "--nope"], 2, "unknown flag: --nope"),
        (["serve", "--secure-port=x"], 2, 'invalid argument "x" for "--secure-port" flag'),
        (["serve", "--client-ca-file=/nope"], 2, "/nope: no such file or directory"),
        (["serve", "--data-dir=/proc/nope"], 1, "cannot write /proc/nope"),
        (["serve", "--data-dir=:memory:", "--bind-address=192.0.2.1"], 1, "cannot listen on"),
        (
            [
                "serve",
                "--data-dir=:memory:",
                "--secure-port=0",
                "--external-hostname=in-use.example",
            ],
            1,
            "in use by another kapi (process 7)",
        ),
        (["kubeconfig", "--v=3"], 2, "--v is a flag of kapi serve"),
        (["kubeconfig", "--data-dir=/nope"], 1, "kapi serve writes it"),
        (["check", "--secure-port=1"], 2, "--secure-port is a flag of kapi serve"),
        (["check", "--data-dir=/nope"], 1, "there is no /nope: kapi serve makes it"),
    ],
)
def test_mistakes_cost_one_line(
    runner: Path, tmp_path: Path, words: Sequence[str], code: int, problem: str
) -> None:
    found, out, err = run(runner, *words, env={"TMPDIR": str(tmp_path), "HOME": str(tmp_path)})
    assert found == code
    assert out == ""
    assert err.startswith("kapi: ")
    assert problem in err
    assert err.count("\n") == 1
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith("kapi-")] == []


def test_port_in_use(runner: Path, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, _, err = run(runner, "serve", f"--data-dir={tmp_path}", f"--secure-port={port}")
    assert (code, err) == (1, f"kapi: 127.0.0.1:{port} is in use\n")


def test_first_and_second_start(runner: Path, tmp_path: Path, started: list[Process]) -> None:
    directory = tmp_path / "data"
    for _ in range(2):
        process = Process(runner, directory, cwd=tmp_path)
        started.append(process)
        assert process.line == f"export KUBECONFIG={directory}/kubeconfig"
        answer = read_all(process.connect("/", directory / "pki"))
        assert b"['CN=kubernetes-admin,O=system:masters'" in answer  # and its CA
        process.signal()
        code, log = process.wait()
        assert code == 0
        assert "Traceback" not in log
    code, out, _ = run(runner, "kubeconfig", f"--data-dir={directory}")
    assert (code, out) == (0, f"export KUBECONFIG={directory}/kubeconfig\n")
    code, out, _ = run(runner, "kubeconfig", f"--data-dir={directory}", "--raw")
    assert out == (directory / "kubeconfig").read_text()


def test_memory_leaves_nothing(runner: Path, tmp_path: Path, started: list[Process]) -> None:
    process = Process(runner, ":memory:", cwd=tmp_path)
    started.append(process)
    assert len(list(tmp_path.glob("kapi-*"))) == 1
    process.signal(signal.SIGINT)
    assert process.wait()[0] == 0
    assert list(tmp_path.glob("kapi-*")) == []


def test_stop_ends_streams_and_lets_answers_finish(
    runner: Path, tmp_path: Path, started: list[Process]
) -> None:
    process = Process(runner, tmp_path / "data", cwd=tmp_path)
    started.append(process)
    watch, slow = process.connect("/watch"), process.connect("/slow")
    assert b"200 OK" in watch.recv(1000)
    read_all(process.connect("/inside"))
    process.signal()
    assert b"end\n" in read_all(watch)
    assert read_all(slow).startswith(b"HTTP/1.1 200")
    assert process.wait()[0] == 0


def test_second_signal_stops_at_once(runner: Path, tmp_path: Path, started: list[Process]) -> None:
    process = Process(runner, ":memory:", cwd=tmp_path)
    started.append(process)
    stuck, watch = process.connect("/stuck"), process.connect("/watch")
    assert b"200 OK" in watch.recv(1000)
    read_all(process.connect("/inside"))
    process.signal()
    assert b"end\n" in read_all(watch)  # the first signal was heard
    assert process.popen.poll() is None
    process.signal()
    assert process.wait()[0] == 1
    assert list(tmp_path.glob("kapi-*")) == []
    stuck.close()


def test_requests_in_flight_are_waited_for_only_so_long(
    runner: Path, tmp_path: Path, started: list[Process]
) -> None:
    process = Process(runner, tmp_path / "data", "--request-timeout=300ms", cwd=tmp_path)
    started.append(process)
    stuck = process.connect("/stuck")
    read_all(process.connect("/inside"))
    begin = time.monotonic()
    process.signal()
    assert process.wait()[0] == 0  # by itself it would take a minute, longer than the test waits
    assert time.monotonic() - begin >= 0.3
    stuck.close()


def test_flags_without_effect_are_named(
    runner: Path, tmp_path: Path, started: list[Process]
) -> None:
    idle = [n for n, f in FLAGS.items() if not f.effective and isinstance(DEFAULTS[n], bool)]
    given = [flag_name(name) for name in sorted(idle)[:2]]
    off = [f"{flag_name(n)}={str(not DEFAULTS[n]).lower()}" for n in sorted(idle)[:2]]
    flags = (*off, "--logging-format=json")
    process = Process(runner, ":memory:", *flags, cwd=tmp_path)
    started.append(process)
    process.signal()
    log = process.wait()[1]
    assert f'"flags": "{",".join(given)}"' in log
    assert log.count("have no effect yet") == 1
