"""Configuration files of the server: a versioned YAML document with known fields, read strictly.

The configurations of authorization and authentication describe their kinds as nested shapes. What
comes back has the right types and no unknown field; what a field means is the caller's to check.
Complaints are one line, in the real decoder's words where it has some.

A shape is str, bool, DURATION, a dict of fields, or a list of one shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi import durations
from kapi.codec import yaml_format
from kapi.errors import quote

Json = dict[str, Any]
DURATION = "duration"  # Go's text, becomes seconds
FILE_BYTES_MAX = 16 << 20


class DocumentError(ValueError):
    """What is wrong with a document, in one line."""


def load(data: bytes, kind: str, versions: Sequence[str], shape: Json) -> Json:
    """The document of this kind in one of these versions. Raises DocumentError."""
    if len(data) > FILE_BYTES_MAX:
        raise DocumentError(f"larger than {FILE_BYTES_MAX} bytes")
    try:
        document, doubled = yaml_format.loads(data)
    except yaml_format.YamlError as error:
        raise DocumentError(" ".join(str(error).split())) from error
    if not isinstance(document, dict):
        raise DocumentError("couldn't get version/kind; json parse error: must be an object")
    found, version = document.get("kind", ""), document.get("apiVersion", "")
    if not found:
        raise DocumentError("Object 'Kind' is missing")
    if not version:
        raise DocumentError("Object 'apiVersion' is missing")
    if found != kind or version not in versions:
        raise DocumentError(f'no kind "{found}" is registered for version "{version}"')
    whole = {"kind": str, "apiVersion": str, **shape}
    problems = list(doubled)
    out = _typed(document, whole, "", problems)
    if problems:
        raise DocumentError("strict decoding error: " + ", ".join(problems))
    assert isinstance(out, dict)
    return out


def _typed(value: Any, shape: Any, path: str, problems: list[str]) -> Any:
    """The value in its shape; unknown fields go to `problems`, wrong types are raised."""
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            raise DocumentError(f"{path or 'document'}: must be an object")
        out: Json = {}
        for key, inner in value.items():
            where = f"{path}.{key}" if path else str(key)
            if key not in shape:
                problems.append(f"unknown field {quote(where)}")
            elif inner is not None:
                out[key] = _typed(inner, shape[key], where, problems)
        return out
    if isinstance(shape, list):
        if not isinstance(value, list):
            raise DocumentError(f"{path}: must be a list")
        return [_typed(v, shape[0], f"{path}[{i}]", problems) for i, v in enumerate(value)]
    if shape is DURATION:
        if not isinstance(value, str):
            raise DocumentError(f"{path}: must be a duration, such as 30s")
        try:
            return durations.parse(value)
        except ValueError as error:
            raise DocumentError(f"{path}: {error}") from error
    if not isinstance(value, shape):
        raise DocumentError(f"{path}: must be a {'boolean' if shape is bool else 'string'}")
    return value
