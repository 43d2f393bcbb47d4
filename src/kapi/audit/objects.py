"""Objects as audit tells of them: JSON without white space, and without who owns their fields.

Used by handlers, which note what was sent, and by `auditor.py` for answers. Pure.
"""

from __future__ import annotations

import re
from typing import Any

from kapi.codec import json_format

Json = dict[str, Any]
_TOKENS = re.compile(rb'("(?:[^"\\]|\\.)*")|[ \t\r\n]+')
OWNERS = "managedFields"
_LISTS = ("items", "rows")


def compact(text: bytes) -> bytes:
    """JSON text without the white space between its tokens, in the form that Go writes."""
    text = _TOKENS.sub(rb"\1", text)
    return json_format.as_go(text.decode("utf-8", "replace").encode())


def without_owners(obj: Json) -> Json:
    """A copy that does not say who owns its fields; the rest is shared."""
    meta = obj.get("metadata")
    if not isinstance(meta, dict) or OWNERS not in meta:
        return obj
    return {**obj, "metadata": {k: v for k, v in meta.items() if k != OWNERS}}


def owners_removed(text: bytes) -> bytes:
    """The JSON of an object, a list or a Table without the owners of fields."""
    value = json_format.loads(text)
    if not isinstance(value, dict):
        return text
    value = without_owners(value)
    for name in _LISTS:
        found = value.get(name)
        if isinstance(found, list):
            value = {**value, name: [_element(x, row=name == "rows") for x in found]}
    return json_format.dumps(value)


def _element(element: Any, *, row: bool) -> Any:
    if not isinstance(element, dict):
        return element
    if not row:
        return without_owners(element)
    obj = element.get("object")
    return {**element, "object": without_owners(obj)} if isinstance(obj, dict) else element
