"""The conditions of a CustomResourceDefinition, and whether its API is approved. Pure.

Used by its strategy and by `apiextensions/`, which decides what they say.
https://kubernetes.io/docs/reference/kubernetes-api/extend-resources/custom-resource-definition-v1/
"""

from __future__ import annotations

from typing import Any

from kapi.errors import FieldError, invalid_value, quote, required
from kapi.gonet.urls import Url, UrlError, parse_request_uri

Json = dict[str, Any]
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"
ESTABLISHED, NAMES_ACCEPTED, TERMINATING = "Established", "NamesAccepted", "Terminating"
APPROVED = "KubernetesAPIApprovalPolicyConformant"
APPROVAL = "api-approved.kubernetes.io"
_PULL = "see https://github.com/kubernetes/enhancements/pull/1111"


def condition(definition: Json, kind: str) -> Json | None:
    for found in (definition.get("status") or {}).get("conditions") or ():
        if found.get("type") == kind:
            return dict(found)
    return None


def is_true(definition: Json, kind: str) -> bool:
    found = condition(definition, kind)
    return found is not None and found.get("status") == "True"


def condition_of(kind: str, status: str, reason: str, message: str) -> Json:
    return {"type": kind, "status": status, "reason": reason, "message": message}


def set_condition(status: Json, wanted: Json, now: str) -> None:
    """Put a condition into a status, its transition dated if it is one."""
    conditions = status["conditions"] = [dict(c) for c in status.get("conditions") or ()]
    for found in conditions:
        if found.get("type") == wanted["type"]:
            moved = found.get("status") != wanted["status"]
            found.update(wanted)
            if moved or not found.get("lastTransitionTime"):
                found["lastTransitionTime"] = now
            return
    fresh = {"type": wanted["type"], "status": wanted["status"], "lastTransitionTime": now}
    conditions.append({**fresh, "reason": wanted["reason"], "message": wanted["message"]})


# -- approval -------------------------------------------------------------------------------------


def protected_group(group: str) -> bool:
    """Whether a group belongs to Kubernetes."""
    return group in ("k8s.io", "kubernetes.io") or group.endswith((".k8s.io", ".kubernetes.io"))


def approval(definition: Json) -> Json | None:
    """The condition that tells whether the API was reviewed; None where nobody asks."""
    if not protected_group((definition.get("spec") or {}).get("group", "")):
        return None
    state, words = _state(definition)
    status = "True" if state == "Approved" else "False"
    return condition_of(APPROVED, status, f"{state}Annotation", words)


def approval_finding(obj: Json, old: Json | None) -> list[FieldError]:
    """A missing or wrong approval; one that is as it was is let be."""
    if not protected_group((obj.get("spec") or {}).get("group", "")):
        return []
    state, words = _state(obj)
    if old is not None and _state(old)[0] == state:
        return []
    path = f"metadata.annotations[{APPROVAL}]"
    if state == "Missing":
        return [required(path, words)]
    return [invalid_value(path, _annotation(obj), words)] if state == "Invalid" else []


def _annotation(definition: Json) -> str:
    return str((definition["metadata"].get("annotations") or {}).get(APPROVAL, ""))


def _state(definition: Json) -> tuple[str, str]:
    text = _annotation(definition)
    must = f"protected groups must have approval annotation {quote(APPROVAL)}"
    if not text:
        return "Missing", f"{must}, {_PULL}"
    if text.startswith("unapproved"):
        return "Unapproved", f"not approved: {quote(text)}"
    try:
        url = parse_request_uri(text)
    except UrlError:
        url = Url()
    if url.scheme and url.host:
        return "Approved", f"approved in {text}"
    either = 'with either a URL or a reason starting with "unapproved"'
    return "Invalid", f"{must} {either}, {_PULL}"
