"""Fills the rules of ClusterRoles with an aggregation rule from the roles it selects.

On the real thing a controller outside the API server does this, so a bare server has `admin`,
`edit` and `view` without rules; here it runs only where in-process controllers are switched on.
`wanted` is pure; apply it with `ensure_all` after every change of the ClusterRoles.
https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.controllers.objects import Fixed
from kapi.selector.label_selector import from_selector

Json = dict[str, Any]

GROUP = "rbac.authorization.k8s.io"


def aggregated_rules(role: Json, roles: Sequence[Json]) -> list[Json]:
    """The rules of all other roles that one of the selectors matches, by name, none twice."""
    selectors = (role.get("aggregationRule") or {}).get("clusterRoleSelectors") or ()
    rules: list[Json] = []
    for raw in selectors:
        selector = from_selector(raw)
        if selector is None:
            continue
        for other in sorted(roles, key=lambda r: r["metadata"]["name"]):
            if other["metadata"]["name"] == role["metadata"]["name"]:
                continue
            if not selector.matches(other["metadata"].get("labels") or {}):
                continue
            for rule in other.get("rules") or ():
                if rule not in rules:
                    rules.append(rule)
    return rules


def wanted(roles: Sequence[Json]) -> list[Fixed]:
    """What has to be written: the aggregating roles whose rules are not what they should be."""
    fixed: list[Fixed] = []
    for role in roles:
        if not role.get("aggregationRule"):
            continue
        rules = aggregated_rules(role, roles)
        if rules != (role.get("rules") or []):
            obj = {
                "kind": "ClusterRole",
                "apiVersion": f"{GROUP}/v1",
                **role,
                "rules": rules,
            }
            fixed.append(Fixed(group=GROUP, resource="clusterroles", object=obj, merge=merge_rules))
    return fixed


def merge_rules(existing: Json, wanted: Json) -> Json | None:
    if not existing.get("aggregationRule") or existing.get("rules") == wanted["rules"]:
        return None
    return {**existing, "rules": wanted["rules"]}
