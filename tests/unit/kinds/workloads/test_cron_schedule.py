"""Cron schedules and the complaints about them."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.kinds.workloads.cron_schedule import complaint, zone_exists


@pytest.mark.parametrize(
    "schedule",
    [
        "* * * * *",
        "*/5 0-6,22-23 ? jan-MAR mon,Wed,5",
        "0 0 29 2 0",
        "5/15 * * * *",
        "@daily",
        "@every 1h30m",
        "TZ=Europe/Berlin 0 3 * * *",
        "CRON_TZ=UTC @hourly",
        "  1  2 3   4 5 ",
    ],
)
def test_good_schedules(schedule: str) -> None:
    assert complaint(schedule) == ""


@pytest.mark.parametrize(
    ("schedule", "text"),
    [
        ("", "empty spec string"),
        ("Upper_Case! x", "expected exactly 5 fields, found 2: [Upper_Case! x]"),
        ("0 * * * * *", "expected exactly 5 fields, found 6: [0 * * * * *]"),
        ("60 * * * *", "end of range (60) above maximum (59): 60"),
        ("* * 0 * *", "beginning of range (0) below minimum (1): 0"),
        ("30-10 * * * *", "beginning of range (30) beyond end of range (10): 30-10"),
        ("*/0 * * * *", "step of range should be a positive number: */0"),
        ("1-2-3 * * * *", "too many hyphens: 1-2-3"),
        ("1/2/3 * * * *", "too many slashes: 1/2/3"),
        (
            "x * * * *",
            'failed to parse int from x: strconv.Atoi: parsing "x": invalid syntax',
        ),
        ("* * * * mo", 'failed to parse int from mo: strconv.Atoi: parsing "mo": invalid syntax'),
        ("@often", "unrecognized descriptor: @often"),
        ("@every soon", 'failed to parse duration @every soon: time: invalid duration "soon"'),
        (
            "@every 1d",
            'failed to parse duration @every 1d: time: unknown unit "d" in duration "1d"',
        ),
        ("@every 5", 'failed to parse duration @every 5: time: missing unit in duration "5"'),
        ("TZ=No/Land * * * * *", "provided bad location No/Land: unknown time zone No/Land"),
    ],
)
def test_complaints(schedule: str, text: str) -> None:
    assert complaint(schedule) == text


def test_time_zones() -> None:
    assert zone_exists("Etc/UTC")
    assert not zone_exists("../etc/passwd")
    assert not zone_exists("/etc/localtime")
    assert not zone_exists("Upper_Case! x")


@given(st.text(alphabet="0123456789*/-,?@ jan=TZ", max_size=30))
@settings(derandomize=True, max_examples=300)
def test_any_text_has_an_answer(schedule: str) -> None:
    assert isinstance(complaint(schedule), str)
