"""What is audited of a request: the rules of a policy, first match wins. Pure.

`policy_file.py` makes a `Policy` of a file, `auditor.py` asks it once for each request. A request
that no rule matches is not audited.
https://kubernetes.io/docs/tasks/debug/debug-cluster/audit/#audit-policy
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum

from kapi.messages import RequestInfo, UserInfo


class Level(IntEnum):
    """How much is told of a request. `AuditFacts.level` has the number."""

    NONE = 0
    METADATA = 1
    REQUEST = 2  # and the object of the request
    REQUEST_RESPONSE = 3  # and that of the answer


LEVELS = {
    "None": Level.NONE,
    "Metadata": Level.METADATA,
    "Request": Level.REQUEST,
    "RequestResponse": Level.REQUEST_RESPONSE,
}
LEVEL_NAMES = {level: name for name, level in LEVELS.items()}


class Stage(Enum):
    """When in the life of a request an event is made."""

    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"  # the head of a long-running answer is out
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a policy says about a request."""

    level: Level
    omit_stages: frozenset[Stage] = frozenset()
    omit_managed_fields: bool = False


@dataclass(frozen=True, slots=True)
class GroupResources:
    """Resources of one API group, or of all (`*`). No resources mean all of the group, with their
    subresources; no names mean all objects.
    """

    group: str
    resources: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()

    def match(self, info: RequestInfo) -> bool:
        if self.group not in ("*", info.group):
            return False
        if not self.resources:
            return True
        if self.names and info.name not in self.names:
            return False
        resource, subresource = info.resource, info.subresource
        whole = f"{resource}/{subresource}" if subresource else resource
        for wanted in self.resources:
            if wanted in ("*", whole):
                return True
            if subresource and wanted == f"*/{subresource}":
                return True
            if wanted == f"{resource}/*":
                return True
        return False


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """Which requests, and what of them. An empty field holds for all."""

    verdict: Verdict
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    resources: tuple[GroupResources, ...] = ()
    namespaces: frozenset[str] = frozenset()
    urls: tuple[str, ...] = ()

    def match(self, info: RequestInfo, user: UserInfo | None) -> bool:
        if self.users and (user is None or user.name not in self.users):
            return False
        if self.groups and (user is None or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and info.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return info.is_resource and self._match_resource(info)
        if self.urls:
            return not info.is_resource and any(url_matches(info.path, url) for url in self.urls)
        return True

    def _match_resource(self, info: RequestInfo) -> bool:
        # What belongs to no namespace has the empty one.
        if self.namespaces and info.namespace not in self.namespaces:
            return False
        return not self.resources or any(r.match(info) for r in self.resources)


def url_matches(path: str, url: str) -> bool:
    """`*`, the path itself, or a beginning of it and a `*`."""
    if url in ("*", path):
        return True
    return url.endswith("*") and path.startswith(url.rstrip("*"))


class Policy:
    """The rules in their order."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.rules = tuple(rules)

    def verdict(self, info: RequestInfo, user: UserInfo | None) -> Verdict:
        """`user`: None where nobody was found."""
        for rule in self.rules:
            if rule.match(info, user):
                return rule.verdict
        return _UNAUDITED


_UNAUDITED = Verdict(Level.NONE)
