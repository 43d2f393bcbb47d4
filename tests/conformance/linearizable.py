"""Is a history of calls on one key linearizable? Judged by what the store says happened.

The store gives every change a revision, so the order of changes is known; what is left to check is
time. A call that has ended before another began must not have seen, or made, a later state than
that one; and what a call says of the state must have been true at some moment between its begin and
its end. Calls without an answer may have been made or not, but not twice.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

ABSENT = None


@dataclass(frozen=True, slots=True)
class State:
    """What the key was from a revision on."""

    revision: int
    value: str | None  # ABSENT: it did not exist


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call on the key, as its caller saw it."""

    kind: str  # read, create, change, delete
    begin: float
    end: float
    # made: it was done, or read; refused: the state was not what it needs; nothing: the server
    # said that it did nothing; unknown: no answer
    outcome: str
    value: str | None = None  # what it wrote or read
    revision: int = 0  # of the state that it made or saw; 0: it was not told
    expected: int = 0  # the revision that a change or a deletion was for

    @property
    def writes(self) -> bool:
        return self.kind != "read"


def problems(calls: Sequence[Call], states: Sequence[State]) -> list[str]:
    """What cannot be. `states` are all that the key had, by revision, without the first absence."""
    all_states = [State(0, ABSENT), *states]
    at_revision = {s.revision: i for i, s in enumerate(all_states)}
    out = _values(calls, all_states)
    placed: list[tuple[Call, int]] = []
    open_calls: list[Call] = []
    of_value = {s.value: i for i, s in enumerate(all_states) if s.value is not ABSENT}
    for call in calls:
        if call.outcome == "nothing":
            continue
        if call.outcome == "unknown":
            if call.value in of_value:  # it was made, at any time after it began
                placed.append((replace(call, end=math.inf), of_value[call.value]))
            continue
        index = _place(call, all_states, at_revision)
        if index is not None:
            placed.append((call, index))
        elif call.outcome == "refused" or (call.kind == "read" and call.value is ABSENT):
            open_calls.append(call)
        else:
            out.append(f"{call} is of no state there was")
    bounds = _Bounds(placed)
    for call, index in placed:
        low, high = bounds.of(call)
        if not low + (1 if call.writes else 0) <= index <= high:
            out.append(f"{call} is of state {index}, but calls before and after say {low}..{high}")
    for call in open_calls:
        low, high = bounds.of(call)
        high = min(high, len(all_states) - 1)
        holds = _condition(call)
        if not any(holds(all_states[i]) for i in range(low, high + 1)):
            out.append(f"{call} was never right in states {low}..{high}")
    return out


def _values(calls: Sequence[Call], states: Sequence[State]) -> list[str]:
    """Each value is written once; what was refused or not begun never."""
    out = []
    seen: dict[str, int] = {}
    for state in states:
        if state.value is not ABSENT:
            seen[state.value] = seen.get(state.value, 0) + 1
    out += [f"{value} was written {n} times" for value, n in seen.items() if n > 1]
    for call in calls:
        if call.writes and call.outcome in ("refused", "nothing") and call.value in seen:
            out.append(f"{call} was made all the same")
    return out


def _place(call: Call, states: Sequence[State], at_revision: dict[int, int]) -> int | None:
    """Which state a call made or saw, if that is known."""
    if call.outcome != "made":
        return None
    if call.kind == "delete":
        before = at_revision.get(call.expected)
        if before is None or before + 1 >= len(states) or states[before + 1].value is not ABSENT:
            return None
        return before + 1
    index = at_revision.get(call.revision)
    if index is None or not call.revision or states[index].value != call.value:
        return None
    if call.kind == "change" and states[index - 1].revision != call.expected:
        return None
    return index


def _condition(call: Call) -> Callable[[State], bool]:
    if call.kind == "read":
        return lambda state: state.value is ABSENT
    if call.kind == "create":
        return lambda state: state.value is not ABSENT
    return lambda state: state.revision != call.expected or state.value is ABSENT


class _Bounds:
    """The least and the greatest state that a call can be of, by those that ended before it began
    and those that began after it ended."""

    def __init__(self, placed: Sequence[tuple[Call, int]]) -> None:
        by_end = sorted((call.end, index) for call, index in placed)
        self._ends = [end for end, _ in by_end]
        self._most = [0]
        for _, index in by_end:
            self._most.append(max(self._most[-1], index))
        by_begin = sorted(
            ((call.begin, index - 1 if call.writes else index) for call, index in placed),
            reverse=True,
        )
        self._begins = [-begin for begin, _ in by_begin]
        self._least = [1 << 62]
        for _, index in by_begin:
            self._least.append(min(self._least[-1], index))

    def of(self, call: Call) -> tuple[int, int]:
        ended = bisect_left(self._ends, call.begin)
        begun = bisect_left(self._begins, -call.end)
        return self._most[ended], self._least[begun]
