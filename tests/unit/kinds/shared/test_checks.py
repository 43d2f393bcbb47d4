"""Checks that many kinds share."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.kinds.shared import checks

Json = dict[str, Any]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("http", []),
        ("a-1", []),
        ("80", ["must contain at least one letter (a-z)"]),
        ("x" * 16, ["must be no more than 15 characters"]),
        ("a--b", ["must not contain consecutive hyphens"]),
        ("-a", ["must not begin or end with a hyphen"]),
        ("A", [
            "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",
            "must contain at least one letter (a-z)",
        ]),
    ],
)  # fmt: skip
def test_port_names(name: str, expected: list[str]) -> None:
    assert checks.port_name(name) == expected


@pytest.mark.parametrize("value", ["a.b/c", "acme.io/foo/bar"])
def test_prefixed_paths(value: str) -> None:
    assert checks.domain_prefixed_path(value, "f") == []


@pytest.mark.parametrize("value", ["", "a.b", "a.b/", "/c", "A/c", "a.b/c d"])
def test_bad_prefixed_paths(value: str) -> None:
    assert len(checks.domain_prefixed_path(value, "f")) == 1


def test_label_selectors() -> None:
    expressions: list[Json] = [
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["b"]},
        {"key": "a", "operator": "X"},
        {"key": "", "operator": "In", "values": ["b c"]},
    ]
    found = [str(f) for f in checks.label_selector({"matchExpressions": expressions}, "s")]
    path = "s.matchExpressions"
    assert found[:3] == [
        f"{path}[0].values: Required value: must be specified when `operator` is 'In' or 'NotIn'",
        f"{path}[1].values: Forbidden: may not be specified when `operator` is 'Exists' or "
        "'DoesNotExist'",
        f'{path}[2].operator: Invalid value: "X": not a valid selector operator',
    ]
    assert [text.split(":")[0] for text in found[3:]] == [
        f"{path}[3].key",
        f"{path}[3].key",
        f"{path}[3].values[0]",
    ]
    assert checks.label_selector(None, "s") == []


def test_structs_in_messages() -> None:
    shown = checks.go_fields({"name": "a<b", "url": "u"}, "Name:s Port:i On:b Ref:p URL=url:s")
    assert checks.go_json(shown) == (
        '{"Name":"a\\u003cb","Port":0,"On":false,"Ref":null,"URL":"u"}'
    )
    assert checks.go_fields(None, "Name:s") is None


def test_conditions() -> None:
    good = {
        "type": "Ready",
        "status": "True",
        "reason": "Fine",
        "lastTransitionTime": "2026-09-21T14:13:20Z",
    }
    assert checks.conditions([good, {**good, "type": "b.io/Other"}], "c") == []
    bad: list[Json] = [
        {"observedGeneration": -1},
        {**good, "status": "true", "reason": "no good", "message": "x" * (32 * 1024 + 1)},
        {**good, "reason": "R" * 1025},
    ]
    found = [str(f) for f in checks.conditions(bad, "c")]
    assert found[:5] == [
        "c[0].type: Required value: is required",
        "c[0].status: Required value",
        "c[0].observedGeneration: Invalid value: -1: must be greater than or equal to zero",
        "c[0].lastTransitionTime: Required value",
        "c[0].reason: Required value",
    ]
    assert found[5] == 'c[1].status: Unsupported value: "true": supported values: "False", ' + (
        '"True", "Unknown"'
    )
    assert found[6].startswith('c[1].reason: Invalid value: "no good": a condition reason must')
    assert found[7:] == [
        "c[1].message: Too long: may not be more than 32768 bytes",
        'c[2]: Duplicate value: "Ready"',
        "c[2].reason: Too long: may not be more than 1024 bytes",
    ]
