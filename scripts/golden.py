#!/usr/bin/env python3
"""Replays recorded conversations with a real kube-apiserver, and fails where kapi got worse.

    scripts/golden.py --conversations DIR [--port 18129] [--suite NAME …] [--raise-floors]

DIR holds `golden.py`, the suites `*.jsonl` and `tokens.csv`. A server is started on an empty
store, with throw-away certificates; the suites are replayed one after the other.
`tests/golden/floors.json` says how many steps of each suite must be equal; what differs is
written to `.cache/golden/<suite>.json`. A traceback in the server's log fails, too."""

from __future__ import annotations

import argparse
import json
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FLOORS = ROOT / "tests" / "golden" / "floors.json"
REPORTS = ROOT / ".cache" / "golden"
READY_SECONDS = 30
REPLAY_SECONDS = 900  # for all suites
TALLY = re.compile(r"^(\S+)\s+(\d+)/(\d+) steps equal", re.MULTILINE)


def make_certificates(directory: Path) -> None:
    """One CA for everything, as PEM files."""
    from kapi import certificates

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


def replay(conversations: Path, port: int, suites: list[str]) -> dict[str, tuple[int, int]]:
    """Equal steps and steps of each suite."""
    REPORTS.mkdir(parents=True, exist_ok=True)
    equal: dict[str, tuple[int, int]] = {}
    end = time.monotonic() + REPLAY_SECONDS
    for suite in suites:
        report = REPORTS / f"{suite}.json"
        words = [
            sys.executable, str(conversations / "golden.py"), "replay", "--suite", suite,
            "--server", f"https://127.0.0.1:{port}", "--show", "0", "--json", str(report),
        ]  # fmt: skip
        left = max(1.0, end - time.monotonic())
        done = subprocess.run(words, capture_output=True, text=True, timeout=left, check=True)
        for name, ok, count in TALLY.findall(done.stdout):
            equal[name] = (int(ok), int(count))
    return equal


def judge(equal: dict[str, tuple[int, int]]) -> bool:
    floors: dict[str, int] = json.loads(FLOORS.read_text()) if FLOORS.exists() else {}
    good = True
    for suite, (ok, count) in equal.items():
        floor = floors.get(suite, 0)
        word = ""
        if ok < floor:
            word, good = (
                f"  BELOW its floor of {floor}: {REPORTS / suite}.json says what differs",
                False,
            )
        elif ok > floor:
            word = f"  above its floor of {floor}; --raise-floors keeps that"
        print(f"{suite:18} {ok:5} of {count:5} steps equal ({100 * ok / count:5.1f} %){word}")
    return good


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--conversations", type=Path, required=True)
    parser.add_argument("--port", type=int, default=18129)
    parser.add_argument("--suite", action="append", default=[])
    parser.add_argument("--raise-floors", action="store_true")
    args = parser.parse_args()
    conversations = args.conversations.resolve()
    suites = args.suite or sorted(path.stem for path in conversations.glob("*.jsonl"))
    with tempfile.TemporaryDirectory(prefix="kapi-golden-") as name:
        directory = Path(name)
        make_certificates(directory)
        log = directory / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                command(directory, args.port, conversations / "tokens.csv"),
                stdout=output, stderr=output, cwd=ROOT,
            )  # fmt: skip
            try:
                wait_ready(process, args.port)
                equal = replay(conversations, args.port, suites)
            finally:
                process.send_signal(signal.SIGTERM)
                code = process.wait(timeout=30)
        text = log.read_text(errors="replace")
    good = judge(equal)
    if "Traceback (most recent call last)" in text:
        start = text.index("Traceback (most recent call last)")
        print(f"the server's log holds {text.count('Traceback')} tracebacks; the first:")
        print(text[max(0, start - 300) : start + 3000])
        good = False
    if code != 0:
        print(f"the server ended with {code}:\n{text[-2000:]}")
        good = False
    if args.raise_floors:
        floors = json.loads(FLOORS.read_text()) if FLOORS.exists() else {}
        for suite, (ok, _) in equal.items():
            floors[suite] = max(ok, floors.get(suite, 0))
        FLOORS.write_text(json.dumps(dict(sorted(floors.items())), indent=2) + "\n")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
