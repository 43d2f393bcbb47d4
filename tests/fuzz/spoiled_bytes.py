"""Bytes that were right and are spoiled: changed, dropped, doubled, put elsewhere."""

from __future__ import annotations

from random import Random

_ODD = (0, 1, 0x0A, 0x7F, 0x80, 0xFF)


def spoiled(data: bytes, random: Random, start: int = 0) -> bytes:
    """The data with some of its bytes from `start` on spoiled; never empty."""
    raw = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 5))):
        raw = raw if len(raw) > start else bytearray(data[:start] + b"\0")
        at = random.randrange(start, len(raw))
        end = at + random.choice((1, 1, 2, 5, 40))
        match random.randrange(5):
            case 0:
                raw[at] = random.choice((*_ODD, random.randrange(256)))
            case 1:
                raw[at] ^= 1 << random.randrange(8)
            case 2:
                del raw[at:end]
            case 3:
                raw[at:at] = raw[at:end]
            case 4:
                to = random.randrange(start, len(raw))
                raw[to:to] = raw[at:end]
    return bytes(raw) or b"\0"
