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
        "messages log durations metric_specs gonet",
        "metrics",
        "edge options.flags outgoing",
        "options.table",
        "schema codec managedfields selector",
        "cel storage",
        "cacher encryption",
        "admission authorization authentication flowcontrol",
        "registry",
        "audit",
        "filters handlers controllers kinds",
        "apiextensions aggregator options.files options.issuers",
        "credentials housekeeping options.access",
        "options.parser",
        "assembly",
        "background routing",
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

# The rooms of a package, or its modules, bottom first. What is not named may import all of them.
ROOMS: Mapping[str, tuple[frozenset[str], ...]] = {
    package: tuple(frozenset(line.split()) for line in lines)
    for package, lines in (
        (
            "admission",
            (
                "certificates objects pod_security quotas requests",
                "nodes pods policies webhooks",
            ),
        ),
        (
            "assembly",
            (
                "reloading",
                "jwt_issuers",
                "audit authority flow_control identity image_reviews measures outside"
                " service_ranges",
                "custom_kinds policies shown_options stored_forms webhooks",
                "admission aggregation stores",
                "core encryption",
            ),
        ),
        ("handlers", ("documents proxying",)),
        (
            "kinds",
            (
                "shared",
                "network pods server",
                "access cluster definitions devices storage workloads",
            ),
        ),
        ("registry", ("allocation patches",)),
        ("routing", ("chain mux", "verbs", "front")),
    )
}


def level(part: str, layers: Sequence[frozenset[str]] = LAYERS) -> int:
    for i, names in enumerate(layers):
        if part in names:
            return i
    raise AssertionError(f"{part} has no layer in {__file__}")


def placed(name: str) -> str:
    """What of a module's full name stands in `LAYERS`: its package, or itself below that."""
    parts = name.split(".")[1:]
    two = ".".join(parts[:2])
    return two if any(two in names for names in LAYERS) else parts[0]


def parts_imported(module: Module) -> set[str]:
    """What a module imports of kapi, by the names of `LAYERS`."""
    names = imports(module, at_run_time=True)
    return {placed(name) for name in names if name.startswith("kapi.")} - {"__version__"}


def test_no_module_imports_upwards_or_sideways() -> None:
    wrong = []
    for module in package():
        if not module.part or not module.text:
            continue
        own = placed(module.name)
        for part in sorted(parts_imported(module) - {own}):
            down = level(part) < level(own)
            if not down and (own, part) not in SIDEWAYS:
                wrong.append(f"{module.shown} imports kapi.{part}")
    assert not wrong, "\n".join(wrong)


def room(name: str, package_name: str) -> str:
    """The room that a full name leads into; empty for what is elsewhere or not listed."""
    parts = name.split(".")
    listed = {room for layer in ROOMS.get(package_name, ()) for room in layer}
    inside = parts[:2] == ["kapi", package_name] and len(parts) > 2 and parts[2] in listed
    return parts[2] if inside else ""


def test_rooms_import_downwards() -> None:
    wrong = []
    for module in package():
        own = room(module.name, module.part)
        others = {room(name, module.part) for name in imports(module, at_run_time=True)}
        for other in sorted(others - {own, ""}) if own else ():
            if level(other, ROOMS[module.part]) >= level(own, ROOMS[module.part]):
                wrong.append(f"{module.shown} imports {module.part}/{other}")
    assert not wrong, "\n".join(wrong)


def test_every_room_has_a_layer() -> None:
    for module in package():
        parts = module.name.split(".")
        if module.path.name == "__init__.py" and len(parts) > 2:
            assert room(module.name, parts[1]), module.shown


def test_no_two_modules_need_each_other() -> None:
    """Not by way of others, not where an import is put off; for types they may."""
    names = {module.name for module in package()}
    needs = {
        module.name: {
            name if name in names else name.rpartition(".")[0]
            for name in imports(module, at_run_time=True)
        }
        & names - {"kapi"}
        for module in package()
    }
    done: set[str] = set()

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " → ".join((*path[path.index(name) :], name))
        if name not in done:
            for other in sorted(needs[name]):
                visit(other, (*path, name))
            done.add(name)

    for name in sorted(names):
        visit(name, ())


def test_the_edge_knows_messages_and_little_more() -> None:
    allowed = {"edge", "messages", "errors", "gonet", "clock", "log", "metrics"}
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
