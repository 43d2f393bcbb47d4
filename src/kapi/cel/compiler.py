"""A checked tree becomes closures over a frame.

The frame is a list: what the evaluation has cost so far, what it may cost, then the variables, one
place each. Costs that are sure are added once per stretch of straight code (`Branch.cost`), those
that depend on values where they arise; loops look at the limit.

Data that is declared by a schema stays as it is for as long as it is only walked through: `raw`
gives a closure for the data below a variable, and only what an expression takes out of it is
converted (times, bytes, lists of type set: `Type.convert`). A null field counts as absent there.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from kapi.cel import values
from kapi.cel.environment import Environment
from kapi.cel.nodes import (
    Call,
    Fold,
    ListLiteral,
    Literal,
    MapLiteral,
    Message,
    Name,
    Node,
    Select,
)
from kapi.cel.types import StructType, Type, is_dyn
from kapi.cel.values import EvalError, no_such_key, no_such_overload

Frame = list[Any]
Run = Callable[[Frame], Any]
COST, LIMIT, FIRST_VARIABLE = 0, 1, 2
LIST_COST, MAP_COST, MESSAGE_COST = 10, 30, 40


class Missing:
    """Stands for a variable without a value; `error` is why, None if it was not given."""

    __slots__ = ("error",)

    def __init__(self, error: EvalError | None = None) -> None:
        self.error = error


class Branch:
    """A stretch of code that is evaluated as a whole, or not at all."""

    __slots__ = ("cost",)

    def __init__(self) -> None:
        self.cost = 0


class Compiler:
    """Of one expression. `variables`: places in the frame, by name. `call`, `fold`: build what
    `calls.py` and `folds.py` are about.
    """

    def __init__(
        self,
        environment: Environment,
        variables: Mapping[str, int],
        call: Callable[[Compiler, Call], Run],
        fold: Callable[[Compiler, Fold], Run],
    ) -> None:
        self.environment = environment
        self._call = call
        self._fold = fold
        self._globals = variables
        self._scope: dict[str, tuple[int, Type | None, bool]] = {}
        self.places = FIRST_VARIABLE + len(variables)
        self.branch = Branch()
        self.used: set[str] = set()

    # -- entry points -----------------------------------------------------------------------------

    def build(self, node: Node) -> Run:
        """A closure for the value of a node; its sure cost is added to the branch."""
        raw = self.raw(node)
        if raw is not None:
            return _converted(*raw)
        if isinstance(node, Literal):
            value = node.value
            return lambda frame: value
        if isinstance(node, Name):
            return self._name(node)
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(self, node)
        if isinstance(node, Fold):
            return self._fold(self, node)
        if isinstance(node, ListLiteral):
            return self._list(node)
        if isinstance(node, MapLiteral):
            return self._map(node)
        assert isinstance(node, Message)
        return self._message(node)

    def condition(self, node: Node) -> Run:
        """A closure that gives True or False and nothing else."""
        run = self.build(node)
        if node.type.kind == "bool":
            return run

        def checked(frame: Frame) -> Any:
            value = run(frame)
            if value is True or value is False:
                return value
            raise no_such_overload()

        return checked

    def apart(self, build: Callable[[Node], Run], node: Node) -> tuple[Run, int]:
        """A closure of a branch of its own, and the branch's sure cost."""
        outer, self.branch = self.branch, Branch()
        try:
            return build(node), self.branch.cost
        finally:
            self.branch = outer

    def declared(
        self, name: str, raw: Type | None, *, bound: bool = False
    ) -> tuple[int, Callable[[], None]]:
        """A place for a variable of a loop or a binding, and what ends its scope."""
        before = self._scope.get(name)
        place = self.places
        self.places += 1
        self._scope[name] = (place, raw, bound)

        def leave() -> None:
            if before is None:
                del self._scope[name]
            else:
                self._scope[name] = before

        return place, leave

    def place(self, name: str) -> int:
        """Of a variable of a loop."""
        return self._scope[name][0]

    # -- data below variables ---------------------------------------------------------------------

    def raw(self, node: Node) -> tuple[Run, Type] | None:
        """For what is reached from a declared variable by fields and indices alone."""
        if isinstance(node, Name):
            found = self._declared_type(node.name)
            if found is None:
                return None
            return self._place(node.name), found
        if isinstance(node, Select) and not (node.test or node.variable or node.constant):
            below = self.raw(node.operand)
            if below is not None and below[1].kind in ("struct", "map"):
                self.branch.cost += 1
                return _raw_field(*below, node.field)
        elif isinstance(node, Call) and node.function == "_[_]" and len(node.args) == 2:
            return self._raw_index(node)
        return None

    def _raw_index(self, node: Call) -> tuple[Run, Type] | None:
        below = self.raw(node.args[0])
        if below is None or below[1].kind not in ("list", "map"):
            return None
        holder, declared = below
        key = self.build(node.args[1])
        self.branch.cost += 1
        return (lambda frame: values.index(holder(frame), key(frame))), declared.params[-1]

    def _declared_type(self, name: str) -> Type | None:
        if name in self._scope:
            return self._scope[name][1]
        found = self.environment.variables.get(name.lstrip("."))
        return found if found is not None and walked(found) else None

    def _place(self, name: str) -> Run:
        self.branch.cost += 1
        local = self._scope.get(name)
        if local is not None and not local[2]:
            place = local[0]
            return lambda frame: frame[place]
        if local is not None:
            place = local[0]
        else:
            name = name.lstrip(".")
            self.used.add(name)
            place = self._globals[name]

        def of_variable(frame: Frame) -> Any:
            value = frame[place]
            if value.__class__ is Missing:
                raise value.error or EvalError(f"no such attribute(s): {name}")
            return value

        return of_variable

    def _name(self, node: Name) -> Run:
        if node.constant is not None:
            constant = node.constant
            return lambda frame: constant
        return self._place(node.name)

    def _select(self, node: Select) -> Run:
        if node.variable:
            return self._place(node.variable)
        if node.constant is not None:
            constant = node.constant
            return lambda frame: constant
        name = node.field
        if node.test:
            return self._has(node, name)
        operand = self.build(node.operand)
        self.branch.cost += 1
        optional = node.operand.type.kind == "opaque"
        if isinstance(node.operand.type, StructType):
            name = node.operand.type.spelled(name)

        def select(frame: Frame) -> Any:
            value = operand(frame)
            if value.__class__ is dict and name in value:
                return value[name]
            return values.select(value, name)

        if optional:
            return lambda frame: values.optional_select(operand(frame), name)
        return select

    def _has(self, node: Select, name: str) -> Run:
        raw = self.raw(node.operand)
        if raw is not None and raw[1].kind == "struct":
            holder, declared = raw
            assert isinstance(declared, StructType)
            key = declared.keys.get(name, name)

            def has_field(frame: Frame) -> bool:
                value = holder(frame)
                return value.__class__ is dict and value.get(key) is not None

            return has_field
        operand = _converted(*raw) if raw is not None else self.build(node.operand)
        if isinstance(node.operand.type, StructType):
            name = node.operand.type.spelled(name)
        return lambda frame: values.has(operand(frame), name)

    # -- literals ---------------------------------------------------------------------------------

    def _list(self, node: ListLiteral) -> Run:
        items = [self.build(element) for element in node.elements]
        self.branch.cost += LIST_COST
        optional = node.optional
        if not optional:
            if all(isinstance(e, Literal) for e in node.elements):
                constant = [run([]) for run in items]
                return lambda frame: constant
            return lambda frame: [run(frame) for run in items]

        def build(frame: Frame) -> list[Any]:
            out = []
            for i, run in enumerate(items):
                value = run(frame)
                if i in optional:
                    if value.has:
                        out.append(value.value)
                else:
                    out.append(value)
            return out

        return build

    def _map(self, node: MapLiteral) -> Run:
        entries = [(self.build(e.key), self.build(e.value), e.optional) for e in node.entries]
        self.branch.cost += MAP_COST

        def build(frame: Frame) -> dict[Any, Any]:
            out: dict[Any, Any] = {}
            for key, value, optional in entries:
                k, x = key(frame), value(frame)
                if optional:
                    if not x.has:
                        continue
                    x = x.value
                if not isinstance(k, str | int):
                    raise EvalError(f"unsupported key type: {values.type_name(k)}")
                if k in out:
                    raise EvalError(f"Failed with repeated key: {values.shown_key(k)}")
                out[k] = x
            return out

        return build

    def _message(self, node: Message) -> Run:
        fields = [(f.name, self.build(f.value), f.optional) for f in node.fields]
        self.branch.cost += MESSAGE_COST
        name, make = node.name, self.environment.make
        assert make is not None, "an environment with messages makes them"

        def build(frame: Frame) -> Any:
            given = {}
            for field, run, optional in fields:
                value = run(frame)
                if optional:
                    if not value.has:
                        continue
                    value = value.value
                given[field] = value
            return make(name, given)

        return build


