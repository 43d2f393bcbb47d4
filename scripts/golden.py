#!/usr/bin/env python3
"""Replays recorded conversations with a real kube-apiserver, and fails where kapi got worse.

    scripts/golden.py --conversations DIR [--port N] [--suite NAME …] [--raise-floors] [--etcd]

DIR holds `golden.py`, the suites `*.jsonl` and `tokens.csv`. A server is started on an empty
store, with throw-away certificates; the suites are replayed one after the other.
`tests/golden/floors.json` says which suites, and how many steps of each must be equal; `--suite`
names others. What differs is written to `.cache/golden/<suite>.json`. A traceback in the server's
log fails, too.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ROOT / "tests" / "golden" / "floors.json"
REPORTS = ROOT / ".cache" / "golden"
READY_SECONDS = 30
REPLAY_SECONDS = 900  # for all suites
SUITE_SECONDS = 300
STOP_SECONDS = 30
TRACEBACK = "Traceback (most recent call last)"
TALLY = re.compile(r"^(\S+)\s+(\d+)/(\d+) steps equal", re.MULTILINE)


def make_certificates(directory: Path) -> None:
    """One CA for everything, as PEM files."""
    from kapi.credentials import certificates

    now = time.time()
    ca = certificates.make_ca("golden", now)
    (directory / "ca.crt").write_bytes(ca.certificate)
    pairs = {
        "serving": certificates.make_serving(ca, ("127.0.0.1", "localhost"), now),
        "proxy": certificates.make_client(ca, "front-proxy", (), now),
    }
    for name, pair in pairs.items():
        (directory / f"{name}.crt").write_bytes(pair.certificate)
        (directory / f"{name}.key").write_bytes(pair.key)
    (directory / "sa.key").write_bytes(certificates.make_token_key())
    (directory / "sa.pub").write_bytes(
        certificates.public_key_of((directory / "sa.key").read_bytes())
    )


def command(directory: Path, port: int, tokens: Path) -> list[str]:
    pki = str(directory)
    return [
        sys.executable, "-m", "kapi", "serve",
        "--data-dir", f"{pki}/data",
        "--secure-port", str(port),
        "--bind-address", "127.0.0.1",
        "--tls-cert-file", f"{pki}/serving.crt",
        "--tls-private-key-file", f"{pki}/serving.key",
        "--client-ca-file", f"{pki}/ca.crt",
        "--service-account-key-file", f"{pki}/sa.pub",
        "--service-account-signing-key-file", f"{pki}/sa.key",
        "--service-account-issuer", "https://kubernetes.default.svc.cluster.local",
        "--token-auth-file", str(tokens),
        "--authorization-mode", "Node,RBAC",
        "--enable-bootstrap-token-auth",
        "--service-cluster-ip-range", "10.0.0.0/24",
        "--requestheader-client-ca-file", f"{pki}/ca.crt",
        "--requestheader-allowed-names", "front-proxy",
        "--requestheader-username-headers", "X-Remote-User",
        "--requestheader-group-headers", "X-Remote-Group",
        "--requestheader-extra-headers-prefix", "X-Remote-Extra-",
        "--proxy-client-cert-file", f"{pki}/proxy.crt",
        "--proxy-client-key-file", f"{pki}/proxy.key",
        "--enable-aggregator-routing=true",
        "--allow-privileged=true",
    ]  # fmt: skip


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextlib.contextmanager
def etcd(directory: Path) -> Iterator[str]:
    """A real etcd; where it listens."""
    client, peer = (f"http://127.0.0.1:{free_port()}" for _ in range(2))
    words = [
        str(Path(sys.executable).with_name("etcd")), "--name", "m0",
        "--data-dir", f"{directory}/etcd", "--log-level", "error", "--unsafe-no-fsync",
        "--listen-client-urls", client, "--advertise-client-urls", client,
        "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer,
        "--initial-cluster", f"m0={peer}",
    ]  # fmt: skip
    with (directory / "etcd.log").open("wb") as output:
        process = subprocess.Popen(words, stdout=output, stderr=output)
    try:
        yield client
    finally:
        process.kill()
        process.wait()


def wait_ready(process: subprocess.Popen[bytes], port: int) -> None:
    end = time.monotonic() + READY_SECONDS
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"kapi ended with {process.returncode} before it was ready")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"kapi was not ready after {READY_SECONDS} s")


def replay(conversations: Path, port: int, suite: str, seconds: float) -> tuple[int, int] | None:
    """Equal steps and steps of a suite; None if it was not done in time."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    words = [
        sys.executable, str(conversations / "golden.py"), "replay", "--suite", suite,
        "--server", f"https://127.0.0.1:{port}", "--show", "0",
        "--json", str(REPORTS / f"{suite}.json"),
    ]  # fmt: skip
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=True)
    except subprocess.TimeoutExpired:
        return None
    found = TALLY.search(done.stdout)
    assert found is not None, done.stdout
    return int(found[2]), int(found[3])


