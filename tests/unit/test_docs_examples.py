"""Programs in the documents run, and print what the block after them says."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = re.compile(
    r"^```python\n(.*?)^```\n\nIt prints:\n\n```\n(.*?)^```$", re.MULTILINE | re.DOTALL
)
DOCUMENTS = [p for p in sorted(ROOT.glob("docs/*.md")) if "```python" in p.read_text()]
PROGRAM_SECONDS = 30


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_programs_print_what_the_document_says(document: Path, tmp_path: Path) -> None:
    text = document.read_text()
    examples = EXAMPLE.findall(text)
    assert len(examples) == text.count("```python"), "each program is followed by what it prints"
    for program, printed in examples:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", program],
            capture_output=True,
            text=True,
            timeout=PROGRAM_SECONDS,
            cwd=tmp_path,
            check=False,
        )
        assert (done.stdout, done.stderr) == (printed, "")


def test_there_is_an_example() -> None:
    assert DOCUMENTS
