"""The first session of the README, typed anew: the commands work, and print what stands there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from clients_harness import serving

README = Path(__file__).resolve().parents[2] / "README.md"
COMMAND_SECONDS = 15
pytestmark = pytest.mark.client

# What differs from one run to the next.
AGE = re.compile(r"(?<!\S)\d+[sm](?!\S)")
ADDRESS = re.compile(r"10\.0\.0\.\d+")


def session() -> list[tuple[str, str]]:
    """Command and output, in order, of all console blocks."""
    steps: list[tuple[str, str]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", README.read_text(), re.M | re.S):
        for step in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = step.partition("\n")
            steps.append((command, output))
    return steps


def steady(text: str) -> list[str]:
    """Lines without what moves from run to run, the width of columns included."""
    text = ADDRESS.sub("ADDRESS", AGE.sub("AGE", text))
    return [" ".join(line.split()) for line in text.splitlines()]


@pytest.mark.timeout(90)
def test_the_first_session_prints_what_the_readme_says(binaries: Path, tmp_path: Path) -> None:
    steps = session()
    assert len(steps) > 10, "the README has no session"
    assert steps[0][0] == 'eval "$(kapi kubeconfig)"'
    environment = {
        "PATH": f"{binaries}:{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "NO_PROXY": "*",
    }
    with serving(tmp_path) as server:
        command = f"{shlex.quote(sys.executable)} -m kapi kubeconfig"
        line = subprocess.run(
            [*shlex.split(command), "--data-dir", str(server.kubeconfig.parent)],
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=True,
        ).stdout
        for typed, printed in steps[1:]:
            done = subprocess.run(
                ["bash", "-c", f"{line}\n{typed}"],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=COMMAND_SECONDS,
                env=environment,
                check=False,
            )
            assert steady(done.stdout) == steady(printed), typed
