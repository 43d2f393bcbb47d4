"""The JSONPath of printer columns: what it leads to, what it cannot read."""

from typing import Any

import pytest

from kapi.apiextensions.json_path import JsonPath, LookupFailed, PathError

OBJECT: dict[str, Any] = {
    "spec": {
        "size": 3,
        "a.b": "dotted",
        "empty": None,
        "parts": [
            {"kind": "a", "name": "first", "rank": 1},
            {"kind": "b", "name": "second", "rank": 2},
            {"kind": "a", "name": "third"},
        ],
        "numbers": [10, 20, 30, 40],
        "labels": {"y": "2", "x": "1"},
    }
}


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (".spec.size", [3]),
        (".spec.none.below", []),
        (".spec.empty.below", []),
        (r".spec.a\.b", ["dotted"]),
        (".spec['a.b']", ["dotted"]),
        ('.spec["size"]', [3]),
        (".spec.parts[0].name", ["first"]),
        (".spec.parts[-1].name", ["third"]),
        (".spec.parts[*].name", ["first", "second", "third"]),
        ('.spec.parts[?(@.kind=="a")].name', ["first", "third"]),
        ('.spec.parts[?(@.kind != "a")].name', ["second"]),
        (".spec.parts[?(@.rank>=2)].name", ["second"]),
        (".spec.parts[?(@.rank)].name", ["first", "second"]),
        (".spec.numbers[1:3]", [20, 30]),
        (".spec.numbers[0,3]", [10, 40]),
        (".spec.numbers[::2]", [10, 30]),
        (".spec.labels.*", ["1", "2"]),
        ("..rank", [1, 2]),
        (".spec.size.below", []),
        (".spec.parts.name", []),
        ('.spec.numbers[?(@.kind=="a")]', []),
        ("", [OBJECT]),
    ],
)
def test_a_path_leads_to_its_values(path: str, found: list[Any]) -> None:
    assert JsonPath(path).find(OBJECT) == found


@pytest.mark.parametrize(
    "path",
    [
        ".spec.labels[0]",
        ".spec.numbers[9]",
        ".spec.numbers[?(@>'a')]",
        ".spec.size[?(@.x)]",
    ],
)
def test_a_path_that_does_not_suit_the_object_fails(path: str) -> None:
    with pytest.raises(LookupFailed):
        JsonPath(path).find(OBJECT)


@pytest.mark.parametrize(
    "text", ["spec", ".spec[", ".spec[x]", ".spec[?(@.a=b)]", ".spec[?(@.a==1]", ".a{", ".a b"]
)
def test_what_is_no_path_is_refused(text: str) -> None:
    with pytest.raises(PathError):
        JsonPath(text)
