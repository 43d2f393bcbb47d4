"""Where a pod may run: node selectors, affinity, tolerations, spreading, gates.

Called by `validation.py`; node selectors also by kinds that carry one (persistent volumes,
runtime classes). https://kubernetes.io/docs/concepts/scheduling-eviction/assign-pod-node/
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks
from kapi.registry import names

Json = dict[str, Any]
Findings = list[FieldError]

_CORE = "io.k8s.api.core.v1."
_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
WEIGHT = "must be in the range 1-100"
NOT_AN_OPERATOR = "not a valid selector operator"
EMPTY = "can not be empty"
NOT_POSITIVE = "must be greater than zero"


# -- node selectors -------------------------------------------------------------------------------


def validate_node_selector(selector: Json, path: str) -> Findings:
    terms = selector.get("nodeSelectorTerms") or ()
    where = f"{path}.nodeSelectorTerms"
    if not terms:
        return [errors.required(where, "must have at least one node selector term")]
    out: Findings = []
    for i, term in enumerate(terms):
        out += validate_node_selector_term(term, f"{where}[{i}]")
    return out


def validate_node_selector_term(term: Json, path: str) -> Findings:
    out: Findings = []
    for i, requirement in enumerate(term.get("matchExpressions") or ()):
        out += _node_requirement(requirement, f"{path}.matchExpressions[{i}]")
    for i, requirement in enumerate(term.get("matchFields") or ()):
        out += _field_requirement(requirement, f"{path}.matchFields[{i}]")
    return out


def _node_requirement(requirement: Json, path: str) -> Findings:
    out: Findings = []
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    where = f"{path}.values"
    if operator in ("In", "NotIn"):
        if not values:
            text = "must be specified when `operator` is 'In' or 'NotIn'"
            out.append(errors.required(where, text))
    elif operator in ("Exists", "DoesNotExist"):
        if values:
            text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"
            out.append(errors.field_forbidden(where, text))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1:
            text = "must be specified single value when `operator` is 'Lt' or 'Gt'"
            out.append(errors.required(where, text))
    else:
        out.append(errors.invalid_value(f"{path}.operator", operator, NOT_AN_OPERATOR))
    out += checks.qualified_name(requirement.get("key", ""), f"{path}.key")
    for i, value in enumerate(values):
        complaints = names.label_value(value)
        if complaints:
            out += checks.each(f"{where}[{i}]", value, complaints)
    return out


def _field_requirement(requirement: Json, path: str) -> Findings:
    out: Findings = []
    operator, values = requirement.get("operator", ""), requirement.get("values") or ()
    if operator in ("In", "NotIn"):
        if len(values) != 1:
            text = (
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"
            )
            out.append(errors.required(f"{path}.values", text))
    else:
        out.append(errors.invalid_value(f"{path}.operator", operator, NOT_AN_OPERATOR))
    key = requirement.get("key", "")
    if key != "metadata.name":
        text = "not a valid field selector key"
        out.append(errors.invalid_value(f"{path}.key", key, text))
    else:
        for i, value in enumerate(values):
            out += checks.dns_subdomain(value, f"{path}.values[{i}]")
    return out


# -- affinity -------------------------------------------------------------------------------------


def validate_affinity(affinity: Json, path: str) -> Findings:
    out: Findings = []
    node = affinity.get("nodeAffinity")
    if node is not None:
        where = f"{path}.nodeAffinity"
        if node.get(_REQUIRED) is not None:
            out += validate_node_selector(node[_REQUIRED], f"{where}.{_REQUIRED}")
        for i, preferred in enumerate(node.get(_PREFERRED) or ()):
            inner = f"{where}.{_PREFERRED}[{i}]"
            out += _weight(preferred, inner)
            term = preferred.get("preference") or {}
            out += validate_node_selector_term(term, f"{inner}.preference")
    for kind in ("podAffinity", "podAntiAffinity"):
        if affinity.get(kind) is not None:
            out += _pod_affinity(affinity[kind], f"{path}.{kind}")
    return out


def _weight(preferred: Json, path: str) -> Findings:
    weight = preferred.get("weight", 0)
    if not 1 <= weight <= 100:
        return [errors.invalid_value(f"{path}.weight", weight, WEIGHT)]
    return []


def _pod_affinity(affinity: Json, path: str) -> Findings:
    out: Findings = []
    for i, term in enumerate(affinity.get(_REQUIRED) or ()):
        out += _pod_term(term, f"{path}.{_REQUIRED}[{i}]")
    for i, preferred in enumerate(affinity.get(_PREFERRED) or ()):
        where = f"{path}.{_PREFERRED}[{i}]"
        out += _weight(preferred, where)
        out += _pod_term(preferred.get("podAffinityTerm") or {}, f"{where}.podAffinityTerm")
    return out


def _pod_term(term: Json, path: str) -> Findings:
    out = checks.label_selector(term.get("labelSelector"), f"{path}.labelSelector")
    out += checks.label_selector(term.get("namespaceSelector"), f"{path}.namespaceSelector")
    for namespace in term.get("namespaces") or ():
        out += checks.dns_label(namespace, f"{path}.namespace")
    if term.get("matchLabelKeys") or term.get("mismatchLabelKeys"):
        out += _match_keys(term, path)
    key = term.get("topologyKey", "")
    if not key:
        out.append(errors.required(f"{path}.topologyKey", EMPTY))
    return out + checks.qualified_name(key, f"{path}.topologyKey")


def _match_keys(term: Json, path: str) -> Findings:
    """Keys whose values are taken from the pod's own labels."""
    out: Findings = []
    match, mismatch = term.get("matchLabelKeys") or (), term.get("mismatchLabelKeys") or ()
    selector = term.get("labelSelector")
    for field, keys in (("matchLabelKeys", match), ("mismatchLabelKeys", mismatch)):
        if keys and selector is None:
            text = "must not be specified when labelSelector is not set"
            out.append(errors.field_forbidden(f"{path}.{field}", text))
            continue
        for i, key in enumerate(keys):
            out += checks.qualified_name(key, f"{path}.{field}[{i}]")
    selected = set((selector or {}).get("matchLabels") or ())
    for expression in (selector or {}).get("matchExpressions") or ():
        key = expression.get("key", "")
        if key in match and key in selected:
            text = "exists in both matchLabelKeys and labelSelector"
            last = max(i for i, k in enumerate(match) if k == key)
            out.append(errors.invalid_value(f"{path}[{last}]", key, text))
        selected.add(key)
    for i, key in enumerate(match):
        if key in mismatch:
            text = "exists in both matchLabelKeys and mismatchLabelKeys"
            out.append(errors.invalid_value(f"{path}.matchLabelKeys[{i}]", key, text))
    return out


