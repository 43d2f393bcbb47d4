"""Label selectors: parse the text once, match fast, complain in the real words.

`a=b, a==b, a!=b, a in (b,c), a notin (b), a, !a, a>1, a<1`, joined by commas, all of which must
hold. Used by reads and watches (`labelSelector=`), by deletes of collections, and by whoever
selects objects.
https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#label-selectors

The grammar is the real server's, with its oddities: a value may be left out (`a=` means the empty
value), `()` holds the empty value, `in` and `notin` are plain words where a value or key is
expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from kapi.errors import bad_request, quote
from kapi.selector.syntax import key_complaints, value_complaints

Operator = Literal["in", "notin", "=", "==", "!=", "exists", "!", "gt", "lt"]
Labels = Mapping[str, str]
Match = Callable[[Labels], bool]

_INT64 = range(-(2**63), 2**63)
_INTEGER = re.compile(r"[+-]?[0-9]+\Z", re.ASCII)


@dataclass(frozen=True, slots=True)
class Requirement:
    key: str
    operator: Operator
    values: tuple[str, ...] = ()  # sorted, each once


@dataclass(frozen=True, slots=True)
class Selector:
    """Requirements that must all hold. Immutable; `EVERYTHING` has none."""

    requirements: tuple[Requirement, ...] = ()
    matches: Match = field(init=False, repr=False, compare=False)  # whether labels fulfil them

    def __post_init__(self) -> None:
        object.__setattr__(self, "matches", _compile(self.requirements))

    @property
    def empty(self) -> bool:
        return not self.requirements

    @property
    def pair(self) -> tuple[str, str] | None:
        """The label and its value, if that is all that is required."""
        if len(self.requirements) == 1:
            key = self.requirements[0].key
            value = self.exact(key)
            return (key, value) if value is not None else None
        return None

    def exact(self, key: str) -> str | None:
        """The one value that the label must have, if there is one."""
        for r in self.requirements:
            if r.key == key and r.operator in ("=", "==", "in") and len(r.values) == 1:
                return r.values[0]
        return None


# -- matching -------------------------------------------------------------------------------------


def _everything(labels: Labels) -> bool:
    return True


def _compile(requirements: Sequence[Requirement]) -> Match:
    checks = [_check(r) for r in requirements]
    if not checks:
        return _everything
    if len(checks) == 1:
        return checks[0]
    return lambda labels: all(check(labels) for check in checks)


def _check(r: Requirement) -> Match:
    key, values = r.key, frozenset(r.values)
    if r.operator == "exists":
        return lambda labels: key in labels
    if r.operator == "!":
        return lambda labels: key not in labels
    if r.operator in ("gt", "lt"):
        return _comparison(key, int(r.values[0]), above=r.operator == "gt")
    if r.operator in ("!=", "notin"):
        return lambda labels: labels.get(key) not in values
    if len(values) == 1:
        (value,) = values
        return lambda labels: labels.get(key) == value
    return lambda labels: labels.get(key) in values


def _comparison(key: str, bound: int, *, above: bool) -> Match:
    def check(labels: Labels) -> bool:
        found = parse_int64(labels.get(key, ""))
        if found is None:
            return False
        return found > bound if above else found < bound

    return check


def parse_int64(text: str) -> int | None:
    """A decimal as Go's strconv.ParseInt takes it; None if it is none, or too big."""
    if not _INTEGER.match(text):
        return None
    value = int(text)
    return value if value in _INT64 else None


# -- parsing --------------------------------------------------------------------------------------


class _Token(NamedTuple):
    kind: str  # "id", "end", "in", "notin", or the symbol itself
    text: str


_SYMBOLS = frozenset("=!(),><")
_PAIRS = frozenset(("==", "!="))
_BLANKS = frozenset(" \t\r\n")
_END = _Token("end", "")
_OPERATORS: dict[str, Operator] = {
    "in": "in", "=": "=", "==": "==", ">": "gt", "<": "lt", "notin": "notin", "!=": "!=",
}  # fmt: skip
_EXPECTED_OPERATORS = "in, notin, =, ==, !=, gt, lt"


def _tokens(text: str) -> list[_Token]:
    """The tokens of a selector, ending with `_END`. A NUL ends a word, or the text."""
    out: list[_Token] = []
    at, length = 0, len(text)
    while True:
        while at < length and text[at] in _BLANKS:
            at += 1
        if at >= length or text[at] == "\0":
            out.append(_END)
            return out
        if text[at] in _SYMBOLS:
            symbol = text[at : at + 2] if text[at : at + 2] in _PAIRS else text[at]
            out.append(_Token(symbol, symbol))
            at += len(symbol)
            continue
        start = at
        while at < length and text[at] not in _SYMBOLS and text[at] not in _BLANKS:
            if text[at] == "\0":
                break
            at += 1
        word = text[start:at]
        out.append(_Token(word if word in ("in", "notin") else "id", word))
        if at < length and text[at] == "\0":
            at += 1


