"""Validating admission policies over one request: rules that users write as expressions.

Every policy that matches is evaluated with every binding and param: warnings and audit annotations
are given for all of them, and the request is refused with the first denial.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from kapi import errors
from kapi.admission.plugin import Attributes
from kapi.admission.policies.calls import Problem, Rooms, Seen, params_of, unknown_kind
from kapi.admission.policies.compiled import ValidatingPolicy, Validation
from kapi.admission.policies.metrics import PolicyMeter
from kapi.admission.policies.plugins import VALIDATING as NAME
from kapi.admission.policies.source import Binding, PolicySource
from kapi.admission.requests.evaluation import ConditionsFailed, OutOfBudget, Pass, Scene
from kapi.admission.requests.expressions import MESSAGE_BYTES_MAX, Expression
from kapi.admission.requests.rules import Place, called
from kapi.errors import ApiError

Json = dict[str, Any]
AUDIT_VALUE_BYTES_MAX = 10 * 1024
FAILURE = "validation.policy.admission.k8s.io/validation_failure"
# The status code of a denial, by its reason.
CODES = {"Forbidden": 403, "RequestEntityTooLarge": 413, "Invalid": 422}


Annotations = list[tuple[str, str, str]]  # key, value, or what is wrong


@dataclass(frozen=True, slots=True)
class Decision:
    """Of one validation. `message` empty: all is well."""

    message: str = ""
    reason: str = "Invalid"
    error: bool = False  # could not be evaluated
    passes: bool = False  # although it could not, because the policy ignores failures


@dataclass(slots=True)
class _Findings:
    """What all policies have against a request."""

    denials: list[tuple[str, str]] = field(default_factory=list)  # message, reason
    failed: bool = False  # whether a failure was put into the audit log

    def refuse(self, message: str, reason: str = "Invalid") -> None:
        self.denials.append((message, reason))


class ValidatingRun:
    """What the plugin does with a request that some policy may concern."""

    def __init__(
        self, source: PolicySource[ValidatingPolicy], rooms: Rooms, meter: PolicyMeter
    ) -> None:
        self._source = source
        self._rooms = rooms
        self._meter = meter

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        own = self._rooms.kinds.place(a)
        seen = Seen(self._rooms, a, own)
        findings = _Findings()
        for bound in self._source.bound(a.operation, a.group, a.resource, a.subresource):
            await self._policy(bound.policy, bound.bindings, a, own, seen, findings)
        if findings.denials:
            raise refusal(a, *findings.denials[0])

    async def _policy(
        self,
        policy: ValidatingPolicy,
        bindings: tuple[Binding, ...],
        a: Attributes,
        own: Place,
        seen: Seen,
        findings: _Findings,
    ) -> None:
        common = policy.common
        who = f"{NAME} '{common.name}'"
        try:
            place = await self._rooms.matcher.place(common.match, a, own)
            problem = unknown_kind(common, self._rooms.params) if place is not None else ""
        except ApiError as e:
            place, problem = own, e.message
        if problem and common.refuses:
            findings.refuse(f"{who} denied request: failed to configure policy: {problem}")
        if place is None or problem:
            return
        audits: dict[str, list[str]] = {}
        for binding in bindings:
            try:
                await self._binding(policy, binding, a, place, own, seen, findings, audits)
            except Problem as e:
                if common.refuses:
                    where = f"{who} with binding '{binding.name}'"
                    findings.refuse(f"{where} denied request: failed to configure binding: {e}")
        for key, values in audits.items():
            a.annotate(f"{common.name}/{key}", ", ".join(values))

    async def _binding(
        self,
        policy: ValidatingPolicy,
        binding: Binding,
        a: Attributes,
        place: Place,
        own: Place,
        seen: Seen,
        findings: _Findings,
        audits: dict[str, list[str]],
    ) -> None:
        """Raises Problem; ApiError 404 if the namespace is gone."""
        if binding.match is not None:
            try:
                if await self._rooms.matcher.place(binding.match, a, own) is None:
                    return
            except ApiError as e:
                raise Problem(e.message) from None
        params = await params_of(policy.common, binding, a.namespace, self._rooms.params)
        namespace = await self._rooms.namespace(a)
        told = _Told(self._meter, policy.common.name, binding, a, findings)
        for param in params:
            scene = await seen.scene(policy.common, place, param, namespace)
            with self._meter.timed() as seconds:
                decisions, annotations = await self._evaluated(policy, scene, a.operation)
            for i, decision in enumerate(decisions):
                told.decision(i, decision, seconds())
            for key, value, problem in annotations:
                if problem:
                    told.refuse(Decision(problem, error=True), seconds())
                elif value and value not in audits.setdefault(key, []):
                    audits[key].append(value)

    async def _evaluated(
        self, policy: ValidatingPolicy, scene: Scene, operation: str
    ) -> tuple[list[Decision], Annotations]:
        common = policy.common
        try:
            if not await self._meter.conditions(common, scene, operation):
                return [], []
        except ConditionsFailed as e:
            return [Decision(str(e), error=True, passes=not common.refuses)], []
        return await evaluated(policy, scene)


@dataclass(frozen=True, slots=True)
class _Told:
    """What a binding wants done about decisions."""

    meter: PolicyMeter
    policy: str
    binding: Binding
    a: Attributes
    findings: _Findings

    def decision(self, index: int, decision: Decision, seconds: float) -> None:
        if not decision.message:
            return
        if decision.passes:
            self._count("allow", decision, seconds)
            return
        for action in self.binding.actions:
            if action == "Deny":
                self.refuse(decision, seconds)
            elif action == "Audit":
                self._audit(index, decision)
                self._count("audit", decision, seconds)
            elif action == "Warn":
                self.a.warn(f"Validation failed for {self._who()}: {decision.message}")
                self._count("warn", decision, seconds)

    def refuse(self, decision: Decision, seconds: float) -> None:
        self.findings.refuse(f"{self._who()} denied request: {decision.message}", decision.reason)
        self._count("deny", decision, seconds)

    def _who(self) -> str:
        return f"{NAME} '{self.policy}' with binding '{self.binding.name}'"

    def _audit(self, index: int, decision: Decision) -> None:
        if self.findings.failed:
            return  # an annotation is written once; the first stays
        self.findings.failed = True
        value = {
            "message": decision.message,
            "policy": self.binding.policy,
            "binding": self.binding.name,
            "expressionIndex": index,
            "validationActions": list(self.binding.actions),
        }
        self.a.annotate(FAILURE, orjson.dumps([value]).decode())

    def _count(self, action: str, decision: Decision, seconds: float) -> None:
        error = decision.message if decision.error else ""
        self.meter.count(self.policy, self.binding.name, action, error, seconds)


def refusal(a: Attributes, message: str, reason: str) -> ApiError:
    error = errors.forbidden(a.group, a.resource, called(a), message)
    details = {**(error.details or {}), "causes": [{"message": message}]}
    return ApiError(CODES.get(reason, 422), reason, error.message, details=details)


# -- evaluation of one policy with one param ------------------------------------------------------


async def evaluated(policy: ValidatingPolicy, scene: Scene) -> tuple[list[Decision], Annotations]:
    """What the validations and audit annotations of a policy come to."""
    refuses = policy.common.refuses
    try:
        run = scene.begin()
        results = [await run.run(v.expression) for v in policy.validations]
        if all(result.value is True for result in results):
            messages, out = [None] * len(results), ""  # as almost always
        else:
            messages, out = await _messages(policy.validations, scene.begin(run.budget))
        decisions = []
        for validation, result, message in zip(policy.validations, results, messages, strict=True):
            if result.error:
                decisions.append(Decision(result.error, error=True, passes=not refuses))
            elif out:
                text = f"failed messageExpression: {out}"
                decisions.append(Decision(text, error=True, passes=not refuses))
            elif result.value is not True:
                decisions.append(Decision(_worded(validation, message), validation.reason))
            else:
                decisions.append(Decision())
        run = scene.begin()
        annotations = [
            await _annotation(key, value, run, refuses=refuses) for key, value in policy.audits
        ]
    except OutOfBudget as e:
        return [Decision(str(e), error=True, passes=not refuses)], []
    return decisions, annotations


async def _messages(validations: tuple[Validation, ...], run: Pass) -> tuple[list[Any], str]:
    """The values of message expressions, and why there are none where the budget did not last."""
    found: list[Any] = []
    for validation in validations:
        value = None
        if validation.by_expression is not None:
            try:
                value = (await run.run(validation.by_expression)).value
            except OutOfBudget as e:
                return [None] * len(validations), str(e)
        found.append(value)
    return found, ""


def _worded(validation: Validation, value: Any) -> str:
    text = value.strip() if isinstance(value, str) else ""
    if "\n" in text or len(text.encode()) > MESSAGE_BYTES_MAX:
        text = ""
    if not text:
        text = validation.message.strip()
    return text or f"failed expression: {validation.expression.text.strip()}"


async def _annotation(
    key: str, expression: Expression, run: Pass, *, refuses: bool
) -> tuple[str, str, str]:
    result = await run.run(expression)
    if result.error:
        return key, "", result.error if refuses else ""
    value = result.value.strip() if isinstance(result.value, str) else ""
    return key, value.encode()[:AUDIT_VALUE_BYTES_MAX].decode(errors="ignore"), ""
