"""YAML nodes to JSON-compatible values, as go-yaml v2 and sigs.k8s.io/yaml read them: the work of
`yaml_format.loads` for all that is not JSON.

Keeps the last of repeated keys and reports each repetition, follows aliases and merges with a bound
on what they may multiply, and uses no recursion.
"""

from __future__ import annotations

import math
from typing import Any, Final

import orjson

from kapi.codec import yaml_scalars as scalars
from kapi.codec.json_format import go_number
from kapi.codec.yaml_compose import ALIAS, MAPPING, SCALAR, SEQUENCE, Composer, Node
from kapi.codec.yaml_scalars import YamlError

# The alias rule: above these counts the share of values that come from aliases is limited, sliding
# from the first ratio to the second between the two totals.
ALIASED_FREE = 100
DECODED_FREE = 1_000
RATIO_TOTALS = (400_000, 4_000_000)
RATIOS = (0.99, 0.10)


def decode(data: bytes) -> tuple[Any, list[str]]:
    """The first document, and one complaint for each repeated key. Raises YamlError."""
    root = Composer(data).document()
    if root is None:
        return None, []
    decoder = _Decoder()
    return decoder.decode(root), decoder.complaints


_PENDING: Final[Any] = object()  # no value yet: a frame was opened


class _Frame:
    """A collection (or an alias, or a merge) that is being decoded."""

    __slots__ = ("at", "expects_key", "key", "merging", "node", "nodes", "result", "seen")

    def __init__(self, node: Node, result: Any, nodes: list[Node]) -> None:
        self.node = node
        self.result = result
        self.nodes = nodes
        self.at = 0
        self.key: Any = None
        self.expects_key = True
        self.seen: dict[Any, str] = {}  # typed keys, as JSON will name them
        self.merging = False  # its content goes into the mapping around


class _Decoder:
    """Decodes nodes as go-yaml decodes into an empty interface, then as JSON would spell it."""

    def __init__(self) -> None:
        self.complaints: list[str] = []
        self._frames: list[_Frame] = []
        self._aliases: set[int] = set()  # alias nodes being followed, by identity
        self._alias_depth = 0
        self._decoded = 1  # the document itself
        self._aliased = 0

    def decode(self, root: Node) -> Any:
        value = self._visit(root)
        frames = self._frames
        while frames:
            frame = frames[-1]
            if value is not _PENDING:
                self._take(frame, value)
            node = self._next(frame)
            if node is not None:
                value = self._visit(node)
                continue
            if frames[-1] is not frame:  # a merge was opened
                value = _PENDING
                continue
            frames.pop()
            if frame.node.kind == ALIAS:
                self._aliases.discard(id(frame.node))
                self._alias_depth -= 1
            value = _PENDING if frame.merging else frame.result
        return value

    def _count(self) -> None:
        self._decoded += 1
        if self._alias_depth:
            self._aliased += 1
        if (
            self._aliased > ALIASED_FREE
            and self._decoded > DECODED_FREE
            and self._aliased / self._decoded > _allowed_ratio(self._decoded)
        ):
            raise YamlError("yaml: document contains excessive aliasing")

    def _visit(self, node: Node, into: _Frame | None = None) -> Any:
        """The value of a scalar, or a new frame; `into`: the mapping that a merge fills."""
        self._count()
        if node.kind == SCALAR:
            return _scalar(node)
        if node.kind == ALIAS:
            if id(node) in self._aliases:
                raise YamlError(f"yaml: anchor '{node.text}' value contains itself")
            assert node.target is not None  # the composer looked
            self._aliases.add(id(node))
            self._alias_depth += 1
            frame = _Frame(node, None, [node.target])
        else:
            frame = _Frame(node, {} if node.kind == MAPPING else [], node.children)
        if into is not None:
            frame.merging = True
            frame.result = into.result
            frame.seen = into.seen
        self._frames.append(frame)
        return _PENDING

    def _take(self, frame: _Frame, value: Any) -> None:
        """A child's value goes to its place."""
        if frame.node.kind == SEQUENCE:
            frame.result.append(value)
        elif frame.node.kind == ALIAS:
            frame.result = value
        elif frame.expects_key:
            if isinstance(value, (dict, list)):
                raise YamlError("yaml: invalid map key: " + orjson.dumps(value).decode())
            frame.key = value
            frame.expects_key = False
        else:
            frame.expects_key = True
            self._set(frame, frame.key, value, frame.nodes[frame.at - 1].line)

    def _set(self, frame: _Frame, key: Any, value: Any, line: int) -> None:
        typed = (type(key), key)
        if typed in frame.seen:
            self.complaints.append(f"line {line + 1}: key {_go_syntax(key)} already set in map")
        else:
            frame.seen[typed] = _key_text(key)
        frame.result[frame.seen[typed]] = value

    def _next(self, frame: _Frame) -> Node | None:
        """The next node to visit; None at the end, or when a merge was opened instead."""
        if frame.merging and frame.node.kind != MAPPING:
            self._next_merge(frame)
            return None
        if frame.at >= len(frame.nodes):
            return None
        node = frame.nodes[frame.at]
        if frame.node.kind == MAPPING and frame.expects_key and _is_merge(node):
            self._open_merge(frame, frame.nodes[frame.at + 1])
            frame.at += 2
            return None
        frame.at += 1
        return node

    def _open_merge(self, frame: _Frame, source: Node) -> None:
        target = source.target if source.kind == ALIAS else source
        assert target is not None  # the composer looked
        if source.kind == SEQUENCE:
            # Earlier mappings win, so they come last.
            merge = _Frame(source, frame.result, source.children[::-1])
            merge.merging = True
            merge.seen = frame.seen
            self._frames.append(merge)
        elif target.kind != MAPPING:
            raise YamlError("yaml: map merge requires map or sequence of maps as the value")
        else:
            self._visit(source, into=frame)

    def _next_merge(self, frame: _Frame) -> None:
        """The next mapping of a merged sequence, or the one behind a merged alias."""
        if frame.at < len(frame.nodes):
            source = frame.nodes[frame.at]
            frame.at += 1
            if source.kind == SEQUENCE:
                raise YamlError("yaml: map merge requires map or sequence of maps as the value")
            self._open_merge(frame, source)


def _allowed_ratio(decoded: int) -> float:
    low, high = RATIO_TOTALS
    share = min(max((decoded - low) / (high - low), 0.0), 1.0)
    return RATIOS[0] - (RATIOS[0] - RATIOS[1]) * share


def _is_merge(node: Node) -> bool:
    return (
        node.kind == SCALAR and node.text == "<<" and (node.implicit or node.tag == scalars.MERGE)
    )


def _scalar(node: Node) -> Any:
    if not node.tag and not node.implicit:
        return node.text
    value = scalars.resolve(node.tag, node.text)[1]
    if isinstance(value, float):
        if math.isnan(value) or math.isinf(value):
            shown = "NaN" if math.isnan(value) else "+Inf" if value > 0 else "-Inf"
            raise YamlError(f"json: unsupported value: {shown}")
        return go_number(value)
    return value


def _key_text(key: Any) -> str:
    if isinstance(key, str):
        return key
    if key is None:
        raise YamlError("unsupported map key of type: %!s(<nil>), key: <nil>")
    if isinstance(key, bool):
        return "true" if key else "false"
    return scalars.float_text(key) if isinstance(key, float) else str(key)


def _go_syntax(key: Any) -> str:
    return orjson.dumps(key).decode() if isinstance(key, (str, bool)) else str(key)
