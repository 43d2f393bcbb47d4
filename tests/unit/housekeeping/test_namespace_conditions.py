"""The conditions of a namespace on its way out, with the words of the real controller."""

from __future__ import annotations

from kapi.housekeeping.namespace_conditions import Findings, conditions

THEN, NOW = "2026-01-01T00:00:00Z", "2026-01-01T00:00:05Z"


def test_when_all_is_well() -> None:
    made = conditions([], Findings(), NOW)
    assert made is not None
    assert [(c["type"], c["status"], c["reason"]) for c in made] == [
        ("NamespaceDeletionDiscoveryFailure", "False", "ResourcesDiscovered"),
        ("NamespaceDeletionGroupVersionParsingFailure", "False", "ParsedGroupVersions"),
        ("NamespaceDeletionContentFailure", "False", "ContentDeleted"),
        ("NamespaceContentRemaining", "False", "ContentRemoved"),
        ("NamespaceFinalizersRemaining", "False", "ContentHasNoFinalizers"),
    ]
    assert {c["lastTransitionTime"] for c in made} == {NOW}
    assert conditions(made, Findings(), NOW) is None


def test_what_remains_is_named() -> None:
    found = Findings()
    found.left("pods", "", [["example.com/a", "example.com/b"], ["example.com/a"]])
    found.left("widgets", "example.com", [[]])
    made = conditions([], found, NOW)
    assert made is not None
    assert [c["message"] for c in made if c["status"] == "True"] == [
        "Some resources are remaining: pods. has 2 resource instances, "
        "widgets.example.com has 1 resource instances",
        "Some content in the namespace has finalizers remaining: "
        "example.com/a in 2 resource instances, example.com/b in 1 resource instances",
    ]
    assert not found.empty


def test_what_failed_is_said() -> None:
    found = Findings(
        undiscovered=[("metrics.example.com/v1", "stale GroupVersion discovery")],
        errors=["two", "one"],
    )
    made = conditions([], found, NOW)
    assert made is not None
    listed = (
        "unable to retrieve the complete list of server APIs: "
        "metrics.example.com/v1: stale GroupVersion discovery"
    )
    assert [c["message"] for c in made if c["status"] == "True"] == [
        f"Discovery failed for some groups, 1 failing: {listed}",
        "Failed to delete all resource types, 2 remaining: one, two",
    ]
    assert found.problem() == f"{listed}; two; one"
    assert not found.empty


def test_times_move_with_the_status_only() -> None:
    found = Findings()
    found.left("pods", "", [["example.com/a"], ["example.com/a"]])
    first = conditions([{"type": "Other", "status": "True"}], found, THEN)
    assert first is not None
    assert first[0] == {"type": "Other", "status": "True"}
    fewer = Findings()
    fewer.left("pods", "", [["example.com/a"]])
    second = conditions(first, fewer, NOW)
    assert second is not None
    assert {c.get("lastTransitionTime") for c in second} == {None, THEN}
    third = conditions(second, Findings(), NOW)
    assert third is not None
    changed = [c["type"] for c in third if c.get("lastTransitionTime") == NOW]
    assert changed == ["NamespaceContentRemaining", "NamespaceFinalizersRemaining"]
