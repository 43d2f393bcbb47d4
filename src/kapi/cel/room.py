"""Room for deep expressions: they nest 250 levels, each of which takes some ten calls of the
interpreter, more than it allows.

Who parses, checks, prices or runs an expression calls `with_room`. The first that the usual room is
too small for raises the bound of the interpreter, which is the whole process's. It is never put
back: a thread that is deeper than a bound that is lowered ends the process ("Cannot recover from
stack overflow"), and what threads do meanwhile nobody knows. Nothing waits for anything here.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Calls within each other. Twice what 250 levels take; a stack of 8 MB holds some ten times as many.
CALLS_MAX = 5000


def with_room(work: Callable[[], T]) -> T:
    """The result of `work`, which may be done twice. Raises RecursionError if even the larger room
    is too small."""
    try:
        return work()
    except RecursionError:
        pass
    if sys.getrecursionlimit() < CALLS_MAX:
        sys.setrecursionlimit(CALLS_MAX)
    return work()
