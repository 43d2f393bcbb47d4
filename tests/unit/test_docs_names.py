"""What the code has by name, the documents name: filters in their order, error reasons, admission
plugins, group modules. Flags, metrics and dependencies are compared in tests/tidy."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from kapi import errors
from kapi.admission import chain, order
from kapi.admission.objects.device_admin_access import DeviceAdminAccess
from kapi.authorization.claim_status import ClaimStatusAccess
from kapi.authorization.escalation import RbacEscalation
from kapi.authorization.param_access import ParamAccess
from kapi.kinds import groups

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "kapi"
DOCS = ROOT / "docs"


def filters_in_order() -> list[str]:
    """The names in the list of `build_chain`."""
    tree = ast.parse((SOURCE / "routing" / "chain.py").read_text())
    listed = next(
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.AnnAssign)
        and isinstance(node.target, ast.Name)
        and node.target.id == "filters"
    )
    assert listed is not None
    names = [n for n in ast.walk(listed) if isinstance(n, ast.Name) and n.id.startswith("with_")]
    return [n.id for n in sorted(names, key=lambda n: (n.lineno, n.col_offset))]


def test_the_architecture_has_all_filters_in_order() -> None:
    text = (DOCS / "architecture.md").read_text()
    rows = re.findall(r"^\| `(with_\w+)` \|", text, re.MULTILINE)
    assert rows == filters_in_order()


def test_every_folder_of_the_package_is_on_the_map() -> None:
    text = (DOCS / "architecture.md").read_text()
    folders = {p.parent.name for p in SOURCE.glob("*/__init__.py")} | {"data"}
    on_map = set(re.findall(r"^├── (\w+)/|^└── (\w+)/", text, re.MULTILINE))
    assert {a or b for a, b in on_map} == folders


def test_every_room_has_its_row() -> None:
    text = (DOCS / "architecture.md").read_text()
    for inner in {p.parent for p in SOURCE.glob("*/*/__init__.py")}:
        table = text.partition(f"| room of `{inner.parent.name}/` |")[2].partition("\n\n")[0]
        assert f"\n| `{inner.name}/` |" in table, inner


def reasons() -> set[tuple[str, str]]:
    """Reason and code of every `ApiError(code, reason, …)` of the package."""
    found = set()
    for path in SOURCE.rglob("*.py"):
        source = path.read_text()
        for node in ast.walk(ast.parse(source)) if "ApiError(" in source else ():
            if not isinstance(node, ast.Call) or len(node.args) < 2:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            code, reason = node.args[0], node.args[1]
            if name == "ApiError" and isinstance(reason, ast.Constant) and reason.value:
                assert isinstance(code, ast.Constant), f"{path}:{node.lineno}"
                found.add((str(reason.value), str(code.value)))
    return found


def test_every_error_reason_is_documented() -> None:
    text = (DOCS / "semantics.md").read_text().partition("## Errors")[2]
    table = set(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", text, re.MULTILINE))
    assert table == reasons()
    assert errors.bad_request("x").reason in {reason for reason, _ in table}


def test_admission_plugins_are_documented_in_order() -> None:
    """With what each is made by, and which are on."""
    text = (DOCS / "semantics.md").read_text().partition("## Admission")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| (\w+)[^|]*\| (on|off)? ?\| ([^|]+) \|$", text, re.MULTILINE)
    ours = {
        RbacEscalation.name,
        ParamAccess.name,
        DeviceAdminAccess.name,
        ClaimStatusAccess.name,
    }
    rows = [row for row in rows if row[0] != "plugin" and row[0] not in ours]
    assert [(name, on) for name, on, _ in rows] == [
        (place.name, "on" if place.on else "off") for place in order.ORDER
    ]
    assert [name for name, _, where in rows if "`" in where] == [
        place.name for place in order.ORDER if chain.is_there(place.name)
    ]


# What puts the kinds together and has no rule of its own.
WITHOUT_RULES = {"catalog", "groups", "shared/bases", "shared/texts", "shared/types"}


def test_every_module_of_kinds_is_in_the_semantics() -> None:
    text = (DOCS / "semantics.md").read_text()
    named = set(re.findall(r"`kinds/([\w/]+)\.py`", text))
    kinds = SOURCE / "kinds"
    there = {str(path.relative_to(kinds).with_suffix("")) for path in kinds.rglob("[a-z]*.py")}
    assert named - WITHOUT_RULES == there - WITHOUT_RULES
    prefix = "kapi.kinds."
    assert {m.__name__.removeprefix(prefix).replace(".", "/") for m in groups.MODULES} <= there


def test_speeds_in_the_readme_were_measured() -> None:
    readme = (ROOT / "README.md").read_text()
    measured = (DOCS / "performance.md").read_text()
    claimed = re.findall(r"\| ([\d,]+) a second \|", readme)
    assert claimed
    assert [n for n in claimed if f" {n}/s " not in measured] == []
