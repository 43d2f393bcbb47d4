"""The only reader of time and randomness: everything else takes a `Clock` and an `Entropy`.

A test replaces both, so that a failure replays from its seed.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
import uuid
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float:
        """Seconds that never go back; for deadlines and durations."""

    async def sleep(self, seconds: float) -> None: ...


class SystemClock:
    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


# What generated names are made of: no vowels, no look-alikes (k8s.io/apimachinery util/rand).
NAME_ALPHABET = "bcdfghjklmnpqrstvwxz2456789"


class Entropy:
    """Random values. With a seed all of them replay; without one they come from the system."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self._seeded = seed is not None

    def uid(self) -> str:
        """A random UUID in its text form."""
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def name_suffix(self, length: int = 5) -> str:
        """What the server appends to `generateName`."""
        return "".join(self._random.choice(NAME_ALPHABET) for _ in range(length))

    def jitter(self, low: float, high: float) -> float:
        return self._random.uniform(low, high)

    def below(self, limit: int) -> int:
        """An integer in [0, limit)."""
        return self._random.randrange(limit)

    def token(self, nbytes: int = 32) -> str:
        """An unguessable URL-safe text."""
        if self._seeded:
            return self._random.randbytes(nbytes).hex()
        return secrets.token_urlsafe(nbytes)


def rfc3339(seconds: float) -> str:
    """`2026-11-24T05:46:00Z`: metav1.Time on the wire, whole seconds, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def rfc3339_micro(seconds: float) -> str:
    """`2026-11-24T05:46:00.123456Z`: metav1.MicroTime on the wire."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
