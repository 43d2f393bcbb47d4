"""Import layers: a module may import what is below it, not what is above or beside it."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence

from source_tree import Module, imports, package

# Bottom first. A name is a package or a module of kapi; those of one line are neighbours.
LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(line.split())
    for line in (
        "errors clock features",
        "messages log durations metric_specs",
        "metrics",
        "edge flags outgoing",
        "options",
        "schema codec managedfields selector",
        "cel storage",
        "cacher",
        "admission authorization authentication flowcontrol",
        "registry",
        "filters handlers controllers kinds",
        "apiextensions aggregator",
        "identity in_process certificates flag_files image_reviews measures outside service_ranges",
        "custom_kinds housekeeping stored_forms shown_options policy_parts webhook_parts",
        "stores admission_parts aggregation",
        "chain mux local_credentials option_parser",
        "replicas",
        "background",
        "core",
        "verbs",
        "front",
        "server",
        "serving snapshots",
        "__main__",
    )
)

# Neighbours that may be imported all the same: (who, whom).
SIDEWAYS = frozenset(
    (
        ("admission", "authorization"),  # plugins ask whether the user may do more
        ("cel", "registry"),  # named formats are those of names, which stand alone
        ("managedfields", "schema"),  # field sets follow list types
        ("schema", "codec"),  # an error of decoding looks at the text again
    )
)

# The rooms of a package, bottom first.
ROOMS: Mapping[str, tuple[frozenset[str], ...]] = {
    "admission": (
        frozenset(("certificates", "objects", "pod_security", "quotas", "requests")),
        frozenset(("nodes", "pods", "policies", "webhooks")),
    ),
    "kinds": (
        frozenset(("shared",)),
        frozenset(("network", "pods", "server")),
        frozenset(("access", "cluster", "definitions", "devices", "storage", "workloads")),
    ),
}


def level(part: str, layers: Sequence[frozenset[str]] = LAYERS) -> int:
    for i, names in enumerate(layers):
        if part in names:
            return i
    raise AssertionError(f"{part} has no layer in {__file__}")


def parts_imported(module: Module) -> set[str]:
    """The first names below kapi that a module imports."""
    found = set()
    for name in imports(module, at_run_time=True):
        if name.startswith("kapi."):
            found.add(name.split(".")[1])
    return found - {"__version__"}


def test_no_module_imports_upwards_or_sideways() -> None:
    wrong = []
    for module in package():
        if not module.part:
            continue
        for part in sorted(parts_imported(module) - {module.part}):
            down = level(part) < level(module.part)
            if not down and (module.part, part) not in SIDEWAYS:
                wrong.append(f"{module.shown} imports kapi.{part}")
    assert not wrong, "\n".join(wrong)


def rooms_imported(module: Module) -> set[str]:
    """The rooms of its own package that a module imports."""
    package_name = f"kapi.{module.part}"
    rooms = {room for layer in ROOMS[module.part] for room in layer}
    found = set()
    for name in imports(module, at_run_time=True):
        if name.startswith(f"{package_name}."):
            found.add(name.split(".")[2])
    return found & rooms


def test_rooms_import_downwards() -> None:
    wrong = []
    for module in package():
        room = module.name.split(".")[2] if module.name.count(".") > 2 else ""
        if not room:
            continue
        layers = ROOMS[module.part]
        for other in sorted(rooms_imported(module) - {room}):
            if level(other, layers) >= level(room, layers):
                wrong.append(f"{module.shown} imports {module.part}/{other}")
    assert not wrong, "\n".join(wrong)


def test_the_edge_knows_messages_and_little_more() -> None:
    allowed = {"edge", "messages", "errors", "clock", "log", "metrics"}
    for module in package():
        if module.part == "edge":
            assert parts_imported(module) <= allowed, module.shown


def test_nobody_but_the_edge_knows_the_http_server() -> None:
    for module in package():
        if module.part == "edge":
            continue
        server = {"uvicorn", "httptools", "websockets", "zttp"}
        if module.part == "outgoing":
            server.remove("httptools")  # the parser reads answers, too
        names = {name.split(".")[0] for name in imports(module, at_run_time=False)}
        assert not names & server, module.shown


def test_no_relative_imports() -> None:
    for module in package():
        for node in ast.walk(module.tree):
            assert not (isinstance(node, ast.ImportFrom) and node.level), module.shown
