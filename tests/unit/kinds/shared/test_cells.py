"""Ages, selectors and labels as `kubectl get` shows them."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.kinds.shared import cells

M, H, D = 60, 3600, 86400
Y = 365 * D


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (-2, "<invalid>"),
        (-1, "0s"),
        (0, "0s"),
        (0.9, "0s"),
        (119, "119s"),
        (2 * M, "2m"),
        (2 * M + 5, "2m5s"),
        (10 * M - 1, "9m59s"),
        (10 * M + 59, "10m"),
        (3 * H - 1, "179m"),
        (3 * H, "3h"),
        (3 * H + 7 * M, "3h7m"),
        (8 * H - 1, "7h59m"),
        (8 * H + 30 * M, "8h"),
        (48 * H - 1, "47h"),
        (2 * D, "2d"),
        (2 * D + 3 * H, "2d3h"),
        (8 * D - 1, "7d23h"),
        (8 * D + 5 * H, "8d"),
        (2 * Y - 1, "729d"),
        (2 * Y, "2y"),
        (2 * Y + 17 * D, "2y17d"),
        (8 * Y - 1, "7y364d"),
        (8 * Y + D, "8y"),
    ],
)
def test_durations(seconds: float, shown: str) -> None:
    assert cells.human_duration(seconds) == shown


def test_age_of_an_object() -> None:
    obj = {"metadata": {"creationTimestamp": "2026-11-24T05:46:00Z"}}
    born = cells.parse_time("2026-11-24T05:46:00Z")
    assert cells.age(obj, born + 90) == "90s"
    assert cells.age({"metadata": {}}, born) == "<unknown>"


def test_a_fraction_of_a_second_is_dropped() -> None:
    assert cells.parse_time("1970-01-01T00:00:01.999999Z") == 1


@pytest.mark.parametrize(
    ("selector", "shown"),
    [
        (None, "<none>"),
        ({}, "<none>"),
        ({"matchLabels": {"b": "2", "a": "1"}}, "a=1,b=2"),
        (
            {"matchExpressions": [{"key": "k", "operator": "In", "values": ["y", "x"]}]},
            "k in (x,y)",
        ),
        ({"matchExpressions": [{"key": "k", "operator": "NotIn", "values": ["x"]}]}, "k notin (x)"),
        (
            {
                "matchLabels": {"m": "1"},
                "matchExpressions": [
                    {"key": "z", "operator": "Exists"},
                    {"key": "a", "operator": "DoesNotExist"},
                ],
            },
            "!a,m=1,z",
        ),
        ({"matchExpressions": [{"key": "k", "operator": "Like"}]}, "<error>"),
    ],
)
def test_selectors(selector: Any, shown: str) -> None:
    assert cells.label_selector(selector) == shown


def test_labels() -> None:
    assert cells.labels({"b": "2", "a": ""}) == "a=,b=2"
    assert cells.labels({}) == "<none>"
    assert cells.labels(None) == "<none>"


def test_field() -> None:
    cell = cells.field("status", "replicas", default=0)
    assert cell({"status": {"replicas": 3}}, 0) == 3
    assert cell({"status": {}}, 0) == 0
    assert cell({}, 0) == 0
    assert cell({"status": None}, 0) == 0