def judge(suite: str, result: tuple[int, int] | None, floor: int) -> bool:
    """Print how a suite went; whether it holds its floor."""
    if result is None:
        print(f"{suite:18} NOT DONE in time", flush=True)
        return False
    ok, count = result
    word = ""
    if ok < floor:
        word = f"  BELOW its floor of {floor}: {REPORTS / suite}.json says what differs"
    elif ok > floor:
        word = f"  above its floor of {floor}; --raise-floors keeps that"
    share = 100 * ok / count
    print(f"{suite:18} {ok:5} of {count:5} steps equal ({share:5.1f} %){word}", flush=True)
    return ok >= floor


def judge_log(text: str, code: int) -> bool:
    """Whether the server ended well and had nothing to trace."""
    at = text.find(TRACEBACK)
    if at >= 0:
        print(f"the server's log holds {text.count(TRACEBACK)} tracebacks; the first:")
        print(text[max(0, at - 300) : at + 3000])
    if code != 0:
        print(f"the server ended with {code}:\n{text[-2000:]}")
    return at < 0 and code == 0


def run(
    conversations: Path, port: int, suites: list[str], floors: dict[str, int], *, on_etcd: bool
) -> bool:
    """Start a server, replay, stop it. Raised floors are left in `floors`."""
    good = True
    with contextlib.ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kapi-golden-")))
        make_certificates(directory)
        log = directory / "log"
        with log.open("wb") as output:
            words = command(directory, port, conversations / "tokens.csv")
            if on_etcd:
                words += ["--etcd-servers", stack.enter_context(etcd(directory))]
            process = subprocess.Popen(words, stdout=output, stderr=output, cwd=ROOT)
            try:
                wait_ready(process, port)
                end = time.monotonic() + REPLAY_SECONDS
                for suite in suites:
                    seconds = max(1.0, min(SUITE_SECONDS, end - time.monotonic()))
                    result = replay(conversations, port, suite, seconds)
                    good = judge(suite, result, floors.get(suite, 0)) and good
                    if result is not None:
                        floors[suite] = max(result[0], floors.get(suite, 0))
            finally:
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=STOP_SECONDS)
        return judge_log(log.read_text(errors="replace"), code) and good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=Path, required=True)
    parser.add_argument("--port", type=int, default=0, help="one that is free, if not given")
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--raise-floors", action="store_true")
    parser.add_argument("--etcd", action="store_true")
    args = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that the server is stopped, too
    conversations = args.conversations.resolve()
    floors: dict[str, int] = json.loads(FLOORS.read_text()) if FLOORS.exists() else {}
    suites = args.suite or sorted(floors)
    good = run(conversations, args.port or free_port(), suites, floors, on_etcd=args.etcd)
    without = sorted({path.stem for path in conversations.glob("*.jsonl")} - set(floors))
    if without and not args.suite:
        print(f"no floor yet, not replayed: {', '.join(without)}")
    if args.raise_floors:
        FLOORS.write_text(json.dumps(dict(sorted(floors.items())), indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
