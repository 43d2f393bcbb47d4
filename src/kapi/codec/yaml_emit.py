"""JSON values to YAML text as go-yaml v2 writes it: the work of `yaml_format.dumps`.

Block style, keys sorted with runs of digits as numbers, quotes around what would read back as
something else, long text folded at 80 columns by libyaml.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from functools import cmp_to_key
from typing import Any, Final

import yaml
from yaml._yaml import CEmitter

from kapi.codec import yaml_scalars as scalars

_END: Final[Any] = object()

_BLOCK_MAP = yaml.MappingStartEvent(None, None, True, flow_style=False)
_BLOCK_LIST = yaml.SequenceStartEvent(None, None, True, flow_style=False)


def dumps(value: Any) -> bytes:
    """The YAML of a JSON value: block style, keys sorted, numbers in their natural order."""
    out = io.BytesIO()
    emitter = CEmitter(out, allow_unicode=True, encoding="utf-8")
    emit: Callable[[yaml.Event], None] = emitter.emit
    emit(yaml.StreamStartEvent(encoding="utf-8"))
    emit(yaml.DocumentStartEvent(explicit=False))
    for event in _events(value):
        emit(event)
    emit(yaml.DocumentEndEvent(explicit=False))
    emit(yaml.StreamEndEvent())
    return out.getvalue()


def _events(value: Any) -> Iterator[yaml.Event]:
    pending: list[Iterator[Any]] = [iter((value,))]
    ends: list[yaml.Event] = []
    while True:
        item = next(pending[-1], _END)
        if item is _END:
            pending.pop()
            if not pending:
                return
            yield ends.pop()
        elif isinstance(item, dict):
            yield _BLOCK_MAP
            pending.append(_members(item))
            ends.append(yaml.MappingEndEvent())
        elif isinstance(item, list):
            yield _BLOCK_LIST
            pending.append(iter(item))
            ends.append(yaml.SequenceEndEvent())
        else:
            yield _scalar_event(item)


def _members(mapping: dict[str, Any]) -> Iterator[Any]:
    for key in sorted_keys(mapping):
        yield key
        yield mapping[key]


def _scalar_event(item: Any) -> yaml.ScalarEvent:
    if isinstance(item, str):
        style = '"'
        if "\n" in item:
            style = "|"
        elif scalars.is_text(item):
            style = ""
        return yaml.ScalarEvent(None, None, (True, True), item, style=style)
    if item is None:
        text = "null"
    elif isinstance(item, bool):
        text = "true" if item else "false"
    else:
        text = scalars.float_text(item) if isinstance(item, float) else str(item)
    return yaml.ScalarEvent(None, None, (True, True), text, style="")


def sorted_keys(mapping: dict[str, Any]) -> list[str]:
    """Keys as go-yaml sorts them: letters after the rest, runs of digits as numbers."""
    keys = sorted(mapping)
    if all(k.isalpha() for k in keys):
        return keys
    return sorted(keys, key=cmp_to_key(_compare))


def _compare(a: str, b: str) -> int:
    for i, (x, y) in enumerate(zip(a, b, strict=False)):
        if x == y:
            continue
        if x.isalpha() or y.isalpha():
            if x.isalpha() and y.isalpha():
                return -1 if x < y else 1
            return -1 if y.isalpha() else 1
        left, right = _digits(a, i), _digits(b, i)
        lead = ""
        if "0" in (x, y):
            before = a[:i]
            run = before[len(before.rstrip("0123456789")) :]
            lead = "1" if run.strip("0") else ""
        by_number = (int(lead + left or "0"), len(left)), (int(lead + right or "0"), len(right))
        if by_number[0] != by_number[1]:
            return -1 if by_number[0] < by_number[1] else 1
        return -1 if x < y else 1
    return len(a) - len(b)


_DIGITS = re.compile(r"[0-9]{0,18}")  # as many as fit 64 bits


def _digits(text: str, at: int) -> str:
    match = _DIGITS.match(text, at)
    assert match is not None  # the expression matches the empty text
    return match[0]
