"""Shuffle sharding: which few of a level's queues the requests of a flow may join.

A flow's hash is dealt out as a hand of cards. Two flows share a queue by chance, but hardly ever
all queues of a hand, so a flood in one flow leaves the other a queue of its own. The same flow gets
the same hand on every server. Pure.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-api-machinery/1040-priority-and-fairness
"""

from __future__ import annotations

import hashlib


def flow_hash(schema: str, distinguisher: str) -> int:
    """64 bits that stand for a flow: its flow schema, and the user or namespace in it."""
    digest = hashlib.sha256(f"{schema}\0{distinguisher}".encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")


def deal(number: int, deck: int, hand: int) -> tuple[int, ...]:
    """So many different cards of [0, deck), in the order they are dealt.

    Each digit of `number`, in a base that shrinks by one, is the rank of a card among those that
    are left; to count over the cards already dealt turns it into the card.
    """
    ranks: list[int] = []
    cards: list[int] = []
    for i in range(hand):
        number, rank = divmod(number, deck - i)
        card = rank
        for earlier in reversed(ranks):
            if card >= earlier:
                card += 1
        ranks.append(rank)
        cards.append(card)
    return tuple(cards)
