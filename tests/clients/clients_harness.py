"""One running `kapi serve`, and the command lines of real clients against it.

`serving()` starts the server as a user would, in a process of its own, and checks at its end that
it stopped cleanly and that its log tells of no crash. `Terminal` runs kubectl and helm in a home of
their own, so that nothing of the user's configuration takes part; each has one namespace."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import orjson

READY_SECONDS = 30.0
STOP_SECONDS = 20.0
COMMAND_SECONDS = 30.0
LOG_SHOWN_CHARS = 4000
_FAILURE = re.compile(r"\S+Z (ERROR|CRITICAL)\b")
Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Serving:
    """A server that runs: where it is, and how to be its administrator."""

    kubeconfig: Path
    log: Path
    url: str


@contextmanager
def serving(folder: Path, *flags: str, port: int = 0) -> Iterator[Serving]:
    """A server with its data in the folder, at any port if none is named. Fails if it crashes,
    complains or does not stop."""
    log, data = folder / "server.log", folder / "data"
    command = [sys.executable, "-m", "kapi", "serve", "--data-dir", str(data)]
    command += ["--secure-port", str(port), *flags]
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
    try:
        _wait_ready(process, log)
        yield Serving(data / "kubeconfig", log, _url(data / "kubeconfig"))
    finally:
        code = _stop(process)
    told = log.read_text()
    assert code == 0, f"exit code {code}\n{told[-LOG_SHOWN_CHARS:]}"
    assert "Traceback" not in told, told[-LOG_SHOWN_CHARS:]
    failures = [line for line in told.splitlines() if _FAILURE.match(line)]
    assert not failures, "\n".join(failures)[-LOG_SHOWN_CHARS:]


def _url(kubeconfig: Path) -> str:
    found = re.search(r"https://127\.0\.0\.1:\d+", kubeconfig.read_text())
    assert found is not None
    return found[0]


def _wait_ready(process: subprocess.Popen[bytes], log: Path) -> None:
    """Until it says where its kubeconfig is."""
    end = time.monotonic() + READY_SECONDS
    while "export KUBECONFIG=" not in log.read_text():
        assert process.poll() is None, log.read_text()[-LOG_SHOWN_CHARS:]
        assert time.monotonic() < end, f"not ready: {log.read_text()[-LOG_SHOWN_CHARS:]}"
        time.sleep(0.02)


def _stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return -signal.SIGKILL


@dataclass(frozen=True, slots=True)
class Said:
    """What a command printed."""

    out: str
    err: str
    code: int

    @property
    def json(self) -> Any:
        return orjson.loads(self.out)

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


@dataclass(slots=True)
class Terminal:
    """Where somebody types. `namespace` is the context's, so commands need not name it."""

    binaries: Path
    home: Path
    serving: Serving
    namespace: str = ""
    env: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        (self.home / "tmp").mkdir(parents=True, exist_ok=True)
        self.env = {
            "PATH": f"{self.binaries}:{os.environ['PATH']}",
            "HOME": str(self.home),
            "TMPDIR": str(self.home / "tmp"),
            "KUBECONFIG": str(self.kubeconfig),
            "NO_PROXY": "*",
        }
        config = self.serving.kubeconfig.read_text()
        self.kubeconfig.write_text(config)
        self.kubeconfig.chmod(0o600)

    @property
    def kubeconfig(self) -> Path:
        return self.home / "kubeconfig"

    def run(
        self,
        *command: str,
        code: int | None = 0,
        stdin: str = "",
        env: Mapping[str, str] | None = None,
    ) -> Said:
        """Run a command; `code` is the exit code it must have, None for any."""
        done = subprocess.run(
            command,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            env={**self.env, **(env or {})},
            cwd=self.home,
            check=False,
        )
        said = Said(done.stdout, done.stderr, done.returncode)
        assert code is None or said.code == code, f"{' '.join(command)}\n{said.out}{said.err}"
        return said

    def kubectl(self, line: str, *more: str, code: int | None = 0, stdin: str = "") -> Said:
        """`kubectl` with the words of a line, and further ones that contain spaces."""
        return self.run("kubectl", *line.split(), *more, code=code, stdin=stdin)

    def says(self, line: str, *more: str, stdin: str = "") -> str:
        """What a kubectl that must succeed prints; nothing may go to stderr."""
        said = self.kubectl(line, *more, stdin=stdin)
        assert not said.err, said.err
        return said.out

    def fails(self, line: str, *more: str, stdin: str = "", code: int = 1) -> str:
        """What a kubectl that must fail complains of."""
        return self.kubectl(line, *more, stdin=stdin, code=code).err

    def helm(self, line: str, *more: str, code: int | None = 0) -> Said:
        return self.run("helm", *line.split(), *more, code=code)

    @contextmanager
    def background(self, *command: str) -> Iterator[subprocess.Popen[str]]:
        """A command that runs on: ended politely when the block is left."""
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=self.env,
            cwd=self.home,
        )
        assert process.stdout is not None
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()  # where tests run behind a shell, SIGINT may be ignored
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()


def line_of(stream: IO[str] | None) -> str:
    """The next line of a command in the background."""
    assert stream is not None
    line = stream.readline()
    assert line, "the command ended"
    return line.rstrip("\n")


_AGE = re.compile(r"(?<!\S)\d{1,2}s(?=[\s)]|$)( *)")


def steady(text: str) -> str:
    """A table without what moves: ages are 1s, and nothing stands behind the last cell."""
    lines = (_AGE.sub(lambda m: "1s".ljust(len(m[0])), line) for line in text.splitlines())
    return "".join(line.rstrip() + "\n" for line in lines)
