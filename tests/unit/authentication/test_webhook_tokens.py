"""How often a token webhook is asked when many ask at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from kapi.authentication import webhook_tokens
from kapi.authentication.webhook_tokens import WebhookTokens
from kapi.clock import Entropy, SystemClock

Json = dict[str, Any]


class Slow:
    """A webhook that knows every token, and answers when it is let go."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.asked: list[str] = []
        self.now = self.most = 0

    async def review(self, document: Json, tally: Any = None) -> Json:
        token = document["spec"]["token"]
        self.asked.append(token)
        self.now += 1
        self.most = max(self.most, self.now)
        try:
            await self.go.wait()
        finally:
            self.now -= 1
        return {"authenticated": True, "user": {"username": token}}


@pytest.mark.parametrize("kept_s", [0.0, 60.0])
async def test_calls_under_way_are_bounded(monkeypatch: pytest.MonkeyPatch, kept_s: float) -> None:
    monkeypatch.setattr(webhook_tokens, "CALLS_MAX", 2)
    slow = Slow()
    tokens = WebhookTokens(slow, "v1", ("us",), kept_s, SystemClock(), Entropy(1))
    sent = [f"t{i % 3}" for i in range(12)]
    waiting = [asyncio.ensure_future(tokens.authenticate_token(t, ())) for t in sent]
    for _ in range(10):
        await asyncio.sleep(0)
    assert slow.asked == sent[:2]
    waiting[0].cancel()
    slow.go.set()
    found = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    names = [f[0].name for f in found[1:] if isinstance(f, tuple)]
    assert names == sent[1:]
    assert slow.most == 2
    # Who waited hears what was learned meanwhile.
    assert len(slow.asked) == 12 if kept_s == 0 else len(slow.asked) < 8
