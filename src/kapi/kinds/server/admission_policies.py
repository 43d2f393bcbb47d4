"""ValidatingAdmissionPolicy, MutatingAdmissionPolicy; what binds them is in
`policy_bindings.py`.

Expressions are compiled with the variables that came before them; what the compiler says is a
finding. It is loaded with the first policy.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from kapi.errors import (
    FieldError,
    duplicate,
    invalid_value,
    not_supported,
    required,
)
from kapi.kinds.shared import checks
from kapi.kinds.shared import webhook_rules as rules
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.registry import names
from kapi.registry.strategy import Context

if TYPE_CHECKING:
    from kapi.admission.requests.expressions import Expression

Json = dict[str, Any]

FAILURE_POLICIES = ("Fail", "Ignore")
MATCH_POLICIES = ("Equivalent", "Exact")
REINVOCATION = ("IfNeeded", "Never")
AUDIT_ANNOTATIONS_MAX = 20
_REASONS = ("Forbidden", "Invalid", "RequestEntityTooLarge")
_PATCH_TYPES = ("ApplyConfiguration", "JSONPatch")
_MUTATED = ("*", "CONNECT", "CREATE", "UPDATE")
AUDIT_EXPRESSION_BYTES_MAX = 5 * 1024
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_RESERVED = re.compile(
    "(true|false|null|in|as|break|const|continue|else|for|function|if|import|let|loop|package"
    r"|namespace|return|var|void|while)\Z"
)
_LINE_BREAK = re.compile(r"[\n\r]")


class ValidatingPolicyStrategy(Plain):
    standard_finalizers = False
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource == "status":
            return _status(obj.get("status") or {})
        spec = obj.get("spec") or {}
        compiler = _Compiler(spec)
        out = _common(spec, compiler)
        validations, audits = spec.get("validations") or [], spec.get("auditAnnotations") or []
        if not validations and not audits:
            text = "validations or auditAnnotations must contain at least one item"
            out.append(required("spec.validations", text))
            out.append(required("spec.auditAnnotations", text))
            return out
        for i, validation in enumerate(validations):
            out += _validation(validation, f"spec.validations[{i}]", compiler)
        return out + _audits(audits, obj["metadata"].get("name", ""), compiler)


class MutatingPolicyStrategy(Plain):
    standard_finalizers = False
    unconditional_update = False

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        compiler = _Compiler(spec)
        out = _common(spec, compiler, mutating=True)
        mutations = spec.get("mutations") or []
        if not mutations:
            out.append(required("spec.mutations", "mutations must contain at least one item"))
        for i, mutation in enumerate(mutations):
            out += _mutation(mutation, f"spec.mutations[{i}]", compiler)
        again = spec.get("reinvocationPolicy", "")
        if not again:
            out.append(required("spec.reinvocationPolicy"))
        elif again not in REINVOCATION:
            out.append(not_supported("spec.reinvocationPolicy", again, REINVOCATION))
        return out


class _Compiler:
    """Of the expressions of one policy, in their order."""

    def __init__(self, spec: Json) -> None:
        from kapi.admission.requests import expressions

        self._types = expressions
        self.params = spec.get("paramKind") is not None
        self._composer = expressions.Composer(
            params=self.params, composes=bool(spec.get("variables"))
        )

    def variable(self, name: str, text: str, path: str) -> list[FieldError]:
        return _told(self._composer.variable(name, text), path)

    def condition(self, text: str, path: str) -> list[FieldError]:
        return _told(self._composer.compiled(text, self._types.CONDITION), path)

    def message(self, text: str, path: str) -> list[FieldError]:
        out = self._composer.compiled(text, self._types.MESSAGE, authorizer=False)
        return _told(out, path)

    def audit_value(self, text: str, path: str) -> list[FieldError]:
        return _told(self._composer.compiled(text.strip(), self._types.AUDIT_VALUE), path, text)

    def patch(self, text: str, path: str, *, json_patch: bool) -> list[FieldError]:
        types = self._types
        returns = types.JSON_PATCHES if json_patch else types.APPLY_CONFIGURATION
        return _told(self._composer.compiled(text, returns, patches=True), path)


def _told(out: Expression, path: str, text: str | None = None) -> list[FieldError]:
    """`text`: the expression as it was written, where it was compiled in another form."""
    shown = out.text if text is None else text
    return [invalid_value(path, shown, out.problem)] if out.program is None else []


def _common(spec: Json, compiler: _Compiler, *, mutating: bool = False) -> list[FieldError]:
    """What both kinds of policy say: when they apply, and what happens if they fail."""
    out: list[FieldError] = []
    failure = spec.get("failurePolicy")
    if failure is None:
        out.append(required("spec.failurePolicy"))
    elif failure not in FAILURE_POLICIES:
        out.append(not_supported("spec.failurePolicy", failure, FAILURE_POLICIES))
    if spec.get("paramKind") is not None:
        out += _param_kind(spec["paramKind"], "spec.paramKind")
    constraints = spec.get("matchConstraints")
    if constraints is None:
        out.append(required("spec.matchConstraints"))
    else:
        out += match_resources(constraints, "spec.matchConstraints")
        if not constraints.get("resourceRules"):
            out.append(required("spec.matchConstraints.resourceRules"))
        if mutating:
            out += mutable(constraints, "spec.matchConstraints")
    conditions = spec.get("matchConditions") or []
    out += rules.match_conditions(conditions, "spec.matchConditions", params=compiler.params)
    for i, variable in enumerate(spec.get("variables") or ()):
        out += _variable(variable, f"spec.variables[{i}]", compiler)
    return out


def _param_kind(kind: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    text, name = kind.get("apiVersion", ""), kind.get("kind", "")
    if not text:
        out.append(required(f"{path}.apiVersion"))
    elif text.count("/") > 1:
        words = f"unexpected GroupVersion string: {text}"
        out.append(invalid_value(f"{path}.apiVersion", text, words))
    else:
        group, _, version = text.rpartition("/")
        if group:
            found = names.dns_subdomain(group)
            if found:
                out.append(invalid_value(f"{path}.apiVersion", group, ",".join(found)))
        found = names.dns_1035_label(version)
        if not version:
            out.append(invalid_value(f"{path}.apiVersion", text, "version must be specified"))
        elif found:
            out.append(invalid_value(f"{path}.apiVersion", version, ",".join(found)))
    if not name:
        out.append(required(f"{path}.kind"))
    else:
        found = names.dns_1035_label(name.lower())
        if found:
            words = "may have mixed case, but should otherwise match: " + ",".join(found)
            out.append(invalid_value(f"{path}.kind", name, words))
    return out


def match_resources(resources: Json, path: str) -> list[FieldError]:
    out: list[FieldError] = []
    policy = resources.get("matchPolicy")
    if policy is None:
        out.append(required(f"{path}.matchPolicy"))
    elif policy not in MATCH_POLICIES:
        out.append(not_supported(f"{path}.matchPolicy", policy, MATCH_POLICIES))
    for name in ("namespaceSelector", "objectSelector"):
        if resources.get(name) is None:
            out.append(required(f"{path}.{name}"))
        else:
            out += checks.label_selector(resources[name], f"{path}.{name}")
    for name in ("resourceRules", "excludeResourceRules"):
        for i, item in enumerate(resources.get(name) or ()):
            where = f"{path}.{name}[{i}]"
            out += _resource_names(item.get("resourceNames") or [], f"{where}.resourceNames")
            out += rules.rule(item, where)
    return out


def mutable(resources: Json, path: str) -> list[FieldError]:
    """What is deleted cannot be changed. The path says nothing of which rule."""
    where = f"{path}.resourceRules.operations"
    return [
        not_supported(where, operation, _MUTATED)
        for item in resources.get("resourceRules") or ()
        for operation in item.get("operations") or ()
        if operation not in _MUTATED
    ]


def _resource_names(listed: list[str], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, name in enumerate(listed):
        out += checks.each(f"{path}[{i}]", name, names.path_segment(name))
        if name in seen:
            out.append(duplicate(f"{path}[{i}]", name))
        seen.add(name)
    return out


def _variable(variable: Json, path: str, compiler: _Compiler) -> list[FieldError]:
    """A name that comes twice is no error: the later one counts."""
    out: list[FieldError] = []
    name = variable.get("name", "")
    if not name.strip():
        out.append(required(f"{path}.name", "name is not specified"))
    elif not _IDENTIFIER.match(name) or _RESERVED.match(name):
        out.append(invalid_value(f"{path}.name", name, "name is not a valid CEL identifier"))
    text = variable.get("expression", "")
    if not text.strip():
        return [*out, required(f"{path}.expression", _UNSAID)]
    return out + compiler.variable(name, text, f"{path}.expression")


_UNSAID = "expression is not specified"


def _validation(validation: Json, path: str, compiler: _Compiler) -> list[FieldError]:
    out: list[FieldError] = []
    message, by_expression = validation.get("message", ""), validation.get("messageExpression", "")
    condition = validation.get("expression", "")
    if not condition.strip():
        out.append(required(f"{path}.expression", _UNSAID))
    else:
        out += compiler.condition(condition, f"{path}.expression")
    if by_expression and not by_expression.strip():
        text = "must be non-empty if specified"
        out.append(invalid_value(f"{path}.messageExpression", by_expression, text))
    elif by_expression:
        out += compiler.message(by_expression, f"{path}.messageExpression")
    if message and not message.strip():
        text = "message must be non-empty if specified"
        out.append(invalid_value(f"{path}.message", message, text))
    elif _LINE_BREAK.search(message.strip()):
        text = "message must not contain line breaks"
        out.append(invalid_value(f"{path}.message", message, text))
    reason = validation.get("reason")
    if reason is not None and reason not in _REASONS:
        out.append(not_supported(f"{path}.reason", reason, _REASONS))
    return out


def _audits(audits: list[Json], policy: str, compiler: _Compiler) -> list[FieldError]:
    out: list[FieldError] = []
    if len(audits) > AUDIT_ANNOTATIONS_MAX:
        text = f"must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations"
        shown = [
            {"Key": audit.get("key", ""), "ValueExpression": audit.get("valueExpression", "")}
            for audit in audits
        ]
        out.append(invalid_value("spec.auditAnnotations", checks.go_json(shown), text))
    seen: set[str] = set()
    for i, audit in enumerate(audits):
        path, key = f"spec.auditAnnotations[{i}]", audit.get("key", "")
        full = f"{policy}/{key}"  # as it stands in audit events
        out += checks.each(f"{path}.key", full, names.qualified_name(full))
        value = audit.get("valueExpression", "")
        if not value.strip():
            text = "valueExpression is not specified"
            out.append(required(f"{path}.valueExpression", text))
        elif len(value.strip().encode()) > AUDIT_EXPRESSION_BYTES_MAX:
            text = f"must not exceed {AUDIT_EXPRESSION_BYTES_MAX} bytes in length"
            out.append(required(f"{path}.valueExpression", text))
        else:
            out += compiler.audit_value(value, f"{path}.valueExpression")
        if key in seen:
            out.append(duplicate(f"{path}.key", key))
        seen.add(key)
    return out


def _status(status: Json) -> list[FieldError]:
    """What the controller that checks types may say."""
    out: list[FieldError] = []
    for i, warning in enumerate((status.get("typeChecking") or {}).get("expressionWarnings") or ()):
        path = f"status.typeChecking.expressionWarnings[{i}]"
        if not warning.get("warning"):
            out.append(required(f"{path}.warning"))
        if not warning.get("fieldRef", "").strip():
            out.append(required(f"{path}.fieldRef"))
    return out + checks.conditions(status.get("conditions") or (), "status.conditions")


def _mutation(mutation: Json, path: str, compiler: _Compiler) -> list[FieldError]:
    kind = mutation.get("patchType", "")
    if not kind:
        return [required(f"{path}.patchType")]
    if kind not in _PATCH_TYPES:
        return [not_supported(f"{path}.patchType", kind, _PATCH_TYPES)]
    mine, other = ("jsonPatch", "applyConfiguration")
    if kind == "ApplyConfiguration":
        mine, other = other, mine
    out: list[FieldError] = []
    if mutation.get(mine) is None:
        out.append(required(f"{path}.{mine}", f"must be specified when patchType is {kind}"))
    elif not mutation[mine].get("expression", "").strip():
        out.append(required(f"{path}.{mine}.expression"))
    else:
        text, where = mutation[mine]["expression"].strip(), f"{path}.{mine}.expression"
        out += compiler.patch(text, where, json_patch=kind == "JSONPatch")
    if mutation.get(other) is not None:
        text = f"must not be specified when patchType is {kind}"
        out.append(invalid_value(f"{path}.{other}", f"{{{other}}}", text))
    return out
