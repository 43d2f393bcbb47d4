"""Sessions of the documents, typed anew: the commands work, and print what stands there.

A session is all ```console blocks of a document: `$ ` begins a command, `> ` goes on with it, other
lines are what it prints. Each document has a server of its own.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from clients_harness import serving

ROOT = Path(__file__).resolve().parents[2]
COMMAND_SECONDS = 30
pytestmark = [pytest.mark.client, pytest.mark.timeout(90)]

# What differs from one run to the next.
AGE = re.compile(r"(?<!\S)\d+[sm](?!\S)")
ADDRESS = re.compile(r"10\.0\.0\.\d+")


def session(document: str) -> list[tuple[str, str]]:
    """Commands and what they print, in order."""
    steps: list[tuple[str, str]] = []
    text = (ROOT / document).read_text()
    for block in re.findall(r"^```console\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            first, *rest = step.splitlines()
            command = [first]
            while rest and rest[0].startswith("> "):
                command.append(rest.pop(0)[2:])
            steps.append(("\n".join(command), "\n".join(rest)))
    return steps


def steady(text: str) -> list[str]:
    """Lines without what moves from run to run, the width of columns included."""
    text = ADDRESS.sub("ADDRESS", AGE.sub("AGE", text))
    return [" ".join(line.split()) for line in text.splitlines()]


def programs(folder: Path) -> Path:
    """A folder with the `kapi` of this tree."""
    made = folder / "bin"
    made.mkdir()
    (made / "kapi").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m kapi "$@"\n')
    (made / "kapi").chmod(0o755)
    return made


@pytest.mark.parametrize(
    ("document", "flags"),
    [
        ("README.md", ()),
        ("docs/field-ownership.md", ()),
        ("docs/tenants.md", ("--controllers=*",)),
    ],
)
def test_a_session_prints_what_the_document_says(
    document: str, flags: tuple[str, ...], binaries: Path, tmp_path: Path
) -> None:
    steps = session(document)
    assert len(steps) > 10, f"{document} has no session"
    with serving(tmp_path, *flags) as server:
        environment = {
            "PATH": f"{programs(tmp_path)}:{binaries}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "KUBECONFIG": str(server.kubeconfig),
            "NO_PROXY": "*",
        }
        for typed, printed in steps:
            if typed == 'eval "$(kapi kubeconfig)"':  # the server of the test is elsewhere
                continue
            done = subprocess.run(
                ["bash", "-c", typed],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_SECONDS,
                env=environment,
                cwd=tmp_path,
                check=False,
            )
            assert steady(done.stdout) == steady(printed), typed


def test_the_readme_begins_with_the_kubeconfig(tmp_path: Path) -> None:
    typed, printed = session("README.md")[0]
    assert (typed, printed) == ('eval "$(kapi kubeconfig)"', "")
    with serving(tmp_path) as server:
        command = [str(programs(tmp_path) / "kapi"), "kubeconfig"]
        command += ["--data-dir", str(server.kubeconfig.parent)]
        shown = subprocess.run(
            command, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=True
        )
    assert shown.stdout == f"export KUBECONFIG={server.kubeconfig}\n"
