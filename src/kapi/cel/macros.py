"""Macros: calls that become loops and tests while the expression is parsed.

`has`, `all`, `exists`, `exists_one`, `map`, `filter`; with two variables `all`, `exists`,
`existsOne`, `transformList`, `transformMap`, `transformMapEntry`; `optMap` and `optFlatMap` of
optional values; `cel.bind`, where an environment has it; `sortBy` of lists.
https://github.com/google/cel-spec/blob/master/doc/langdef.md#macros
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kapi.cel.nodes import Call, Fold, ListLiteral, Literal, Name, Node, Select
from kapi.cel.source import Issue

RESULT, UNUSED = "@result", "#unused"


class MacroError(Exception):
    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.issue = Issue(at, text)


# (offset of the call, target, arguments) -> what it becomes; None: an ordinary call.
Macro = Callable[[int, "Node | None", Sequence[Node]], "Node | None"]


def _call(at: int, function: str, *args: Node) -> Call:
    return Call(at, function, None, list(args))


def _has(at: int, target: Node | None, args: Sequence[Node]) -> Node | None:
    operand = args[0]
    if isinstance(operand, Select) and not operand.test:
        return Select(at, operand.operand, operand.field, test=True)
    raise MacroError(operand.at, "invalid argument to has() macro")


def _quantifier(macro: str) -> Macro:
    def expand(at: int, target: Node | None, args: Sequence[Node]) -> Node:
        assert target is not None
        return _quantified(at, macro, target, _variable_of(args[0]), "", args[1])

    return expand


def _variable_of(node: Node) -> str:
    if not isinstance(node, Name) or "." in node.name:
        raise MacroError(node.at, "argument must be a simple name")
    if node.name in (RESULT, "__result__"):
        raise MacroError(node.at, "iteration variable overwrites accumulator variable")
    return node.name


def _quantified(
    at: int, macro: str, over: Node, variable: str, second: str, predicate: Node
) -> Node:
    result = Name(at, RESULT)
    start: Node
    condition: Node = Literal(at, True)
    if macro == "all":
        start = Literal(at, True)
        condition = _call(at, "@not_strictly_false", Name(at, RESULT))
        step: Node = _call(at, "_&&_", Name(at, RESULT), predicate)
    elif macro == "exists":
        start = Literal(at, False)
        condition = _call(at, "@not_strictly_false", _call(at, "!_", Name(at, RESULT)))
        step = _call(at, "_||_", Name(at, RESULT), predicate)
    else:
        start = Literal(at, 0)
        more = _call(at, "_+_", Name(at, RESULT), Literal(at, 1))
        step = _call(at, "_?_:_", predicate, more, Name(at, RESULT))
        last = _call(at, "_==_", result, Literal(at, 1))
        return Fold(
            at, macro, over, variable, second, RESULT, start, condition, step, last, (predicate,)
        )
    return Fold(
        at, macro, over, variable, second, RESULT, start, condition, step, result, (predicate,)
    )


def _mapped(
    at: int, macro: str, over: Node, names: tuple[str, str], item: Node, test: Node | None
) -> Node:
    """A loop that makes a list."""
    step: Node = _call(at, "_+_", Name(at, RESULT), ListLiteral(at, [item]))
    if test is not None:
        step = _call(at, "_?_:_", test, step, Name(at, RESULT))
    start, true = ListLiteral(at, []), Literal(at, True)
    return Fold(at, macro, over, *names, RESULT, start, true, step, Name(at, RESULT), (item, test))


def _map(at: int, target: Node | None, args: Sequence[Node]) -> Node:
    assert target is not None
    if not isinstance(args[0], Name) or "." in args[0].name:
        raise MacroError(args[0].at, "argument is not an identifier")
    name = _variable_of(args[0])
    test = args[1] if len(args) == 3 else None
    return _mapped(at, "map", target, (name, ""), args[-1], test)


def _filter(at: int, target: Node | None, args: Sequence[Node]) -> Node:
    assert target is not None
    if not isinstance(args[0], Name) or "." in args[0].name:
        raise MacroError(args[0].at, "argument is not an identifier")
    name = _variable_of(args[0])
    return _mapped(at, "filter", target, (name, ""), Name(args[0].at, name), args[1])


# -- two variables --------------------------------------------------------------------------------


def _two(args: Sequence[Node]) -> tuple[str, str]:
    names = []
    for node in args[:2]:
        if not isinstance(node, Name) or "." in node.name:
            raise MacroError(node.at, "argument must be a simple name")
        names.append(node.name)
    if names[0] == names[1]:
        raise MacroError(args[1].at, f"duplicate variable name: {names[0]}")
    for node, name in zip(args, names, strict=False):
        if name in (RESULT, "__result__"):
            raise MacroError(node.at, "iteration variable overwrites accumulator variable")
    return names[0], names[1]


def _quantifier_of_two(macro: str) -> Macro:
    def expand(at: int, target: Node | None, args: Sequence[Node]) -> Node:
        assert target is not None
        return _quantified(at, macro, target, *_two(args), args[2])

    return expand


def _transform_list(at: int, target: Node | None, args: Sequence[Node]) -> Node:
    assert target is not None
    test = args[2] if len(args) == 4 else None
    return _mapped(at, "transformList", target, _two(args), args[-1], test)


def _transform_map(macro: str) -> Macro:
    def expand(at: int, target: Node | None, args: Sequence[Node]) -> Node:
        from kapi.cel.nodes import MapLiteral

        assert target is not None
        names = _two(args)
        test, item = (args[2] if len(args) == 4 else None), args[-1]
        inserted = [Name(at, names[0]), item] if macro == "transformMap" else [item]
        step: Node = _call(at, "cel.@mapInsert", Name(at, RESULT), *inserted)
        if test is not None:
            step = _call(at, "_?_:_", test, step, Name(at, RESULT))
        start, true = MapLiteral(at, []), Literal(at, True)
        return Fold(
            at, macro, target, *names, RESULT, start, true, step, Name(at, RESULT), (item, test)
        )

    return expand


# -- bindings -------------------------------------------------------------------------------------


def _bound(at: int, variable: str, value: Node, body: Node) -> Node:
    false, over = Literal(at, False), ListLiteral(at, [])
    return Fold(at, "bind", over, UNUSED, "", variable, value, false, Name(at, variable), body)


def _bind(at: int, target: Node | None, args: Sequence[Node]) -> Node | None:
    if not isinstance(target, Name) or target.name != "cel":
        return None
    name = args[0]
    if not isinstance(name, Name) or "." in name.name:
        raise MacroError(name.at, "cel.bind() variable names must be simple identifiers")
    return _bound(at, name.name, args[1], args[2])


def _opt_map(macro: str) -> Macro:
    def expand(at: int, target: Node | None, args: Sequence[Node]) -> Node:
        assert target is not None
        name = args[0]
        if not isinstance(name, Name) or "." in name.name:
            raise MacroError(name.at, f"{macro}() variable name must be a simple identifier")
        value = Call(at, "value", target, [])
        found = _bound(at, name.name, value, args[1])
        if macro == "optMap":
            found = _call(at, "optional.of", found)
        return _call(
            at, "_?_:_", Call(at, "hasValue", target, []), found, _call(at, "optional.none")
        )

    return expand


def _sort_by(at: int, target: Node | None, args: Sequence[Node]) -> Node | None:
    """list.sortBy(x, key): sorted by the keys of its items."""
    assert target is not None
    name = args[0]
    if not isinstance(name, Name) or "." in name.name:
        raise MacroError(name.at, "sortBy() variable name must be a simple identifier")
    sorted_name = "@__sortBy_input__"
    source = Name(at, sorted_name)
    keys = _mapped(at, "map", source, (name.name, ""), args[1], None)
    body = Call(at, "@sortByAssociatedKeys", Name(at, sorted_name), [keys])
    return _bound(at, sorted_name, target, body)


# name, whether it is a member, number of arguments -> macro
STANDARD: dict[tuple[str, bool, int], Macro] = {
    ("has", False, 1): _has,
    ("all", True, 2): _quantifier("all"),
    ("exists", True, 2): _quantifier("exists"),
    ("exists_one", True, 2): _quantifier("exists_one"),
    ("existsOne", True, 2): _quantifier("exists_one"),
    ("map", True, 2): _map,
    ("map", True, 3): _map,
    ("filter", True, 2): _filter,
    ("all", True, 3): _quantifier_of_two("all"),
    ("exists", True, 3): _quantifier_of_two("exists"),
    ("existsOne", True, 3): _quantifier_of_two("exists_one"),
    ("exists_one", True, 3): _quantifier_of_two("exists_one"),
    ("transformList", True, 3): _transform_list,
    ("transformList", True, 4): _transform_list,
    ("transformMap", True, 3): _transform_map("transformMap"),
    ("transformMap", True, 4): _transform_map("transformMap"),
    ("transformMapEntry", True, 3): _transform_map("transformMapEntry"),
    ("transformMapEntry", True, 4): _transform_map("transformMapEntry"),
    ("optMap", True, 2): _opt_map("optMap"),
    ("optFlatMap", True, 2): _opt_map("optFlatMap"),
    ("sortBy", True, 2): _sort_by,
}
BIND: dict[tuple[str, bool, int], Macro] = {("bind", True, 3): _bind}
