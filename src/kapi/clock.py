"""The only reader of time and randomness: everything else takes a `Clock` and an `Entropy`.

A test replaces both, so that a failure replays from its seed.
"""

from __future__ import annotations

import asyncio
import random
import secrets
import time
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


# Bytes asked of the system at once. To ask lets go of the interpreter lock, and while another
# thread is busy it takes some time to come back: 256 times less often this way.
POOL_BYTES = 4096
_UID_BYTES = 16


class Entropy:
    """Random values. With a seed all of them replay; without one they come from the system."""

    def __init__(self, seed: int | None = None) -> None:
        self._random = random.SystemRandom() if seed is None else random.Random(seed)
        self._seeded = seed is not None
        self._pool = b""
        self._used = 0

    def uid(self) -> str:
        """A random UUID in its text form."""
        if self._seeded:
            return _uuid4(self._random.randbytes(_UID_BYTES))
        start = self._used
        if start + _UID_BYTES > len(self._pool):
            self._pool, start = self._random.randbytes(POOL_BYTES), 0
        self._used = start + _UID_BYTES
        return _uuid4(self._pool[start : self._used])

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


def _uuid4(data: bytes) -> str:
    """RFC 9562: version 4 and its variant set in 16 random bytes."""
    text = data.hex()
    variant = "89ab"[data[8] & 3]
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{variant}{text[17:20]}-{text[20:]}"


def rfc3339(seconds: float) -> str:
    """`2026-11-24T05:46:00Z`: metav1.Time on the wire, whole seconds, UTC."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def rfc3339_micro(seconds: float) -> str:
    """`2026-11-24T05:46:00.123456Z`: metav1.MicroTime on the wire."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
