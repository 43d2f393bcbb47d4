"""Tokens to a tree, by precedence climbing, with macros expanded on the way.

`parse` is the fast path: it knows that a text is wrong, and leaves the words to
`syntax_errors.py`. What is only wrong with a meaning (a number too large, a macro's variable) is
collected, so that all of it is told at once.
"""

from __future__ import annotations

from collections.abc import Mapping

from kapi.cel import lexer
from kapi.cel.lexer import (
    BYTES,
    END,
    ESCAPED,
    FLOAT,
    IDENT,
    INT,
    RESERVED,
    STRING,
    UINT,
    LiteralError,
    NotATokenError,
    Token,
    literal_value,
)
from kapi.cel.macros import Macro, MacroError
from kapi.cel.nodes import (
    Call,
    Entry,
    FieldEntry,
    ListLiteral,
    Literal,
    MapLiteral,
    Message,
    Name,
    Node,
    Select,
)
from kapi.cel.room import with_room
from kapi.cel.source import NOWHERE, CompileError, Issue

CODE_POINTS_MAX = 100_000  # of an expression
DEPTH_MAX = 250  # of nested expressions, and of members or operators in a row
_RELATIONS = frozenset(("<", "<=", ">=", ">", "==", "!=", "in"))
_FUNCTIONS = {
    "<": "_<_", "<=": "_<=_", ">=": "_>=_", ">": "_>_", "==": "_==_", "!=": "_!=_", "in": "@in",
    "+": "_+_", "-": "_-_", "*": "_*_", "/": "_/_", "%": "_%_",
}  # fmt: skip
_LITERALS = frozenset((INT, UINT, FLOAT, STRING, BYTES, "true", "false", "null"))

Macros = Mapping[tuple[str, bool, int], Macro]


class _TooDeep(Exception):
    """The text nests more than DEPTH_MAX levels."""


class _Malformed(Exception):
    """The text does not fit the grammar."""


def parse(text: str, macros: Macros) -> Node:
    """Raises CompileError."""
    if len(text) > CODE_POINTS_MAX:
        words = (
            f"expression code point size exceeds limit: size: {len(text)}, limit {CODE_POINTS_MAX}"
        )
        raise CompileError(text, [Issue(NOWHERE, words)])
    try:
        tree, issues = with_room(lambda: _read(lexer.tokens(text), macros))
    except (_Malformed, NotATokenError):
        from kapi.cel import syntax_errors  # good texts do without it

        raise CompileError(text, syntax_errors.explain(text)) from None
    except _TooDeep:
        words = f"expression recursion limit exceeded: {DEPTH_MAX}"
        raise CompileError(text, [Issue(NOWHERE, words)]) from None
    if issues:
        raise CompileError(text, issues)
    return tree


def _read(tokens: list[Token], macros: Macros) -> tuple[Node, list[Issue]]:
    parser = _Parser(tokens, macros)
    return parser.whole(), parser.issues


