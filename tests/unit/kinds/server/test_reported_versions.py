"""internal.apiserver.k8s.io: what servers say they write."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import cells, changed, kind, places

Json = dict[str, Any]
NAME = "storageversions.internal.apiserver.k8s.io"
SERVER: Json = {"apiServerID": "a", "encodingVersion": "v1", "decodableVersions": ["v1", "g.x/v2"]}


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ({}, []),
        ({"storageVersions": [SERVER], "commonEncodingVersion": "v1"}, []),
        ({"storageVersions": [SERVER]}, ["commonEncodingVersion: Invalid value"]),
        ({"commonEncodingVersion": "v1"}, ["commonEncodingVersion: Invalid value"]),
        (
            {"storageVersions": [SERVER], "commonEncodingVersion": "v2"},
            ["commonEncodingVersion: Invalid value"],
        ),
        (
            {
                "storageVersions": [
                    SERVER,
                    {
                        "apiServerID": "A",
                        "encodingVersion": "/a/b",
                        "decodableVersions": ["/"],
                        "servedVersions": ["v3"],
                    },
                ]
            },
            [
                "storageVersions[1].apiServerID: Invalid value",
                "storageVersions[1].encodingVersion: Invalid value",
                "storageVersions[1].decodableVersions[0]: Invalid value",
                "storageVersions[1].decodableVersions: Invalid value",
                "storageVersions[1].servedVersions[0]: Invalid value",
            ],
        ),
    ],
)
def test_what_servers_say(status: Json, expected: list[str]) -> None:
    seen = changed(NAME, {}, {"status": status}, "status")
    assert places(seen) == [f"status.{place}" for place in expected]


def test_conditions() -> None:
    good = {"type": "A", "status": "True", "reason": "r", "message": "m"}
    bad = {"type": "A", "status": "%", "reason": ""}
    assert changed(NAME, {}, {"status": {"conditions": [good, bad]}}, "status") == [
        'status[1].type: Invalid value: "A": the type of the condition is not unique, it also '
        "appears in conditions[0]",
        'status[1].status: Invalid value: "A": name part must consist of alphanumeric characters, '
        "'-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  "
        "or 'my.name',  or '123-abc', regex used for validation is "
        "'([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')",
        "status[1].reason: Required value: reason cannot be empty",
        "status[1].message: Required value: message cannot be empty",
    ]


@pytest.mark.parametrize(
    ("name", "count"), [("apps.deployments", 0), ("a", 1), ("A.b", 1), (".b", 1), ("a.B", 1)]
)
def test_names(name: str, count: int) -> None:
    assert len(kind(NAME).strategy.name_rule(name, False)) == count


def test_columns() -> None:
    servers = [{**SERVER, "apiServerID": name} for name in "abcde"]
    obj: Json = {"metadata": {"name": "x"}, "status": {"storageVersions": servers}}
    shown = cells(NAME, obj)
    shown.pop("Age")
    assert shown == {
        "Name": "x",
        "CommonEncodingVersion": "Unset",
        "StorageVersions": "a=v1,b=v1,c=v1 + 2 more...",
    }
