"""Admission policies, compiled: what is left of a policy when all its expressions are programs.

Pure. Made when a policy or a binding changes (`source.py`), run by the plugins. An
expression that does not compile fails where it is used.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kapi.admission.requests.expressions import (
    APPLY_CONFIGURATION,
    AUDIT_VALUE,
    CONDITION,
    JSON_PATCHES,
    MESSAGE,
    Composer,
    Expression,
)
from kapi.admission.requests.matching import Match

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Common:
    """What both kinds of policy have."""

    name: str
    match: Match
    refuses: bool  # failurePolicy Fail
    param_kind: tuple[str, str] | None  # apiVersion and kind
    variables: tuple[tuple[str, Expression], ...]
    conditions: tuple[Expression, ...]


@dataclass(frozen=True, slots=True)
class Validation:
    expression: Expression
    message: str
    by_expression: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class ValidatingPolicy:
    common: Common
    validations: tuple[Validation, ...]
    audits: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Mutation:
    json_patch: bool  # else an apply configuration
    expression: Expression


@dataclass(frozen=True, slots=True)
class MutatingPolicy:
    common: Common
    mutations: tuple[Mutation, ...]
    reinvoked: bool


def validating_policy(policy: Json) -> ValidatingPolicy:
    spec = policy.get("spec") or {}
    composer, common = _common(policy["metadata"]["name"], spec)
    return ValidatingPolicy(
        common,
        tuple(_validation(composer, v) for v in spec.get("validations") or ()),
        tuple(
            (audit.get("key", ""), composer.compiled(audit["valueExpression"].strip(), AUDIT_VALUE))
            for audit in spec.get("auditAnnotations") or ()
        ),
    )


def mutating_policy(policy: Json) -> MutatingPolicy:
    spec = policy.get("spec") or {}
    composer, common = _common(policy["metadata"]["name"], spec)
    return MutatingPolicy(
        common,
        tuple(_mutation(composer, m) for m in spec.get("mutations") or ()),
        spec.get("reinvocationPolicy") == "IfNeeded",
    )


def _common(name: str, spec: Json) -> tuple[Composer, Common]:
    kind = spec.get("paramKind")
    variables = spec.get("variables") or ()
    composer = Composer(params=kind is not None, composes=bool(variables))
    return composer, Common(
        name=name,
        match=Match.parse(spec.get("matchConstraints") or {}),
        refuses=spec.get("failurePolicy") != "Ignore",
        param_kind=(kind.get("apiVersion", ""), kind.get("kind", "")) if kind else None,
        variables=tuple(
            (v["name"], composer.variable(v["name"], v["expression"])) for v in variables
        ),
        conditions=tuple(
            composer.compiled(c["expression"].strip(), CONDITION)
            for c in spec.get("matchConditions") or ()
        ),
    )


def _validation(composer: Composer, validation: Json) -> Validation:
    by_expression = validation.get("messageExpression")
    return Validation(
        composer.compiled(validation["expression"], CONDITION),
        validation.get("message", ""),
        composer.compiled(by_expression, MESSAGE, authorizer=False) if by_expression else None,
        validation.get("reason") or "Invalid",
    )


def _mutation(composer: Composer, mutation: Json) -> Mutation:
    json_patch = mutation.get("patchType") == "JSONPatch"
    text = mutation["jsonPatch" if json_patch else "applyConfiguration"].get("expression", "")
    returns = JSON_PATCHES if json_patch else APPLY_CONFIGURATION
    return Mutation(json_patch, composer.compiled(text, returns, patches=True))
