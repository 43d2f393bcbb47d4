"""Years with more digits than four, before year 1, and the borders to those of RFC 3339."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from hypothesis import given, seed
from hypothesis import strategies as st

from kapi.kinds.shared import cells
from kapi.schema import far_times
from kapi.schema.scalars import Mismatch, Unknown, parse_time, read_time

FIRST, LAST = -62_135_596_800, 253_402_300_799  # of the years 1 to 9999


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (LAST + 1, "10000-01-01T00:00:00"),
        (FIRST - 1, "0000-12-31T23:59:59"),
        (-62_167_219_201, "-0001-12-31T23:59:59"),
        (2**62, "146138514283-06-19T07:45:04"),
        (951_782_400, "2000-02-29T00:00:00"),
    ],
)
def test_known_moments(seconds: int, text: str) -> None:
    assert far_times.spell(seconds) == text
    assert far_times.parse(text + "Z") == (seconds, 0)


@seed(1)
@given(st.integers(-(2**63), 2**63 - 1), st.integers(0, 999_999))
def test_there_and_back(seconds: int, micros: int) -> None:
    text = f"{far_times.spell(seconds)}.{micros:06d}Z"
    assert far_times.parse(text) == (seconds, micros * 1000)
    assert parse_time(text) == (seconds, micros * 1000)


@seed(2)
@given(st.integers(FIRST, LAST))
def test_near_years_are_those_of_the_calendar(seconds: int) -> None:
    text = far_times.spell(seconds)
    assert text == (datetime(1970, 1, 1) + timedelta(seconds=seconds)).isoformat()  # noqa: DTZ001
    assert not far_times.is_far(text + "Z")


def test_json_does_not_bring_them_in() -> None:
    for text in ("10000-01-01T00:00:00Z", "0000-12-31T23:59:59Z", "-0001-01-01T00:00:00Z"):
        assert far_times.is_far(text)
        with pytest.raises(Mismatch):
            read_time(text, Unknown())


@pytest.mark.parametrize("text", ["10000", "10000-13-01T00:00:00Z", "10000-01-01T00:00:00"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        far_times.parse(text)


def test_tables_show_them() -> None:
    assert cells.since("10000-01-01T00:00:00Z", 0.0) == "<invalid>"
    assert cells.since("0000-12-31T23:59:59Z", 0.0) == "1970y"
