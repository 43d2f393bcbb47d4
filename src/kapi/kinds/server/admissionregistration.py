"""admissionregistration.k8s.io: webhook configurations; the policies are in
`admission_policies.py` and `policy_bindings.py`.

https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.errors import FieldError, duplicate, invalid_value, not_supported, required
from kapi.kinds.server import admission_policies as policies
from kapi.kinds.server.policy_bindings import BindingStrategy
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared import webhook_rules as rules
from kapi.kinds.shared.bases import Plain
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "admissionregistration.k8s.io"
_VERSIONS = ("v1", "v1beta1", "v1alpha1")
_SIDE_EFFECTS = ("None", "NoneOnDryRun")
_ONCE_ALLOWED = (*_SIDE_EFFECTS, "Some", "Unknown")
TIMEOUT_SECONDS_MAX = 30


class WebhookStrategy(Plain):
    standard_finalizers = False
    unconditional_update = False

    def __init__(self, *, mutating: bool) -> None:
        self._mutating = mutating

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        out: list[FieldError] = []
        seen: set[str] = set()
        before = (old or {}).get("webhooks") or []
        # What was wrong already, under the rules of an older release, may go on being wrong.
        quiet = all(webhook.get("sideEffects") in _SIDE_EFFECTS for webhook in before)
        effects = _SIDE_EFFECTS if quiet else _ONCE_ALLOWED
        unique = len({webhook.get("name", "") for webhook in before}) == len(before)
        known = all(
            {*versions} & {*rules.REVIEW_VERSIONS}
            for webhook in before
            if (versions := webhook.get("admissionReviewVersions"))
        )
        for i, webhook in enumerate(obj.get("webhooks") or ()):
            path = f"webhooks[{i}]"
            out += _webhook(webhook, path, self._mutating, effects)
            versions = webhook.get("admissionReviewVersions") or []
            out += rules.review_versions(versions, f"{path}.admissionReviewVersions", known=known)
            name = webhook.get("name", "")
            if unique and name and name in seen:
                out.append(duplicate(f"{path}.name", name))
            seen.add(name)
        return out


def _webhook(
    webhook: Json, path: str, mutating: bool, allowed: tuple[str, ...]
) -> list[FieldError]:
    out = rules.full_name(webhook.get("name", ""), f"{path}.name")
    for i, rule in enumerate(webhook.get("rules") or ()):
        out += rules.rule(rule, f"{path}.rules[{i}]")
    for name, known in (
        ("failurePolicy", policies.FAILURE_POLICIES),
        ("matchPolicy", policies.MATCH_POLICIES),
    ):
        value = webhook.get(name)
        if value is not None and value not in known:
            out.append(not_supported(f"{path}.{name}", value, known))
    effects = webhook.get("sideEffects")
    if effects is None:
        text = f"must specify one of {', '.join(allowed)}"
        out.append(required(f"{path}.sideEffects", text))
    elif effects not in allowed:
        out.append(not_supported(f"{path}.sideEffects", effects, allowed))
    seconds = webhook.get("timeoutSeconds")
    if seconds is not None and not 1 <= seconds <= TIMEOUT_SECONDS_MAX:
        text = f"the timeout value must be between 1 and {TIMEOUT_SECONDS_MAX} seconds"
        out.append(invalid_value(f"{path}.timeoutSeconds", seconds, text))
    out += checks.label_selector(webhook.get("namespaceSelector"), f"{path}.namespaceSelector")
    out += checks.label_selector(webhook.get("objectSelector"), f"{path}.objectSelector")
    again = webhook.get("reinvocationPolicy")
    if mutating and again is not None and again not in policies.REINVOCATION:
        out.append(not_supported(f"{path}.reinvocationPolicy", again, policies.REINVOCATION))
    out += rules.client_config(webhook.get("clientConfig") or {}, f"{path}.clientConfig")
    conditions = webhook.get("matchConditions") or []
    return out + rules.match_conditions(conditions, f"{path}.matchConditions")


def _defaults() -> Mapping[str, Any]:
    webhook = {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "namespaceSelector": {},
        "objectSelector": {},
        "timeoutSeconds": 10,
    }
    out: dict[str, Any] = {}
    for version in _VERSIONS:
        package = f"io.k8s.api.admissionregistration.{version}."
        out[package + "ValidatingWebhook"] = webhook
        out[package + "MutatingWebhook"] = {**webhook, "reinvocationPolicy": "Never"}
        out[package + "Rule"] = {"scope": "*"}
        out[package + "RuleWithOperations"] = {"scope": "*"}
        out[package + "NamedRuleWithOperations"] = {"scope": "*"}
        out[package + "ServiceReference"] = {"port": 443}
        out[package + "MatchResources"] = {
            "matchPolicy": "Equivalent",
            "namespaceSelector": {},
            "objectSelector": {},
        }
        out[package + "ValidatingAdmissionPolicySpec"] = {"failurePolicy": "Fail"}
        out[package + "MutatingAdmissionPolicySpec"] = {"failurePolicy": "Fail"}
    return out


# -- tables -------------------------------------------------------------------------------------


def _count(*path: str) -> cells.Cell:
    found = cells.field(*path, default=())
    return lambda obj, now: len(found(obj, now))


def _param_kind(obj: Json, now: float) -> str:
    kind = (obj.get("spec") or {}).get("paramKind")
    return f"{kind.get('apiVersion', '')}/{kind.get('kind', '')}" if kind else cells.UNSET


def _param_ref(obj: Json, now: float) -> str:
    reference = (obj.get("spec") or {}).get("paramRef")
    if not reference:
        return cells.UNSET
    if reference.get("name"):
        namespace = reference.get("namespace")
        return f"{namespace}/{reference['name']}" if namespace else str(reference["name"])
    return cells.label_selector(reference.get("selector"))


def _columns(*middle: Column) -> tuple[Column, ...]:
    return (cells.name_column(), *middle, cells.age_column())


_WEBHOOKS = _columns(
    cells.column(
        "Webhooks",
        "integer",
        _count("webhooks"),
        "Webhooks indicates the number of webhooks registered in this configuration",
    )
)
_PARAM_KIND = cells.column(
    "ParamKind",
    "string",
    _param_kind,
    "ParamKind specifies the kind of resources used to parameterize this policy",
)
_BINDINGS = _columns(
    cells.column(
        "PolicyName",
        "string",
        cells.field("spec", "policyName"),
        "PolicyName indicates the policy definition which the policy binding binded to",
    ),
    cells.column(
        "ParamRef",
        "string",
        _param_ref,
        "ParamRef indicates the param resource which sets the configuration param",
    ),
)

DEFAULTS: Mapping[str, Any] = _defaults()
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "mutatingwebhookconfigurations"): WebhookStrategy(mutating=True),
    (GROUP, "validatingwebhookconfigurations"): WebhookStrategy(mutating=False),
    (GROUP, "validatingadmissionpolicies"): policies.ValidatingPolicyStrategy(),
    (GROUP, "mutatingadmissionpolicies"): policies.MutatingPolicyStrategy(),
    (GROUP, "validatingadmissionpolicybindings"): BindingStrategy(mutating=False),
    (GROUP, "mutatingadmissionpolicybindings"): BindingStrategy(mutating=True),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "mutatingwebhookconfigurations"): _WEBHOOKS,
    (GROUP, "validatingwebhookconfigurations"): _WEBHOOKS,
    (GROUP, "validatingadmissionpolicies"): _columns(
        cells.column(
            "Validations",
            "integer",
            _count("spec", "validations"),
            "Validations indicates the number of validation rules defined in this configuration",
        ),
        _PARAM_KIND,
    ),
    (GROUP, "mutatingadmissionpolicies"): _columns(
        cells.column(
            "Mutations",
            "integer",
            _count("spec", "mutations"),
            "Mutation indicates the number of mutations rules defined in this configuration",
        ),
        _PARAM_KIND,
    ),
    (GROUP, "validatingadmissionpolicybindings"): _BINDINGS,
    (GROUP, "mutatingadmissionpolicybindings"): _BINDINGS,
}
