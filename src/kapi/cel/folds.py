"""Loops: what macros over lists and maps become, each with a way of its own.

An error of a predicate of `all` or `exists` does not end the loop: a later item may decide. The
cost of a turn is that of the loop as the language defines it, accumulator included.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from kapi.cel.compiler import COST, LIMIT, LIST_COST, Compiler, Frame, Missing, Run
from kapi.cel.nodes import Fold
from kapi.cel.values import CostLimitError, EvalError, no_such_overload

# What a turn costs beyond the author's own expressions.
_TURN = {"all": 3, "exists": 4, "exists_one": 0}
_APPEND = 2 + LIST_COST
_INSERT = 2
LIMIT_EXCEEDED = "operation cancelled: actual cost limit exceeded"


def exceeded() -> CostLimitError:
    return CostLimitError(LIMIT_EXCEEDED)


def build_fold(compiler: Compiler, node: Fold) -> Run:
    if node.macro == "bind":
        return _bind(compiler, node)
    raw = compiler.raw(node.over)
    over = raw[0] if raw is not None else compiler.build(node.over)
    declared = raw[1] if raw is not None and raw[1].kind in ("list", "map") else None
    compiler.branch.cost += 1 if node.macro in _TURN else 1 + LIST_COST
    below = declared.params[-1] if declared is not None else None
    place: int | slice
    if node.second:
        place, leave_first = compiler.declared(node.variable, None)
        second, leave_second = compiler.declared(node.second, below)
        assert second == place + 1, "places are given one after the other"
        turns = Turns(over, slice(place, place + 2), pairs=True)
        ends = [leave_second, leave_first]
    else:
        is_list = declared is not None and declared.kind == "list"
        place, leave = compiler.declared(node.variable, below if is_list else None)
        turns, ends = Turns(over, place, pairs=False), [leave]
    run = _BUILDERS[node.macro](compiler, node, turns)
    for end in ends:
        end()
    return run


@dataclass(frozen=True, slots=True)
class Turns:
    """What a loop goes over, and where in the frame its variables are."""

    over: Run
    place: int | slice
    pairs: bool

    def source(self) -> Callable[[Frame], Iterable[Any]]:
        over = self.over

        def items(frame: Frame) -> Iterable[Any]:
            found = over(frame)
            if isinstance(found, list | dict):
                return found
            raise no_such_overload()

        def pairs(frame: Frame) -> Iterable[Any]:
            found = items(frame)
            return found.items() if isinstance(found, dict) else enumerate(found)

        return pairs if self.pairs else items


def _all(compiler: Compiler, node: Fold, turns: Turns) -> Run:
    return _decided(compiler, node, turns, on=False)


def _exists(compiler: Compiler, node: Fold, turns: Turns) -> Run:
    return _decided(compiler, node, turns, on=True)


def _decided(compiler: Compiler, node: Fold, turns: Turns, *, on: bool) -> Run:
    items, place = turns.source(), turns.place
    assert node.parts[0] is not None
    predicate, cost = compiler.apart(compiler.condition, node.parts[0])
    cost += _TURN[node.macro]

    def run(frame: Frame) -> Any:
        error: EvalError | None = None
        for found in items(frame):
            frame[place] = found
            frame[COST] += cost
            if frame[COST] > frame[LIMIT]:
                raise exceeded()
            try:
                if predicate(frame) is on:
                    return on
            except CostLimitError:
                raise
            except EvalError as e:
                error = error or e
        if error is not None:
            raise error
        return not on

    return run


def _exists_one(compiler: Compiler, node: Fold, turns: Turns) -> Run:
    items, place = turns.source(), turns.place
    assert node.parts[0] is not None
    predicate, cost = compiler.apart(compiler.condition, node.parts[0])

    def run(frame: Frame) -> bool:
        count: int = 0
        for found in items(frame):
            frame[place] = found
            frame[COST] += cost + 1
            if frame[COST] > frame[LIMIT]:
                raise exceeded()
            count += predicate(frame)
        return count == 1

    return run


def _list(compiler: Compiler, node: Fold, turns: Turns) -> Run:
    items, place = turns.source(), turns.place
    item, test = node.parts
    assert item is not None
    make, cost = compiler.apart(compiler.build, item)
    cost += _APPEND
    if test is None:

        def run(frame: Frame) -> list[Any]:
            out = []
            for found in items(frame):
                frame[place] = found
                frame[COST] += cost
                if frame[COST] > frame[LIMIT]:
                    raise exceeded()
                out.append(make(frame))
            return out

        return run
    predicate, tested = compiler.apart(compiler.condition, test)

    def run_some(frame: Frame) -> list[Any]:
        out = []
        for found in items(frame):
            frame[place] = found
            frame[COST] += tested
            if predicate(frame):
                frame[COST] += cost
                out.append(make(frame))
            if frame[COST] > frame[LIMIT]:
                raise exceeded()
        return out

    return run_some


def _map(compiler: Compiler, node: Fold, turns: Turns) -> Run:
    items, place = turns.source(), turns.place
    item, test = node.parts
    assert item is not None
    make, cost = compiler.apart(compiler.build, item)
    predicate, tested = compiler.apart(compiler.condition, test) if test is not None else (None, 0)
    key = compiler.place(node.variable)
    entries = node.macro == "transformMapEntry"

    def run(frame: Frame) -> dict[Any, Any]:
        out: dict[Any, Any] = {}
        for found in items(frame):
            frame[place] = found
            frame[COST] += tested + _INSERT
            if frame[COST] > frame[LIMIT]:
                raise exceeded()
            if predicate is not None and not predicate(frame):
                continue
            frame[COST] += cost
            made = make(frame)
            for k, value in made.items() if entries else ((frame[key], made),):
                if k in out:
                    raise EvalError(f"insert failed: key {k} already exists")
                out[k] = value
        return out

    return run


_BUILDERS = {
    "all": _all, "exists": _exists, "exists_one": _exists_one, "map": _list,
    "filter": _list, "transformList": _list, "transformMap": _map, "transformMapEntry": _map,
}  # fmt: skip


def _bind(compiler: Compiler, node: Fold) -> Run:
    """A variable that is computed when it is looked at first."""
    raw = compiler.raw(node.start)
    start, declared = raw if raw is not None else (compiler.build(node.start), None)
    place, leave = compiler.declared(node.accumulator, declared, bound=True)
    body = compiler.build(node.result)
    leave()

    def run(frame: Frame) -> Any:
        try:
            frame[place] = start(frame)
        except CostLimitError:
            raise
        except EvalError as e:
            frame[place] = Missing(e)
        return body(frame)

    return run
