"""`make bench`: measure kapi, and if asked an older kapi or a real API server beside it.

    make bench                                  this tree
    make bench ARGS="--against main~20"         ratios to another commit, run beside it
    make bench ARGS="--etcd"                    this tree on SQLite and on a real etcd
    make bench ARGS="--rows get,list"           some rows only (those that need pods create them)

KAPI_BENCH_PEER_APISERVER and KAPI_BENCH_PEER_ETCD name binaries of a real API server and etcd to
compare with. Every row is run on one server after the other, so that what else the machine does
hits all alike, loads in rounds of which the best counts. The report goes to benchmarks/results/.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

import uvloop
from commits import beside
from kinds import KIND_ROWS
from messages import MESSAGE_ROWS
from report import Report
from rows import LAST_ROWS, ROUNDS, ROWS, Result, Round, Row
from targets import Failed, Kapi, KapiOnEtcd, Peer, Target

FIRST_ROWS = (*ROWS, *MESSAGE_ROWS, *KIND_ROWS)
COMMITS = "commits"  # a name like that of a row
ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
SECONDS = 1.2
PORT = 18180
ALWAYS = ("start", "create", "stop")  # what the other rows stand on


def main() -> int:
    arguments = _arguments()
    wanted = set(arguments.rows.split(",")) | set(ALWAYS) if arguments.rows else None
    unknown = (wanted or set()) - {COMMITS, *(row[0] for row in (*FIRST_ROWS, *LAST_ROWS))}
    if unknown:
        print(f"no such rows: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    report = Report()
    with ExitStack() as stack:
        targets: list[Target] = [Kapi("this tree", ROOT / "src", arguments.port)]
        if arguments.against:
            source = _worktree(arguments.against, stack)
            targets.append(Kapi(arguments.against, source, arguments.port + 1))
        if arguments.etcd:
            targets.append(KapiOnEtcd("on etcd", ROOT / "src", arguments.port + 3))
        peer = _peer(arguments.port + 2, report)
        if peer is not None:
            targets.append(peer)
        for target in targets:
            stack.callback(target.close)
        report.names = [target.name for target in targets]
        uvloop.run(_measure_all(targets, arguments.seconds, wanted, report))
        for target in targets:
            if type(target) is Kapi and not wanted:
                _measure_pipeline(target, report)
    path = report.write(Path(arguments.out))
    print(report.markdown())
    print(f"written to {path}")
    return 1 if report.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description="Measure kapi.")
    parser.add_argument("--against", default="", help="a commit to compare with")
    parser.add_argument("--etcd", action="store_true", help="this tree on an etcd, too")
    parser.add_argument("--rows", default="", help="only these rows, by their short names")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="of a round of a load")
    parser.add_argument("--port", type=int, default=PORT, help="first of the ports used")
    parser.add_argument("--out", default=str(RESULTS), help="where the report goes")
    return parser.parse_args()


async def _measure_all(
    targets: list[Target], seconds: float, wanted: set[str] | None, report: Report
) -> None:
    broken: set[str] = set()
    await _measure(targets, FIRST_ROWS, seconds, wanted, report, broken)
    for target in targets:
        if isinstance(target, KapiOnEtcd) and (wanted is None or COMMITS in wanted):
            try:
                report.beside = await beside(target, targets[0], seconds)
            except (Failed, OSError) as error:
                report.failures.append(f"commits on {target.name}: {error}")
    await _measure(targets, LAST_ROWS, seconds, wanted, report, broken)


async def _measure(
    targets: list[Target],
    rows: Sequence[tuple[str, str, Row, bool]],
    seconds: float,
    wanted: set[str] | None,
    report: Report,
    broken: set[str],
) -> None:
    """`broken`: the servers of which nothing more is wanted."""
    for row, title, measure, in_rounds in rows:
        if wanted is not None and row not in wanted:
            continue
        best: dict[str, Result] = {}
        failed: set[str] = set()
        for number in range(ROUNDS if in_rounds else 1):
            for target in targets:
                if target.name in broken | failed:
                    continue
                result = await _once(measure, target, Round(number, seconds), title, report)
                if result is not None:
                    best[target.name] = _better(result, best.get(target.name))
                else:
                    failed.add(target.name)
        if row in ALWAYS:
            broken |= failed
        for name, result in best.items():
            report.add(row, title, name, result)
            print(f"{row:12} {name:16} {result.value:12.2f} {result.unit}", flush=True)


async def _once(
    measure: Row, target: Target, now: Round, title: str, report: Report
) -> Result | None:
    try:
        return await measure(target, now)
    except (Failed, OSError) as error:
        report.failures.append(f"{title} on {target.name}: {error}")
        return None


def _better(a: Result, b: Result | None) -> Result:
    """The better result of two rounds, with the lower of both costs."""
    if b is None:
        return a
    best, other = (a, b) if a.value > b.value else (b, a)
    if best.cpu_us is not None and other.cpu_us is not None:
        best.cpu_us = min(best.cpu_us, other.cpu_us)
    return best


def _measure_pipeline(target: Kapi, report: Report) -> None:
    environment = {**os.environ, "PYTHONPATH": str(target.source)}
    for part in ("pipeline", "rules"):
        command = [sys.executable, str(ROOT / "benchmarks" / f"{part}.py")]
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            report.failures.append(f"the {part} of {target.name}: {done.stderr[-2000:]}")
        else:
            report.pipeline.setdefault(target.name, {}).update(json.loads(done.stdout))


def _worktree(ref: str, stack: ExitStack) -> Path:
    """The sources of a commit, in a worktree that is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="kapi-bench-tree-"))
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    tree = folder / "tree"
    git = ["git", "-C", str(ROOT), "worktree"]
    subprocess.run([*git, "add", "--quiet", "--detach", str(tree), ref], check=True)
    stack.callback(subprocess.run, [*git, "remove", "--force", str(tree)], check=False)
    return tree / "src"


def _peer(port: int, report: Report) -> Peer | None:
    names = ("KAPI_BENCH_PEER_APISERVER", "KAPI_BENCH_PEER_ETCD")
    apiserver, etcd = (os.environ.get(name, "") for name in names)
    if not apiserver or not etcd:
        report.skipped.append(f"the comparison with a real API server: set {' and '.join(names)}")
        return None
    return Peer(apiserver, etcd, port)


if __name__ == "__main__":
    sys.exit(main())
