"""When a token that is kept in a Secret was last used: a label of the Secret, with the day.

So that somebody can find those that nobody uses. Written once a day for each token, by the server
itself; that it cannot be written is no reason to turn the user away.
https://kubernetes.io/docs/reference/labels-annotations-taints/#kubernetes-io-legacy-token-last-used
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from kapi import log
from kapi.clock import Clock, rfc3339
from kapi.errors import ApiError

Json = dict[str, Any]
LAST_USED = "kubernetes.io/legacy-token-last-used"
_DAY_S = 86_400.0
_DATE_LENGTH = len("2006-01-02")

_log = log.get("token-use")

# Namespace, name, label, value.
Label = Callable[[str, str, str, str], Awaitable[None]]


class TokenUse:
    def __init__(self, clock: Clock, label: Label) -> None:
        self._clock = clock
        self._label = label

    async def used(self, secret: Json) -> None:
        """The token in this secret was just used."""
        now = self._clock.now()
        today, tomorrow = (rfc3339(now + days * _DAY_S)[:_DATE_LENGTH] for days in (0, 1))
        meta = secret["metadata"]
        # A server whose clock is ahead may have written tomorrow's.
        if (meta.get("labels") or {}).get(LAST_USED) in (today, tomorrow):
            return
        try:
            await self._label(meta["namespace"], meta["name"], LAST_USED, today)
        except ApiError as error:
            _log.warning("a secret was not labelled", name=meta["name"], error=error.message)
