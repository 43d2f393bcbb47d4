"""What binds admission policies: to params, to what they look at, to what becomes of a refusal.

https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from typing import Any

from kapi.errors import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)
from kapi.kinds.server import admission_policies as policies
from kapi.kinds.shared import checks, declared
from kapi.kinds.shared.bases import Plain
from kapi.kinds.shared.declared import Field, Struct
from kapi.registry import names
from kapi.registry.strategy import Context

Json = dict[str, Any]

_ACTIONS = ("Audit", "Deny", "Warn")


class BindingStrategy(Plain):
    standard_finalizers = False
    unconditional_update = False

    def __init__(self, *, mutating: bool) -> None:
        self._mutating = mutating

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        name = spec.get("policyName", "")
        out: list[FieldError] = []
        if self._mutating and not name:
            out.append(required("spec.policyName"))
        if name:
            out += checks.dns_subdomain(name, "spec.policyName")
        out += _param_ref(spec.get("paramRef"), "spec.paramRef")
        if spec.get("matchResources") is not None:
            # The real server does not spell one of them right, either.
            where = "spec.matchResources" if self._mutating else "spec.matchResouces"
            out += policies.match_resources(spec["matchResources"], where)
            if self._mutating:
                out += policies.mutable(spec["matchResources"], where)
        if not self._mutating:
            out += _actions(spec.get("validationActions") or [], "spec.validationActions")
            out += declared.findings(_DECLARED, "ValidatingAdmissionPolicyBinding", obj, old)
        return out


_DECLARED: declared.Types = {
    "ValidatingAdmissionPolicyBinding": Struct(
        fields=(Field(name="spec", type="ValidatingAdmissionPolicyBindingSpec"),)
    ),
    "ValidatingAdmissionPolicyBindingSpec": Struct(
        fields=(
            Field(name="policyName", gates=(declared.required,)),
            Field(name="validationActions", gates=(declared.required,)),
        )
    ),
}


def _param_ref(reference: Json | None, path: str) -> list[FieldError]:
    if reference is None:
        return []
    out: list[FieldError] = []
    name, selector = reference.get("name", ""), reference.get("selector")
    text = "name and selector are mutually exclusive"
    if name:
        out += checks.each(f"{path}.name", name, names.path_segment(name))
        if selector is not None:
            out.append(field_forbidden(f"{path}.name", text))
    if selector is not None:
        out += checks.label_selector(selector, f"{path}.selector")
        if name:
            out.append(field_forbidden(f"{path}.selector", text))
    if not name and selector is None:
        out.append(required(path, "one of name or selector must be specified"))
    action = reference.get("parameterNotFoundAction")
    if not action:
        out.append(required(f"{path}.parameterNotFoundAction"))
    elif action not in ("Allow", "Deny"):
        known = ("Deny", "Allow")
        out.append(not_supported(f"{path}.parameterNotFoundAction", action, known))
    return out


def _actions(actions: list[str], path: str) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, action in enumerate(actions):
        if action not in _ACTIONS:
            out.append(not_supported(f"{path}[{i}]", action, _ACTIONS))
        if action in seen:
            out.append(duplicate(f"{path}[{i}]", action))
        seen.add(action)
    if {"Deny", "Warn"} <= seen:
        text = (
            "must not contain both Deny and Warn (repeating the same validation failure "
            "information in the API response and headers serves no purpose)"
        )
        out.append(invalid_value(path, actions, text))
    return out
