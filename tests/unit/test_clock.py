"""Random values: well formed, never twice, and the same again for the same seed."""

from __future__ import annotations

import uuid

from kapi.clock import POOL_BYTES, Entropy, rfc3339, rfc3339_micro


def test_uids_are_random_uuids() -> None:
    entropy = Entropy()
    uids = [entropy.uid() for _ in range(POOL_BYTES // 16 * 3)]  # the pool is filled three times
    assert len(set(uids)) == len(uids)
    for uid in uids:
        parsed = uuid.UUID(uid)
        assert (parsed.version, parsed.variant, str(parsed)) == (4, uuid.RFC_4122, uid)
    # Every free bit takes both values.
    ones = zeros = 0
    for uid in uids:
        ones |= uuid.UUID(uid).int
        zeros |= ~uuid.UUID(uid).int
    free = (1 << 128) - 1 ^ (0xF000 << 64) ^ (0xC << 60)
    assert ones & free == free
    assert zeros & free == free


def test_a_seed_replays() -> None:
    a, b, c = Entropy(7), Entropy(7), Entropy(8)
    assert [a.uid(), a.name_suffix(), a.token()] == [b.uid(), b.name_suffix(), b.token()]
    assert uuid.UUID(a.uid()).version == 4
    assert Entropy(7).uid() != c.uid()


def test_times_on_the_wire() -> None:
    assert rfc3339(1_764_000_000.9) == "2025-11-24T16:00:00Z"
    assert rfc3339_micro(1_764_000_000.25) == "2025-11-24T16:00:00.250000Z"
