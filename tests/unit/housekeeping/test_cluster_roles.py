"""The rules of a role that aggregates: those of the selected, in order, none twice."""

from __future__ import annotations

from typing import Any

from kapi.housekeeping.cluster_roles import aggregated_rules, selectors_of

Json = dict[str, Any]


def role(name: str, *rules: str, labels: str = "", **more: Any) -> Json:
    return {
        "metadata": {"name": name, "labels": dict.fromkeys(labels.split(), "true")},
        "rules": [{"verbs": [r]} for r in rules],
        **more,
    }


def aggregating(*labels: str) -> Json:
    return {"clusterRoleSelectors": [{"matchLabels": {label: "true"}} for label in labels]}


def test_the_rules_of_the_selected_by_selector_then_name() -> None:
    view = role("view", "old", labels="x", aggregationRule=aggregating("x", "y"))
    roles = [view, role("c", "3", labels="y"), role("b", "2", "1", labels="x")]
    roles += [role("a", "1", labels="x y"), role("d", "4")]
    assert aggregated_rules(view, roles) == [{"verbs": [v]} for v in "123"]


def test_nothing_selected_is_no_rule() -> None:
    assert aggregated_rules(role("a", aggregationRule={}), [role("b", "1")]) == []
    assert selectors_of(role("a")) == []
    bad = {"clusterRoleSelectors": [{"matchExpressions": [{"key": "x", "operator": "Odd"}]}]}
    assert selectors_of(role("a", aggregationRule=bad)) == []
