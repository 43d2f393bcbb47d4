"""Calls as closures: operators each in its own way, functions by their overloads.

Where the checker found one overload for arguments of known types it is called at once; otherwise
the values choose among the overloads, when they are there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from kapi.cel import arithmetic, run_costs, values
from kapi.cel.compiler import COST, LIMIT, Compiler, Frame, Run, dynamic
from kapi.cel.declarations import Overload
from kapi.cel.folds import exceeded
from kapi.cel.nodes import Call, Literal, Node
from kapi.cel.types import StructType, Type
from kapi.cel.values import CostLimitError, EvalError, no_such_overload

_SCALARS = frozenset(("bool", "int", "uint", "double", "duration", "timestamp", "null_type"))
_ORDERED = frozenset(("int", "uint", "string", "bytes", "duration", "timestamp"))


def build_call(compiler: Compiler, node: Call) -> Run:
    build = _OPERATORS.get(node.function)
    if build is not None:
        return build(compiler, node)
    return _function(compiler, node)


# -- logic ----------------------------------------------------------------------------------------


def _decided_by(stop: bool) -> Callable[[Compiler, Call], Run]:
    """`&&` is decided by False, `||` by True, whatever the other side is."""

    def build(compiler: Compiler, node: Call) -> Run:
        left = compiler.condition(node.args[0])
        right, cost = compiler.apart(compiler.condition, node.args[1])

        def run(frame: Frame) -> Any:
            try:
                if left(frame) is stop:
                    return stop
            except CostLimitError:
                raise
            except EvalError as e:
                return after_error(frame, e)
            frame[COST] += cost
            return right(frame)

        def after_error(frame: Frame, error: EvalError) -> Any:
            frame[COST] += cost
            try:
                if right(frame) is stop:
                    return stop
            except CostLimitError:
                raise
            except EvalError:
                pass
            raise error

        return run

    return build


def _conditional(compiler: Compiler, node: Call) -> Run:
    condition = compiler.condition(node.args[0])
    then, then_cost = compiler.apart(compiler.build, node.args[1])
    other, other_cost = compiler.apart(compiler.build, node.args[2])

    def run(frame: Frame) -> Any:
        if condition(frame):
            frame[COST] += then_cost
            return then(frame)
        frame[COST] += other_cost
        return other(frame)

    return run


def _not(compiler: Compiler, node: Call) -> Run:
    operand = compiler.condition(node.args[0])
    compiler.branch.cost += 1
    return lambda frame: not operand(frame)


# -- equality and order ---------------------------------------------------------------------------


def _scalar(node: Node) -> bool:
    return node.type.kind in _SCALARS


def _short_text(node: Node) -> bool:
    if not isinstance(node, Literal):
        return False
    return isinstance(node.value, str | bytes) and len(node.value) <= run_costs.CHEAP_TEXT


def _equality(wanted: bool) -> Callable[[Compiler, Call], Run]:
    def build(compiler: Compiler, node: Call) -> Run:
        a, b = node.args
        left, right = compiler.build(a), compiler.build(b)
        same = a.type.kind == b.type.kind and (_scalar(a) or a.type.kind in ("string", "bytes"))
        if _scalar(a) or _scalar(b) or _short_text(a) or _short_text(b):
            compiler.branch.cost += 1
            if same and isinstance(b, Literal):
                constant = b.value
                if wanted:
                    return lambda frame: left(frame) == constant
                return lambda frame: left(frame) != constant
            if same:
                if wanted:
                    return lambda frame: left(frame) == right(frame)
                return lambda frame: left(frame) != right(frame)
            return lambda frame: values.equal(left(frame), right(frame)) is wanted

        def run(frame: Frame) -> bool:
            x, y = left(frame), right(frame)
            frame[COST] += run_costs.pairwise(x, y)
            return values.equal(x, y) is wanted

        return run

    return build


def _order(
    fast: Callable[[Any, Any], Any], careful: Callable[[Any, Any], bool]
) -> Callable[[Compiler, Call], Run]:
    def build(compiler: Compiler, node: Call) -> Run:
        a, b = node.args
        left, right = compiler.build(a), compiler.build(b)
        known = a.type.kind == b.type.kind and a.type.kind in _ORDERED
        if known and _scalar(a):
            compiler.branch.cost += 1
            if isinstance(b, Literal):
                constant = b.value
                return lambda frame: fast(left(frame), constant)
            return lambda frame: fast(left(frame), right(frame))
        if _scalar(a) or _scalar(b):
            compiler.branch.cost += 1
            return lambda frame: careful(left(frame), right(frame))

        def run(frame: Frame) -> bool:
            x, y = left(frame), right(frame)
            frame[COST] += run_costs.pairwise(x, y)
            return careful(x, y)

        return run

    return build


# -- arithmetic -----------------------------------------------------------------------------------


def _arithmetic(work: Callable[[Any, Any], Any]) -> Callable[[Compiler, Call], Run]:
    def build(compiler: Compiler, node: Call) -> Run:
        left, right = map(compiler.build, node.args)
        if any(map(_scalar, node.args)) or work is not arithmetic.add:
            compiler.branch.cost += 1
            return lambda frame: work(left(frame), right(frame))

        def run(frame: Frame) -> Any:
            x, y = left(frame), right(frame)
            frame[COST] += run_costs.sum_of(x, y)
            if frame[COST] > frame[LIMIT]:
                raise exceeded()
            return work(x, y)

        return run

    return build


def _negate(compiler: Compiler, node: Call) -> Run:
    operand = compiler.build(node.args[0])
    compiler.branch.cost += 1
    return lambda frame: arithmetic.negate(operand(frame))


# -- containers -----------------------------------------------------------------------------------


def _in(compiler: Compiler, node: Call) -> Run:
    value, container = map(compiler.build, node.args)
    if node.args[1].type.kind == "map":
        compiler.branch.cost += 1
        return lambda frame: values.is_in(value(frame), container(frame))

    def run(frame: Frame) -> bool:
        x, items = value(frame), container(frame)
        frame[COST] += len(items) if isinstance(items, list) else 1
        return values.is_in(x, items)

    return run


def _index(compiler: Compiler, node: Call) -> Run:
    holder, key = map(compiler.build, node.args)
    compiler.branch.cost += 1
    return lambda frame: values.index(holder(frame), key(frame))


def _optional(compiler: Compiler, node: Call) -> Run:
    holder, key = node.args
    compiler.branch.cost += 1
    raw = compiler.raw(holder)
    if raw is not None and raw[1].kind in ("struct", "map", "list"):
        return _optional_raw(compiler, raw, key)
    operand, wanted = compiler.build(holder), compiler.build(key)
    return lambda frame: values.optional_select(operand(frame), wanted(frame))


def _optional_raw(compiler: Compiler, raw: tuple[Run, Type], key: Node) -> Run:
    """Of declared data: what is found is converted, a null field is none."""
    holder, declared = raw
    names = getattr(declared, "keys", {})
    wanted = compiler.build(key)
    struct = declared.kind == "struct"

    def run(frame: Frame) -> values.Optional:
        name = wanted(frame)
        found = values.optional_select(holder(frame), names.get(name, name))
        if not found.has or found.value is None:
            return values.NONE if struct or not found.has else found
        if isinstance(declared, StructType):
            below = declared.field(name)
            assert below is not None, "the checker found it"
        else:
            below = declared.params[-1]
        convert = below.convert
        return values.Optional(True, convert(found.value)) if convert is not None else found

    return run


_OPERATORS: dict[str, Callable[[Compiler, Call], Run]] = {
    "_&&_": _decided_by(False),
    "_||_": _decided_by(True),
    "_?_:_": _conditional,
    "!_": _not,
    "_==_": _equality(True),
    "_!=_": _equality(False),
    "_<_": _order(operator.lt, values.less),
    "_<=_": _order(operator.le, values.at_most),
    "_>_": _order(lambda a, b: b < a, values.greater),
    "_>=_": _order(lambda a, b: b <= a, values.at_least),
    "_+_": _arithmetic(arithmetic.add),
    "_-_": _arithmetic(arithmetic.subtract),
    "_*_": _arithmetic(arithmetic.multiply),
    "_/_": _arithmetic(arithmetic.divide),
    "_%_": _arithmetic(arithmetic.modulo),
    "-_": _negate,
    "@in": _in,
    "_[_]": _index,
    "_?._": _optional,
    "_[?_]": _optional,
}


# -- functions ------------------------------------------------------------------------------------


def _function(compiler: Compiler, node: Call) -> Run:
    given = [*([node.target] if node.target is not None else ()), *node.args]
    if node.function == "size" and len(given) == 1:
        return _size(compiler, node, given[0])
    special = _LAZY.get(node.function)
    if special is not None and node.target is not None:
        return special(compiler, node)
    args = [compiler.build(arg) for arg in given]
    overloads = [
        o
        for o in compiler.environment.functions[node.function]
        if o.member == (node.target is not None) and len(o.args) == len(given)
    ]
    chosen = [o for o in overloads if o.id in node.overloads]
    exact = len(chosen) == 1 and not any(map(_uncertain, given, chosen[0].args))
    work = chosen[0].run if exact else _by_values(node.function, overloads)
    assert work is not None, node.function
    cost = run_costs.of(node.function, chosen[0].id)
    if isinstance(cost, int):
        compiler.branch.cost += cost
        return _applied(work, args)

    def run(frame: Frame) -> Any:
        taken = [arg(frame) for arg in args]
        result = work(*taken)
        frame[COST] += cost(taken, result)
        if frame[COST] > frame[LIMIT]:
            raise exceeded()
        return result

    return run


def _size(compiler: Compiler, node: Call, operand: Node) -> Run:
    """Of data that is walked through, without taking it."""
    raw = compiler.raw(operand) if operand.type.kind in ("list", "map", "string") else None
    measured = raw[0] if raw is not None else compiler.build(operand)
    compiler.branch.cost += 1
    return lambda frame: values.size(measured(frame))


def _uncertain(node: Node, wanted: Type) -> bool:
    """Whether an argument may turn out not to be of the type that is wanted."""
    return wanted.kind not in ("dyn", "param") and (
        dynamic(node) or any(p.kind == "dyn" for p in node.type.params)
    )


def _applied(work: Callable[..., Any], args: list[Run]) -> Run:
    if len(args) == 1:
        (only,) = args
        return lambda frame: work(only(frame))
    if len(args) == 2:
        first, second = args
        return lambda frame: work(first(frame), second(frame))
    return lambda frame: work(*[arg(frame) for arg in args])


def _by_values(name: str, overloads: list[Overload]) -> Callable[..., Any]:
    def run(*taken: Any) -> Any:
        for overload in overloads:
            if overload.takes(taken):
                assert overload.run is not None, overload.id
                return overload.run(*taken)
        raise no_such_overload(name, *taken)

    return run


# -- optional values ------------------------------------------------------------------------------


def _or_value(compiler: Compiler, node: Call) -> Run:
    """The second is evaluated only where the first has nothing."""
    assert node.target is not None
    target = compiler.build(node.target)
    other, cost = compiler.apart(compiler.build, node.args[0])
    compiler.branch.cost += 1
    whole = node.function == "or"

    def run(frame: Frame) -> Any:
        found = target(frame)
        if found.__class__ is not values.Optional:
            raise no_such_overload(node.function, found)
        if found.has:
            return found if whole else found.value
        frame[COST] += cost
        return other(frame)

    return run


_LAZY = {"or": _or_value, "orValue": _or_value}
