"""Documents that must keep up with the code: flags, metrics, dependencies."""

from __future__ import annotations

import importlib.util
import re
import sys
import tomllib
from types import ModuleType

from source_tree import ROOT, imports, package

# Distribution → module, where they differ.
MODULES = {
    "google-re2": "re2",
    "pyyaml": "yaml",
    "pyjwt": "jwt",
    "pynacl": "nacl",
    "prometheus-client": "prometheus_client",
}


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("kapi_docs", ROOT / "scripts" / "docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_tables_in_the_docs_are_those_of_the_code() -> None:
    documents: dict[str, str] = _generator().documents()
    for name, text in documents.items():
        assert (ROOT / "docs" / name).read_text() == text, f"make docs writes docs/{name} anew"


def _project() -> dict[str, list[str]]:
    data = tomllib.loads((ROOT / "pyproject.toml").read_text())
    optional = data["project"]["optional-dependencies"]
    names = [*data["project"]["dependencies"], *(d for deps in optional.values() for d in deps)]
    return {
        "run": [_name(text) for text in names],
        "test": [_name(text) for text in data["dependency-groups"]["test"]],
    }


def _name(requirement: str) -> str:
    return re.split(r"[<>=!~\[; ]", requirement)[0].lower()


def _imported() -> set[str]:
    return {name.split(".")[0] for m in package() for name in imports(m, at_run_time=False)}


def test_every_import_is_a_dependency() -> None:
    known = {MODULES.get(name, name) for name in _project()["run"]}
    foreign = _imported() - set(sys.stdlib_module_names) - {"kapi", "__future__"}
    assert foreign <= known, foreign - known


def test_every_dependency_is_imported() -> None:
    imported = _imported()
    unused = {n for n in _project()["run"] if MODULES.get(n, n) not in imported}
    assert unused <= {"zttp"}, unused  # uvicorn imports it


def test_every_dependency_has_its_reason() -> None:
    text = (ROOT / "docs" / "dependencies.md").read_text()
    explained = {name.lower() for name in re.findall(r"^\| `([^`]+)` \|", text, re.MULTILINE)}
    project = _project()
    assert explained == set(project["run"]) | set(project["test"])
