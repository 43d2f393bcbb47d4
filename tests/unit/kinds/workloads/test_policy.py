"""Disruption budgets: findings, what is not looked at, cells."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import SELECTOR, cells, findings, found, kind, made

Json = dict[str, Any]
NAME = "poddisruptionbudgets.policy"
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')"
)


def budget(**spec: Any) -> Json:
    return {"spec": {"selector": SELECTOR, **spec}}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        ({"minAvailable": 1}, []),
        ({"maxUnavailable": "50%", "unhealthyPodEvictionPolicy": "AlwaysAllow"}, []),
        (
            {"minAvailable": -1},
            ["spec.minAvailable: Invalid value: -1: must be greater than or equal to 0"],
        ),
        ({"minAvailable": "x"}, [f'spec.minAvailable: Invalid value: "x": {PERCENT}']),
        (
            {"maxUnavailable": "101%"},
            ['spec.maxUnavailable: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            {"minAvailable": 1, "maxUnavailable": "1%"},
            [
                'spec: Invalid value: {"MinAvailable":1,"Selector":{"matchLabels":{"app":"web"}},'
                '"MaxUnavailable":"1%","UnhealthyPodEvictionPolicy":null}: minAvailable and '
                "maxUnavailable cannot be both set"
            ],
        ),
        (
            {"unhealthyPodEvictionPolicy": "Odd"},
            [
                'spec.unhealthyPodEvictionPolicy: Unsupported value: "Odd": supported values: '
                '"AlwaysAllow", "IfHealthyBudget"'
            ],
        ),
    ],
)
def test_findings(spec: Json, expected: list[str]) -> None:
    assert findings(NAME, budget(**spec)) == expected


def test_a_selector_is_looked_at() -> None:
    (text,) = findings(NAME, {"spec": {"selector": {"matchLabels": {"app": "no good"}}}})
    assert text.startswith('spec.selector.matchLabels: Invalid value: "no good": a valid label')


def test_status() -> None:
    old = made(NAME, budget())
    assert old["status"] == {
        "disruptionsAllowed": 0,
        "currentHealthy": 0,
        "desiredHealthy": 0,
        "expectedPods": 0,
    }
    status = {"disruptionsAllowed": -1, "expectedPods": -2}
    new = made(NAME, {**budget(), "status": status}, old=old, subresource="status")
    assert found(NAME, new, old=old, subresource="status") == [
        "status.disruptionsAllowed: Invalid value: -1: must be greater than or equal to 0",
        "status.expectedPods: Invalid value: -2: must be greater than or equal to 0",
    ]


def test_conditions_of_a_status() -> None:
    old = made(NAME, budget())
    status = {"conditions": [{"type": "A", "status": "True"}], "currentHealthy": -1}
    new = made(NAME, {**budget(), "status": status}, old=old, subresource="status")
    assert found(NAME, new, old=old, subresource="status") == [
        "status.conditions[0].lastTransitionTime: Required value",
        "status.conditions[0].reason: Required value",
        "status.currentHealthy: Invalid value: -1: must be greater than or equal to 0",
    ]


def test_names_are_hardly_looked_at() -> None:
    strategy = kind(NAME).strategy
    assert strategy.name_rule("Upper_Case", False) == []
    assert strategy.name_rule("a/b", False) == ["may not contain '/'"]
    assert not strategy.standard_finalizers
    assert not strategy.unconditional_update


def test_cells() -> None:
    shown = cells(NAME, made(NAME, budget(minAvailable=2)))
    assert (shown["Min Available"], shown["Max Unavailable"]) == ("2", "N/A")
    assert shown["Allowed Disruptions"] == 0
    assert cells(NAME, made(NAME, budget(maxUnavailable="5%")))["Max Unavailable"] == "5%"
