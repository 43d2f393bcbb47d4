"""The user of a request without credentials; absent when --anonymous-auth=false.

Asked last, after the union of all others found nothing; wrong credentials never come here.
"""

from __future__ import annotations

from kapi.authentication.authenticator import ANONYMOUS, UNAUTHENTICATED_GROUP
from kapi.messages import Request, UserInfo

USER = UserInfo(name=ANONYMOUS, groups=(UNAUTHENTICATED_GROUP,))


class Anonymous:
    async def authenticate(self, request: Request) -> UserInfo | None:
        return USER
