"""Seats of levels: by shares as a real server has them, and lent by demand, max-min fair."""

from __future__ import annotations

import json
import math
from importlib.resources import files
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.flowcontrol.occupancy import Demand
from kapi.flowcontrol.shares import (
    SMOOTHING,
    Claim,
    DemandMemory,
    LevelSpec,
    Limits,
    Queuing,
    allocate,
    claim,
    limits,
    read_spec,
    widest,
)

SETTINGS = settings(max_examples=500, deadline=None, derandomize=True)


def fixed_levels() -> dict[str, LevelSpec]:
    data = json.loads((files("kapi") / "data" / "bootstrap-objects.json").read_text())
    found = {}
    for obj in data["prioritylevelconfigurations"]:
        spec = read_spec(obj["metadata"]["name"], obj["spec"])
        assert spec is not None
        found[obj["metadata"]["name"]] = spec
    return found


@pytest.mark.parametrize(
    ("name", "expected", "most"),
    [
        ("exempt", Limits(0, 0, 600), 0),
        ("catch-all", Limits(13, 13, 613), 0),
        ("global-default", Limits(49, 24, 649), 8),
        ("leader-election", Limits(25, 25, 625), 4),
        ("node-high", Limits(98, 73, 698), 15),
        ("system", Limits(74, 50, 674), 12),
        ("workload-high", Limits(98, 49, 698), 15),
        ("workload-low", Limits(245, 24, 845), 37),
    ],
)
def test_limits_of_the_default_levels(name: str, expected: Limits, most: int) -> None:
    levels = fixed_levels()
    found = limits(levels[name], 600, sum(level.shares for level in levels.values()))
    assert found == expected
    assert widest(found.nominal, levels[name].queuing) == most


def test_a_limit_to_borrowing_and_no_shares_at_all() -> None:
    spec = LevelSpec(False, 10, 50, 20, None)
    assert limits(spec, 99, 40) == Limits(25, 12, 30)  # halves are rounded up
    assert limits(spec, 99, 40).initial == 19
    nothing = LevelSpec(True, 0, 0, None, None)
    assert limits(nothing, 10, 0) == Limits(0, 0, 10)
    assert widest(3, Queuing(64, 8, 50)) == 1


QUEUED = {"type": "Queue", "queuing": {"queues": 2, "handSize": 1, "queueLengthLimit": 3}}


@pytest.mark.parametrize(
    ("name", "spec"),
    [
        ("exempt", {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}),
        ("other", {"type": "Exempt", "exempt": {}}),
        ("other", {"type": "Limited"}),
        ("other", {"type": "Limited", "limited": {"limitResponse": {"type": "Queue"}}}),
        ("other", {"type": "Limited", "limited": {"limitResponse": QUEUED}, "exempt": {}}),
        (
            "other",
            {"type": "Limited", "limited": {"limitResponse": {**QUEUED, "type": "Reject"}}},
        ),
    ],
)
def test_parts_that_do_not_fit(name: str, spec: dict[str, Any]) -> None:
    assert read_spec(name, spec) is None


def test_a_spec_with_queues() -> None:
    spec = {"type": "Limited", "limited": {"limitResponse": QUEUED, "borrowingLimitPercent": 0}}
    assert read_spec("x", spec) == LevelSpec(False, 30, 0, 0, Queuing(2, 1, 3))


# -- lending --------------------------------------------------------------------------------------

LEVELS = st.lists(
    st.tuples(st.integers(0, 400), st.integers(0, 100), st.floats(0, 900)), min_size=1, max_size=8
)


def claims_of(levels: list[tuple[int, int, float]]) -> tuple[int, list[Claim]]:
    """The claims of levels by (nominal, lendable percent, smoothed demand)."""
    total = sum(nominal for nominal, _, _ in levels)
    made = []
    for nominal, percent, demand in levels:
        bounds = Limits(nominal, nominal - nominal * percent // 100, nominal + total)
        made.append(claim(bounds, DemandMemory(highest=demand, smoothed=demand)))
    return total, made


@SETTINGS
@given(levels=LEVELS)
def test_all_seats_are_given_within_bounds_and_fairly(
    levels: list[tuple[int, int, float]],
) -> None:
    total, claims = claims_of(levels)
    given_, fraction = allocate(total, claims)
    assert math.fsum(given_) == pytest.approx(total, abs=1e-6)
    if not total:
        return
    for seats, wanted in zip(given_, claims, strict=True):
        assert wanted.lower - 1e-9 <= seats <= wanted.upper + 1e-9
        fair = fraction * max(wanted.target, 0.001)
        at_lower = seats == pytest.approx(wanted.lower) and fair <= seats + 1e-6
        at_upper = seats == pytest.approx(wanted.upper) and fair >= seats - 1e-6
        assert at_lower or at_upper or seats == pytest.approx(fair, abs=1e-6)


def test_an_idle_level_lends_and_a_busy_one_borrows() -> None:
    idle = claim(Limits(100, 10, 200), DemandMemory())
    busy = claim(Limits(100, 50, 200), DemandMemory(highest=180, smoothed=180))
    given_, _ = allocate(200, [idle, busy])
    assert given_ == pytest.approx([200 / 19, 3600 / 19])  # as 10 to 180


def test_what_was_used_is_kept_up_to_the_nominal_seats() -> None:
    used = claim(Limits(100, 10, 200), DemandMemory(highest=60, smoothed=1))
    assert used == Claim(60, 60, 200)
    assert claim(Limits(100, 10, 200), DemandMemory(highest=500)).lower == 100


@pytest.mark.parametrize(
    ("seats", "claims"),
    [
        (-1, []),
        (10, [Claim(5, 6, 7)]),
        (10, [Claim(5, 5, 4)]),
        (10, [Claim(20, 11, 30)]),
        (10, [Claim(5, 1, 9)]),
    ],
)
def test_bounds_without_a_solution(seats: int, claims: list[Claim]) -> None:
    with pytest.raises(ValueError, match=r"bounds|negative"):
        allocate(seats, claims)


def test_demand_rises_at_once_and_fades_slowly() -> None:
    memory = DemandMemory()
    memory.update(Demand(10, 40, 10, 70))
    assert (memory.smoothed, memory.highest) == (50, 70)
    memory.update(Demand(10, 0, 0, 0))
    assert memory.smoothed == pytest.approx(50 * SMOOTHING)
    for _ in range(29):
        memory.update(Demand(10, 0, 0, 0))
    assert memory.smoothed == pytest.approx(25, rel=0.01)  # five minutes later, half of it
    memory.update(Demand(0, 0, 0, 3))
    assert (memory.highest, memory.average) == (3, 0)
