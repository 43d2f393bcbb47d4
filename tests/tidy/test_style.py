"""The rules of style that a program can check: sizes, banned calls, leftovers, module state."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import ROOT, SOURCE, Module, everything, package

MODULE_LINES_MAX = 400
TEST_MODULE_LINES_MAX = 800  # tables of cases
FUNCTION_LINES_MAX = 70
LINE_CHARS_MAX = 100
FOLDER_LEVELS_MAX = 2  # below kapi: a package and its rooms

LEFTOVERS = ("TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK:")

# Calls that only these modules may make.
BANNED = {
    "time.time": ("kapi.clock",),
    "time.monotonic": ("kapi.clock",),
    "time.sleep": (),
    "asyncio.sleep": ("kapi.clock",),
    "asyncio.create_task": (),
    "asyncio.ensure_future": (),
    "random.*": ("kapi.clock",),
    "secrets.*": ("kapi.clock",),
    "uuid.uuid4": ("kapi.clock",),
    "datetime.now": (),
    "datetime.utcnow": (),
    "print": ("kapi.__main__",),
    "logging.getLogger": ("kapi.log",),
    "os._exit": ("kapi.serving",),
}
YIELDING = ("kapi.edge.asgi", "kapi.edge.listener")  # asyncio.sleep(0) gives the loop a turn


def test_modules_are_short() -> None:
    long = []
    for module in everything():
        lines = module.text.count("\n")
        limit = MODULE_LINES_MAX if SOURCE in module.path.parents else TEST_MODULE_LINES_MAX
        if lines > limit:
            long.append(f"{module.shown}: {lines} lines")
    assert not long, "\n".join(long)


def test_functions_are_short() -> None:
    long = []
    for module in everything():
        for node in ast.walk(module.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                lines = (node.end_lineno or 0) - node.lineno + 1
                if lines > FUNCTION_LINES_MAX:
                    long.append(f"{module.shown}:{node.lineno} {node.name}: {lines} lines")
    assert not long, "\n".join(long)


def test_lines_fit() -> None:
    long = [
        f"{module.shown}:{number}: {len(line)} columns"
        for module in everything()
        for number, line in enumerate(module.text.split("\n"), 1)
        if len(line) > LINE_CHARS_MAX and " " in line.strip()  # what is one word cannot be broken
    ]
    assert not long, "\n".join(long)


def test_folders_are_flat() -> None:
    for module in package():
        assert len(module.path.relative_to(SOURCE).parts) - 1 <= FOLDER_LEVELS_MAX, module.shown


def test_every_module_says_what_it_is_for() -> None:
    silent = [m.shown for m in everything() if m.text.strip() and not ast.get_docstring(m.tree)]
    assert not silent, "\n".join(silent)


def test_nothing_is_left_over() -> None:
    found = [
        f"{module.shown}:{number}: {word}"
        for module in everything()
        for number, line in enumerate(module.text.split("\n"), 1)
        for word in LEFTOVERS
        if word in line
    ]
    assert not found, "\n".join(found)


def test_names_of_test_modules_are_unique() -> None:
    seen: dict[str, str] = {}
    for module in everything():
        name = module.path.name
        if name.startswith("test_"):
            assert name not in seen, f"{module.shown} and {seen[name]}"
            seen[name] = module.shown


def _called(node: ast.Call) -> str:
    """`time.time` of a call, through one attribute."""
    function = node.func
    if isinstance(function, ast.Name):
        return function.id
    if isinstance(function, ast.Attribute):
        value = function.value
        owner = value.id if isinstance(value, ast.Name) else ""
        return f"{owner}.{function.attr}"
    return ""


def _banned_calls(module: Module) -> Iterator[str]:
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.Call):
            continue
        called = _called(node)
        for name in (called, called.split(".")[0] + ".*"):
            if name not in BANNED or module.name in BANNED[name]:
                continue
            zero = [arg for arg in node.args if isinstance(arg, ast.Constant) and arg.value == 0]
            if called == "asyncio.sleep" and zero:
                continue
            yield f"{module.shown}:{node.lineno} calls {called}"


def test_banned_calls() -> None:
    found = [line for module in package() for line in _banned_calls(module)]
    assert not found, "\n".join(found)


def test_no_module_level_mutable_state() -> None:
    """What stands at module level is made once, at import, and never rebound."""
    found = []
    for module in package():
        written = _written_globals(module)
        found += [f"{module.shown}: global {name} is rebound" for name in sorted(written)]
    assert not found, "\n".join(found)


def _written_globals(module: Module) -> set[str]:
    return {
        name
        for node in ast.walk(module.tree)
        if isinstance(node, ast.Global)
        for name in node.names
    }


def test_no_assert_of_a_constant() -> None:
    """`assert False` says that a branch is impossible: raise AssertionError with a reason."""
    for module in package():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Assert) and isinstance(node.test, ast.Constant):
                pytest.fail(f"{module.shown}:{node.lineno}: assert of a constant")


def test_texts_end_with_one_newline() -> None:
    for module in everything():
        if module.text:
            assert module.text.endswith("\n"), module.shown
            assert not module.text.endswith("\n\n"), module.shown


def test_data_is_in_the_package() -> None:
    assert (ROOT / "src" / "kapi" / "py.typed").exists()
