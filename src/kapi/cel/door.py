"""What others hold of the rules of custom kinds; the engine is imported with the first rule.

`Rules` runs rules over objects (`schema/validation.py`), `DefinitionChecks` looks at the rules of a
definition (`kinds/definitions/schemas.py`). A server whose kinds have no rules never loads the
engine.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from kapi.errors import FieldError
from kapi.schema.structural import Schema, SchemaSource

if TYPE_CHECKING:
    from kapi.cel.definition_rules import DefinitionRules
    from kapi.cel.rule_walk import RuleEvaluator

Json = dict[str, Any]


class Rules:
    """`schema.validation.Rules`. One per server."""

    def __init__(self) -> None:
        self._evaluator: RuleEvaluator | None = None

    def findings(self, schema: Schema, obj: Json, old: Json | None) -> list[FieldError]:
        if self._evaluator is None:
            from kapi.cel.rule_walk import RuleEvaluator

            self._evaluator = RuleEvaluator()
        return self._evaluator.findings(schema, obj, old)

    def warnings(self, schema: Schema, obj: Json, old: Json) -> list[str]:
        return self._evaluator.warnings(schema, obj, old) if self._evaluator is not None else []

    def forget(self, schema: Schema) -> None:
        if self._evaluator is not None:
            self._evaluator.forget(schema)


class DefinitionChecks:
    """`kinds.definition_schemas.RuleChecks`. One per server."""

    def __init__(self, object_meta: SchemaSource) -> None:
        self._object_meta = object_meta
        self._rules: DefinitionRules | None = None

    def __call__(self, props: Json, path: str, wrong: Sequence[FieldError]) -> list[FieldError]:
        if self._rules is None:
            if not _any_rules(props):
                return []
            from kapi.cel.definition_rules import DefinitionRules

            self._rules = DefinitionRules(self._object_meta)
        return self._rules(props, path, wrong)


def _any_rules(props: Json) -> bool:
    """Whether there are rules anywhere in a schema."""
    if props.get("x-kubernetes-validations"):
        return True
    below = list((props.get("properties") or {}).values())
    below += [props[n] for n in ("items", "additionalProperties") if isinstance(props.get(n), dict)]
    return any(map(_any_rules, below))
