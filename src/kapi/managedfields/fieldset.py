"""A set of field paths as a trie. Sets are values: nothing here changes one, results share
subtrees.

A node is the dict that the wire has (FieldsV1): element → node of the paths below it. An empty node
below the root is a path of the set that has none below it; a node with others below it is itself in
the set if it has the element `.`. So {"f:spec": {".": {}, "f:a": {}}} holds `.spec` and `.spec.a`;
{"f:spec": {"f:a": {}}} only `.spec.a`. The root stands for no path: an empty root is the empty set.
Elements of the sets made here stand in the order of the wire; therefore a set is encoded by
encoding its dict, and read by taking it. (Custom kinds are stored with all keys sorted by text, and
their sets are read so: nothing relies on the order.)

Called by `typed.py`, which makes sets from objects, and by `manager.py` and `merge.py`, which
combine them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kapi.managedfields.elements import SELF, sorted_elements

Node = dict[str, Any]


class FieldSet:
    """An immutable set of field paths."""

    __slots__ = ("root",)

    def __init__(self, root: Node | None = None) -> None:
        self.root: Node = {} if root is None else root

    @staticmethod
    def of(*paths: Iterable[str]) -> FieldSet:
        """The set of paths given as elements: `FieldSet.of(("f:spec", "f:a"))`."""
        made = FieldSet()
        for path in paths:
            node: Node = {}
            for element in reversed(list(path)):
                node = {element: node}
            made = made.union(FieldSet(node))
        return made

    @property
    def is_empty(self) -> bool:
        return not self.root

    def union(self, other: FieldSet) -> FieldSet:
        root = union(self.root, other.root)
        return self if root is self.root else FieldSet(root)

    def difference(self, other: FieldSet) -> FieldSet:
        """Without the paths of `other`; what lies below them stays."""
        root = difference(self.root, other.root)
        return self if root is self.root else FieldSet(root)

    def without(self, other: FieldSet) -> FieldSet:
        """Without the paths of `other` and all below them."""
        root = without(self.root, other.root)
        return self if root is self.root else FieldSet(root)

    def intersection(self, other: FieldSet) -> FieldSet:
        return FieldSet(intersection(self.root, other.root))

    def has(self, path: Iterable[str]) -> bool:
        node: Node | None = self.root
        below = False
        for element in path:
            node = node.get(element) if node is not None else None
            below = True
        return below and node is not None and (not node or SELF in node)

    def paths(self) -> Iterator[tuple[str, ...]]:
        """Every path of the set, in the order of the wire."""
        return _paths(self.root, ())

    def leaves(self) -> Iterator[tuple[str, ...]]:
        """The paths that have none below them."""
        return (path for path, leaf in _leaves(self.root, ()) if leaf)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.root == other.root

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"FieldSet({self.root!r})"


def _paths(node: Node, at: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    return (path for path, _ in _leaves(node, at))


def _leaves(node: Node, at: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], bool]]:
    for element, below in node.items():
        if element == SELF:
            continue
        here = (*at, element)
        if not below:
            yield here, True
            continue
        if SELF in below:
            yield here, False
        yield from _leaves(below, here)


def _ordered(node: Node) -> Node:
    """The node with its elements in the order of the wire."""
    return {element: node[element] for element in sorted_elements(node)} if len(node) > 1 else node


def union(a: Node, b: Node) -> Node:
    """At the root. Returns `a` itself where `b` adds nothing."""
    if not b or a is b:
        return a
    return _union(a, b) if a else b


def _union(a: Node, b: Node) -> Node:
    changed: Node | None = None
    grown = False
    for element, below_b in b.items():
        below_a = a.get(element)
        if below_a is None:
            made = below_b
            grown = True
        elif below_a is below_b or (not below_a and not below_b):
            continue
        elif not below_a:
            made = below_b if SELF in below_b else {SELF: {}, **below_b}
        elif not below_b:
            if SELF in below_a:
                continue
            made = {SELF: {}, **below_a}
        else:
            made = _union(below_a, below_b)
            if made is below_a:
                continue
        if changed is None:
            changed = dict(a)
        changed[element] = made
    if changed is None:
        return a
    return _ordered(changed) if grown else changed


def difference(a: Node, b: Node) -> Node:
    """At the root or below it. Returns `a` itself where nothing of it is in `b`."""
    if not a or not b:
        return a
    changed: Node | None = None
    for element, below_b in b.items():
        below_a = a.get(element)
        if below_a is None:
            continue
        made = _less(below_a, below_b)
        if made is below_a:
            continue
        if changed is None:
            changed = dict(a)
        if made is None:
            del changed[element]
        else:
            changed[element] = made
    return a if changed is None else changed


def _less(a: Node, b: Node) -> Node | None:
    """A node below the root less the paths of another; None where nothing is left."""
    if not a:
        return None if not b or SELF in b else a
    made = difference(a, b or {SELF: {}})
    if made is a:
        return a
    return _settled(made)


def _settled(node: Node) -> Node | None:
    """A node below the root after paths went: a lone `.` is written as an empty node."""
    if not node:
        return None
    return {} if len(node) == 1 and SELF in node else node


def without(a: Node, b: Node) -> Node:
    """As `difference`, but what lies below a path of `b` goes too."""
    if not a or not b:
        return a
    changed: Node | None = None
    for element, below_b in b.items():
        below_a = a.get(element)
        if below_a is None or element == SELF:
            continue
        if not below_b or SELF in below_b:
            made = None
        elif not below_a:
            continue
        else:
            rest = without(below_a, below_b)
            if rest is below_a:
                continue
            made = _settled(rest)
        if changed is None:
            changed = dict(a)
        if made is None:
            del changed[element]
        else:
            changed[element] = made
    return a if changed is None else changed


def intersection(a: Node, b: Node) -> Node:
    """At the root or below it: what both hold."""
    out: Node = {}
    for element, below_a in a.items():
        below_b = b.get(element)
        if below_b is None:
            continue
        if not below_a or not below_b:
            longer = below_a or below_b
            if not longer or SELF in longer:
                out[element] = {}
            continue
        made = _settled(intersection(below_a, below_b))
        if made is not None:
            out[element] = made
    return out
