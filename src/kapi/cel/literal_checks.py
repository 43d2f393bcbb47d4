"""What is wrong with literals that functions take: durations, timestamps, regular expressions.

Kubernetes looks at them when an expression is compiled, so that they do not fail when it runs.
"""

from __future__ import annotations

from collections.abc import Iterator

from kapi.cel.nodes import (
    Call,
    Entry,
    FieldEntry,
    Fold,
    ListLiteral,
    Literal,
    MapLiteral,
    Message,
    Node,
    Select,
)
from kapi.cel.source import Issue


def children(node: Node) -> Iterator[Node]:
    """The nodes right below one."""
    if isinstance(node, Select):
        yield node.operand
    elif isinstance(node, Call):
        if node.target is not None:
            yield node.target
        yield from node.args
    elif isinstance(node, ListLiteral):
        yield from node.elements
    elif isinstance(node, MapLiteral):
        for entry in node.entries:
            yield from _pair(entry)
    elif isinstance(node, Message):
        for field in node.fields:
            yield from _pair(field)
    elif isinstance(node, Fold):
        yield from (node.over, node.start, node.condition, node.step, node.result)


def _pair(entry: Entry | FieldEntry) -> Iterator[Node]:
    if isinstance(entry, Entry):
        yield entry.key
    yield entry.value


def walk(node: Node) -> Iterator[Node]:
    yield node
    for child in children(node):
        yield from walk(child)


def findings(tree: Node) -> list[Issue]:
    return [issue for node in walk(tree) if isinstance(node, Call) for issue in _call(node)]


_CHECKED = frozenset(("duration", "timestamp", "matches", "find", "findAll"))


def _call(node: Call) -> Iterator[Issue]:
    if node.function not in _CHECKED or not node.args:
        return
    if node.function in ("duration", "timestamp"):
        literal = node.args[0] if len(node.args) == 1 else None
    elif node.function == "matches":
        literal = node.args[-1]
    else:
        literal = None
    if not isinstance(literal, Literal) or not isinstance(literal.value, str):
        return
    from kapi.cel.lib_standard import to_duration, to_timestamp
    from kapi.cel.regex import compiled
    from kapi.cel.values import EvalError

    checks = {"duration": to_duration, "timestamp": to_timestamp, "matches": compiled}
    try:
        checks[node.function](literal.value)
    except EvalError as e:
        yield Issue(literal.at, f"invalid {node.function} argument")
        del e
