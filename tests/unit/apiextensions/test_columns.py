"""Printer columns of custom kinds: a value as the type of its column wants it."""

from typing import Any

import pytest

from kapi.apiextensions.columns import AGE, INVALID, printer_columns, shown

NOW = 1_700_000_000.0


@pytest.mark.parametrize(
    ("value", "kind", "cell"),
    [
        ("x", "string", "x"),
        (3, "string", "3"),
        (True, "string", "true"),
        ({"b": 1, "a": [2]}, "string", '{"a":[2],"b":1}'),
        (3, "integer", 3),
        (3.9, "integer", 3),
        ("3", "integer", None),
        (True, "integer", None),
        (2.5, "number", 2.5),
        (2, "number", 2),
        ("2", "number", None),
        (False, "boolean", False),
        (0, "boolean", None),
        ("", "date", "<unknown>"),
        ("null", "date", "<unknown>"),
        ("2023-11-14T22:12:20Z", "date", "60s"),
        ("yesterday", "date", INVALID),
        (5, "date", None),
        ("x", "other", None),
    ],
)
def test_a_value_in_a_column(value: Any, kind: str, cell: Any) -> None:
    found = shown(value, kind, NOW)
    assert found == cell
    assert type(found) is type(cell)


def test_without_columns_there_is_the_age() -> None:
    name, age = printer_columns([])
    assert (name.name, age.name, age.type) == ("Name", "Age", AGE["type"])


def test_columns_end_where_a_path_is_none() -> None:
    given: list[dict[str, Any]] = [
        {"name": "Size", "type": "integer", "jsonPath": ".spec.size", "priority": 1},
        {"name": "Bad", "type": "string", "jsonPath": ".spec["},
        {"name": "More", "type": "string", "jsonPath": ".spec.more"},
    ]
    columns = printer_columns(given)
    assert [c.name for c in columns] == ["Name", "Size"]
    size = columns[1]
    assert (size.priority, size.description) == (
        1,
        "Custom resource definition column (in JSONPath format): .spec.size",
    )
    obj = {"metadata": {"name": "a"}, "spec": {"size": 4}}
    assert size.cell(obj, NOW) == 4
    assert size.cell({"spec": {}}, NOW) is None
    assert size.cell({"spec": "text"}, NOW) is None
