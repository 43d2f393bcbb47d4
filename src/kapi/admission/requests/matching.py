"""Whether a request is for a policy, a binding or a webhook: rules, then selectors.

`Match` is what they say, compiled; `Matcher` decides. Used by the plugins of admission policies and
of webhooks.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#match-constraints
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kapi import errors
from kapi.admission.plugin import Attributes
from kapi.admission.requests.rules import Kinds, Place, Rule, matching_place, namespace_of
from kapi.selector.label_selector import from_selector
from kapi.selector.labels import Selector

Json = dict[str, Any]
Live = Callable[[str, str, str], Awaitable[Json | None]]  # core plural, namespace, name
_LABELLED = ("CREATE", "UPDATE")  # of a Namespace: the object has the labels that count
_EVERYTHING = Selector()


class NamespaceLister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...


class Wanted(Protocol):
    """What a webhook, a policy or a binding asks for."""

    @property
    def rules(self) -> tuple[Rule, ...]: ...

    @property
    def equivalent(self) -> bool: ...

    @property
    def namespaces(self) -> Selector: ...

    @property
    def objects(self) -> Selector: ...


@dataclass(frozen=True, slots=True)
class Match:
    """MatchResources of a policy or a binding."""

    rules: tuple[Rule, ...]  # empty: every request
    excluded: tuple[Rule, ...]
    equivalent: bool
    namespaces: Selector
    objects: Selector

    @classmethod
    def parse(cls, resources: Json) -> Match:
        return cls(
            rules=_rules(resources.get("resourceRules")),
            excluded=_rules(resources.get("excludeResourceRules")),
            equivalent=resources.get("matchPolicy") == "Equivalent",
            namespaces=_selector(resources.get("namespaceSelector")),
            objects=_selector(resources.get("objectSelector")),
        )


def _rules(listed: list[Json] | None) -> tuple[Rule, ...]:
    return tuple(Rule.parse(rule) for rule in listed or ())


def _selector(selector: Json | None) -> Selector:
    return from_selector(selector or {}) or _EVERYTHING


class Matcher:
    def __init__(self, namespaces: NamespaceLister, live: Live, kinds: Kinds) -> None:
        """`live` reads past the cache."""
        self._namespaces = namespaces
        self._live = live
        self._kinds = kinds

    async def place(self, match: Match, a: Attributes, own: Place) -> Place | None:
        """Where a policy or a binding wants to see the request; None if it does not. Without rules
        it is any request. Raises ApiError 404 if the namespace is gone.
        """
        if match.excluded:
            others = self._others(match, a)
            if matching_place(match.excluded, a, own, others) is not None:
                return None
        return await self._chosen(match, a, own, own if not match.rules else None)

    async def wanted(self, wanted: Wanted, a: Attributes, own: Place) -> Place | None:
        """Where a webhook wants to see the request; None if it does not. Raises ApiError 404 if the
        namespace is gone.
        """
        return await self._chosen(wanted, a, own, None)

    def _others(self, wanted: Wanted, a: Attributes) -> Sequence[Place]:
        return self._kinds.places(a.group, a.resource, a.subresource) if wanted.equivalent else ()

    async def _chosen(
        self, match: Wanted, a: Attributes, own: Place, place: Place | None
    ) -> Place | None:
        """`place`: where it is wanted; None: where a rule says."""
        if place is None:
            place = matching_place(match.rules, a, own, self._others(match, a))
        if place is None or not _selected(match.objects, a):
            return None
        if match.namespaces.empty or (not a.namespace and a.resource != "namespaces"):
            return place
        return place if match.namespaces.matches(await self._labels(a)) else None

    async def _labels(self, a: Attributes) -> Json:
        """The labels of the namespace that a request is in, or that it makes."""
        if a.resource == "namespaces" and not a.subresource and a.operation in _LABELLED:
            return ((a.object or {}).get("metadata") or {}).get("labels") or {}
        namespace = await self.namespace(namespace_of(a))
        return namespace["metadata"].get("labels") or {}

    async def namespace(self, name: str) -> Json:
        """Raises ApiError 404."""
        namespace = self._namespaces.get("", name)
        if namespace is None:
            namespace = await self._live("namespaces", "", name)
        if namespace is None:
            raise errors.not_found("", "namespaces", name)
        return namespace


def _selected(selector: Selector, a: Attributes) -> bool:
    """Whether the object is, or was, one of those selected."""
    if selector.empty:
        return True
    return any(
        selector.matches((obj.get("metadata") or {}).get("labels") or {})
        for obj in (a.object, a.old)
        if obj is not None
    )
