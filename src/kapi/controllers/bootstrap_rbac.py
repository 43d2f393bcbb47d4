"""The default roles and bindings: made at start, and given back what they lost.

A role keeps what was added to it and gets what it lacks; an annotation of its own switches this
off. Roles with an aggregation rule get their rules from elsewhere. A binding to another role than
it should be is made anew.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#default-roles-and-role-bindings
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi.authorization.rbac_rules import covers
from kapi.controllers.objects import Fixed

Json = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"
AUTO_UPDATE = "rbac.authorization.kubernetes.io/autoupdate"
_KINDS = {
    "clusterroles": "ClusterRole",
    "clusterrolebindings": "ClusterRoleBinding",
    "roles": "Role",
    "rolebindings": "RoleBinding",
}


def fixed_objects(bootstrap: Mapping[str, Sequence[Json]]) -> list[Fixed]:
    """All roles and bindings of the packaged bootstrap objects."""
    return [
        Fixed(
            group=GROUP,
            resource=resource,
            object={"kind": kind, "apiVersion": f"{GROUP}/v1", **obj},
            merge=merge_binding if resource.endswith("bindings") else merge_role,
            replace=needs_new_role_ref if resource.endswith("bindings") else None,
        )
        for resource, kind in _KINDS.items()
        for obj in bootstrap[resource]
    ]


def protected(existing: Json) -> bool:
    annotations = existing["metadata"].get("annotations") or {}
    return bool(annotations.get(AUTO_UPDATE) == "false")


def merge_role(existing: Json, wanted: Json) -> Json | None:
    """The role with the labels, annotations and rules that it lacks."""
    if protected(existing):
        return None
    merged = _with_metadata(existing, wanted)
    if wanted.get("aggregationRule") is not None:
        selectors = list((existing.get("aggregationRule") or {}).get("clusterRoleSelectors") or ())
        missing = [
            s for s in wanted["aggregationRule"]["clusterRoleSelectors"] if s not in selectors
        ]
        if missing:
            merged["aggregationRule"] = {"clusterRoleSelectors": [*selectors, *missing]}
    elif existing.get("aggregationRule") is None:
        rules = existing.get("rules") or []
        missing_rules = covers(rules, wanted.get("rules") or [])
        if missing_rules:
            merged["rules"] = [*rules, *missing_rules]
    return merged if merged != existing else None


def merge_binding(existing: Json, wanted: Json) -> Json | None:
    """The binding with the labels, annotations and subjects that it lacks."""
    if protected(existing):
        return None
    merged = _with_metadata(existing, wanted)
    known = [_subject_key(s) for s in existing.get("subjects") or ()]
    missing = [s for s in wanted.get("subjects") or () if _subject_key(s) not in known]
    if missing:
        merged["subjects"] = [*(existing.get("subjects") or ()), *missing]
    return merged if merged != existing else None


def _subject_key(subject: Json) -> tuple[str, str, str, str]:
    return (
        subject.get("kind", ""),
        subject.get("apiGroup", ""),
        subject.get("namespace", ""),
        subject.get("name", ""),
    )


def _with_metadata(existing: Json, wanted: Json) -> Json:
    """A copy with the wanted labels and annotations, where it has no values of its own."""
    metadata = dict(existing["metadata"])
    for key in ("labels", "annotations"):
        ours, theirs = wanted["metadata"].get(key) or {}, metadata.get(key) or {}
        if merged := {**ours, **theirs}:
            metadata[key] = merged
    return {**existing, "metadata": metadata}


def needs_new_role_ref(existing: Json, wanted: Json) -> bool:
    """True for a binding to another role; a role reference cannot be changed in place."""
    return not protected(existing) and bool(existing["roleRef"] != wanted["roleRef"])
