"""x-kubernetes-validations compiled: the rules of one schema node, with their prices.

Used where a definition is checked (`definition_rules.py`) and where objects are (`rule_walk.py`).
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/#validation-rules
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from kapi.cel.declared import Declared
from kapi.cel.environment import Environment, kubernetes
from kapi.cel.estimate import estimate
from kapi.cel.literal_checks import walk
from kapi.cel.nodes import Name
from kapi.cel.program import Program, compile_expression
from kapi.cel.source import CompileError
from kapi.cel.types import optional_of
from kapi.schema.structural import Schema

SELF, OLD_SELF = "self", "oldSelf"
Rule = Mapping[str, Any]


@dataclass(slots=True)
class Compiled:
    """One rule. An `error` of a rule leaves it without a program; prices are upper bounds."""

    rule: Rule
    program: Program | None = None
    error: str = ""
    cost: int = 0
    transition: bool = False  # whether it speaks of oldSelf
    message: Program | None = None
    message_error: str = ""
    message_cost: int = 0
    field_path: str = ""  # as a field of findings has it

    @property
    def optional_old(self) -> bool:
        return bool(self.rule.get("optionalOldSelf"))


@dataclass(slots=True)
class RuleCompiler:
    """Compiles the rules of nodes. `priced`: whether what they may cost is wanted."""

    priced: bool = True
    base: Environment = field(default_factory=kubernetes)

    def compile(self, schema: Schema, declared: Declared | None) -> tuple[Compiled, ...]:
        if declared is None:
            return ()
        made: dict[bool, Environment] = {}
        out = []
        for rule in schema.rules:
            optional = bool(rule.get("optionalOldSelf"))
            if optional not in made:
                old = optional_of(declared.type) if optional else declared.type
                made[optional] = self.base.extended({SELF: declared.type, OLD_SELF: old})
            out.append(_compiled(rule, schema, made[optional], declared, priced=self.priced))
        return tuple(out)


def _compiled(
    rule: Rule, schema: Schema, env: Environment, declared: Declared, *, priced: bool
) -> Compiled:
    out = Compiled(rule)
    text = rule.get("rule", "")
    if not text.strip():
        return out
    try:
        program = compile_expression(text, env)
    except CompileError as e:
        out.error = f"compilation failed: {e}"
        return out
    if program.type.kind != "bool":
        out.error = "cel expression must evaluate to a bool"
        return out
    out.program = program
    out.transition = _speaks_of(program, OLD_SELF)
    if priced:
        out.cost = estimate(program.tree, declared.type)[1]
    if rule.get("fieldPath"):
        out.field_path = normal_path(schema, rule["fieldPath"])
    message = rule.get("messageExpression", "")
    if message:
        _message(out, message, env, declared, priced=priced)
    return out


def _message(
    out: Compiled, text: str, env: Environment, declared: Declared, *, priced: bool
) -> None:
    try:
        program = compile_expression(text, env)
    except CompileError as e:
        out.message_error = f"messageExpression compilation failed: {e}"
        return
    if program.type.kind != "string":
        out.message_error = "messageExpression must evaluate to a string"
        return
    out.message = program
    if priced:
        out.message_cost = estimate(program.tree, declared.type)[1]


def _speaks_of(program: Program, name: str) -> bool:
    return any(isinstance(node, Name) and node.name == name for node in walk(program.tree))


def normal_path(schema: Schema, path: str) -> str:
    """A rule's fieldPath as a field of findings: `.a['b.c'].d` is `a.b.c.d`, a key of a map
    `a[key]`. The path was checked with its definition."""
    here: Schema | None = schema
    out = ""
    for name in _steps(path):
        properties = here.properties if here is not None else {}
        if properties or here is None:
            out += f".{name}"
            found = properties.get(name)
            here = found.schema if found is not None else None
        else:
            out += f"[{name}]"
            here = here.values
    return out.removeprefix(".")


def _steps(path: str) -> Iterator[str]:
    at = 0
    while at < len(path):
        if path[at] == "[":
            end = path.find("']", at + 2)
            while end > 0 and path[end - 1] == "\\":
                end = path.find("']", end + 1)
            if end < 0:
                return
            yield path[at + 2 : end].replace("\\'", "'").replace("\\\\", "\\")
            at = end + 2
            continue
        end = at + 1
        while end < len(path) and path[end] not in ".[":
            end += 1
        yield path[at + 1 : end]
        at = end
