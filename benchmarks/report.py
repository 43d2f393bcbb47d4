"""The report of a run: JSON with everything, Markdown to read. Made by `run.py`."""

from __future__ import annotations

import json
import platform
import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

from commits import Beside
from rows import Result

BUSY_WORTH_SAYING = 0.15  # share of the machine that others used, from which on it is said


@dataclass(slots=True)
class Report:
    """Results by row and by server, in the order measured."""

    names: list[str] = field(default_factory=list)  # of the servers; ratios are to the later ones
    titles: dict[str, str] = field(default_factory=dict)
    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    pipeline: dict[str, dict[str, float]] = field(default_factory=dict)  # by server
    beside: list[Beside] = field(default_factory=list)  # creates on etcd and its commits
    skipped: list[str] = field(default_factory=list)

    def add(self, row: str, title: str, server: str, result: Result) -> None:
        self.titles[row] = title
        self.results.setdefault(row, {})[server] = result

    def json(self) -> str:
        return json.dumps(
            {
                "machine": _machine(),
                "servers": self.names,
                "rows": {
                    row: {name: asdict(result) for name, result in by_server.items()}
                    for row, by_server in self.results.items()
                },
                "pipeline": self.pipeline,
                "beside": [asdict(each) for each in self.beside],
                "skipped": self.skipped,
                "failures": self.failures,
            },
            indent=1,
        )

    def markdown(self) -> str:
        lines = ["# Benchmark", "", _machine(), ""]
        lines += self._table()
        lines += self._ratios()
        lines += self._beside()
        lines += self._pipeline()
        lines += [f"- failed: {text}" for text in self.failures]
        lines += [f"- skipped: {text}" for text in self.skipped]
        return "\n".join(lines) + "\n"

    def _table(self) -> list[str]:
        lines = [
            "| load | server | result | p50 | p99 | server CPU each | others |",
            "|---|---|---:|---:|---:|---:|---:|",
        ]
        for row, by_server in self.results.items():
            for name, r in by_server.items():
                busy = f"{r.busy_others:.0%}" if r.busy_others >= BUSY_WORTH_SAYING else ""
                lines.append(
                    f"| {self.titles[row]} | {name} | {_number(r.value)} {r.unit} "
                    f"| {_ms(r.p50_ms)} | {_ms(r.p99_ms)} | {_us(r.cpu_us)} | {busy} |"
                )
        return [*lines, ""]

    def _ratios(self) -> list[str]:
        if len(self.names) < 2:
            return []
        first = self.names[0]
        lines: list[str] = []
        for other in self.names[1:]:
            lines += [
                f"{first} against {other}: how many times better (above 1 is better).",
                "",
                "| load | result | p50 | server CPU each |",
                "|---|---:|---:|---:|",
            ]
            for row, by_server in self.results.items():
                a, b = by_server.get(first), by_server.get(other)
                if a is None or b is None:
                    continue
                value = (a.value, b.value) if a.more_is_better else (b.value, a.value)
                lines.append(
                    f"| {self.titles[row]} | {_ratio(*value)} | {_ratio(b.p50_ms, a.p50_ms)} "
                    f"| {_ratio(b.cpu_us, a.cpu_us)} |"
                )
            lines.append("")
        return lines

    def _beside(self) -> list[str]:
        if not self.beside:
            return []
        lines = [
            "A create on etcd, beside a bare transaction of the same size in the same etcd,",
            "and beside a create on SQLite: median and 99th percentile, ms. Last, the mean that",
            "the server on etcd measures itself (apiserver_request_duration_seconds), and how far",
            "that is beyond the mean commit.",
            "",
            "| what | clients | on etcd | p99 | commit | p99 | beyond it | on SQLite | p99 "
            "| served | beyond it |",
            "|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        ]
        for b in self.beside:
            times = (b.on_etcd.p50, b.on_etcd.p99, b.commit.p50, b.commit.p99, b.more)
            cells = (*times, b.on_sqlite.p50, b.on_sqlite.p99, b.served, b.served_more)
            lines.append(
                f"| {b.what} | {b.clients} | " + " | ".join(f"{t:.2f}" for t in cells) + " |"
            )
        return [*lines, ""]

    def _pipeline(self) -> list[str]:
        if not self.pipeline:
            return []
        steps = list(dict.fromkeys(step for found in self.pipeline.values() for step in found))
        lines = [
            "Inside a create of a 3 KB pod, in process and in memory, µs (share of the whole):",
            "",
            "| step | " + " | ".join(self.pipeline) + " |",
            "|---|" + "---:|" * len(self.pipeline),
        ]
        for step in steps:
            cells = [
                f"{found[step]:.0f} ({found[step] / found['create']:.0%})" if step in found else ""
                for found in self.pipeline.values()
            ]
            lines.append(f"| {step} | " + " | ".join(cells) + " |")
        return [*lines, ""]

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "report.json").write_text(self.json())
        path = folder / "report.md"
        path.write_text(self.markdown())
        return path


def _machine() -> str:
    cores = sum(1 for line in Path("/proc/stat").read_text().splitlines() if line[:3] == "cpu") - 1
    model = ""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    version = sys.version.split()[0]
    return f"{cores} cores, {model}, {platform.system()} {platform.release()}, Python {version}"


def _number(value: float) -> str:
    if value >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} ms"


def _us(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f} µs" if value < 10_000 else f"{value / 1000:.1f} ms"


def _ratio(better: float | None, worse: float | None) -> str:
    return f"{better / worse:.2f}" if better and worse else ""