class _Parser:
    def __init__(self, tokens: list[Token], macros: Macros) -> None:
        self._tokens = tokens
        self._macros = macros
        self._at = 0
        self._depth = 0
        self.issues: list[Issue] = []

    # -- tokens -----------------------------------------------------------------------------------

    def _peek(self) -> str:
        return self._tokens[self._at][0]

    def _offset(self) -> int:
        return self._tokens[self._at][2]

    def _take(self, kind: str) -> Token:
        token = self._tokens[self._at]
        if token[0] != kind:
            raise _Malformed
        self._at += 1
        return token

    def _skip(self, kind: str) -> bool:
        if self._tokens[self._at][0] == kind:
            self._at += 1
            return True
        return False

    # -- expressions ------------------------------------------------------------------------------

    def whole(self) -> Node:
        tree = self._expression()
        self._take(END)
        return tree

    def _expression(self) -> Node:
        self._depth += 1
        if self._depth > DEPTH_MAX:
            raise _TooDeep
        condition = self._logic("||")
        if self._peek() == "?":
            at = self._take("?")[2]
            then = self._logic("||")
            self._take(":")
            condition = Call(at, "_?_:_", None, [condition, then, self._expression()])
        self._depth -= 1
        return condition

    def _logic(self, operator: str) -> Node:
        first = self._logic("&&") if operator == "||" else self._binary()
        if self._peek() != operator:
            return first
        terms, places = [first], []
        while self._peek() == operator:
            places.append(self._take(operator)[2])
            terms.append(self._logic("&&") if operator == "||" else self._binary())
        return _balanced(f"_{operator}_", terms, places)

    def _binary(self) -> Node:
        """Relations and arithmetic, all from left to right."""
        left, in_a_row = self._sum(), 0
        while self._peek() in _RELATIONS:
            kind, _, at = self._tokens[self._at]
            self._at += 1
            in_a_row = self._counted(in_a_row)
            left = Call(at, _FUNCTIONS[kind], None, [left, self._sum()])
        return left

    def _sum(self) -> Node:
        left, in_a_row = self._product(), 0
        while (kind := self._peek()) == "+" or kind == "-":
            at = self._offset()
            self._at += 1
            in_a_row = self._counted(in_a_row)
            left = Call(at, _FUNCTIONS[kind], None, [left, self._product()])
        return left

    def _product(self) -> Node:
        left, in_a_row = self._unary(), 0
        while (kind := self._peek()) == "*" or kind == "/" or kind == "%":
            at = self._offset()
            self._at += 1
            in_a_row = self._counted(in_a_row)
            left = Call(at, _FUNCTIONS[kind], None, [left, self._unary()])
        return left

    def _counted(self, in_a_row: int) -> int:
        if in_a_row >= DEPTH_MAX:
            raise _TooDeep
        return in_a_row + 1

    def _unary(self) -> Node:
        kind, _, at = self._tokens[self._at]
        if kind != "!" and kind != "-":
            return self._member(self._primary())
        if kind == "-" and self._tokens[self._at + 1][0] in (INT, FLOAT):
            return self._member(self._primary())
        count = 0
        while self._skip(kind):
            count += 1
        operand = self._member(self._primary())
        if count % 2 == 0:
            return operand
        return Call(at, "!_" if kind == "!" else "-_", None, [operand])

    # -- members ----------------------------------------------------------------------------------

    def _member(self, node: Node) -> Node:
        in_a_row = 0
        while True:
            kind, _, at = self._tokens[self._at]
            if kind == ".":
                self._at += 1
                node = self._selected(node, at)
            elif kind == "[":
                self._at += 1
                optional = self._skip("?")
                key = self._expression()
                self._take("]")
                node = Call(at, "_[?_]" if optional else "_[_]", None, [node, key])
            else:
                return node
            in_a_row = self._counted(in_a_row)

    def _selected(self, node: Node, at: int) -> Node:
        optional = self._skip("?")
        kind, name, where = self._tokens[self._at]
        if kind == ESCAPED:
            self._at += 1
            self.issues.append(Issue(where, "unsupported syntax: '`'"))
            return Select(at, node, name)
        self._take(IDENT)
        if optional:
            return Call(at, "_?._", None, [node, Literal(where, name)])
        if self._peek() != "(":
            return Select(at, node, name)
        opening = self._take("(")[2]
        return self._called(opening, name, node, self._arguments())

    def _arguments(self) -> list[Node]:
        if self._skip(")"):
            return []
        args = [self._expression()]
        while self._skip(","):
            args.append(self._expression())
        self._take(")")
        return args

    def _called(self, at: int, name: str, target: Node | None, args: list[Node]) -> Node:
        macro = self._macros.get((name, target is not None, len(args)))
        if macro is not None:
            try:
                expanded = macro(at, target, args)
            except MacroError as e:
                self.issues.append(e.issue)
                return Literal(at, None)
            if expanded is not None:
                return expanded
        return Call(at, name, target, args)

    # -- what stands first ------------------------------------------------------------------------

    def _primary(self) -> Node:
        kind, text, at = self._tokens[self._at]
        if kind == IDENT or kind == ".":
            return self._named()
        if kind in _LITERALS:
            self._at += 1
            return self._literal(kind, text, at)
        if kind == "(":
            self._at += 1
            inner = self._expression()
            self._take(")")
            return inner
        if kind == "[":
            return self._list()
        if kind == "{":
            return self._map()
        if kind == "-":
            self._at += 1
            number, text, _ = self._tokens[self._at]
            if number in (INT, FLOAT):
                self._at += 1
                return self._literal(number, "-" + text, at)
        raise _Malformed

    def _literal(self, kind: str, text: str, at: int) -> Node:
        try:
            return Literal(at, literal_value(kind, text))
        except LiteralError as e:
            self.issues.append(Issue(at, str(e)))
            return Literal(at, None)

    def _named(self) -> Node:
        dot = "." if self._skip(".") else ""
        _, name, at = self._take(IDENT)
        if self._message_follows():
            return self._message(dot + name, at)
        if name in RESERVED:
            self.issues.append(Issue(at, f"reserved identifier: {name}"))
            if self._peek() != "(":
                return Literal(at, None)
        if self._peek() == "(":
            opening = self._take("(")[2]
            return self._called(opening, dot + name, None, self._arguments())
        return Name(at, dot + name)

    def _message_follows(self) -> bool:
        """Whether the name goes on to the brace of a message: `A.B{`."""
        at, tokens = self._at, self._tokens
        while tokens[at][0] == "." and tokens[at + 1][0] == IDENT:
            at += 2
        return tokens[at][0] == "{"

    def _message(self, name: str, at: int) -> Node:
        while self._skip("."):
            name += "." + self._take(IDENT)[1]
        opening = self._take("{")[2]
        fields: list[FieldEntry] = []
        while self._more("}", first=not fields):
            optional = self._skip("?")
            field = self._take(IDENT)[1]
            colon = self._take(":")[2]
            fields.append(FieldEntry(colon, field, self._expression(), optional))
        self._take("}")
        return Message(opening, name, fields)

    def _more(self, closing: str, *, first: bool) -> bool:
        """Whether another element comes; a comma may stand after the last, or alone."""
        if first and self._peek() != ",":
            return self._peek() != closing
        return self._skip(",") and self._peek() != closing and not first

    def _list(self) -> Node:
        at = self._take("[")[2]
        elements: list[Node] = []
        optional: set[int] = set()
        while self._more("]", first=not elements):
            if self._skip("?"):
                optional.add(len(elements))
            elements.append(self._expression())
        self._take("]")
        return ListLiteral(at, elements, frozenset(optional))

    def _map(self) -> Node:
        at = self._take("{")[2]
        entries: list[Entry] = []
        while self._more("}", first=not entries):
            optional = self._skip("?")
            key = self._expression()
            colon = self._take(":")[2]
            entries.append(Entry(colon, key, self._expression(), optional))
        self._take("}")
        return MapLiteral(at, entries)


def _balanced(function: str, terms: list[Node], places: list[int]) -> Node:
    """A tree of the least depth, with the terms in order."""

    def build(low: int, high: int) -> Node:
        middle = (low + high + 1) // 2
        left = terms[middle] if middle == low else build(low, middle - 1)
        right = terms[middle + 1] if middle == high else build(middle + 1, high)
        return Call(places[middle], function, None, [left, right])

    return build(0, len(places) - 1)
