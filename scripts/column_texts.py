#!/usr/bin/env python3
"""Makes `src/kapi/data/column-texts.tsv` anew: the field descriptions that printer columns show.

    scripts/column_texts.py --definitions FILE

FILE is `_definitions.json` of the release in the package kubernetes-validate
(kubernetes-json-schema/v1.37.0-local). The fields are those that `kinds/` asks for by
`described(TYPE, FIELD)`; TYPE is made of literals and constants of the module.
"""

import argparse
import ast
import json
import pathlib

ROOT = pathlib.Path(__file__).resolve().parent.parent / "src" / "kapi"


def text_of(node: ast.expr, constants: dict[str, str]) -> str | None:
    """The value of an expression of literals, names and `+`; None for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    if isinstance(node, ast.Name):
        return constants.get(node.id)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        left, right = text_of(node.left, constants), text_of(node.right, constants)
        return None if left is None or right is None else left + right
    return None


def wanted() -> set[tuple[str, str]]:
    out = set()
    for path in sorted((ROOT / "kinds").rglob("*.py")):
        tree = ast.parse(path.read_text())
        constants: dict[str, str] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                text = text_of(node.value, constants)
                if text is not None:
                    constants[node.targets[0].id] = text
        for call in ast.walk(tree):
            if (
                isinstance(call, ast.Call)
                and isinstance(call.func, ast.Name)
                and call.func.id == "described"
            ):
                type_name, field = (text_of(a, constants) for a in call.args)
                if type_name is not None and field is not None:
                    out.add((type_name, field))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=pathlib.Path, required=True)
    args = parser.parse_args()
    definitions = json.loads(args.definitions.read_text())["$defs"]
    lines = []
    for type_name, field in sorted(wanted()):
        text = definitions[type_name]["properties"][field].get("description", "")
        lines.append(f"{type_name}#{field}\t{json.dumps(text, ensure_ascii=False)}\n")
    (ROOT / "data" / "column-texts.tsv").write_text("".join(lines))


if __name__ == "__main__":
    main()
