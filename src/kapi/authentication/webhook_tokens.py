"""Another server says whose token it is: a TokenReview is sent to it.

Asked last of all that know tokens. Answers are remembered for a while, good or not; failures are
not. What is remembered is a keyed digest of the token.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#webhook-token-authentication
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any, Protocol

from kapi import log
from kapi.authentication.authenticator import InvalidCredentials, TokenAnswer
from kapi.authentication.token_cache import are_kept
from kapi.clock import Clock, Entropy
from kapi.messages import UserInfo
from kapi.outgoing.reviews import ReviewError, Tally

Json = dict[str, Any]
GROUP, KIND = "authentication.k8s.io", "TokenReview"
ENTRIES_MAX = 4096  # answers remembered; the least recently used goes first
CALLS_MAX = 256  # under way at a time, others wait: anybody can send tokens that nobody knows
_DIGEST_BYTES = 32
_Key = tuple[bytes, tuple[str, ...]]
_Known = tuple[float, TokenAnswer | None]  # until when, and the answer
_MALFORMED = "json: cannot unmarshal into Go struct field TokenReviewStatus"

_log = log.get("token-webhook")


class Reviewer(Protocol):
    async def review(self, document: Json, tally: Tally | None = None) -> Json:
        """The status. Raises ReviewError."""


class WebhookTokens:
    def __init__(
        self,
        reviewer: Reviewer,
        version: str,
        audiences: Sequence[str],
        kept_s: float,
        clock: Clock,
        entropy: Entropy,
    ) -> None:
        """`audiences`: of this server, for webhooks that say none. `kept_s`: 0: nothing is kept."""
        self._reviewer = reviewer
        self._version = version
        self._audiences = tuple(audiences)
        self._kept_s = kept_s
        self._clock = clock
        self._key = entropy.token(32).encode()[:64]
        self._known: OrderedDict[_Key, _Known] = OrderedDict()
        self._calls = asyncio.Semaphore(CALLS_MAX)

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        data = token.encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES, key=self._key).digest()
        key = (digest, tuple(audiences))
        if (known := self._remembered(key)) is not None:
            return known[1]
        async with self._calls:
            if (known := self._remembered(key)) is not None:  # somebody asked meanwhile
                return known[1]
            return await self._learned(key, token, audiences)

    def _remembered(self, key: _Key) -> _Known | None:
        known = self._known.get(key)
        if known is None:
            return None
        if self._clock.monotonic() >= known[0]:
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return known

    async def _learned(self, key: _Key, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        try:
            answer = await self._asked(token, audiences)
        except ReviewError as error:
            text = str(error).replace(token, "…")  # a webhook may say back what it was sent
            _log.error("the token webhook failed", error=text)
            raise InvalidCredentials(text) from None
        if self._kept_s > 0 and are_kept(audiences):
            self._known[key] = (self._clock.monotonic() + self._kept_s, answer)
            if len(self._known) > ENTRIES_MAX:
                self._known.popitem(last=False)
        return answer

    async def _asked(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        spec: Json = {"token": token.encode("utf-8", "surrogateescape").decode("utf-8", "replace")}
        if audiences:
            spec["audiences"] = list(audiences)
        document = {
            "kind": KIND,
            "apiVersion": f"{GROUP}/{self._version}",
            "metadata": {},
            "spec": spec,
            "status": {"user": {}},
        }
        status = _checked(await self._reviewer.review(document))
        good_for: tuple[str, ...] = ()
        if audiences:
            theirs = status.get("audiences") or self._audiences
            good_for = tuple(a for a in audiences if a in theirs)
            if not good_for:
                return None
        if not status.get("authenticated"):
            if error := status.get("error"):
                raise InvalidCredentials(error)
            return None
        user = status.get("user") or {}
        return (
            UserInfo(
                name=user.get("username") or "",
                uid=user.get("uid") or "",
                groups=tuple(user.get("groups") or ()),
                extra={k: tuple(v or ()) for k, v in (user.get("extra") or {}).items()},
            ),
            good_for,
        )


def _checked(status: Json) -> Json:
    """The status, whose fields have their types. Raises ReviewError."""
    user = status.get("user") or {}
    if not isinstance(user, dict):
        raise ReviewError(f"{_MALFORMED}.user")
    extra = user.get("extra") or {}
    fields = (
        ("authenticated", status.get("authenticated"), bool),
        ("error", status.get("error"), str),
        ("user.username", user.get("username"), str),
        ("user.uid", user.get("uid"), str),
        ("user.extra", extra, dict),
    )
    for name, value, kind in fields:
        if value is not None and not isinstance(value, kind):
            raise ReviewError(f"{_MALFORMED}.{name}")
    lists = [("audiences", status.get("audiences")), ("user.groups", user.get("groups"))]
    lists += [("user.extra", values) for values in extra.values()]
    for name, value in lists:
        if value is not None and not _are_texts(value):
            raise ReviewError(f"{_MALFORMED}.{name}")
    return status


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(text, str) for text in value)