def walked(declared: Type) -> bool:
    """Whether data of a type is walked through as it is: what a schema declares."""
    if declared.convert is not None or declared.elements_max is not None:
        return True
    return declared.kind == "struct" and getattr(declared, "raw", False)


def _converted(run: Run, declared: Type) -> Run:
    convert = declared.convert
    if convert is None:
        return run

    def converted(frame: Frame) -> Any:
        value = run(frame)
        return None if value is None else convert(value)

    return converted


def _raw_field(holder: Run, declared: Type, name: str) -> tuple[Run, Type]:
    if declared.kind == "map":

        def of_map(frame: Frame) -> Any:
            value = holder(frame)
            if value.__class__ is dict and name in value:
                return value[name]
            raise no_such_key(name)

        return of_map, declared.params[1]
    assert isinstance(declared, StructType)
    key = declared.keys.get(name, name)
    below = declared.field(name)
    assert below is not None, "the checker found it"

    def of_struct(frame: Frame) -> Any:
        value = holder(frame)
        if value.__class__ is dict:
            found = value.get(key)
            if found is not None:
                return found
        raise no_such_key(name)

    return of_struct, below


def dynamic(node: Node) -> bool:
    """Whether only the evaluation knows the type of a value."""
    return is_dyn(node.type) or node.type.kind in ("param", "null_type")
