"""What a namespace on its way out says of itself: five conditions, with the words users know.

Pure. `Findings` collects what one look at the contents found; `conditions` writes it down.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/namespace-v1/#NamespaceStatus
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]

# Type: reason and message while all is well, in the order they are written.
_WELL: dict[str, tuple[str, str]] = {
    "NamespaceDeletionDiscoveryFailure": (
        "ResourcesDiscovered",
        "All resources successfully discovered",
    ),
    "NamespaceDeletionGroupVersionParsingFailure": (
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    "NamespaceDeletionContentFailure": (
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    "NamespaceContentRemaining": ("ContentRemoved", "All content successfully removed"),
    "NamespaceFinalizersRemaining": (
        "ContentHasNoFinalizers",
        "All content-preserving finalizers finished",
    ),
}


@dataclass(slots=True)
class Findings:
    """One look at the contents."""

    undiscovered: list[tuple[str, str]] = field(default_factory=list)  # group/version, why
    errors: list[str] = field(default_factory=list)
    remaining: dict[tuple[str, str], int] = field(default_factory=dict)  # (plural, group) → objects
    finalizers: dict[str, int] = field(default_factory=dict)  # finalizer → objects that have it
    wait_s: int = 0  # when to look again, by the longest grace period or finalizer

    @property
    def empty(self) -> bool:
        """Whether the namespace may go."""
        return not (self.undiscovered or self.errors or self.remaining)

    def left(self, plural: str, group: str, finalizers: Iterable[Sequence[str]]) -> None:
        """So many objects of a resource are still there, with these finalizers each."""
        count = 0
        for names in finalizers:
            count += 1
            for name in names:
                self.finalizers[name] = self.finalizers.get(name, 0) + 1
        self.remaining[(plural, group)] = count

    def problem(self) -> str:
        """Everything that failed, in one line; empty: nothing did."""
        found = [undiscovered_text(self.undiscovered)] if self.undiscovered else []
        return "; ".join(found + self.errors)


def undiscovered_text(groups: Sequence[tuple[str, str]]) -> str:
    listed = ", ".join(f"{name}: {why}" for name, why in sorted(groups))
    return f"unable to retrieve the complete list of server APIs: {listed}"


def _troubles(found: Findings) -> dict[str, tuple[str, str]]:
    """Type: reason and message of what is not well."""
    out: dict[str, tuple[str, str]] = {}
    if found.undiscovered:
        text = undiscovered_text(found.undiscovered)
        out["NamespaceDeletionDiscoveryFailure"] = (
            "DiscoveryFailed",
            f"Discovery failed for some groups, {len(found.undiscovered)} failing: {text}",
        )
    if found.errors:
        listed = ", ".join(sorted(found.errors))
        out["NamespaceDeletionContentFailure"] = (
            "ContentDeletionFailed",
            f"Failed to delete all resource types, {len(found.errors)} remaining: {listed}",
        )
    if found.remaining:
        kinds = sorted(
            f"{plural}.{group} has {count} resource instances"
            for (plural, group), count in found.remaining.items()
        )
        out["NamespaceContentRemaining"] = (
            "SomeResourcesRemain",
            f"Some resources are remaining: {', '.join(kinds)}",
        )
    if found.finalizers:
        names = sorted(f"{name} in {n} resource instances" for name, n in found.finalizers.items())
        out["NamespaceFinalizersRemaining"] = (
            "SomeFinalizersRemain",
            f"Some content in the namespace has finalizers remaining: {', '.join(names)}",
        )
    return out


def conditions(old: Sequence[Json], found: Findings, now: str) -> list[Json] | None:
    """The conditions as they should be, others kept in their places; None if nothing changes."""
    out = [dict(c) for c in old]
    by_type = {c.get("type"): c for c in out}
    troubles = _troubles(found)
    changed = False
    for kind, well in _WELL.items():
        reason, message = troubles.get(kind, well)
        status = "True" if kind in troubles else "False"
        condition = by_type.get(kind)
        if condition is None:
            condition = {"type": kind, "status": status, "lastTransitionTime": now}
            out.append(condition)
        elif condition.get("status") != status:
            condition["status"], condition["lastTransitionTime"] = status, now
        elif (condition.get("reason"), condition.get("message")) == (reason, message):
            continue
        condition["reason"], condition["message"] = reason, message
        changed = True
    return out if changed else None