# -- tolerations ----------------------------------------------------------------------------------

EFFECTS = ("NoSchedule", "PreferNoSchedule", "NoExecute")


def validate_tolerations(tolerations: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    for i, toleration in enumerate(tolerations):
        key = toleration.get("key", "")
        if key:
            complaints = names.qualified_name(key)
            if complaints:
                out += checks.each(f"{path}[{i}].key", key, complaints)
        operator, effect = toleration.get("operator", ""), toleration.get("effect", "")
        if not key and operator != "Exists":
            text = (
                "operator must be Exists when `key` is empty, which means "
                '"match all values and all keys"'
            )
            out.append(errors.invalid_value(f"{path}[{i}].operator", operator, text))
        if "tolerationSeconds" in toleration and effect != "NoExecute":
            text = "effect must be 'NoExecute' when `tolerationSeconds` is set"
            out.append(errors.invalid_value(f"{path}[{i}].effect", effect, text))
        value = toleration.get("value", "")
        if operator in ("Equal", ""):
            complaints = names.label_value(value)
            if complaints:
                where = f"{path}[{i}].operator"
                out.append(errors.invalid_value(where, value, ";".join(complaints)))
        elif operator == "Exists":
            if value:
                text = "value must be empty when `operator` is 'Exists'"
                out.append(errors.invalid_value(f"{path}[{i}].operator", value, text))
        else:
            where = f"{path}[{i}].operator"
            out.append(errors.not_supported(where, operator, ("Equal", "Exists")))
        if effect and effect not in EFFECTS:
            out.append(errors.not_supported(f"{path}[{i}].effect", effect, EFFECTS))
    return out


# -- spreading ------------------------------------------------------------------------------------

_ACTIONS = ("DoNotSchedule", "ScheduleAnyway")
_INCLUSION = ("Honor", "Ignore")


def validate_spread(constraints: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    pairs: list[tuple[str, str]] = [
        (c.get("topologyKey", ""), c.get("whenUnsatisfiable", "")) for c in constraints
    ]
    last = {pair: i for i, pair in enumerate(pairs)}
    for i, constraint in enumerate(constraints):
        where = f"{path}[{i}]"
        key, action = pairs[i]
        skew = constraint.get("maxSkew", 0)
        if skew <= 0:
            out.append(errors.invalid_value(f"{where}.maxSkew", skew, NOT_POSITIVE))
        if not key:
            out.append(errors.required(f"{where}.topologyKey", EMPTY))
        if action not in _ACTIONS:
            out.append(errors.not_supported(f"{where}.whenUnsatisfiable", action, _ACTIONS))
        if last[pairs[i]] > i:
            shown = f"{{{key}, {action}}}"
            out.append(errors.duplicate(f"{where}.{{topologyKey, whenUnsatisfiable}}", shown))
        out += _min_domains(constraint.get("minDomains"), action, f"{where}.minDomains")
        for field in ("nodeAffinityPolicy", "nodeTaintsPolicy"):
            policy = constraint.get(field)
            if policy is not None and policy not in _INCLUSION:
                out.append(errors.not_supported(f"{where}.{field}", policy, _INCLUSION))
        if constraint.get("matchLabelKeys"):
            out += _match_keys(constraint, where)
        out += checks.label_selector(constraint.get("labelSelector"), f"{where}.labelSelector")
    return out


def _min_domains(value: int | None, action: str, path: str) -> Findings:
    if value is None:
        return []
    out: Findings = []
    if value <= 0:
        out.append(errors.invalid_value(path, value, NOT_POSITIVE))
    if action != "DoNotSchedule":
        text = f"can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {action}"
        out.append(errors.invalid_value(path, value, text))
    return out


# -- gates ----------------------------------------------------------------------------------------


def validate_scheduling_gates(gates: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, gate in enumerate(gates):
        name = gate.get("name", "")
        out += checks.qualified_name(name, f"{path}[{i}]")
        if name in seen:
            out.append(errors.duplicate(f"{path}[{i}]", name))
        seen.add(name)
    return out


def validate_readiness_gates(gates: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    for i, gate in enumerate(gates):
        kind = gate.get("conditionType", "")
        out += checks.qualified_name(kind, f"{path}[{i}].conditionType")
    return out
