"""Why an expression is none, in ANTLR's words: the slow reading, after the fast one failed.

A parser that goes on after errors, as ANTLR's default strategy does: where a token does not fit, it
drops it if the next one fits, takes one for granted if the current one fits after it, or gives the
rule up and skips to what may follow. Until a token fits again nothing more is told.
https://github.com/antlr/antlr4/blob/master/runtime/Java/src/org/antlr/v4/runtime/DefaultErrorStrategy.java
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from kapi.cel import lexer
from kapi.cel.grammar import NAMED, ORDER, State, rules
from kapi.cel.lexer import END, Token
from kapi.cel.prediction import Call, NoWayError, at_a_glance, follow, predict
from kapi.cel.source import Issue

_ERRORS_MAX = 100  # after which reading ends
STEPS_MAX = 100_000  # states that the reading visits; beyond, what was found is told
_WHITE = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}


def explain(text: str) -> list[Issue]:
    """What is wrong with a text that does not parse; never nothing."""
    tokens, readable, issues = _tokens(text)
    reader = _Reader(tokens, readable)
    reader.read()
    found = [Issue(issue.offset, f"Syntax error: {issue.text}") for issue in issues + reader.issues]
    return found or [Issue(0, "Syntax error: unexpected input")]


# -- tokens ---------------------------------------------------------------------------------------


def _tokens(text: str) -> tuple[list[Token], list[tuple[int, str]], list[Issue]]:
    """What can be read as tokens, the same with blanks between, and what cannot be read."""
    out: list[Token] = []
    readable: list[tuple[int, str]] = []
    issues: list[Issue] = []
    at = 0
    while at < len(text):
        found = lexer.one(text, at)
        if found is None:
            end = _unreadable(text, at)
            shown = _shown(text[at : end + 1])
            issues.append(Issue(at, f"token recognition error at: '{shown}'"))
            at = end + 1
            continue
        token, end = found
        readable.append((at, text[at:end]))
        at = end
        if token is not None:
            out.append(token)
    out.append((END, END, len(text)))
    return out, readable, issues


def _unreadable(text: str, start: int) -> int:
    """Where it becomes sure that no token starts here."""
    quote = text[start]
    if quote in "&|=":
        return min(start + 1, len(text))
    if quote == "`":
        at = start + 1
        while at < len(text) and (text[at].isalnum() or text[at] in "_.-/ "):
            at += 1
        return at
    if quote not in "\"'":
        return start
    at = start + 1
    while at < len(text) and text[at] not in "\n\r":
        if text[at] != "\\":
            at += 1
            continue
        length, wrong = _escape(text, at)
        if wrong:
            return at + length
        at += length
    return at


def _escape(text: str, at: int) -> tuple[int, bool]:
    """The length of an escape, or how far it is right, and whether it is wrong."""
    kind = text[at + 1 : at + 2]
    if kind and kind in "abfnrtv\"'`?\\":
        return 2, False
    digits = {"x": 2, "X": 2, "u": 4, "U": 8}.get(kind)
    if digits is not None:
        allowed, first = "0123456789abcdefABCDEF", 2
    elif kind and kind in "0123":
        allowed, first, digits = "01234567", 2, 2
    else:
        return 1, True
    for i in range(first, first + digits):
        if text[at + i : at + i + 1] not in tuple(allowed):
            return i, True
    return first + digits, False


def _shown(text: str) -> str:
    return "".join(_WHITE.get(c, c) for c in text)


# -- the reader -----------------------------------------------------------------------------------


class _Mismatch(Exception):
    """A rule is given up."""


@dataclass(slots=True)
class _Trouble(_Mismatch):
    text: str
    offset: int


class _Spent(Exception):
    """Reading has taken long enough."""


class _Reader:
    def __init__(self, tokens: list[Token], readable: list[tuple[int, str]]) -> None:
        self._tokens = tokens
        self._readable = readable
        self._at = 0
        self._recovering = False
        self._last_at = -1  # where an error was recovered from last, and in which states
        self._last_states: set[int] = set()
        self._steps = 0
        self.issues: list[Issue] = []

    def read(self) -> None:
        try:
            self._rule("start", 0, None)
        except (_Spent, RecursionError):
            return

    def _ahead(self, count: int = 1) -> str:
        where = min(self._at + count - 1, len(self._tokens) - 1)
        return self._tokens[where][0]

    def _consume(self) -> None:
        if self._at < len(self._tokens) - 1:
            self._at += 1

    def _matched(self) -> None:
        self._recovering = False
        self._last_at = -1
        self._last_states = set()

    def _tell(self, text: str, offset: int) -> None:
        self.issues.append(Issue(offset, text))
        if len(self.issues) >= _ERRORS_MAX:
            raise _Spent

    # -- rules ------------------------------------------------------------------------------------

    def _rule(self, name: str, precedence: int, caller: Call | None) -> None:
        """`caller`: where it goes on afterwards."""
        state: State | None = rules()[name]
        here: list[State] = []
        try:
            while state is not None and not state.stop:
                here = [state]
                state = self._step(state, precedence, caller)
        except _Trouble as e:
            self._report(e)
            self._recover(here[0], caller)

    def _step(self, state: State, precedence: int, caller: Call | None) -> State | None:
        self._steps += 1
        if self._steps > STEPS_MAX:
            raise _Spent
        if state.ways:
            self._sync(state, caller)
            return self._chosen(state, precedence, caller)
        if state.rule:
            assert state.next is not None
            self._rule(state.rule, state.precedence, Call(state.next, precedence, caller))
        elif state.tokens:
            self._match(state, caller)
        return state.next

    def _chosen(self, state: State, precedence: int, caller: Call | None) -> State:
        if len(state.ways) == 1:
            return state.ways[0]
        if state.kind != "block" and at_a_glance(state, caller):
            ahead = self._ahead()
            return next((w for w in state.ways if ahead in follow(w, None)), state.ways[-1])
        try:
            way = predict(state, precedence, caller, self._tokens, self._at)
        except NoWayError as e:
            first, last = self._offset(), self._tokens[e.at][2]
            words = "".join(word for at, word in self._readable if first <= at <= last)
            shown = _shown(words) if self._ahead() != END else END
            text = f"no viable alternative at input '{shown}'"
            raise _Trouble(text, self._tokens[e.at][2]) from None
        return state.ways[way]

    def _match(self, state: State, caller: Call | None) -> None:
        if self._ahead() in state.tokens:
            self._matched()
            self._consume()
            return
        if self._drop(state, caller):
            self._consume()
            return
        assert state.next is not None
        if self._ahead() in follow(state.next, caller):
            if not self._recovering:
                self._recovering = True
                missing = listed(state.tokens)
                self._tell(f"missing {missing} at {self._quoted()}", self._offset())
            return
        raise self._mismatch(state, caller)

    def _drop(self, state: State, caller: Call | None) -> bool:
        """Skip a token that is too much, if the next one is as expected."""
        expected = follow(state, caller)
        if self._ahead(2) not in expected:
            return False
        self._unwanted(expected)
        self._consume()
        self._matched()
        return True

    def _unwanted(self, expected: Iterable[str]) -> None:
        if not self._recovering:
            self._recovering = True
            text = f"extraneous input {self._quoted()} expecting {listed(expected)}"
            self._tell(text, self._offset())

    def _sync(self, state: State, caller: Call | None) -> None:
        """Before a choice: is there a way at all?"""
        if self._recovering:
            return
        here = follow(state, None)
        if self._ahead() in here or "" in here:
            return
        if state.kind == "again":
            self._unwanted(follow(state, caller))
            wanted = follow(state, caller) | _recovery(caller)
            self._skip_to(wanted)
            return
        if not self._drop(state, caller):
            raise self._mismatch(state, caller)

    # -- errors -----------------------------------------------------------------------------------

    def _mismatch(self, state: State, caller: Call | None) -> _Trouble:
        expected = listed(follow(state, caller))
        text = f"mismatched input {self._quoted()} expecting {expected}"
        return _Trouble(text, self._offset())

    def _offset(self) -> int:
        return self._tokens[self._at][2]

    def _quoted(self) -> str:
        return f"'{_shown(self._tokens[self._at][1])}'"

    def _report(self, trouble: _Trouble) -> None:
        if not self._recovering:
            self._recovering = True
            self._tell(trouble.text, trouble.offset)

    def _recover(self, state: State, caller: Call | None) -> None:
        if self._last_at == self._at and id(state) in self._last_states:
            self._consume()  # no progress since the last time
        self._last_at = self._at
        self._last_states.add(id(state))
        self._skip_to(_recovery(caller))

    def _skip_to(self, wanted: frozenset[str] | set[str]) -> None:
        while self._ahead() != END and self._ahead() not in wanted:
            self._consume()


def _recovery(caller: Call | None) -> set[str]:
    """What may follow any of the rules that are being read."""
    out: set[str] = set()
    while caller is not None:
        out |= follow(caller.state, None)
        caller = caller.parent
    return out - {""}


def listed(names: Iterable[str]) -> str:
    """A set of tokens as ANTLR prints it."""
    shown = [n if n in NAMED else f"'{n}'" for n in sorted(names, key=_PLACES.__getitem__)]
    return shown[0] if len(shown) == 1 else "{" + ", ".join(shown) + "}"


_PLACES = {name: i for i, name in enumerate(ORDER)}