class _Bad(Exception):
    """The text is no selector; says why."""


class _Parser:
    def __init__(self, text: str) -> None:
        self._tokens = _tokens(text)
        self._at = 0

    def _peek(self) -> _Token:
        """The next token, where a key or value may stand: there `in` is a word like any other."""
        token = self._tokens[min(self._at, len(self._tokens) - 1)]
        return _Token("id", token.text) if token.kind in ("in", "notin") else token

    def _next(self) -> _Token:
        token = self._peek()
        self._at += 1
        return token

    def _next_operator(self) -> _Token:
        token = self._tokens[min(self._at, len(self._tokens) - 1)]
        self._at += 1
        return token

    def parse(self) -> list[Requirement]:
        out: list[Requirement] = []
        while True:
            token = self._peek()
            if token.kind == "end":
                return out
            if token.kind not in ("id", "!"):
                raise _Bad(f"found '{token.text}', expected: !, identifier, or 'end of string'")
            try:
                out.append(self._requirement())
            except _Bad as error:
                raise _Bad(f"unable to parse requirement: {error}") from None
            token = self._next()
            if token.kind == "end":
                return out
            if token.kind != ",":
                raise _Bad(f"found '{token.text}', expected: ',' or 'end of string'")
            token = self._peek()
            if token.kind not in ("id", "!"):
                raise _Bad(f"found '{token.text}', expected: identifier after ','")

    def _requirement(self) -> Requirement:
        token = self._next()
        absent = token.kind == "!"
        if absent:
            token = self._next()
        if token.kind != "id":
            raise _Bad(f"found '{token.text}', expected: identifier")
        key = token.text
        if complaints := key_complaints(key):
            raise _Bad(f"<nil>: Invalid value: {quote(key)}: {'; '.join(complaints)}")
        if absent:
            return Requirement(key, "!")
        if self._peek().kind in ("end", ","):
            return Requirement(key, "exists")
        token = self._next_operator()
        operator = _OPERATORS.get(token.kind)
        if operator is None:
            raise _Bad(f"found '{token.text}', expected: {_EXPECTED_OPERATORS}")
        values = self._values() if operator in ("in", "notin") else {self._value()}
        return _checked(Requirement(key, operator, tuple(sorted(values))))

    def _value(self) -> str:
        if self._peek().kind in ("end", ","):
            return ""
        token = self._next()
        if token.kind != "id":
            raise _Bad(f"found '{token.text}', expected: identifier")
        return token.text

    def _values(self) -> set[str]:
        token = self._next()
        if token.kind != "(":
            raise _Bad(f"found '{token.text}' expected: '('")
        token = self._peek()
        if token.kind == ")":
            self._next()
            return {""}
        if token.kind not in ("id", ","):
            raise _Bad(f"found '{token.text}', expected: ',', ')' or identifier")
        values: set[str] = set()
        while True:
            token = self._next()
            if token.kind == "id":
                values.add(token.text)
                after = self._peek()
                if after.kind not in (",", ")"):
                    raise _Bad(f"found '{after.text}', expected: ',' or ')'")
            elif token.kind == ",":
                if not values:
                    values.add("")
                after = self._peek()
                if after.kind in (",", ")"):
                    values.add("")
                if after.kind == ",":
                    self._next()
                    continue
            else:
                raise _Bad(f"found '{token.text}', expected: ',', or identifier")
            if after.kind == ")":
                self._next()
                return values


def _checked(r: Requirement) -> Requirement:
    found: list[str] = []
    if r.operator in ("gt", "lt"):
        found += [
            f"values[{i}]: Invalid value: {quote(v)}: "
            "for 'Gt', 'Lt' operators, the value must be an integer"
            for i, v in enumerate(r.values)
            if parse_int64(v) is None
        ]
    for i, value in enumerate(r.values):
        if complaints := value_complaints(value):
            text = "; ".join(complaints)
            found.append(f"values[{i}][{r.key}]: Invalid value: {quote(value)}: {text}")
    if found:
        raise _Bad(found[0] if len(found) == 1 else "[" + ", ".join(found) + "]")
    return r


EVERYTHING = Selector()


def parse(text: str) -> Selector:
    """The selector that a text means. Raises ApiError 400."""
    if not text:
        return EVERYTHING
    try:
        return Selector(tuple(_Parser(text).parse()))
    except _Bad as error:
        raise bad_request(str(error)) from None
