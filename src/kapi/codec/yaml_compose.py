"""YAML text to a tree of nodes, over libyaml's events: the first half of `yaml_format.loads`.

Complaints are worded as go-yaml's. Nesting is bounded as there, and so is the work that libyaml
does for deep flow collections, which grows with their depth times the length of the text.
"""

from __future__ import annotations

from typing import Any

import yaml
from yaml._yaml import CParser

from kapi.codec.json_scanner import DEPTH_MAX
from kapi.codec.yaml_scalars import YamlError

FLOW_WORK_MAX = 200_000_000  # events times flow depth; about a second of libyaml's time
_LIBYAML_TOO_DEEP = "exceeded maximum nesting depth"  # from 0.2.6 on, which stops at 1,000
TAG_DIRECTIVES_MAX = 1_000  # libyaml compares each with all before

SCALAR, SEQUENCE, MAPPING, ALIAS = range(4)


class Node:
    """A node of the document. A mapping's children are keys and values in turn."""

    __slots__ = ("children", "implicit", "kind", "line", "tag", "target", "text")

    def __init__(self, kind: int, line: int, tag: str = "", text: str = "") -> None:
        self.kind = kind
        self.line = line  # from 0
        self.tag = tag
        self.text = text
        self.implicit = False
        self.children: list[Node] = []
        self.target: Node | None = None


class Composer:
    """Makes the nodes of the first document."""

    def __init__(self, data: bytes) -> None:
        if data.count(b"%TAG") > TAG_DIRECTIVES_MAX:
            raise YamlError("yaml: too many %TAG directives")
        self._parser = CParser(data or b"\n")
        self._anchors: dict[str, Node] = {}

    def document(self) -> Node | None:
        """The root node; None for an empty stream. Raises YamlError."""
        try:
            return self._compose()
        except yaml.MarkedYAMLError as error:
            if error.problem == _LIBYAML_TOO_DEEP:
                mark = error.problem_mark
                _too_deep(mark.line if mark is not None else 0)
            raise YamlError("yaml: " + _where(error) + (error.problem or "")) from None
        except yaml.reader.ReaderError as error:
            raise YamlError(f"yaml: {error.reason}") from None

    def _compose(self) -> Node | None:
        event_of = self._parser.get_event
        open_nodes: list[Node] = []
        depths = [0, 0]  # of block and flow collections
        flows: list[bool] = []
        work = 0
        while True:
            event: Any = event_of()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                node = Node(SCALAR, event.start_mark.line, event.tag or "", event.value)
                node.implicit = event.implicit[0]
            elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
                node = Node(
                    SEQUENCE if kind is yaml.SequenceStartEvent else MAPPING,
                    event.start_mark.line,
                    event.tag or "",
                )
                flow = bool(event.flow_style)
                depths[flow] += 1
                if depths[flow] > DEPTH_MAX:
                    _too_deep(node.line)
                flows.append(flow)
            elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
                node = open_nodes.pop()
                depths[flows.pop()] -= 1
                if not open_nodes:
                    return self._finished(node)
                continue
            elif kind is yaml.AliasEvent:
                node = Node(ALIAS, event.start_mark.line, "", event.anchor)
                node.target = self._anchors.get(event.anchor)
                if node.target is None:
                    raise YamlError(f"yaml: unknown anchor '{event.anchor}' referenced")
            elif kind is yaml.StreamEndEvent:
                return None
            else:
                continue
            work += depths[1]
            if work > FLOW_WORK_MAX:
                _too_deep(node.line)
            if node.kind != ALIAS and event.anchor is not None:
                self._anchors[event.anchor] = node
            if open_nodes:
                open_nodes[-1].children.append(node)
            if node.kind in (SEQUENCE, MAPPING):
                open_nodes.append(node)
            elif not open_nodes:
                return self._finished(node)

    def _finished(self, root: Node) -> Node:
        self._parser.get_event()  # the end of the document: what follows the root must parse
        return root


def _too_deep(line: int) -> None:
    where = f"line {line + 1}: " if line else ""
    raise YamlError(f"yaml: {where}exceeded max depth of {DEPTH_MAX}")


def _where(error: yaml.MarkedYAMLError) -> str:
    """`line 2: ` as go-yaml counts: a scanner's lines from one, a parser's from zero, none for the
    first.
    """
    for mark in (error.problem_mark, error.context_mark):
        if mark is not None and mark.line:
            scanner = mark is error.problem_mark and isinstance(error, yaml.scanner.ScannerError)
            return f"line {mark.line + scanner}: "
    return ""
