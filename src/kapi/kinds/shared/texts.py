"""Descriptions of printer columns that are the documentation of a field:
`described("io.k8s.api.core.v1.Secret", "data")`.

Kept in data/column-texts.tsv, one `type#field<TAB>json text` a line, made by
`scripts/column_texts.py` from the published schemas of the release, and read when the group modules
are loaded.
"""

from __future__ import annotations

import importlib.resources
from functools import cache

import orjson


@cache
def _texts() -> dict[str, str]:
    data = importlib.resources.files("kapi").joinpath("data", "column-texts.tsv").read_bytes()
    out: dict[str, str] = {}
    for line in data.splitlines():
        key, _, text = line.partition(b"\t")
        out[key.decode()] = orjson.loads(text)
    return out


def described(type_name: str, field: str) -> str:
    """What the API says of a field. Raises KeyError for one that `scripts/column_texts.py` did not
    find.
    """
    return _texts()[f"{type_name}#{field}"]
