"""Admission policies and their bindings, as they stand: compiled once per change of a policy.

`PolicySource` is one per kind of policy (validating, mutating). What a request could concern is
found by one lookup of operation, group, resource and subresource; a server without policies pays a
comparison, and loads nothing of what evaluates them. A policy without a binding does nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from kapi.admission.requests.matching import Match
from kapi.admission.requests.rules import GROUP, Kinds

Json = dict[str, Any]
FOUND_MAX = 4096  # lookups remembered; a server has fewer resources times operations in use
# What configures policies is never subject to them: nobody could repair a broken one.
_OWN = frozenset(
    (
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)
# Questions that are answered and not stored: components could not work if a policy refused them.
_QUESTIONS = frozenset(
    (
        ("authentication.k8s.io", "selfsubjectreviews"),
        ("authentication.k8s.io", "tokenreviews"),
        ("authorization.k8s.io", "localsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectaccessreviews"),
        ("authorization.k8s.io", "selfsubjectrulesreviews"),
        ("authorization.k8s.io", "subjectaccessreviews"),
    )
)


def excluded(group: str, resource: str) -> bool:
    """Whether no policy is ever asked about this resource."""
    return (group == GROUP and resource in _OWN) or (group, resource) in _QUESTIONS


@dataclass(frozen=True, slots=True)
class Binding:
    name: str
    match: Match | None  # None: whatever the policy matches
    param_ref: Json | None
    actions: tuple[str, ...]  # of a validating one
    policy: str

    @classmethod
    def parse(cls, binding: Json) -> Binding:
        spec = binding.get("spec") or {}
        resources = spec.get("matchResources")
        return cls(
            name=binding["metadata"]["name"],
            match=Match.parse(resources) if resources is not None else None,
            param_ref=spec.get("paramRef"),
            actions=tuple(spec.get("validationActions") or ()),
            policy=spec.get("policyName", ""),
        )


class ObjectLister(Protocol):
    def list(self, namespace: str = "") -> list[Json]: ...

    @property
    def changed(self) -> int: ...


class HasMatch(Protocol):
    @property
    def match(self) -> Match: ...


class Compiled(Protocol):
    """A policy that was compiled."""

    @property
    def common(self) -> HasMatch: ...


P = TypeVar("P", bound=Compiled)


@dataclass(frozen=True, slots=True)
class Bound(Generic[P]):
    """A policy that is in force."""

    policy: P
    bindings: tuple[Binding, ...]


class PolicySource(Generic[P]):
    def __init__(
        self,
        policies: ObjectLister,
        bindings: ObjectLister,
        kinds: Kinds,
        compile_policy: Callable[[Json], P],
        started: Callable[[], bool] = lambda: True,
    ) -> None:
        """`started`: the server serves. What it writes before, no policy is asked about: one that
        refuses everything must not keep it from starting.
        """
        self._started = started
        self._policies = policies
        self._bindings = bindings
        self._kinds = kinds
        self._compile: Callable[[Json], P] = compile_policy
        self._compiled: dict[str, tuple[Json, P]] = {}  # by name, with what it was made of
        self._bound: tuple[Bound[P], ...] = ()
        self._seen: tuple[int, int] = (-1, -1)
        self._generation = -1
        self._found: dict[tuple[str, str, str, str], tuple[Bound[P], ...]] = {}

    def bound(
        self, operation: str, group: str, resource: str, subresource: str
    ) -> tuple[Bound[P], ...]:
        """The policies whose rules name such a request, by name."""
        seen = (self._policies.changed, self._bindings.changed)
        if seen != self._seen:
            self._read()
            self._seen = seen
        if not self._bound or excluded(group, resource) or not self._started():
            return ()
        if self._generation != self._kinds.generation:
            self._generation = self._kinds.generation
            self._found.clear()
        key = (operation, group, resource, subresource)
        found = self._found.get(key)
        if found is None:
            if len(self._found) >= FOUND_MAX:
                self._found.clear()
            found = self._found[key] = self._concerned(*key)
        return found

    def _concerned(
        self, operation: str, group: str, resource: str, subresource: str
    ) -> tuple[Bound[P], ...]:
        places = self._kinds.places(group, resource, subresource)
        return tuple(
            bound
            for bound in self._bound
            if any(
                rule.concerns(operation, place)
                for rule in bound.policy.common.match.rules
                for place in places
            )
        )

    def _read(self) -> None:
        bindings: dict[str, list[Binding]] = {}
        for obj in self._bindings.list():
            binding = Binding.parse(obj)
            bindings.setdefault(binding.policy, []).append(binding)
        before, self._compiled = self._compiled, {}
        bound = []
        for obj in self._policies.list():
            name = obj["metadata"]["name"]
            if name not in bindings:
                continue
            known = before.get(name)
            policy = known[1] if known is not None and known[0] == obj else self._compile(obj)
            self._compiled[name] = (obj, policy)
            bound.append(Bound(policy, tuple(bindings[name])))
        self._bound = tuple(bound)
        self._found.clear()
