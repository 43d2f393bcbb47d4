"""Which way a choice of the grammar goes, by looking ahead as far as is needed; used by
`syntax_errors.py` only.

All ways are followed at once, each with its own stack of calls. The first one left over is taken;
where none is left, one that had already gone beyond the rule is, since the error then belongs to
what follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from kapi.cel.grammar import State, rules
from kapi.cel.lexer import END, Token

LOOK_AHEAD_MAX = 512  # tokens


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Where a rule that was called returns to, and with which precedence."""

    state: State
    precedence: int
    parent: Call | None


class NoWayError(Exception):
    """No way fits. `at`: the token that none of them takes."""

    def __init__(self, at: int) -> None:
        super().__init__(at)
        self.at = at


@dataclass(frozen=True, slots=True)
class _Place:
    """One way, followed so far. `outside`: whether it left the rule of the choice."""

    state: State
    precedence: int
    caller: Call | None
    way: int
    outside: bool


def predict(
    state: State, precedence: int, caller: Call | None, tokens: Sequence[Token], at: int
) -> int:
    """Raises NoWayError."""
    places = [_Place(way, precedence, caller, i, False) for i, way in enumerate(state.ways)]
    calls: dict[tuple[int, int, int], Call] = {}
    for ahead in range(LOOK_AHEAD_MAX):
        where = min(at + ahead, len(tokens) - 1)
        reached = _closed(places, caller, calls)
        ways = {p.way for p in reached}
        if len(ways) == 1 and ahead:
            return ways.pop()
        kind = tokens[where][0]
        places = [
            _Place(p.state.next, p.precedence, p.caller, p.way, p.outside)
            for p in reached
            if kind in p.state.tokens and p.state.next is not None
        ]
        if not places:
            finished = [p.way for p in reached if p.outside or p.state.stop]
            if finished:
                return min(finished)
            raise NoWayError(where)
        if kind == END or _settled(places):
            return min(p.way for p in places)
    return min(p.way for p in places)


def _settled(places: Sequence[_Place]) -> bool:
    """Whether looking further cannot tell the ways apart."""
    ways = {p.way for p in places}
    if len(ways) == 1:
        return True
    together: dict[tuple[int, int, int], set[int]] = {}
    for p in places:
        together.setdefault((id(p.state), p.precedence, id(p.caller)), set()).add(p.way)
    return all(found == ways for found in together.values())


def _closed(
    places: Sequence[_Place], outer: Call | None, calls: dict[tuple[int, int, int], Call]
) -> list[_Place]:
    """Where the ways wait for a token, after all that needs none."""
    pending = list(places)
    seen: set[tuple[int, int, int, int, bool]] = set()
    out: list[_Place] = []
    while pending:
        p = pending.pop()
        key = (id(p.state), p.precedence, id(p.caller), p.way, p.outside)
        if key in seen:
            continue
        seen.add(key)
        if p.state.tokens:
            out.append(p)
        else:
            more = list(_without_a_token(p, outer, calls))
            if not more and p.state.stop:
                out.append(p)
            pending += more
    return out


def _without_a_token(
    p: _Place, outer: Call | None, calls: dict[tuple[int, int, int], Call]
) -> Iterator[_Place]:
    state = p.state
    if state.stop:
        if p.caller is not None:
            outside = p.outside or p.caller is outer
            yield _Place(p.caller.state, p.caller.precedence, p.caller.parent, p.way, outside)
    elif state.ways:
        for way in state.ways:
            yield _Place(way, p.precedence, p.caller, p.way, p.outside)
    elif state.rule:
        assert state.next is not None
        key = (id(state.next), p.precedence, id(p.caller))
        call = calls.get(key)
        if call is None:
            call = calls[key] = Call(state.next, p.precedence, p.caller)
        yield _Place(rules()[state.rule], state.precedence, call, p.way, p.outside)
    elif state.guard <= 0 or p.precedence <= state.guard:
        assert state.next is not None
        yield _Place(state.next, p.precedence, p.caller, p.way, p.outside)


def at_a_glance(state: State, caller: Call | None) -> bool:
    """Whether the next token tells the ways of a choice apart, so that nothing is predicted."""
    seen: set[str] = set()
    for way in state.ways:
        tokens = follow(way, caller)
        if way.guard or (way.ways and any(w.guard for w in way.ways)) or tokens & seen:
            return False
        seen |= tokens
    return True


def follow(state: State, caller: Call | None) -> frozenset[str]:
    """The tokens that may come at a state. Without a caller, "" says that the rule may end here;
    with one, what may come after the rule is in it."""
    out: set[str] = set()
    seen: set[int] = set()
    pending = [state]
    while pending:
        here = pending.pop()
        if id(here) in seen:
            continue
        seen.add(id(here))
        if here.stop:
            out.add("")
        elif here.tokens:
            out |= here.tokens
        elif here.ways:
            pending += here.ways
        elif here.rule:
            assert here.next is not None
            inner = follow(rules()[here.rule], None)
            out |= inner - {""}
            if "" in inner:
                pending.append(here.next)
        elif here.next is not None:
            pending.append(here.next)
    if "" in out and caller is not None:
        out.discard("")
        return frozenset(out) | follow(caller.state, caller.parent or _OUTERMOST)
    if "" in out and caller is _OUTERMOST:
        return frozenset(out - {""} | {END})
    return frozenset(out)


_OUTERMOST = Call(State(stop=True), 0, None)
