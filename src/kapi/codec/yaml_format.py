"""YAML to JSON-compatible values and back, as sigs.k8s.io/yaml does it over go-yaml v2.

`loads` reads the first document only, keeps the last of repeated keys and reports each repetition,
makes text of keys that are numbers or booleans, and whole floats ints (JSON does not tell them
apart). `dumps` writes block style with sorted keys, quoting what would read back as something else.

libyaml gives the events; everything above them (yaml_decode.py) uses no recursion. Hostile text is
bounded in three ways: nesting (10,000 as the real server), growth by aliases (its ratio rule), and
the work libyaml does for deep flow collections, which grows with depth times length. Bodies beyond
some 100 KiB are worth a thread.
"""

from __future__ import annotations

import re
from typing import Any, Final

import orjson

from kapi.codec.json_format import has_duplicates
from kapi.codec.yaml_scalars import YamlError

__all__ = ["YamlError", "dumps", "loads"]


def loads(data: bytes) -> tuple[Any, list[str]]:
    """The first document, and one complaint for each repeated key. Raises YamlError."""
    value = _as_json(data)
    if value is not _PENDING:
        return value, []
    from kapi.codec import yaml_decode  # libyaml takes 10 ms to load: with the first real YAML

    return yaml_decode.decode(data)


def dumps(value: Any) -> bytes:
    """The YAML of a JSON value: block style, keys sorted, numbers in their natural order."""
    from kapi.codec import yaml_emit  # as above

    return yaml_emit.dumps(value)


_PENDING: Final[Any] = object()  # no value yet

# Numbers that JSON and YAML readers turn into different values (floats, octals), also inside of
# text.
_UNLIKE_JSON = re.compile(rb"[:,\[\s]-?\d+[.eE]|\\u[dD][89a-fA-F]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
KEY_MAX = 1024  # characters of a key without `?`; a longer one is an error of YAML


def _as_json(data: bytes) -> Any:
    """The value of a text that is JSON and means the same in both: most bodies of apply patches."""
    if not data.lstrip(b" \n").startswith(b"{") or _UNLIKE_JSON.search(data):
        return _PENDING
    try:
        value = orjson.loads(data)
    except orjson.JSONDecodeError:
        return _PENDING
    if has_duplicates(data, value) or (len(data) > KEY_MAX and _has_long_key(value)):
        return _PENDING
    return value


def _has_long_key(value: Any) -> bool:
    pending = [value]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            if any(len(k) > KEY_MAX // 4 for k in value):
                return True
            pending.extend(value.values())
        elif isinstance(value, list):
            pending.extend(value)
    return False
