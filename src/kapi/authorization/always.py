"""Authorizers that look at nothing, or only at groups: AlwaysAllow, AlwaysDeny, masters.

`PrivilegedGroups` stands first in every union: members of system:masters are never locked out.
"""

from __future__ import annotations

from collections.abc import Iterable

from kapi.authorization.authorizer import Attributes, Decision, Rules
from kapi.messages import UserInfo

MASTERS = "system:masters"
_ALL = ["*"]
_ALLOWED = (Decision.ALLOW, "")
_NO_OPINION = (Decision.NO_OPINION, "")


class AlwaysAllow:
    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return _ALLOWED

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules(
            resource=[{"verbs": _ALL, "apiGroups": _ALL, "resources": _ALL}],
            non_resource=[{"verbs": _ALL, "nonResourceURLs": _ALL}],
        )


class AlwaysDeny:
    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.NO_OPINION, "Everything is forbidden."

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        return Rules()


class PrivilegedGroups:
    """Allows everything to members of some groups, has no opinion about others."""

    def __init__(self, groups: Iterable[str] = (MASTERS,)) -> None:
        self._groups = frozenset(groups)

    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        if self._groups.isdisjoint(attributes.user.groups):
            return _NO_OPINION
        return _ALLOWED
