"""The user of a request without credentials; absent when flags or a configuration say so.

Asked last, after the union of all others found nothing; wrong credentials never come here.
"""

from __future__ import annotations

from collections.abc import Iterable

from kapi.authentication.authenticator import ANONYMOUS, UNAUTHENTICATED_GROUP
from kapi.messages import Request, UserInfo

USER = UserInfo(name=ANONYMOUS, groups=(UNAUTHENTICATED_GROUP,))


class Anonymous:
    def __init__(self, paths: Iterable[str] = ()) -> None:
        """`paths`: the only ones that need no credentials; none: all."""
        self._paths = frozenset(paths)

    async def authenticate(self, request: Request) -> UserInfo | None:
        if self._paths and request.path not in self._paths:
            return None
        return USER
