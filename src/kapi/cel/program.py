"""The door of the engine: an expression and an environment become a program that can be run.

`compile_expression` checks at once and tells all that is wrong; closures are made when the program
runs first, because most expressions that are stored never do. The same text in the same
environment is compiled once (`Programs`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kapi.cel.calls import build_call
from kapi.cel.checker import check
from kapi.cel.compiler import FIRST_VARIABLE, Compiler, Frame, Missing, Run
from kapi.cel.environment import Environment
from kapi.cel.folds import build_fold, exceeded
from kapi.cel.nodes import Node
from kapi.cel.parser import parse
from kapi.cel.room import with_room
from kapi.cel.source import CompileError, Issue
from kapi.cel.types import Type
from kapi.cel.values import CostLimitError, EvalError, no_such_overload

CALL_COST_MAX = 1_000_000  # units that one evaluation may take, as in Kubernetes
_MISSING = Missing()


@dataclass(frozen=True, slots=True)
class Outcome:
    """Either a value or an error, and what it has cost."""

    value: Any
    cost: int
    error: EvalError | None = None


class Program:
    """A checked expression. `type`: of its value. `tree`: for estimates of its cost."""

    __slots__ = ("_places", "_run", "_size", "_sure", "environment", "text", "tree", "type")

    def __init__(self, text: str, tree: Node, environment: Environment) -> None:
        self.text = text
        self.tree = tree
        self.type: Type = tree.type
        self.environment = environment
        self._run: Run | None = None
        names = enumerate(environment.variables, FIRST_VARIABLE)
        self._places = {name: place for place, name in names}
        self._size = 0
        self._sure = 0

    def _built(self) -> Run:
        compiler = Compiler(self.environment, self._places, build_call, build_fold)
        run = compiler.build(self.tree)
        self._size = compiler.places
        self._sure = compiler.branch.cost
        self._run = run  # last: another thread that sees it takes the rest for known
        return run

    def evaluate(self, values: Mapping[str, Any], *, limit: int = CALL_COST_MAX) -> Outcome:
        """The value with these variables; one that is not given is an error where it is used.

        Never raises for what an expression or the data may do.
        """
        try:
            return self._evaluated(values, limit)
        except RecursionError:
            pass
        try:
            return with_room(lambda: self._evaluated(values, limit))
        except RecursionError:
            return Outcome(None, 0, EvalError("internal error: stack overflow"))

    def _evaluated(self, values: Mapping[str, Any], limit: int) -> Outcome:
        run = self._run or self._built()
        frame: Frame = [_MISSING] * self._size
        frame[0], frame[1] = self._sure, limit
        for name, value in values.items():
            place = self._places.get(name)
            if place is not None:
                frame[place] = value
        try:
            value = run(frame)
        except EvalError as e:
            return Outcome(None, frame[0], e)
        if frame[0] > limit:
            return Outcome(None, frame[0], exceeded())
        return Outcome(value, frame[0])


def compile_expression(text: str, environment: Environment) -> Program:
    """Raises CompileError with all that is wrong."""
    return with_room(lambda: _compiled(text, environment))


def _compiled(text: str, environment: Environment) -> Program:
    tree = parse(text, environment.macros)  # anew each time: checking writes into it
    issues = check(tree, environment)
    if issues:
        raise CompileError(text, issues)
    from kapi.cel.literal_checks import findings

    issues = findings(tree)
    if issues:
        raise CompileError(text, issues)
    return Program(text, tree, environment)


__all__ = [
    "CompileError", "CostLimitError", "EvalError", "Issue", "Outcome", "Program",
    "compile_expression", "no_such_overload",
]  # fmt: skip
