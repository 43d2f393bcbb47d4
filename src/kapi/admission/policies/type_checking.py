"""Would the expressions of a ValidatingAdmissionPolicy fit the kinds it is about? Pure.

A policy is in force whatever is found here; the findings are warnings in its status. Each
expression is compiled once for each kind that the rules name, with `object`, `oldObject` and
`params` of the type that the kind's schema declares. Rules with wildcards say nothing of kinds.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#type-checking
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

from kapi.admission.requests.expressions import ANYTHING, compiled, environment
from kapi.admission.requests.rules import Kind
from kapi.cel.declared import escape
from kapi.cel.environment import Environment
from kapi.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    STRING,
    TIMESTAMP,
    StructType,
    Type,
    list_of,
    map_of,
)
from kapi.schema.structural import Schema

Json = dict[str, Any]
KINDS_MAX = 10  # of one policy that are looked at
_FAILED = "compilation failed: "
_SCALARS = {"string": STRING, "integer": INT, "number": DOUBLE, "boolean": BOOL}
_FORMATS = {"date-time": TIMESTAMP, "micro-time": TIMESTAMP, "byte": BYTES, "quantity": STRING}
# What is served at (group, version, plural), with its schema; None for nothing.
Served = Callable[[str, str, str], tuple[Kind, Schema] | None]


class SchemaType(StructType):
    """An object with the fields of a schema, made when asked for: kinds may be recursive."""

    __slots__ = ("_schema",)

    def __init__(self, name: str, schema: Schema) -> None:
        super().__init__(name, {})
        self._schema = schema

    def field(self, name: str) -> Type | None:
        for p in self._schema.properties.values():
            if escape(p.name) == name:
                return type_of_schema(p.schema, f"{self.name}.{p.name}")
        return None


def type_of_schema(schema: Schema, name: str) -> Type:
    if schema.format in ("int-or-string", "raw"):
        return DYN
    if schema.format in _FORMATS:
        return _FORMATS[schema.format]
    if schema.type == "array":
        return list_of(_inner(schema.items, name))
    if schema.type == "map" or (schema.type == "object" and not schema.properties):
        return DYN if schema.preserve_unknown else map_of(STRING, _inner(schema.values, name))
    if schema.type == "object":
        return SchemaType(name, schema)
    return _SCALARS.get(schema.type, DYN)


def _inner(schema: Schema | None, name: str) -> Type:
    return type_of_schema(schema, f"{name}.@") if schema is not None else DYN


def kinds_of(policy: Json, served: Served) -> list[tuple[Kind, Schema]]:
    """What the rules of a policy name without wildcards, in order."""
    found: dict[Kind, Schema] = {}
    constraints = (policy.get("spec") or {}).get("matchConstraints") or {}
    for rule in constraints.get("resourceRules") or ():
        for group, version, plural in _named(rule):
            here = served(group, version, plural)
            if here is not None and len(found) < KINDS_MAX:
                found[here[0]] = here[1]
    return sorted(found.items(), key=lambda pair: pair[0])


def _named(rule: Json) -> Iterator[tuple[str, str, str]]:
    groups, versions = rule.get("apiGroups") or (), rule.get("apiVersions") or ()
    if any("*" in name for name in (*groups, *versions)):
        return
    plurals = [r for r in rule.get("resources") or () if "*" not in r and "/" not in r]
    for group in sorted(groups):
        for version in sorted(versions):
            for plural in sorted(plurals):
                yield group, version, plural


def warnings(
    policy: Json, kinds: Sequence[tuple[Kind, Schema]], params: Schema | None
) -> list[Json]:
    """`status.typeChecking.expressionWarnings`. `params`: of the policy's paramKind, if it is
    served.
    """
    spec = policy.get("spec") or {}
    variables = spec.get("variables") or ()
    where = [(kind, _environment(schema, params, variables)) for kind, schema in kinds]
    out: list[Json] = []
    for i, validation in enumerate(spec.get("validations") or ()):
        for name in ("expression", "messageExpression"):
            text = validation.get(name)
            found = (
                [told for kind, env in where if (told := _told(kind, text, env))] if text else []
            )
            if found:
                ref = f"spec.validations[{i}].{name}"
                out.append({"fieldRef": ref, "warning": "\n".join(found)})
    return out


def _told(kind: Kind, text: str, where: Environment) -> str:
    problem = compiled(text, where, ANYTHING).problem.removeprefix(_FAILED)
    shown = f"{kind.group}/{kind.version}, Kind={kind.kind}"
    return f"{shown}: {problem}\n" if problem else ""


def _environment(schema: Schema, params: Schema | None, variables: Sequence[Json]) -> Environment:
    base = environment(params=params is not None, authorizer=True)
    known = {**base.variables, "object": type_of_schema(schema, "object")}
    known["oldObject"] = known["object"]
    known.pop("authorizer.requestResource")  # not known to the real checker either
    if params is not None:
        known["params"] = type_of_schema(params, "params")
    fields: dict[str, Type] = {}
    for variable in variables:
        out = compiled(variable["expression"], _with(base, known, fields), ANYTHING)
        fields[variable["name"]] = out.type
    return _with(base, known, fields)


def _with(base: Environment, known: dict[str, Type], fields: dict[str, Type]) -> Environment:
    composed = StructType("kubernetes.variables", dict(fields))
    return replace(base, variables={**known, "variables": composed})
