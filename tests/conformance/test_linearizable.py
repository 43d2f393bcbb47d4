"""The checker of histories finds what it must and accepts what is right."""

from __future__ import annotations

import pytest
from linearizable import Call, State, problems

STATES = [State(2, "a"), State(3, "b"), State(5, None), State(6, "c")]


def call(kind: str, begin: float, end: float, outcome: str = "made", **more: object) -> Call:
    return Call(kind=kind, begin=begin, end=end, outcome=outcome, **more)  # type: ignore[arg-type]


RIGHT = [
    call("read", 0, 1),  # absent
    call("create", 1, 2, value="a", revision=2),
    call("create", 1.5, 2.5, "refused", value="x"),
    call("read", 1.5, 3, value="a", revision=2),
    call("change", 3, 4, value="b", revision=3, expected=2),
    call("change", 3, 9, "refused", value="y", expected=2),
    call("read", 3.5, 3.9, value="a", revision=2),  # the change is under way
    call("delete", 5, 6, expected=3),
    call("read", 5, 6),
    call("create", 7, 8, "unknown", value="c"),
    call("change", 8, 9, "unknown", value="z", expected=6),
    call("read", 9, 10, value="c", revision=6),
]


def test_what_is_right() -> None:
    assert problems(RIGHT, STATES) == []


@pytest.mark.parametrize(
    "wrong",
    [
        call("read", 4.5, 4.8, value="a", revision=2),  # stale: b was acknowledged
        call("read", 2.9, 2.95),  # absent between a and b
        call("read", 0.1, 0.2, value="a", revision=2),  # before it was made
        call("read", 9, 10, value="x", revision=6),  # of no state
        call("create", 3, 4, value="q", revision=7),  # acknowledged and lost
        call("change", 3, 4, value="b", revision=3, expected=9),  # of another version
        call("change", 2.6, 2.9, "refused", value="w", expected=2),  # it stood at that
        call("create", 6.5, 7, "nothing", value="c"),  # made all the same
        call("delete", 9, 10, expected=6),  # acknowledged, and still there
        call("create", 6.2, 6.4, "refused", value="w"),  # nothing stood there
    ],
)
def test_what_is_wrong(wrong: Call) -> None:
    assert problems([*RIGHT, wrong], STATES)


def test_a_value_that_was_written_twice() -> None:
    assert problems([], [State(2, "a"), State(3, None), State(4, "a")])
