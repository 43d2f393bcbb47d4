"""The wire form of a field set (metav1.FieldsV1), both ways.

A set *is* its wire form (see `fieldset.py`), so encoding is free and what kapi stored itself is
read as it stands. Only what a client sent needs `read`: it checks the elements, writes them as kapi
does, and sorts them.

https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management
"""

from __future__ import annotations

from typing import Any

import orjson

from kapi.managedfields import elements
from kapi.managedfields.elements import SELF, ElementError, UnknownElement, sorted_elements
from kapi.managedfields.fieldset import FieldSet, Node


class FieldsV1Error(ValueError):
    """What should be FieldsV1 and is not."""


def read(value: Any) -> FieldSet:
    """The set that a client's FieldsV1 means. Raises FieldsV1Error.

    Elements of an unknown kind are left out, with all below them.
    """
    if value is None:
        return FieldSet()
    try:
        root = _read(value)
    except ElementError as e:
        raise FieldsV1Error(str(e)) from None
    except RecursionError:
        raise FieldsV1Error("nested too deeply") from None
    root.pop(SELF, None)
    return FieldSet(root)


def _read(value: Any) -> Node:
    if not isinstance(value, dict):
        raise FieldsV1Error("expected an object")
    node: Node = {}
    for text, below in value.items():
        if text == SELF:
            node[SELF] = {}
            continue
        try:
            element = elements.canonical(text)
        except UnknownElement:
            continue
        node[element] = {} if below is None else _read(below)
    if len(node) == 1 and SELF in node:
        return {}
    return {e: node[e] for e in sorted_elements(node)}


def write(fields: FieldSet) -> Node:
    """The FieldsV1 of a set: its own nodes, not to be changed."""
    return fields.root


def to_bytes(fields: FieldSet) -> bytes:
    """The FieldsV1 of a set as JSON, byte for byte as the real server writes it."""
    return orjson.dumps(fields.root)
