"""Names, and the words for what is wrong with them."""

from __future__ import annotations

import pytest

from kapi.registry import names


@pytest.mark.parametrize(
    ("value", "starts"),
    [
        ("app", []),
        ("example.com/app", []),
        ("a/b/c", ["a valid label key must consist of alphanumeric characters, '-', '_' or '.'"]),
        ("/app", ["prefix part must be non-empty"]),
        (f"{'a.' * 127}a/app", ["prefix part must be no more than 253 bytes"]),
        ("x" * 64, ["name part must be no more than 63 bytes"]),
        ("a/", ["name part must be non-empty", "name part must consist of"]),
    ],
)
def test_qualified_names(value: str, starts: list[str]) -> None:
    found = names.qualified_name(value)
    assert len(found) == len(starts)
    assert all(text.startswith(start) for text, start in zip(found, starts, strict=True)), found
