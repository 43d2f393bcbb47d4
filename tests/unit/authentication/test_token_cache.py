"""Good tokens are remembered for a while, bad ones never."""

from __future__ import annotations

from collections.abc import Sequence

from kapi.authentication import token_cache
from kapi.authentication.authenticator import TokenAnswer
from kapi.authentication.token_cache import SUCCESS_TTL_S, TokenCache
from kapi.clock import Entropy
from kapi.messages import UserInfo


class Tokens:
    def __init__(self) -> None:
        self.good = {"t"}
        self.asked = 0

    async def authenticate_token(self, token: str, audiences: Sequence[str]) -> TokenAnswer | None:
        self.asked += 1
        return (UserInfo(token), tuple(audiences)) if token in self.good else None


class FakeClock:
    def __init__(self) -> None:
        self.time = 1000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


async def test_a_good_token_is_asked_for_once_in_ten_seconds() -> None:
    tokens, clock = Tokens(), FakeClock()
    cache = TokenCache(tokens, clock, Entropy(1))
    assert await cache.authenticate_token("t", ("a",)) == (UserInfo("t"), ("a",))
    tokens.good.clear()
    clock.time += SUCCESS_TTL_S - 0.1
    assert await cache.authenticate_token("t", ("a",)) == (UserInfo("t"), ("a",))
    assert tokens.asked == 1
    clock.time += 0.1
    assert await cache.authenticate_token("t", ("a",)) is None
    assert tokens.asked == 2


async def test_other_audiences_are_another_question() -> None:
    tokens = Tokens()
    cache = TokenCache(tokens, FakeClock(), Entropy(1))
    await cache.authenticate_token("t", ("a",))
    assert await cache.authenticate_token("t", ("b",)) == (UserInfo("t"), ("b",))
    assert tokens.asked == 2


async def test_bad_tokens_are_asked_for_each_time() -> None:
    tokens = Tokens()
    cache = TokenCache(tokens, FakeClock(), Entropy(1))
    assert await cache.authenticate_token("x", ()) is None
    tokens.good.add("x")
    assert await cache.authenticate_token("x", ()) == (UserInfo("x"), ())


async def test_the_cache_is_bounded() -> None:
    tokens = Tokens()
    tokens.good = {f"t{i}" for i in range(token_cache.ENTRIES_MAX + 1)}
    cache = TokenCache(tokens, FakeClock(), Entropy(1))
    for i in range(token_cache.ENTRIES_MAX + 1):
        await cache.authenticate_token(f"t{i}", ())
    before = tokens.asked
    await cache.authenticate_token("t1", ())
    assert tokens.asked == before
    await cache.authenticate_token("t0", ())
    assert tokens.asked == before + 1


async def test_answers_for_very_many_audiences_are_not_kept() -> None:
    tokens = Tokens()
    cache = TokenCache(tokens, FakeClock(), Entropy(1))
    for audiences in (("a" * token_cache.AUDIENCE_CHARS_MAX,), ("",) * 20_000):
        tokens.asked = 0
        for _ in range(2):
            assert await cache.authenticate_token("t", audiences) == (UserInfo("t"), audiences)
        assert tokens.asked == 2
