#!/usr/bin/env python3
"""Makes `src/kapi/data/column-texts.tsv` anew: the field descriptions that printer columns show.

    scripts/column_texts.py --definitions FILE

FILE is `_definitions.json` of the release in the package kubernetes-validate (kubernetes-json-schema/v1.37.0-local).
The fields are those that `kinds/*.py` ask for by `described(TYPE, FIELD)`.
"""

import argparse
import json
import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent / "src" / "kapi"
CALL = re.compile(r'described\(\s*(?:"([^"]+)"|(_\w+) \+ "([^"]+)"),\s*"([^"]+)"')
CONSTANT = re.compile(r'^(_[A-Z0-9_]+) = "([^"]+)"', re.MULTILINE)


def wanted() -> set[tuple[str, str]]:
    out = set()
    for path in sorted((ROOT / "kinds").glob("*.py")):
        text = path.read_text()
        constants = dict(CONSTANT.findall(text))
        for whole, constant, rest, field in CALL.findall(text):
            if constant and constant not in constants:
                continue
            out.add((whole or constants[constant] + rest, field))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--definitions", type=pathlib.Path, required=True)
    args = parser.parse_args()
    definitions = json.loads(args.definitions.read_text())["$defs"]
    lines = []
    for type_name, field in sorted(wanted()):
        if type_name not in definitions:
            continue
        text = definitions[type_name]["properties"][field].get("description", "")
        lines.append(f"{type_name}#{field}\t{json.dumps(text, ensure_ascii=False)}\n")
    (ROOT / "data" / "column-texts.tsv").write_text("".join(lines))


if __name__ == "__main__":
    main()
