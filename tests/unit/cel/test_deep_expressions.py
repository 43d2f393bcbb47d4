"""Expressions nest 250 levels, however deep the stack is already; one more is refused."""

import subprocess
import sys
import threading
from collections.abc import Callable

import pytest

from kapi.cel import room
from kapi.cel.environment import kubernetes
from kapi.cel.estimate import estimate
from kapi.cel.parser import DEPTH_MAX
from kapi.cel.program import CompileError, Outcome, compile_expression

DEEP_STACK = 400  # calls that are under way already

# Begin, innermost, end; and the value of 250 of them, which is 249 times begin and end.
SHAPES = {
    "parentheses": ("(", "1", ")", 1),
    "negations": ("!(", "true", ")", False),
    "minus": ("-(", "1", ")", -1),
    "alternatives": ("true ? (", "1", ") : 2", 1),
    "other alternatives": ("false ? 1 : ", "2", "", 2),
    "calls": ("int(", "1", ")", 1),
    "sums": ("1 + (", "1", ")", DEPTH_MAX),
    "keys": ("[1, 0][", "0", "]", None),
    "lists": ("size([", "1", "]) > 0 ? 1 : 0", None),
    "either": ("false || (", "true", ")", True),
    "macros": ("[1].all(x, ", "true", ")", None),
}


def at_depth(calls: int, work: Callable[[], Outcome]) -> Outcome:
    return work() if not calls else at_depth(calls - 1, work)


def nested(shape: str, levels: int) -> str:
    begin, inner, end, _ = SHAPES[shape]
    return begin * (levels - 1) + inner + end * (levels - 1)


def outcome(text: str) -> Outcome:
    program = compile_expression(text, kubernetes())
    estimate(program.tree)
    return program.evaluate({})


@pytest.mark.parametrize("stack", [0, DEEP_STACK])
@pytest.mark.parametrize("shape", ["parentheses", "negations", "minus", "alternatives", "calls",
                                   "sums", "either", "other alternatives"])  # fmt: skip
def test_as_deep_as_may_be(shape: str, stack: int) -> None:
    found = at_depth(stack, lambda: outcome(nested(shape, DEPTH_MAX)))
    assert found.error is None
    assert found.value == SHAPES[shape][3]


def test_as_deep_in_a_thread_of_the_usual_stack() -> None:
    found: list[Outcome] = []

    def work() -> None:
        found.append(at_depth(DEEP_STACK, lambda: outcome(nested("alternatives", DEPTH_MAX))))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert [f.value for f in found] == [1]


@pytest.mark.parametrize("shape", SHAPES)
def test_one_level_more(shape: str) -> None:
    with pytest.raises(CompileError) as caught:
        outcome(nested(shape, DEPTH_MAX + 1))
    assert "expression recursion limit exceeded: 250" in str(caught.value)


def test_what_needs_more_room_than_there_is() -> None:
    def endless() -> int:
        return endless() + 1

    with pytest.raises(RecursionError):
        room.with_room(endless)


# One thread has got room; another one uses it, and is still deep when the first is done.
TWO_THREADS = """
import threading
from kapi.cel.room import with_room

roomy, deep = threading.Event(), threading.Event()

def down(calls, then):
    try:
        return down(calls - 1, then) if calls else then()
    except ValueError:
        return 0

def first():
    def then():
        roomy.set()
        deep.wait(10)
        return 1
    with_room(lambda: down(1500, then))

thread = threading.Thread(target=first)
thread.start()
assert roomy.wait(10)

def then():
    deep.set()
    thread.join()
    return down(1, lambda: "good")

print(with_room(lambda: down(2000, then)))
"""


def test_a_thread_that_is_deep_keeps_its_room() -> None:
    run = subprocess.run(
        [sys.executable, "-c", TWO_THREADS], capture_output=True, text=True, check=False, timeout=60
    )
    assert (run.returncode, run.stdout) == (0, "good\n"), run.stderr[:300]
