"""How long refused clients are sent away: doubled while many are refused, then less by one."""

from __future__ import annotations

from itertools import pairwise

from kapi.flowcontrol.retry_after import Refusals


def test_few_refusals_come_again_after_a_second() -> None:
    refusals = Refusals()
    assert [refusals.add(100 + n) for n in range(5)] == [1] * 5


def test_many_refusals_double_it_once_in_its_own_time() -> None:
    refusals = Refusals()
    seen = []
    for second in range(1000, 1120):
        for _ in range(200):
            wait = refusals.add(second)
        seen.append(wait)
    steps = [b for a, b in pairwise(seen) if a != b]
    assert steps == [2, 4, 8, 16, 32]
    raised = [1000 + n for n in range(1, len(seen)) if seen[n] != seen[n - 1]]
    for (at, wait), later in zip(zip(raised, steps, strict=True), raised[1:], strict=False):
        assert later - at >= wait


def test_it_sinks_when_refusals_are_rare() -> None:
    refusals = Refusals()
    for second in range(1000, 1010):
        for _ in range(100):
            refusals.add(second)
    high = refusals.retry_after
    assert high > 2
    found = [refusals.add(2000 + 100 * n) for n in range(3)]
    assert found == [high - 1, high - 2, high - 3]
