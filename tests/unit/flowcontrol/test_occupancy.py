"""Time in states: histograms by nanosecond, and the statistics of demand."""

from __future__ import annotations

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.flowcontrol.occupancy import STATES_MAX, Demand, Occupancy
from kapi.metrics import HistogramCell

BOUNDS = (0.0, 0.5, 1.0)


def charts() -> list[HistogramCell]:
    return [HistogramCell(BOUNDS) for _ in range(4)]


@settings(max_examples=100, deadline=None, derandomize=True)
@given(steps=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 2000)), max_size=600))
def test_moments_are_those_of_the_steps(steps: list[tuple[int, int]]) -> None:
    occupancy = Occupancy(0.0, charts())
    now, value = 0.0, 0
    seconds = total = squares = 0.0
    highest = 0
    for wanted, milliseconds in steps:
        took = milliseconds / 1000
        seconds, total, squares = (
            seconds + took, total + value * took, squares + value * value * took,
        )  # fmt: skip
        now += took
        value, highest = wanted, max(highest, wanted)
        occupancy.change(now, (0, 0, 0, wanted))
    found = occupancy.take_demand(now)
    assert found.highest == highest
    if seconds:
        mean = total / seconds
        assert found.seconds == pytest.approx(seconds)
        assert found.average == pytest.approx(mean)
        deviation = math.sqrt(max(0.0, squares / seconds - mean * mean))
        assert found.deviation == pytest.approx(deviation, abs=1e-4)
    assert occupancy.take_demand(now) == Demand(0.0, 0.0, 0.0, float(value))


def test_each_nanosecond_is_an_observation_of_a_fraction() -> None:
    cells = charts()
    occupancy = Occupancy(10.0, cells)
    occupancy.limits(10.0, (10, 4, 4, 4))
    occupancy.change(11.0, (5, 1, 4, 8))
    occupancy.limits(13.0, (10, 8, 8, 8))  # from here on it is half as much
    occupancy.fold(14.0)
    second = 10**9
    assert cells[0].counts == [second, 3 * second, 0, 0]
    assert cells[1].counts == [second, 3 * second, 0, 0]
    assert cells[2].counts == [second, second, 2 * second, 0]
    assert cells[3].counts == [second, 0, second, 2 * second]
    assert cells[3].sum == pytest.approx((2 * 2 + 1) * second)


def test_many_states_are_folded_by_themselves() -> None:
    cells = charts()
    occupancy = Occupancy(0.0, cells)
    for n in range(10 * STATES_MAX):
        occupancy.change(float(n + 1), (0, 0, n, n))
    assert sum(cells[2].counts) > 0
    occupancy.fold(10.0 * STATES_MAX)
    assert sum(cells[2].counts) == 10 * STATES_MAX * 10**9
