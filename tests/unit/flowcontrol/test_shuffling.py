"""Hands of queues: different cards, the same for the same flow, rarely shared as a whole."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.flowcontrol.shuffling import deal, flow_hash

SETTINGS = settings(max_examples=300, deadline=None, derandomize=True)


@SETTINGS
@given(number=st.integers(0, 2**64 - 1), deck=st.integers(1, 600), wanted=st.integers(1, 12))
def test_a_hand_is_dealt_from_what_is_left(number: int, deck: int, wanted: int) -> None:
    hand = min(deck, wanted)
    left = list(range(deck))
    expected = []
    rest = number
    for i in range(hand):
        rest, rank = divmod(rest, deck - i)
        expected.append(left.pop(rank))
    assert deal(number, deck, hand) == tuple(expected)
    assert len(set(expected)) == hand


def test_hashes_keep_schema_and_distinguisher_apart() -> None:
    assert flow_hash("a", "bc") != flow_hash("ab", "c")
    assert flow_hash("global-default", "alice") == flow_hash("global-default", "alice")


def test_users_hardly_ever_share_all_queues() -> None:
    hands = {frozenset(deal(flow_hash("s", f"user-{n}"), 128, 6)) for n in range(2000)}
    assert len(hands) == 2000
