"""Room for deep expressions: they nest 250 levels, each of which takes some ten calls of the
interpreter, more than it allows.

Who parses, checks, prices or runs an expression calls `with_room`. Only what the usual room is too
small for is done again with more; the bound of the interpreter is the process's, so one such piece
of work is done at a time, and the bound is put back.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# Calls within each other. Twice what 250 levels take; a stack of 8 MB holds some ten times as many.
CALLS_MAX = 5000
_one_at_a_time = threading.RLock()  # work that has room may ask for it again


def with_room(work: Callable[[], T]) -> T:
    """The result of `work`, which may be done twice. Raises RecursionError if even the larger room
    is too small."""
    try:
        return work()
    except RecursionError:
        pass
    with _one_at_a_time:
        usual = sys.getrecursionlimit()
        if usual >= CALLS_MAX:
            return work()
        sys.setrecursionlimit(CALLS_MAX)
        try:
            return work()
        finally:
            sys.setrecursionlimit(usual)
