#!/usr/bin/env python3
"""Writes the tables in docs/ that are made of tables in the code: flags.md and metrics.md."""

from __future__ import annotations

from pathlib import Path

from kapi import features
from kapi.metric_specs import PROCESS_SPECS, SPECS
from kapi.options.parser import flag_name
from kapi.options.table import DEFAULTS, FLAGS

DOCS = Path(__file__).resolve().parent.parent / "docs"

FLAGS_HEAD = """# Flags of `kapi serve`

Names and meanings are kube-apiserver's. Values: `--flag=value` or `--flag value`; `--flag` alone
turns a switch on, `--flag=false` off; lists by comma or by repetition. `--config FILE` reads the
same names from YAML. Flags marked *later* are parsed and checked, and have no effect yet: a
warning at start names those given.

Written by `make docs`; the table is `src/kapi/options/table.py`.

| flag | value | default | what it does |
|---|---|---|---|
"""

GATES_HEAD = """
## Feature gates

`--feature-gates NAME=true,…`. A stable gate cannot be switched off. The names of
other gates of Kubernetes may be given, too: they have no effect, which a line at the start says.

| gate | stage | default | effect here |
|---|---|---|---|
"""

METRICS_HEAD = """# Metrics

`/metrics` has kube-apiserver's names and labels, as far as kapi measures the thing. Written by
`make docs`; the table is `src/kapi/metric_specs.py`.

| metric | type | labels | what it counts |
|---|---|---|---|
"""


def _row(*cells: str) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def flags() -> str:
    out = [FLAGS_HEAD]
    for name, flag in FLAGS.items():
        shown = flag.kind.show(DEFAULTS[name])
        word = flag.kind.word or "switch"
        later = "" if flag.effective else "*later* "
        default = f"`{shown}`" if shown else ""
        out.append(_row(f"`{flag_name(name)}`", word, default, later + flag.help))
    out.append(GATES_HEAD)
    for gate in features.GATES.values():
        stage = gate.stage.lower() or "stable"
        on = "on" if gate.default else "off"
        out.append(_row(f"`{gate.name}`", stage, on, "yes" if gate.effective else ""))
    return "".join(out)


def metrics() -> str:
    specs = sorted([*SPECS.values(), *PROCESS_SPECS], key=lambda spec: spec.name)
    rows = [_row(f"`{s.name}`", s.kind, ", ".join(sorted(s.labels)), s.help) for s in specs]
    return METRICS_HEAD + "".join(rows)


def documents() -> dict[str, str]:
    """File name below docs/ → text."""
    return {"flags.md": flags(), "metrics.md": metrics()}


def main() -> None:
    for name, text in documents().items():
        (DOCS / name).write_text(text)


if __name__ == "__main__":
    main()
