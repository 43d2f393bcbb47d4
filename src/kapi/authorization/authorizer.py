"""The authorization protocols, `union`, and the words of a refusal.

The first Allow or Deny of a union wins; no opinion at all is a refusal. `filters/authorization.py`
asks for every request, `registry` once more for what a request turns out to be, reviews for what
may be asked later.
https://kubernetes.io/docs/reference/access-authn-authz/authorization/
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from itertools import zip_longest
from typing import Any, Protocol

from kapi.errors import ApiError, forbidden, internal_error, quote
from kapi.messages import UserInfo

Json = dict[str, Any]


class Decision(Enum):
    ALLOW = "allow"
    DENY = "deny"
    NO_OPINION = "no opinion"


_ALLOW, _DENY = Decision.ALLOW, Decision.DENY


@dataclass(frozen=True, slots=True, kw_only=True)
class Attributes:
    """What is asked: by whom, which verb, on what."""

    user: UserInfo
    verb: str
    is_resource: bool
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    subresource: str = ""
    name: str = ""
    path: str = ""  # of a non-resource request
    field_selector: str = ""
    label_selector: str = ""


class Undecided(ApiError):
    """Nobody allowed it, and somebody who was asked failed. Where nobody catches it, a 500.

    `decision`: Deny where the failure says so, else no opinion. `why`: the reasons of the others.
    """

    def __init__(self, decision: Decision, failures: Sequence[str], why: str = "") -> None:
        self.failure = aggregate(failures)
        plain = internal_error(self.failure)
        super().__init__(plain.code, plain.reason, plain.message, details=plain.details)
        self.decision = decision
        self.failures = tuple(failures)
        self.why = why


class Authorizer(Protocol):
    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        """The decision and its reason (may be empty). Raises Undecided."""


@dataclass(slots=True)
class Rules:
    """What a user may do in a namespace, as far as it can be listed."""

    resource: list[Json] = field(default_factory=list)  # verbs, apiGroups, resources, resourceNames
    non_resource: list[Json] = field(default_factory=list)  # verbs, nonResourceURLs
    incomplete: bool = False
    errors: list[str] = field(default_factory=list)


class RuleResolver(Protocol):
    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        """For SelfSubjectRulesReview: what would be allowed, without asking about one thing."""


class Opinions:
    """How often one authorizer had one. Counted with every request, so by bare attributes."""

    __slots__ = ("allowed", "denied")

    def __init__(self) -> None:
        self.allowed = 0
        self.denied = 0


class _Union:
    def __init__(self, members: Iterable[tuple[Authorizer, Opinions | None]]) -> None:
        self._members = tuple((member, opinions or Opinions()) for member, opinions in members)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        reasons: list[str] | None = None
        failures: list[str] | None = None
        for member, opinions in self._members:
            try:
                decision, reason = await member.authorize(attributes)
            except Undecided as e:
                if e.decision is _DENY:
                    opinions.denied += 1
                    raise
                failures = [*(failures or ()), *e.failures]
                decision, reason = e.decision, e.why
            if decision is _ALLOW:
                opinions.allowed += 1
                return decision, reason
            if decision is _DENY:
                opinions.denied += 1
                return decision, reason
            if reason:
                reasons = [*(reasons or ()), reason]
        why = "\n".join(reasons or ())
        if failures:
            raise Undecided(Decision.NO_OPINION, failures, why)
        return Decision.NO_OPINION, why


async def decide(authorizer: Authorizer, attributes: Attributes) -> tuple[Decision, str, str]:
    """The decision, its reason, and what failed on the way ("" if nothing did)."""
    try:
        decision, reason = await authorizer.authorize(attributes)
    except Undecided as e:
        return e.decision, e.why, e.failure
    return decision, reason, ""


async def allows(authorizer: Authorizer, attributes: Attributes) -> bool:
    """Whether it may be, where nobody hears why not."""
    decision, _, _ = await decide(authorizer, attributes)
    return decision is Decision.ALLOW


def union(members: Iterable[Authorizer], opinions: Iterable[Opinions | None] = ()) -> Authorizer:
    """Ask each in turn; the first opinion wins. `opinions`: where those of each are counted."""
    return _Union(zip_longest(members, opinions))


class _RulesUnion:
    def __init__(self, members: tuple[RuleResolver, ...]) -> None:
        self._members = members

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        all_rules = Rules()
        for member in self._members:
            rules = await member.rules_for(user, namespace)
            all_rules.resource.extend(rules.resource)
            all_rules.non_resource.extend(rules.non_resource)
            all_rules.incomplete |= rules.incomplete
            all_rules.errors.extend(rules.errors)
        return all_rules


def rules_union(members: Iterable[RuleResolver]) -> RuleResolver:
    return _RulesUnion(tuple(members))


def refusal(attributes: Attributes, reason: str = "") -> ApiError:
    """The 403 of a request that was not allowed, in the real server's words."""
    a = attributes
    who = f"User {quote(a.user.name)} cannot {a.verb} "
    if not a.is_resource:
        text = f"{who}path {quote(a.path)}"
    else:
        resource = f"{a.resource}/{a.subresource}" if a.subresource else a.resource
        text = f"{who}resource {quote(resource)} in API group {quote(a.group)} "
        text += f"in the namespace {quote(a.namespace)}" if a.namespace else "at the cluster scope"
    if reason:
        text += f": {reason}"
    return forbidden(a.group, a.resource, a.name, text)


def aggregate(errors: Iterable[str]) -> str:
    """Several errors in one text as the real server prints them: `a`, or `[a, b]`, none twice."""
    unique = list(dict.fromkeys(errors))
    return unique[0] if len(unique) == 1 else "[" + ", ".join(unique) + "]"
