"""Expressions of JWT authenticators: over the claims of a token, and over the user they make.

Loaded only where a configuration has expressions, because the engine is.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration
"""

from __future__ import annotations

from dataclasses import fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal

from kapi.cel.environment import Environment, kubernetes
from kapi.cel.nodes import Call, Name, Node, Select
from kapi.cel.nodes import Literal as Constant
from kapi.cel.program import Program, compile_expression
from kapi.cel.source import CompileError
from kapi.cel.types import BOOL, STRING, StructType, Type, list_of, map_of

Json = dict[str, Any]
Variable = Literal["claims", "user"]
_ANY = Type("dyn", "any")  # dyn, as issues name the values of claims


class ExpressionError(Exception):
    """An expression failed with this token."""


class CompileProblem(ValueError):
    """An expression cannot be used; the text says why."""


@lru_cache(maxsize=2)
def environment(variable: Variable) -> Environment:
    if variable == "claims":
        return kubernetes().extended({"claims": map_of(STRING, _ANY)})
    user = StructType(
        "kubernetes.UserInfo",
        {
            "username": STRING,
            "uid": STRING,
            "groups": list_of(STRING),
            "extra": map_of(STRING, list_of(STRING)),
        },
    )
    return kubernetes().extended({"user": user})


class Expression:
    """A text that compiled."""

    __slots__ = ("_program", "_variable", "text")

    def __init__(self, text: str, variable: Variable, *, condition: bool) -> None:
        """`condition`: it must be a bool. Raises CompileProblem."""
        try:
            program: Program = compile_expression(text, environment(variable))
        except CompileError as error:
            raise CompileProblem(f"compilation failed: {error}") from error
        if condition and program.type != BOOL:
            raise CompileProblem("must evaluate to bool")
        self.text = text
        self._program = program
        self._variable = variable

    def value(self, of: Json) -> Any:
        """Raises ExpressionError."""
        outcome = self._program.evaluate({self._variable: of})
        if outcome.error is not None:
            text = f"expression '{self.text}' resulted in error: {outcome.error}"
            raise ExpressionError(text)
        return outcome.value

    def uses(self, claim: str) -> bool:
        """Whether it speaks of `claims.<claim>` or `claims.?<claim>`."""
        return _selects(self._program.tree, self._variable, claim)


def _selects(node: Any, variable: str, name: str) -> bool:
    """Whether a field of a variable is selected anywhere in a tree."""
    if isinstance(node, Select) and node.field == name and _is(node.operand, variable):
        return True
    if isinstance(node, Call) and node.function == "_?._":
        target, field = node.args
        if _is(target, variable) and isinstance(field, Constant) and field.value == name:
            return True
    if isinstance(node, (list, tuple)):
        return any(_selects(inner, variable, name) for inner in node)
    if not is_dataclass(node):
        return False
    values = (getattr(node, f.name) for f in fields(node) if f.name not in ("type", "constant"))
    return any(
        _selects(value, variable, name)
        for value in values
        if isinstance(value, (Node, list, tuple)) or is_dataclass(value)
    )


def _is(node: Node, variable: str) -> bool:
    return isinstance(node, Name) and node.name == variable
