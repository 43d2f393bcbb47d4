"""Links inside the documents lead somewhere, and files that documents or docstrings name exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = (".", "docs", "docs/decisions", "changes")
SHOULD_SOUND_LIKE = re.compile(r"\b(blazing|seamless|simply|easily|powerful|robust)\b", re.I)
KINDS = ("added", "changed", "deprecated", "removed", "fixed", "security")

LINK = re.compile(r"\]\(([^)\s]+)\)")
FILE = re.compile(r"`((?:[\w.-]+/)*[\w-]+\.(?:py|md|tsv|json))`")
# Files that are not of this repository: of a data directory, of recordings, of a package.
ELSEWHERE = frozenset(("golden.py", "_definitions.json", "pki/made.json", "made.json"))
# Files that are to come, named by what is made for them.
PLANNED = frozenset(("apiextensions/serving.py",))
# Where the names in documents and docstrings may begin.
BASES = ("", "src/kapi", "src/kapi/data", "tests", "docs", "benchmarks", "scripts")


def documents() -> list[Path]:
    return [p for folder in FOLDERS for p in sorted((ROOT / folder).glob("*.md"))]


def shown(path: Path) -> str:
    return str(path.relative_to(ROOT))


def exists(name: str, beside: Path) -> bool:
    """Whether a file may be meant by a name: from a base, beside the text, or, without a folder,
    anywhere."""
    if name in ELSEWHERE | PLANNED or (beside / name).exists():
        return True
    if any((ROOT / base / name).exists() for base in BASES):
        return True
    places = ("src", "tests", "scripts", "benchmarks", "docs")
    return "/" not in name and any(next((ROOT / p).rglob(name), None) for p in places)


@pytest.mark.parametrize("document", documents(), ids=shown)
def test_links_lead_somewhere(document: Path) -> None:
    missing = []
    for target in LINK.findall(document.read_text()):
        path, _, anchor = target.partition("#")
        if "://" in path:
            continue
        file = document.parent / path if path else document
        if not file.exists() or (anchor and anchor not in set(anchors(file))):
            missing.append(target)
    assert not missing, missing


def anchors(document: Path) -> Iterator[str]:
    for heading in re.findall(r"^#+ (.+)$", document.read_text(), re.MULTILINE):
        words = re.sub(r"[^\w\s-]", "", heading.lower())
        yield words.strip().replace(" ", "-")


@pytest.mark.parametrize("document", documents(), ids=shown)
def test_files_that_a_document_names_exist(document: Path) -> None:
    names = set(FILE.findall(document.read_text()))
    missing = {name for name in names if not exists(name, document.parent)}
    assert not missing, sorted(missing)


def opening(source: str) -> str:
    """The docstring of a module, without parsing the rest."""
    return source.split('"""', 2)[1] if source.startswith('"""') else ""


def test_files_that_docstrings_name_exist() -> None:
    missing = []
    for folder in ("src", "tests", "benchmarks"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            text = opening(path.read_text())
            missing += [
                f"{shown(path)}: {name}"
                for name in set(FILE.findall(text))
                if not exists(name, path.parent)
            ]
    assert not missing, "\n".join(missing)


@pytest.mark.parametrize("document", documents(), ids=shown)
def test_plain_words(document: Path) -> None:
    assert not SHOULD_SOUND_LIKE.findall(document.read_text())


def test_every_document_is_reachable_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached:
            continue
        reached.add(document)
        for target in LINK.findall(document.read_text()):
            path = target.partition("#")[0]
            if path.endswith(".md") and "://" not in path:
                waiting.append((document.parent / path).resolve())
    fragments = {p for p in documents() if p.parent.name == "changes" and p.name != "README.md"}
    unreached = set(documents()) - fragments - reached
    assert not unreached, sorted(map(shown, unreached))


def test_fragments_of_the_changelog() -> None:
    for path in (ROOT / "changes").iterdir():
        if path.name == "README.md":
            continue
        name, kind, end = path.name.rsplit(".", 2)
        assert re.fullmatch(r"[a-z0-9-]+", name), path.name
        assert (kind in KINDS, end) == (True, "md"), path.name
        text = path.read_text()
        assert text.strip(), path.name
        assert all(len(line) <= 100 for line in text.splitlines()), path.name


def test_decisions_are_listed_and_numbered_without_gaps() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("[0-9]*.md"))
    numbers = [int(p.name[:4]) for p in records]
    assert numbers == list(range(1, len(numbers) + 1))
    listed = re.findall(
        r"^\| \[(\d{4})\]\(([^)]+)\) \| (.+) \|$", (folder / "README.md").read_text(), re.M
    )
    assert [name for _, name, _ in listed] == [p.name for p in records]
    for (number, name, title), path in zip(listed, records, strict=True):
        heading = path.read_text().splitlines()[0]
        assert heading == f"# {int(number)}. {title}", name
        assert len(path.read_text().splitlines()) <= 60, f"{name}: one page at most"
