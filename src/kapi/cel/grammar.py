"""The grammar of CEL as a network of states, for those who must know why a text does not fit it.

As ANTLR builds it from CEL.g4: each rule is a graph from its start to its stop, with a state before
every choice. Rules that call themselves on the left (`member`, `calc`, `relation`) are loops with
precedences. https://github.com/google/cel-go/blob/master/parser/gen/CEL.g4
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache

from kapi.cel.lexer import BYTES, END, ESCAPED, FLOAT, IDENT, INT, STRING, UINT

# All tokens in the order in which sets of them are printed.
ORDER = (
    END, "==", "!=", "in", "<", "<=", ">=", ">", "&&", "||", "[", "]", "{", "}", "(", ")", ".",
    ",", "-", "!", "?", ":", "+", "*", "/", "%", "true", "false", "null", FLOAT, INT, UINT,
    STRING, BYTES, IDENT, ESCAPED,
)  # fmt: skip
NAMED = frozenset((END, FLOAT, INT, UINT, STRING, BYTES, IDENT, ESCAPED))  # printed without quotes


@dataclass(slots=True, eq=False)
class State:
    """`tokens`: what leads to `next`; `rule`: what is called, with a precedence, before `next`.

    A choice has several `ways`; `kind` says which: block, option (the last way leaves it out), loop
    (before a turn or the end), again (after a turn). A plain state has one way at most.
    """

    kind: str = ""
    tokens: frozenset[str] = frozenset()
    rule: str = ""
    precedence: int = 0
    guard: int = 0  # the precedence that must be met to pass
    next: State | None = None
    ways: list[State] = field(default_factory=list)
    stop: bool = False


Part = Callable[[State], State]  # what comes after -> where it starts


def _token(*names: str) -> Part:
    return lambda after: State(tokens=frozenset(names), next=after)


def _rule(name: str, precedence: int = 0) -> Part:
    return lambda after: State(rule=name, precedence=precedence, next=after)


def _guard(precedence: int) -> Part:
    return lambda after: State(guard=precedence, next=after)


def _seq(*parts: Part) -> Part:
    def build(after: State) -> State:
        for part in reversed(parts):
            after = part(after)
        return after

    return build


def _alt(*parts: Part) -> Part:
    return lambda after: State("block", ways=[part(after) for part in parts])


def _opt(*parts: Part) -> Part:
    return lambda after: State("option", ways=[_seq(*parts)(after), after])


def _star(*parts: Part) -> Part:
    def build(after: State) -> State:
        entry = State("loop")
        back = State("again")
        entry.ways = [_seq(*parts)(back), after]
        back.ways = entry.ways
        return entry

    return build


def _plus(*parts: Part) -> Part:
    """One turn, then the choice of another."""

    def build(after: State) -> State:
        back = State("again")
        first = _seq(*parts)(back)
        back.ways = [first, after]
        return State("block", ways=[first])

    return build


_dot_name = _seq(_opt(_token(".")), _token(IDENT))
_call = _seq(_token("("), _opt(_rule("exprList")), _token(")"))
_RULES: Mapping[str, Part] = {
    "start": _seq(_rule("expr"), _token(END)),
    "expr": _seq(
        _rule("conditionalOr"),
        _opt(_token("?"), _rule("conditionalOr"), _token(":"), _rule("expr")),
    ),
    "conditionalOr": _seq(
        _rule("conditionalAnd"), _star(_token("||"), _rule("conditionalAnd"))
    ),
    "conditionalAnd": _seq(_rule("relation"), _star(_token("&&"), _rule("relation"))),
    "relation": _seq(
        _rule("calc"),
        _star(_guard(1), _token("<", "<=", ">=", ">", "==", "!=", "in"), _rule("relation", 2)),
    ),
    "calc": _seq(
        _rule("unary"),
        _star(
            _alt(
                _seq(_guard(2), _token("*", "/", "%"), _rule("calc", 3)),
                _seq(_guard(1), _token("+", "-"), _rule("calc", 2)),
            )
        ),
    ),
    "unary": _alt(
        _rule("member"),
        _seq(_plus(_token("!")), _rule("member")),
        _seq(_plus(_token("-")), _rule("member")),
    ),
    "member": _seq(
        _rule("primary"),
        _star(
            _alt(
                _seq(_guard(3), _token("."), _opt(_token("?")), _rule("escapeIdent")),
                _seq(_guard(2), _token("."), _token(IDENT), _call),
                _seq(_guard(1), _token("["), _opt(_token("?")), _rule("expr"), _token("]")),
            )
        ),
    ),
    "primary": _alt(
        _dot_name,
        _seq(_dot_name, _call),
        _seq(_token("("), _rule("expr"), _token(")")),
        _seq(_token("["), _opt(_rule("listInit")), _opt(_token(",")), _token("]")),
        _seq(_token("{"), _opt(_rule("mapInit")), _opt(_token(",")), _token("}")),
        _seq(
            _dot_name,
            _star(_token("."), _token(IDENT)),
            _token("{"),
            _opt(_rule("fieldInit")),
            _opt(_token(",")),
            _token("}"),
        ),
        _rule("literal"),
    ),
    "exprList": _seq(_rule("expr"), _star(_token(","), _rule("expr"))),
    "listInit": _seq(_rule("optExpr"), _star(_token(","), _rule("optExpr"))),
    "fieldInit": _seq(
        _rule("optField"), _token(":"), _rule("expr"),
        _star(_token(","), _rule("optField"), _token(":"), _rule("expr")),
    ),
    "optField": _seq(_opt(_token("?")), _rule("escapeIdent")),
    "mapInit": _seq(
        _rule("optExpr"), _token(":"), _rule("expr"),
        _star(_token(","), _rule("optExpr"), _token(":"), _rule("expr")),
    ),
    "escapeIdent": _alt(_token(IDENT), _token(ESCAPED)),
    "optExpr": _seq(_opt(_token("?")), _rule("expr")),
    "literal": _alt(
        _seq(_opt(_token("-")), _token(INT)),
        _token(UINT),
        _seq(_opt(_token("-")), _token(FLOAT)),
        _token(STRING),
        _token(BYTES),
        _token("true"),
        _token("false"),
        _token("null"),
    ),
}  # fmt: skip


@lru_cache(maxsize=1)
def rules() -> Mapping[str, State]:
    """The start of each rule."""
    return {name: part(State(stop=True)) for name, part in _RULES.items()}
