"""The source tree as the tidy tests see it: parsed once, shared by all of them."""

from __future__ import annotations

import ast
import gc
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
SOURCE = ROOT / "src" / "kapi"
PYTHON_FOLDERS = ("src", "tests", "scripts", "benchmarks")


@dataclass(frozen=True, slots=True)
class Module:
    """One Python file."""

    path: Path
    text: str
    tree: ast.Module

    @property
    def name(self) -> str:
        """`kapi.edge.asgi`; for files outside the package the path."""
        if SOURCE not in self.path.parents:
            return str(self.path.relative_to(ROOT))
        parts = self.path.relative_to(SOURCE.parent).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    @property
    def shown(self) -> str:
        return str(self.path.relative_to(ROOT))

    @property
    def part(self) -> str:
        """The first name below kapi: a package or a module."""
        return self.name.split(".")[1] if "." in self.name else ""


@cache
def _parse(path: Path) -> Module:
    """Without collections of garbage: Python 3.11 counts its depth wrongly when something that is
    collected then raises, and fails with a SystemError.
    """
    text = path.read_text()
    collects = gc.isenabled()
    gc.disable()
    try:
        return Module(path, text, ast.parse(text))
    finally:
        if collects:
            gc.enable()


@cache
def package() -> tuple[Module, ...]:
    """Every module of kapi."""
    return tuple(_parse(path) for path in sorted(SOURCE.rglob("*.py")))


@cache
def everything() -> tuple[Module, ...]:
    """Every Python file of the project."""
    found = [p for folder in PYTHON_FOLDERS for p in sorted((ROOT / folder).rglob("*.py"))]
    return tuple(_parse(path) for path in found)


def imports(module: Module, *, at_run_time: bool) -> set[str]:
    """The full names that a module imports; without those for type checkers if `at_run_time`."""
    skipped: set[ast.AST] = set()
    if at_run_time:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test):
                skipped.update(child for stmt in node.body for child in ast.walk(stmt))
    names: set[str] = set()
    for node in ast.walk(module.tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            names.update(f"{node.module}.{alias.name}" for alias in node.names)
    return names
