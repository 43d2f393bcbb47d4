"""Types for a tree, and what is wrong with it, in cel-go's words.

The checker writes on the nodes: types, the overloads that a call may mean, names that belong
together (`a.b` as one variable, `sets.contains` as one function).
https://github.com/google/cel-spec/blob/master/doc/langdef.md#type-checking
"""

from __future__ import annotations

from typing import Any

from kapi.cel.environment import Environment
from kapi.cel.nodes import (
    Call,
    Entry,
    Fold,
    ListLiteral,
    Literal,
    MapLiteral,
    Message,
    Name,
    Node,
    Select,
    qualified_name,
)
from kapi.cel.source import Issue
from kapi.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    ERROR,
    INT,
    NULL,
    SIMPLE,
    STRING,
    UINT,
    StructType,
    Type,
    Unifier,
    is_dyn,
    is_optional,
    list_of,
    map_of,
    more_general,
    optional_of,
    plain,
    signature,
    type_of,
)
from kapi.cel.values import TypeValue, Uint

_OF_VALUES: dict[type, Type] = {
    bool: BOOL, int: INT, Uint: UINT, float: DOUBLE, str: STRING, bytes: BYTES, type(None): NULL,
}  # fmt: skip


# Types of which the kind says all: what a call of them means is worked out once.
_PLAIN = frozenset(
    ("bool", "int", "uint", "double", "string", "bytes", "duration", "timestamp", "null_type")
)


def check(tree: Node, environment: Environment) -> list[Issue]:
    checker = _Checker(environment)
    checker.node(tree)
    for node in checker.open:
        node.type = checker.types.resolve(node.type, to_dyn=True)
    return checker.issues


