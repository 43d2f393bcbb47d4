"""Path elements: how one step of a field path is written, ordered and shown.

An element is the text it has on the wire: `f:name` (a field), `k:{"name":"c"}` (a list item by its
keys), `v:"a"` (an item of a set), `i:3` (by index). `.` stands for the node itself. Used by the
whole package.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import orjson

from kapi.errors import quote

SELF = "."
SHORT = 64  # characters of a text that is remembered
_RANK = {"f": 0, "k": 1, "v": 2, "i": 3}  # the order of kinds of elements


class ElementError(ValueError):
    """A text that is no path element."""


class UnknownElement(ElementError):
    """An element of a kind that a later release may know; readers leave it out."""


def text_of(value: Any) -> str:
    """A value as it stands inside an element: JSON as Go writes it, safe for HTML."""
    if value.__class__ is int:
        return str(value)
    if value.__class__ is str and len(value) < SHORT:
        return _short_text(value)
    return _text_of(value)


def _text_of(value: Any) -> str:
    text = orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    if "&" in text or "<" in text or ">" in text:
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return text


_short_text = lru_cache(maxsize=4096)(_text_of)


def key_element(names: Iterable[str], values: Iterable[Any]) -> str:
    """The element of a list item; `names` are sorted."""
    pairs = [f'"{name}":{text_of(value)}' for name, value in zip(names, values, strict=True)]
    return f"k:{{{','.join(pairs)}}}"


def value_element(value: Any) -> str:
    return f"v:{text_of(value)}"


def decode(element: str) -> tuple[str, Any]:
    """The kind of an element and its value: a name, a dict of keys, a value, an index.

    Raises ElementError, UnknownElement.
    """
    if len(element) < 2:
        raise ElementError(f"key must be 2 characters long: {element}")
    if element[1] != ":":
        raise ElementError(f"missing colon: {element}")
    kind, text = element[0], element[2:]
    if kind == "f":
        return kind, text
    if kind not in _RANK:
        raise UnknownElement("unknown path element type")
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as e:
        raise ElementError(f"{e}: {element}") from None
    if kind == "k" and not isinstance(value, dict):
        raise ElementError(f"expected an object: {element}")
    if kind == "i" and (not isinstance(value, int) or isinstance(value, bool)):
        raise ElementError(f"expected an index: {element}")
    return kind, value


def canonical(element: str) -> str:
    """The element as kapi itself would write it. Raises ElementError, UnknownElement."""
    kind, value = decode(element)
    if kind == "f":
        return element
    if kind == "k":
        names = sorted(value)
        return key_element(names, (value[n] for n in names))
    return value_element(value) if kind == "v" else f"i:{value}"


def sorted_elements(elements: Iterable[str]) -> list[str]:
    """Elements in the order of the wire: the node itself, fields, keys, values, indexes."""
    out = sorted(elements)
    # By text alone fields are right already, and nothing that sorts after a field is one.
    if out and out[-1].startswith(("k:", "v:", "i:")):
        out.sort(key=_order)
    return out


def _order(element: str) -> tuple[Any, ...]:
    if element == SELF:
        return (-1,)
    kind, value = decode(element)
    if kind == "f":
        return 0, value
    if kind == "k":
        return 1, tuple((n, *value_order(value[n])) for n in sorted(value))
    return _RANK[kind], value_order(value)


def value_order(value: Any) -> tuple[Any, ...]:
    """How values sort: numbers, strings, booleans, lists, maps, null."""
    if isinstance(value, bool):
        return 2, value
    if isinstance(value, (int, float)):
        return 0, value
    if isinstance(value, str):
        return 1, value
    if isinstance(value, list):
        return 3, tuple(value_order(v) for v in value)
    if isinstance(value, dict):
        return 4, tuple((n, value_order(value[n])) for n in sorted(value))
    return 5, 0


def shown(element: str) -> str:
    """The element as people read it in a conflict: `.name`, `[name="c"]`, `[="a"]`, `[3]`."""
    kind, value = decode(element)
    if kind == "f":
        return f".{value}"
    if kind == "k":
        return f"[{','.join(f'{n}={_shown_value(value[n])}' for n in sorted(value))}]"
    return f"[={_shown_value(value)}]" if kind == "v" else f"[{value}]"


def shown_path(path: Iterable[str]) -> str:
    return "".join(map(shown, path))


def _shown_value(value: Any) -> str:
    return quote(value) if isinstance(value, str) else orjson.dumps(value).decode()
