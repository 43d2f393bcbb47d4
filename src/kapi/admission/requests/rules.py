"""Which requests webhooks and policies are about: rules, and the places that a rule may name.

A `Place` is a resource in one version, or a subresource of it, with the kind that is sent there.
The same objects may be served in several places; with matchPolicy Equivalent a rule that names one
of them is about all. Pure; the lookups are behind `Kinds`.
https://kubernetes.io/docs/reference/access-authn-authz/extensible-admission-controllers/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from kapi.admission.plugin import Attributes

Json = dict[str, Any]
GROUP = "admissionregistration.k8s.io"
# What configures admission is never subject to it: nobody could repair a broken configuration.
_EXEMPT = frozenset(
    (
        "validatingwebhookconfigurations",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)


class Kind(NamedTuple):
    group: str
    version: str
    kind: str

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version


class Place(NamedTuple):
    group: str
    version: str
    resource: str
    subresource: str
    kind: Kind  # of what is sent there


class PatchFailed(Exception):
    """A patch that does not apply, or whose result is no object of the kind; the text says why."""


class Kinds(Protocol):
    """What is served, for those who see objects in a version of their own choice."""

    @property
    def generation(self) -> int:
        """Moves when kinds come or go."""

    def place(self, attributes: Attributes) -> Place:
        """Where the request goes."""

    def places(self, group: str, resource: str, subresource: str) -> Sequence[Place]:
        """Wherever the same objects are served, in all versions."""

    async def shown(self, obj: Json, place: Place) -> Json:
        """An object as the place shows it. It may be the argument itself. Raises ApiError."""

    async def patched(self, obj: Json, operations: Any, place: Place, whole: Json) -> Json:
        """The JSON patch applied to an object that the place shows: pruned, defaulted, and in the
        version of `whole`, of which `obj` is the view. Raises PatchFailed, ApiError.
        """


@dataclass(frozen=True, slots=True)
class Rule:
    operations: frozenset[str]
    groups: frozenset[str]
    versions: frozenset[str]
    resources: tuple[tuple[str, str], ...]  # resource and subresource
    scope: str = "*"
    names: frozenset[str] = frozenset()  # of a policy's rule; empty: all

    @classmethod
    def parse(cls, rule: Json) -> Rule:
        """A RuleWithOperations, or the NamedRuleWithOperations of a policy."""
        pairs = (text.partition("/") for text in rule.get("resources") or ())
        return cls(
            frozenset(rule.get("operations") or ()),
            frozenset(rule.get("apiGroups") or ()),
            frozenset(rule.get("apiVersions") or ()),
            tuple((resource, sub) for resource, _, sub in pairs),
            rule.get("scope") or "*",
            frozenset(rule.get("resourceNames") or ()),
        )

    def concerns(self, operation: str, place: Place) -> bool:
        """Whether the rule names this, wherever the object is and whatever it is called."""
        return (
            _has(self.operations, operation)
            and _has(self.groups, place.group)
            and _has(self.versions, place.version)
            and any(
                resource in ("*", place.resource) and sub in ("*", place.subresource)
                for resource, sub in self.resources
            )
        )

    def fits(self, *, namespaced: bool, name: str) -> bool:
        """Whether scope and names are right, too."""
        if self.names and name not in self.names:
            return False
        return self.scope == "*" or (self.scope == "Namespaced") == namespaced


def _has(values: frozenset[str], value: str) -> bool:
    return "*" in values or value in values


def exempt(group: str, resource: str) -> bool:
    """Whether admission from outside is never asked about this resource."""
    return group == GROUP and resource in _EXEMPT


def matching_place(
    rules: Sequence[Rule], a: Attributes, own: Place, others: Sequence[Place]
) -> Place | None:
    """Where a request is for these rules: its own place if one names it, else the first of the
    equivalent places that the rules name in their order, else None.
    """
    name = called(a)
    namespaced = bool(a.namespace)
    for rule in rules:
        if rule.concerns(a.operation, own) and rule.fits(namespaced=namespaced, name=name):
            return own
    for rule in rules:
        for place in others:
            if place[:3] == own[:3]:
                continue
            if rule.concerns(a.operation, place) and rule.fits(namespaced=namespaced, name=name):
                return place
    return None


def called(a: Attributes) -> str:
    """The name of the object; it may have been generated meanwhile."""
    if a.name or a.object is None:
        return a.name
    name: str = (a.object.get("metadata") or {}).get("name", "")
    return name


def namespace_of(a: Attributes) -> str:
    """The namespace that a request is in; a Namespace is in itself."""
    if not a.namespace and not a.group and a.resource == "namespaces":
        return called(a)
    return a.namespace
