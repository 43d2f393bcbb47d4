"""Does an applied configuration fit the schema? Says where not, in the words of the real server.

Called by `apply.py`: unlike other writes, an apply may not name fields that the schema lacks, nor
an item twice.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from kapi.managedfields.elements import shown_path
from kapi.managedfields.typed import ListItemError, ListWalker
from kapi.managedfields.walkers import Walkers
from kapi.schema.structural import Schema

Path = tuple[str, ...]
_EMBEDDED = frozenset(("apiVersion", "kind", "metadata"))
_GO_TYPES: dict[type, str] = {
    dict: "map[string]interface {}",
    list: "[]interface {}",
    str: "string",
    bool: "bool",
    int: "int64",
    float: "float64",
}


def complaints(walkers: Walkers, schema: Schema, value: Any) -> str:
    """What does not fit, as one text; empty if all does."""
    found = [
        f"{shown_path(path)}: {text}" if path else text
        for path, text in _check(walkers, schema, value, ())
    ]
    if len(found) < 2:
        return found[0] if found else ""
    return "\n".join(("errors:", *(f"  {text}" for text in found)))


def _check(
    walkers: Walkers, schema: Schema | None, value: Any, at: Path
) -> Iterator[tuple[Path, str]]:
    if value is None or schema is None:
        return
    match schema.type:
        case "object" | "map":
            yield from _check_map(walkers, schema, value, at)
        case "array":
            yield from _check_list(walkers, schema, value, at)
        case "any":
            if schema.format == "int-or-string" and isinstance(value, (dict, list)):
                yield at, f"expected any scalar, got {_shown(value)}"
        case "string" if schema.format in ("", "byte"):
            if not isinstance(value, str):
                yield at, f"expected string, got {_shown_in_full(value)}"
        case "integer" | "number":
            if isinstance(value, bool) or not isinstance(value, (int, float)):
                kind = _GO_TYPES[value.__class__]
                yield at, f"expected numeric (int or float), got {kind}"
        case "boolean":
            if not isinstance(value, bool):
                yield at, f"expected boolean, got {_shown(value)}"
        case _:
            if isinstance(value, (dict, list)):
                yield at, f"expected any scalar, got {_shown(value)}"


def _check_map(
    walkers: Walkers, schema: Schema, value: Any, at: Path
) -> Iterator[tuple[Path, str]]:
    if not isinstance(value, dict):
        yield at, f"expected map, got {_shown(value)}"
        return
    for name, v in value.items():
        here = (*at, f"f:{name}")
        field = schema.properties.get(name)
        if field is not None:
            yield from _check(walkers, field.schema, v, here)
        elif schema.type == "map":
            yield from _check(walkers, schema.values, v, here)
        elif not schema.preserve_unknown and not (schema.embedded_resource and name in _EMBEDDED):
            yield here, "field not declared in schema"
            return


def _check_list(
    walkers: Walkers, schema: Schema, value: Any, at: Path
) -> Iterator[tuple[Path, str]]:
    if not isinstance(value, list):
        yield at, f"expected list, got {_shown(value)}"
        return
    walker = walkers.walker(schema)
    seen: set[str] = set()
    for i, v in enumerate(value):
        element = f"i:{i}"
        if isinstance(walker, ListWalker):
            try:
                element = walker.element(walker.key(v))
            except ListItemError as e:
                yield at, f"element {i}: {e}"
                continue
            if element in seen:
                yield at, f"duplicate entries for key {shown_path((element,))}"
            seen.add(element)
        yield from _check(walkers, schema.items, v, (*at, element))


def _shown(value: Any) -> str:
    """How Go's `%v` prints the value's wrapper."""
    if isinstance(value, bool):
        return f"&{{{str(value).lower()}}}"
    text = value if isinstance(value, (str, int, float)) else _go_syntax(value)
    return f"&{{{text}}}"


def _shown_in_full(value: Any) -> str:
    """How Go's `%#v` prints the value's wrapper."""
    return f"&value.valueUnstructured{{Value:{_go_syntax(value)}}}"


def _go_syntax(value: Any) -> str:
    if value is None:
        return "interface {}(nil)"
    if isinstance(value, dict):
        members = ", ".join(
            f"{orjson.dumps(k).decode()}:{_go_syntax(value[k])}" for k in sorted(value)
        )
        return f"{_GO_TYPES[dict]}{{{members}}}"
    if isinstance(value, list):
        return f"{_GO_TYPES[list]}{{{', '.join(map(_go_syntax, value))}}}"
    return orjson.dumps(value).decode()
