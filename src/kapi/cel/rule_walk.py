"""The rules of a custom kind, run over an object: the evaluator behind `schema/validation.py`.

Nodes of a schema with rules on the way are compiled when the first object comes; a kind without
rules is never here. Each object has a budget, each evaluation a limit. What did not change may stay
as invalid as it was (KEP-4008), unless the rule compares with what was.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kapi.cel import rules
from kapi.cel.declared import declare
from kapi.cel.program import CALL_COST_MAX, CostLimitError, EvalError, Outcome, Program
from kapi.cel.rules import OLD_SELF, SELF, Compiled, RuleCompiler
from kapi.cel.values import NONE, Optional
from kapi.errors import NO_VALUE, FieldError, duplicate, field_forbidden, invalid_value, required
from kapi.schema.correlation import Past
from kapi.schema.structural import Schema, untyped_nodes

Json = dict[str, Any]
OBJECT_COST_MAX = 10_000_000  # units that all rules of an object may take together
LET_BE_MAX = 10_000
MESSAGE_BYTES_MAX = 5 * 1024  # of what a messageExpression gives
NOWHERE = "<nil>"
_NO_BUDGET = (
    "validation failed due to running out of cost budget, no further validation rules will be run"
)


class _Validator:
    """A schema node that has rules, or something below it that has."""

    __slots__ = ("compiled", "convert", "items", "kind", "properties", "schema", "values")

    def __init__(self, schema: Schema, compiled: tuple[Compiled, ...]) -> None:
        self.schema = schema
        self.compiled = compiled
        names = {"map": "object", "any": ""}
        self.kind = names.get(schema.type, schema.type)  # as findings name it
        self.convert: Callable[[Any], Any] | None = None
        self.properties: dict[str, _Validator] = {}
        self.items: _Validator | None = None
        self.values: _Validator | None = None


@dataclass(frozen=True, slots=True)
class Ratchet:
    """What an object, and the nearest part around it that has a past, was before."""

    here: Past | None
    parent: Past | None = None

    def key(self, name: str, *, root: bool) -> Ratchet:
        if self.here is None:
            return self
        if root and self.parent is None and name in ("apiVersion", "kind"):
            return _NO_PAST
        return Ratchet(self.here.field(name), self.here)

    def index(self, i: int) -> Ratchet:
        return self if self.here is None else Ratchet(self.here.item(i), self.here)

    @property
    def unchanged(self) -> bool:
        past = self.here or self.parent
        return past is not None and past.unchanged


_NO_PAST = Ratchet(None)


class RuleEvaluator:
    """`Rules` of `schema/validation.py`. One per server."""

    def __init__(self) -> None:
        self._compiler = RuleCompiler(priced=False)
        self._validators: dict[int, tuple[Schema, _Validator | None]] = {}
        self._let_be: set[int] = set()  # objects whose findings were not all, by identity

    def findings(self, schema: Schema, obj: Json, old: Json | None) -> list[FieldError]:
        found, warnings = self.judged(schema, obj, old)
        if warnings:
            if len(self._let_be) >= LET_BE_MAX:  # of writes that were refused, mostly
                self._let_be.clear()
            self._let_be.add(id(obj))
        else:
            self._let_be.discard(id(obj))
        return found

    def warnings(self, schema: Schema, obj: Json, old: Json) -> list[str]:
        """Asked after `findings`, between which others may ask about other objects; the rules run
        again only where there is something."""
        if id(obj) not in self._let_be:
            return []
        self._let_be.discard(id(obj))
        return self.judged(schema, obj, old)[1]

    def of_default(self, schema: Schema, path: str) -> list[FieldError]:
        """What the rules of a schema have against its own default."""
        validator = self._validator(schema, root=schema.embedded_resource)
        if validator is None:
            return []
        # As if it had been there before, then as if it had not.
        for old in (schema.default, None):
            walk = _Walk()
            walk.visit(validator, path, schema.default, old, _NO_PAST)
            if walk.found:
                return walk.found
        return []

    def judged(
        self, schema: Schema, obj: Json, old: Json | None
    ) -> tuple[list[FieldError], list[str]]:
        """Findings, and warnings about what is wrong but was so before."""
        found = self._validators.get(id(schema))
        if found is None:
            found = (schema, self._validator(schema, root=True))
            self._validators[id(schema)] = found
        if found[1] is None:
            return [], []
        walk = _Walk()
        past = Ratchet(Past(schema, obj, old) if old is not None else None)
        walk.visit(found[1], "", obj, old, past)
        return walk.found, walk.warnings

    def forget(self, schema: Schema) -> None:
        """Drop what was made for a schema."""
        self._validators.pop(id(schema), None)

    def _validator(self, schema: Schema, *, root: bool) -> _Validator | None:
        if schema.typed or not any(node.rules for node in untyped_nodes(schema)):
            return None
        declared = declare(schema, root=root) if schema.rules else None
        out = _Validator(schema, self._compiler.compile(schema, declared))
        if declared is not None:
            out.convert = declared.type.convert
        for name, p in schema.properties.items():
            inner = schema.meta if p.schema.typed else p.schema
            if inner is None:
                continue
            made = self._validator(inner, root=inner.embedded_resource)
            if made is not None:
                out.properties[name] = made
        if schema.items is not None:
            out.items = self._validator(schema.items, root=schema.items.embedded_resource)
        if schema.values is not None:
            out.values = self._validator(schema.values, root=schema.values.embedded_resource)
        return out


class _BudgetSpentError(Exception):
    """No further rule is run."""


class _Walk:
    def __init__(self) -> None:
        self.found: list[FieldError] = []
        self.warnings: list[str] = []
        self._budget = OBJECT_COST_MAX

    def visit(self, node: _Validator, path: str, obj: Any, old: Any, past: Ratchet) -> None:
        with contextlib.suppress(_BudgetSpentError):
            self._visit(node, path, obj, old, past)

    def _visit(self, node: _Validator, path: str, obj: Any, old: Any, past: Ratchet) -> None:
        if obj is None:
            return
        if node.compiled:
            self._evaluate(node, path, obj, old, past)
        if isinstance(obj, dict):
            self._map(node, path, obj, old if isinstance(old, dict) else {}, past)
        elif isinstance(obj, list) and node.items is not None:
            before = Past(node.schema, obj, old) if isinstance(old, list) else None
            for i, item in enumerate(obj):
                was = before.item(i) if before is not None else None
                was_value = was.old if was is not None else None
                self._visit(node.items, f"{path}[{i}]", item, was_value, past.index(i))

    def _map(self, node: _Validator, path: str, obj: Json, old: Json, past: Ratchet) -> None:
        for key, value in obj.items():
            inner = node.properties.get(key)
            where = f"{path}.{key}" if path else key
            if inner is None:
                inner, where = node.values, f"{path}[{key}]"
                if inner is None or key in node.schema.properties:
                    continue
            self._visit(inner, where, value, old.get(key), past.key(key, root=not path))

    # -- rules ------------------------------------------------------------------------------------

    def _evaluate(self, node: _Validator, path: str, obj: Any, old: Any, past: Ratchet) -> None:
        if self._budget <= 0:
            self._stop(node, path, _NO_BUDGET)
        values = {SELF: obj} if old is None else {SELF: obj, OLD_SELF: old}
        for compiled in node.compiled:
            if compiled.error:
                text = f"rule compile error: {compiled.error}"
                self.found.append(invalid_value(path or NOWHERE, node.kind, text))
                continue
            if compiled.program is None:
                continue
            given = values
            if compiled.transition:
                if old is None and not compiled.optional_old:
                    continue
                if compiled.optional_old:
                    given = {SELF: obj, OLD_SELF: _optional(node, old)}
            outcome = self._run(compiled.program, given, node, path)
            if outcome.error is not None:
                self._failed(outcome.error, compiled, node, path)
            elif outcome.value is not True:
                self._violated(compiled, node, path, values, past)

    def _run(self, program: Program, given: Json, node: _Validator, path: str) -> Outcome:
        outcome = program.evaluate(given, limit=CALL_COST_MAX)
        if outcome.cost > self._budget:
            self._stop(node, path, _NO_BUDGET)
        self._budget -= outcome.cost
        return outcome

    def _stop(self, node: _Validator, path: str, text: str) -> None:
        self.found.append(invalid_value(path or NOWHERE, node.kind, text))
        raise _BudgetSpentError

    def _failed(self, error: EvalError, compiled: Compiled, node: _Validator, path: str) -> None:
        shown = rule_text(compiled.rule)
        if isinstance(error, CostLimitError):
            more = "no further validation rules will be run due to call cost exceeds limit for rule"
            self._stop(node, path, f"'{error}': {more}: {shown}")
        if str(error).startswith("no such overload"):
            more = (
                "call arguments did not match a supported operator, function or macro signature "
                "for rule"
            )
            text = f"'{error}': {more}: {shown}"
        else:
            text = f"{error} evaluating rule: {shown}"
        self.found.append(invalid_value(path or NOWHERE, node.kind, text))

    def _violated(
        self, compiled: Compiled, node: _Validator, path: str, values: Json, past: Ratchet
    ) -> None:
        where = path
        if compiled.field_path:
            where = f"{path}.{compiled.field_path}" if path else compiled.field_path
        message, spent = self._message(compiled, values)
        value = values[SELF]
        if spent:
            self._add(invalid_value(where or NOWHERE, node.kind, message), compiled, past)
            raise _BudgetSpentError
        shown = NO_VALUE if isinstance(value, dict | list) else value
        self._add(_finding(compiled.rule, where or NOWHERE, shown, message), compiled, past)

    def _add(self, finding: FieldError, compiled: Compiled, past: Ratchet) -> None:
        if not compiled.transition and past.unchanged:
            self.warnings.append(str(finding))
        else:
            self.found.append(finding)

    def _message(self, compiled: Compiled, values: Json) -> tuple[str, bool]:
        """What a finding says; whether the budget is spent by it."""
        if compiled.message is not None:
            outcome = compiled.message.evaluate(values, limit=CALL_COST_MAX)
            if outcome.cost > self._budget:
                return (
                    "messageExpression evaluation failed due to running out of cost budget, no "
                    "further validation rules will be run"
                ), True
            self._budget -= outcome.cost
            if isinstance(outcome.error, CostLimitError):
                text = "no further validation rules will be run due to call cost exceeds limit for"
                return f"{text} messageExpression: {compiled.message.text!r}", True
            if outcome.error is None and isinstance(outcome.value, str):
                made = outcome.value.strip()
                if made and "\n" not in made and len(made.encode()) <= MESSAGE_BYTES_MAX:
                    return made, False
        given = compiled.rule.get("message", "")
        return (given.strip() or f"failed rule: {rule_text(compiled.rule)}"), False


def _optional(node: _Validator, old: Any) -> Optional:
    if old is None:
        return NONE
    return Optional(True, node.convert(old) if node.convert is not None else old)


def rule_text(rule: rules.Rule) -> str:
    """How a finding names a rule."""
    message: str = rule.get("message", "")
    return (message or str(rule.get("rule", ""))).strip()


def _finding(rule: rules.Rule, where: str, value: Any, message: str) -> FieldError:
    reason = rule.get("reason")
    if reason == "FieldValueForbidden":
        return field_forbidden(where, message)
    if reason == "FieldValueRequired":
        return required(where, message)
    if reason == "FieldValueDuplicate":
        return duplicate(where, value)
    return invalid_value(where, value, message)