class _Checker:
    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._scopes: list[dict[str, Type]] = []
        self.types = Unifier()
        self.issues: list[Issue] = []
        self.open: list[Node] = []  # nodes whose types had variables

    def _complain(self, at: int, text: str) -> None:
        self.issues.append(Issue(at, text))

    def _typed(self, node: Node, t: Type) -> None:
        node.type = t
        if t.params or t.kind == "param":
            self.open.append(node)

    def node(self, node: Node) -> None:
        if isinstance(node, Literal):
            node.type = _OF_VALUES[node.value.__class__]
        elif isinstance(node, Name):
            self._name(node)
        elif isinstance(node, Select):
            self._select(node)
        elif isinstance(node, Call):
            self._call(node)
        elif isinstance(node, Fold):
            self._fold(node)
        elif isinstance(node, ListLiteral):
            self._list(node)
        elif isinstance(node, MapLiteral):
            self._map(node)
        else:
            assert isinstance(node, Message)
            self._message(node)

    # -- names and fields -------------------------------------------------------------------------

    def _variable(self, name: str) -> Type | None:
        if name.startswith("."):
            return self._environment.variables.get(name[1:])
        for scope in reversed(self._scopes):
            if name in scope:
                return scope[name]
        return self._environment.variables.get(name)

    def _is_local(self, name: str) -> bool:
        return any(name in scope for scope in self._scopes)

    def _name(self, node: Name) -> None:
        found = self._variable(node.name)
        if found is not None:
            self._typed(node, found)
            return
        named = self._environment.named_type(node.name.lstrip("."))
        if named is not None:
            node.constant = TypeValue(named.name)
            self._typed(node, type_of(named))
            return
        node.type = ERROR
        self._complain(node.at, _undeclared(node.name))

    def _select(self, node: Select) -> None:
        if not node.test and self._whole_name(node):
            return
        self.node(node.operand)
        operand = self.types.resolve(node.operand.type)
        found = self._field(node, operand, node.field, optional=False)
        self._typed(node, BOOL if node.test else self.types.resolve(found))

    def _whole_name(self, node: Select) -> bool:
        """Whether a chain of selections is the name of a variable or of a type."""
        environment = self._environment
        name = qualified_name(node)
        if name is None or self._is_local(name.partition(".")[0]):
            return False
        name = name.lstrip(".")
        found = environment.variables.get(name)
        if found is not None:
            node.variable = name
            self._typed(node, found)
            return True
        named = environment.named_type(name)
        if named is not None:
            node.constant = TypeValue(named.name)
            self._typed(node, type_of(named))
        return named is not None

    def _field(self, node: Node, operand: Type, name: str, *, optional: bool) -> Type:
        target, result = plain(operand), ERROR
        if target.kind == "map":
            result = target.params[1]
        elif target.kind == "struct":
            assert isinstance(target, StructType)
            found = target.field(name)
            if found is None:
                self._complain(node.at, f"undefined field '{name}'")
            else:
                result = found
        elif target.kind == "param":
            self.types.assignable(DYN, target)
            result = DYN
        else:
            if not is_dyn(target):
                text = f"type '{target}' does not support field selection"
                self._complain(node.at, text)
            result = DYN
        return optional_of(result) if optional or is_optional(operand) else result

    # -- calls ------------------------------------------------------------------------------------

    def _call(self, node: Call) -> None:
        if node.function == "_?._":
            self._optional_select(node)
            return
        for arg in node.args:
            self.node(arg)
        functions = self._environment.functions
        if node.target is not None:
            name = qualified_name(node.target)
            if name is not None and f"{name.lstrip('.')}.{node.function}" in functions:
                node.function, node.target = f"{name.lstrip('.')}.{node.function}", None
            else:
                self.node(node.target)
        if node.function.lstrip(".") not in functions:
            self._complain(node.at, _undeclared(node.function))
            node.type = ERROR
            return
        node.function = node.function.lstrip(".")
        self._resolve(node)

    def _optional_select(self, node: Call) -> None:
        operand, field = node.args
        self.node(operand)
        self.node(field)
        assert isinstance(field, Literal)
        target = self.types.resolve(operand.type)
        found = self._field(node, target, str(field.value), optional=True)
        node.overloads = ["select_optional_field"]
        self._typed(node, self.types.resolve(found))

    def _resolve(self, node: Call) -> None:
        given = [arg.type for arg in node.args]
        member = node.target is not None
        if node.target is not None:
            given.insert(0, node.target.type)
        given = [self.types.resolve(t) for t in given]
        key: tuple[Any, ...] = (node.function, member, *(t.kind for t in given))
        known = self._environment.resolved.get(key) if _PLAIN.issuperset(key[2:]) else None
        if known is not None:
            node.overloads, node.type = list(known[0]), known[1]
            return
        result: Type | None = None
        matched: list[str] = []
        for overload in self._environment.functions[node.function]:
            if overload.member != member or len(overload.args) != len(given):
                continue
            wanted, returned = overload.args, overload.result
            if overload.params:
                fresh = {name: self.types.fresh() for name in overload.params}
                wanted = tuple(_instance(t, fresh) for t in wanted)
                returned = _instance(returned, fresh)
            if self.types.all_assignable(wanted, given):
                matched.append(overload.id)
                found = self.types.resolve(returned)
                if result is None:
                    result = found
                elif not is_dyn(result) and found != result:
                    result = DYN
        if result is None:
            shown = signature(given, member=member)
            text = f"found no matching overload for '{node.function}' applied to '{shown}'"
            self._complain(node.at, text)
            node.type = ERROR
            return
        node.overloads = matched
        self._typed(node, result)
        if _PLAIN.issuperset((*key[2:], result.kind)):
            self._environment.resolved[key] = tuple(matched), SIMPLE[result.kind]

    # -- literals ---------------------------------------------------------------------------------

    def _joined(self, at: int, before: Type | None, t: Type) -> Type:
        if before is None:
            return t
        if self.types.assignable(before, t):
            return more_general(before, t)
        self._mismatch(at, before, t)
        return ERROR

    def _mismatch(self, at: int, wanted: Type, found: Type) -> None:
        self._complain(at, f"expected type '{wanted}' but found '{found}'")

    def _element(self, node: Node, *, optional: bool) -> Type:
        self.node(node)
        if not optional:
            return node.type
        if not is_optional(node.type) and not is_dyn(node.type):
            self._mismatch(node.at, optional_of(node.type), node.type)
        return plain(node.type)

    def _list(self, node: ListLiteral) -> None:
        item: Type | None = None
        for i, element in enumerate(node.elements):
            item = self._joined(
                element.at, item, self._element(element, optional=i in node.optional)
            )
        self._typed(node, list_of(item or self.types.fresh()))

    def _map(self, node: MapLiteral) -> None:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            self.node(entry.key)
            key = self._joined(entry.key.at, key, entry.key.type)
            value = self._joined(entry.value.at, value, self._entry(entry))
        self._typed(node, map_of(key or self.types.fresh(), value or self.types.fresh()))

    def _entry(self, entry: Entry) -> Type:
        return self._element(entry.value, optional=entry.optional)

    def _message(self, node: Message) -> None:
        found = self._environment.message_type(node.name.lstrip("."))
        if found is None:
            self._complain(node.at, _undeclared(node.name))
            node.type = ERROR
            for field in node.fields:
                self.node(field.value)
            return
        node.name = found.name
        self._typed(node, found)
        for field in node.fields:
            given = self._element(field.value, optional=field.optional)
            wanted = found.field(field.name)
            if wanted is None:
                self._complain(field.at, f"undefined field '{field.name}'")
            elif not self.types.assignable(wanted, given):
                text = (
                    f"expected type of field '{field.name}' is '{wanted}' but provided type is "
                    f"'{given}'"
                )
                self._complain(field.at, text)

    # -- loops ------------------------------------------------------------------------------------

    def _fold(self, node: Fold) -> None:
        self.node(node.over)
        self.node(node.start)
        over = self.types.resolve(node.over.type)
        first, second = self._variables(node, over)
        self._scopes.append({node.accumulator: node.start.type})
        inner: dict[str, Type] = {node.variable: first}
        if node.second:
            inner[node.second] = second
        self._scopes.append(inner)
        self.node(node.condition)
        self._expect(node.condition, BOOL)
        self.node(node.step)
        self._expect(node.step, node.start.type)
        self._scopes.pop()
        self.node(node.result)
        self._scopes.pop()
        self._typed(node, self.types.resolve(node.result.type))

    def _variables(self, node: Fold, over: Type) -> tuple[Type, Type]:
        if over.kind == "list":
            return (INT, over.params[0]) if node.second else (over.params[0], ERROR)
        if over.kind == "map":
            return over.params[0], over.params[1]
        if over.kind in ("dyn", "error", "param"):
            self.types.assignable(DYN, over)
            return DYN, DYN
        text = (
            f"expression of type '{over}' cannot be range of a comprehension "
            "(must be list, map, or dynamic)"
        )
        self._complain(node.over.at, text)
        return ERROR, ERROR

    def _expect(self, node: Node, wanted: Type) -> None:
        if not self.types.assignable(wanted, node.type):
            self._mismatch(node.at, wanted, node.type)


def _instance(t: Type, fresh: dict[str, Any]) -> Type:
    if t.kind == "param":
        found: Type = fresh[t.name]
        return found
    if not t.params:
        return t
    return Type(t.kind, t.name, [_instance(p, fresh) for p in t.params])


def _undeclared(name: str) -> str:
    return f"undeclared reference to '{name}' (in container '')"
