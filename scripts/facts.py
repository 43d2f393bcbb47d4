#!/usr/bin/env python3
"""Makes `src/kapi/data` anew for a Kubernetes release.

    scripts/facts.py --facts DIR --go-types FILE

DIR holds what a running kube-apiserver answered, descriptions removed: openapi-schemas.json,
openapi-paths.json, discovery-all.json, discovery-default.json, bootstrap-objects.json,
metrics.json. FILE is the output of `scripts/gofacts` (Go; reflection over the public API
modules):

cd scripts/gofacts && go mod init gofacts && go get k8s.io/client-go@v0.37.2 \\
k8s.io/apiextensions-apiserver@v0.37.2 k8s.io/kube-aggregator@v0.37.2 && go run . > go-types.json

Tables of types are written one entry a line, `name<TAB>json`, so that a reader can take one
without parsing all."""

import argparse
import json
import pathlib

DATA = pathlib.Path(__file__).resolve().parent.parent / "src" / "kapi" / "data"


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def table(path: pathlib.Path, entries: dict[str, object]) -> None:
    path.write_text("".join(f"{k}\t{compact(v)}\n" for k, v in sorted(entries.items())))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--facts", type=pathlib.Path, required=True)
    parser.add_argument("--go-types", type=pathlib.Path, required=True)
    args = parser.parse_args()
    DATA.mkdir(parents=True, exist_ok=True)
    table(DATA / "go-types.tsv", json.loads(args.go_types.read_text()))
    table(
        DATA / "openapi-schemas.tsv", json.loads((args.facts / "openapi-schemas.json").read_text())
    )
    for name in (
        "openapi-paths",
        "discovery-all",
        "discovery-default",
        "bootstrap-objects",
        "metrics",
    ):
        value = json.loads((args.facts / f"{name}.json").read_text())
        (DATA / f"{name}.json").write_text(compact(value) + "\n")


if __name__ == "__main__":
    main()
