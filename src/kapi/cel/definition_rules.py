"""The rules in the schema of a definition: do they compile, what may they cost, may they look back?

`RuleChecks` of `kinds/definitions/schemas.py`. Rules of a part of the schema that is wrong
otherwise are not looked at.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from kapi.cel.call_estimates import MOST
from kapi.cel.declared import REQUEST_BYTES_MAX, Declared, Made, declare
from kapi.cel.rule_walk import RuleEvaluator
from kapi.cel.rules import Compiled, RuleCompiler
from kapi.errors import FieldError, GoText, field_forbidden, invalid_value
from kapi.schema.custom_parsing import parse
from kapi.schema.structural import Constraints, Schema, SchemaSource

Json = dict[str, Any]
RULE_COST_MAX = 10_000_000  # that a rule may be estimated at, for all its places in an object
DEFINITION_COST_MAX = 100_000_000  # for all rules of a schema
EXPENSIVE_SHOWN = 4
_RULES = "x-kubernetes-validations"
_NO_CONSTRAINTS = Constraints()


class DefinitionRules:
    """One per server."""

    def __init__(self, object_meta: SchemaSource) -> None:
        self._object_meta = object_meta
        self._compiler = RuleCompiler()

    def __call__(
        self, props: Json, path: str, wrong: Sequence[FieldError] = ()
    ) -> list[FieldError]:
        """About the rules in a schema. `wrong`: what was found about it otherwise."""
        if not _any_rules(props):
            return []
        schema = parse(props, self._object_meta())
        found = list(_defaults(schema, path))
        if found:
            return found
        check = _Check(self._compiler, [finding.field for finding in wrong])
        check.node(schema, props, path, cardinality=1, root=True)
        return check.found + check.total(path)


def _defaults(schema: Schema, path: str) -> Iterator[FieldError]:
    """Defaults that the rules of their own schema refuse."""
    if schema.default is not None:
        for finding in RuleEvaluator().of_default(schema, f"{path}.default"):
            if not finding.detail.startswith("rule compile error"):
                yield finding
    if schema.items is not None:
        yield from _defaults(schema.items, f"{path}.items")
    if schema.values is not None:
        yield from _defaults(schema.values, f"{path}.additionalProperties")
    for name, p in schema.properties.items():
        below = schema.meta if p.schema.typed else p.schema
        if below is not None:
            yield from _defaults(below, f"{path}.properties[{name}]")


def _any_rules(props: Json) -> bool:
    if props.get(_RULES):
        return True
    return any(_any_rules(child) for child in _children(props))


def _children(props: Json) -> list[Json]:
    found = list((props.get("properties") or {}).values())
    found += [props[n] for n in ("items", "additionalProperties") if isinstance(props.get(n), dict)]
    return found


class _Check:
    def __init__(self, compiler: RuleCompiler, wrong: list[str]) -> None:
        self._compiler = compiler
        self._wrong = wrong
        self.found: list[FieldError] = []
        self._sum = 0
        self._made: Made = {}
        self._expensive: list[tuple[int, str]] = []

    def node(
        self,
        schema: Schema,
        props: Json,
        path: str,
        *,
        cardinality: int | None,
        root: bool,
        no_past: str = "",
    ) -> None:
        """`cardinality`: how many such parts an object may have, None without bound. `no_past`:
        the path of the outermost part around whose items have no past."""
        inside = _product(cardinality, _elements(schema))
        if schema.values is not None and isinstance(props.get("additionalProperties"), dict):
            self.node(schema.values, props["additionalProperties"],
                      f"{path}.additionalProperties", cardinality=inside,
                      root=schema.values.embedded_resource, no_past=no_past)  # fmt: skip
        for name, below in (props.get("properties") or {}).items():
            p = schema.properties[name]
            inner = schema.meta if p.schema.typed else p.schema
            if inner is not None:
                self.node(inner, below, f"{path}.properties[{name}]", cardinality=inside,
                          root=inner.embedded_resource, no_past=no_past)  # fmt: skip
        if schema.items is not None and isinstance(props.get("items"), dict):
            of_items = no_past if schema.list_type == "map" else no_past or path
            self.node(schema.items, props["items"], f"{path}.items", cardinality=inside,
                      root=schema.items.embedded_resource, no_past=of_items)  # fmt: skip
        if schema.rules and not any(field.startswith(path) for field in self._wrong):
            declared = declare(schema, root=root, made=self._made)
            self._rules(schema, declared, path, cardinality, no_past)

    def _rules(
        self,
        schema: Schema,
        declared: Declared | None,
        path: str,
        cardinality: int | None,
        no_past: str,
    ) -> None:
        if declared is None:
            text = (
                "internal error: failed to construct type information for "
                f"{_RULES} rules: unable to convert structural schema to CEL declarations"
            )
            self.found.append(FieldError(f"{path}.{_RULES}", "InternalError", detail=text))
            return
        places = cardinality
        if places is None:
            places = REQUEST_BYTES_MAX // (declared.bytes_least + 1)
        for i, compiled in enumerate(self._compiler.compile(schema, declared)):
            self._rule(compiled, f"{path}.{_RULES}[{i}]", places, no_past)

    def _rule(self, compiled: Compiled, where: str, places: int, no_past: str) -> None:
        cost = min(compiled.cost * places, MOST)
        if cost > RULE_COST_MAX:
            text = _too_expensive("estimated rule cost", cost, RULE_COST_MAX)
            self.found.append(field_forbidden(f"{where}.rule", text))
        self._count(f"{where}.rule", cost)
        if compiled.error:
            self.found.append(invalid_value(f"{where}.rule", _shown(compiled), compiled.error))
        expression = f"{where}.messageExpression"
        if compiled.message_error:
            finding = invalid_value(expression, _shown(compiled), compiled.message_error)
            self.found.append(finding)
        elif compiled.message is not None:
            cost = compiled.message_cost
            if cost > RULE_COST_MAX:
                text = _too_expensive("estimated messageExpression cost", cost, RULE_COST_MAX)
                self.found.append(field_forbidden(expression, text))
            self._count(expression, cost)
        if compiled.transition:
            if no_past:
                text = (
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within "
                    f"{no_past}"
                )
                self.found.append(invalid_value(f"{where}.rule", compiled.rule["rule"], text))
        elif compiled.rule.get("optionalOldSelf") is not None:
            given, text = compiled.rule["optionalOldSelf"], "may not be set if oldSelf is not used"
            self.found.append(invalid_value(f"{where}.optionalOldSelf", given, f"{text} in rule"))

    def _count(self, where: str, cost: int) -> None:
        self._sum = min(self._sum + cost, MOST)
        if cost >= DEFINITION_COST_MAX // 100:
            self._expensive.append((cost, where))
            self._expensive.sort(key=lambda pair: -pair[0])
            del self._expensive[EXPENSIVE_SHOWN:]

    def total(self, path: str) -> list[FieldError]:
        if self._sum <= DEFINITION_COST_MAX:
            return []
        text = (
            "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 "
            "schema"
        )
        found = [field_forbidden(where, text) for _, where in self._expensive]
        name = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema"
        text = _too_expensive(name, self._sum, DEFINITION_COST_MAX)
        return [*found, field_forbidden(path, text)]


def _elements(schema: Schema) -> int | None:
    """How many parts of a kind a node may have right below it; None without bound."""
    c = schema.constraints or _NO_CONSTRAINTS
    if schema.type == "array":
        return None if c.max_items is None else max(c.max_items, 0)
    if schema.values is not None:
        return None if c.max_properties is None else max(c.max_properties, 0)
    return 1


def _product(a: int | None, b: int | None) -> int | None:
    return None if a is None or b is None else min(a * b, MOST)


def _too_expensive(name: str, cost: int, limit: int) -> str:
    times = cost / limit
    if times > 100:
        factor = "more than 100x"
    else:
        factor = f"{times:f}x" if times < 1.5 else f"{times:.1f}x"
    return (
        f"{name} exceeds budget by factor of {factor} (try simplifying the rule, or adding "
        "maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared)"
    )


_HTML = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


def _shown(compiled: Compiled) -> GoText:
    """A rule as the real server prints its internal form."""
    rule = compiled.rule
    shown = {
        "Rule": rule.get("rule", ""),
        "Message": rule.get("message", ""),
        "MessageExpression": rule.get("messageExpression", ""),
        "Reason": rule.get("reason"),
        "FieldPath": rule.get("fieldPath", ""),
        "OptionalOldSelf": rule.get("optionalOldSelf"),
    }
    text = json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
    return GoText("".join(_HTML.get(c, c) for c in text))
