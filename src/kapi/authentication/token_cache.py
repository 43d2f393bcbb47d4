"""Remembers for ten seconds which tokens were good, as the real server does.

A signature costs some 50 µs to check and the objects it is bound to some more; a busy client sends
the same token with every request. Only successes are kept: a token that was refused is looked at
again. So a token may outlive the object it is bound to by `SUCCESS_TTL_S`.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Sequence

from kapi.authentication.authenticator import TokenAnswer, TokenAuthenticator
from kapi.clock import Clock, Entropy

SUCCESS_TTL_S = 10.0
ENTRIES_MAX = 4096  # about 1 MiB; the least recently used goes first
AUDIENCE_CHARS_MAX = 16_384  # an answer for more of them is not kept
_DIGEST_BYTES = 16


class TokenCache:
    def __init__(self, tokens: TokenAuthenticator, clock: Clock, entropy: Entropy) -> None:
        self._tokens = tokens
        self._clock = clock
        self._key = entropy.token(32).encode()[:64]
        self._entries: OrderedDict[tuple[bytes, tuple[str, ...]], tuple[float, TokenAnswer]] = (
            OrderedDict()
        )

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        data = token.encode("utf-8", "surrogateescape")
        digest = hashlib.blake2b(data, digest_size=_DIGEST_BYTES, key=self._key).digest()
        key = (digest, tuple(audiences))
        now = self._clock.monotonic()
        entry = self._entries.get(key)
        if entry is not None:
            if now < entry[0]:
                self._entries.move_to_end(key)
                return entry[1]
            del self._entries[key]
        answer = await self._tokens.authenticate_token(token, audiences)
        if answer is not None and are_kept(audiences):
            self._entries[key] = (now + SUCCESS_TTL_S, answer)
            if len(self._entries) > ENTRIES_MAX:
                self._entries.popitem(last=False)
        return answer


def are_kept(audiences: Sequence[str]) -> bool:
    """Whether an answer for these is to be remembered: who asks may have sent very many."""
    return len(audiences) + sum(map(len, audiences)) <= AUDIENCE_CHARS_MAX
