"""What an expression may cost at most, before it runs: from its tree and the sizes of its data.

Kubernetes refuses rules by this number, so it is computed as cel-go does, quirks included: sizes
and costs are ranges, a size that nothing bounds is the largest there is, sums and products stop
there. A node's path (`self`, `items`, `@items`, `name`) leads to the schema that bounds its size.
"""

from __future__ import annotations

from collections.abc import Sequence

from kapi.cel import call_estimates
from kapi.cel.call_estimates import (
    FREE,
    ONE,
    UNKNOWN,
    Argument,
    Estimate,
    Range,
    join,
    plus,
    times,
)
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
from kapi.cel.room import with_room
from kapi.cel.types import StructType, Type, is_optional

LIST, MAP, MESSAGE = (10, 10), (30, 30), (40, 40)
_SCALARS = frozenset(("bool", "double", "duration", "int", "timestamp", "uint"))
Path = tuple[str, ...]
Entries = tuple[Range, Range]  # sizes of keys, or indices, and of values


def estimate(tree: Node, root: Type | None = None) -> Range:
    """The least and the most that a checked tree may cost. `root`: the type of the data that
    every variable has."""
    return with_room(lambda: _Estimator(root).cost(tree))


class _Local:
    __slots__ = ("entries", "path", "size")

    def __init__(self, path: Path, size: Range | None, entries: Entries | None) -> None:
        self.path = path
        self.size = size
        self.entries = entries


class _Estimator:
    def __init__(self, root: Type | None) -> None:
        self._root = root
        self._paths: dict[int, Path] = {}
        self._sizes: dict[int, Range] = {}
        self._entries: dict[int, Entries] = {}
        self._locals: dict[str, list[_Local]] = {}

    # -- nodes ------------------------------------------------------------------------------------

    def cost(self, node: Node) -> Range:
        if isinstance(node, Literal):
            return FREE
        if isinstance(node, Name):
            local = self._local(node.name)
            self._paths[id(node)] = local.path if local else (node.name,)
            return ONE
        if isinstance(node, Select):
            return self._select(node)
        if isinstance(node, Call):
            return self._call(node)
        if isinstance(node, Fold):
            return self._bind(node) if node.macro == "bind" else self._fold(node)
        if isinstance(node, ListLiteral):
            return self._list(node)
        if isinstance(node, MapLiteral):
            return self._map(node)
        assert isinstance(node, Message)
        total = MESSAGE
        for field in node.fields:
            total = plus(total, self.cost(field.value))
        return total

    def _select(self, node: Select) -> Range:
        if node.variable:
            self._paths[id(node)] = (node.variable,)
            return ONE
        if node.constant is not None:
            return ONE
        total = self.cost(node.operand)
        if node.test:
            return total
        if node.operand.type.kind in ("map", "struct", "param"):
            total = plus(total, ONE)
        self._paths[id(node)] = (*self._path(node.operand), node.field)
        return total

    def _list(self, node: ListLiteral) -> Range:
        total, item = FREE, None
        for element in node.elements:
            total = plus(total, self.cost(element))
            size = self._size_or_unknown(element)
            item = size if item is None else join(item, size)
        self._entries[id(node)] = ((1, 1), item or (0, 0))
        return plus(total, LIST)

    def _map(self, node: MapLiteral) -> Range:
        total = FREE
        keys: Range | None = None
        values: Range | None = None
        for entry in node.entries:
            total = plus(plus(total, self.cost(entry.key)), self.cost(entry.value))
            key, value = self._size_or_unknown(entry.key), self._size_or_unknown(entry.value)
            keys = key if keys is None else join(keys, key)
            values = value if values is None else join(values, value)
        self._entries[id(node)] = (keys or (0, 0), values or (0, 0))
        return plus(total, MAP)

    # -- calls ------------------------------------------------------------------------------------

    def _call(self, node: Call) -> Range:
        if node.function == "dyn":
            cost = self.cost(node.args[0])
            self._copy(node, node.args[0])
            return plus(ONE, cost)
        costs = [self.cost(arg) for arg in node.args]
        args = [self._argument(arg) for arg in node.args]
        if not node.overloads:
            return FREE
        total, target = FREE, None
        if node.target is not None:
            total = self.cost(node.target)
            target = self._argument(node.target)
        worst: Range | None = None
        result: Range | None = None
        for overload in node.overloads:
            found = self._overload(node, overload, target, args, costs)
            worst = found.cost if worst is None else join(worst, found.cost)
            if found.size is not None:
                result = found.size if result is None else join(result, found.size)
            if overload in ("index_list", "index_map") and node.args:
                entries = self._entry_sizes(node.args[0])
                result = entries[1] if entries else None
                step = "@items" if overload == "index_list" else "@values"
                self._paths[id(node)] = (*self._path(node.args[0]), step)
            if result is None:
                result = self._size(node)
        if result is not None:
            self._sizes[id(node)] = result
        assert worst is not None
        return plus(total, worst)

    def _overload(
        self,
        node: Call,
        overload: str,
        target: Argument | None,
        args: Sequence[Argument],
        costs: Sequence[Range],
    ) -> Estimate:
        if overload in ("logical_and", "logical_or"):
            left, right = costs
            return Estimate((left[0], plus(left, right)[1]))
        if overload == "conditional":
            return self._conditional(node, args, costs)
        if overload in ("add_string", "add_bytes", "add_list"):
            self._join_entries(node)
        of_args = FREE
        for cost in costs:
            of_args = plus(of_args, cost)
        found = call_estimates.of(node.function, overload, target, args)
        return Estimate(plus(found.cost, of_args), found.size)

    def _conditional(
        self, node: Call, args: Sequence[Argument], costs: Sequence[Range]
    ) -> Estimate:
        self._join_entries(node, 1)
        size = join(args[1].size_or_unknown, args[2].size_or_unknown)
        return Estimate(plus(costs[0], join(costs[1], costs[2])), size)

    def _join_entries(self, node: Call, first: int = 0) -> None:
        a, b = (self._entry_sizes(arg) for arg in node.args[first : first + 2])
        if a is not None and b is not None:
            self._entries[id(node)] = (join(a[0], b[0]), join(a[1], b[1]))

    def _argument(self, node: Node) -> Argument:
        path = self._path(node)
        if path and path[0] in ("@result", "__result__"):
            path = ()
        literal = node.value if isinstance(node, Literal) else None
        return Argument(node.type, path, self._size(node), literal, self._of_path)

    # -- loops ------------------------------------------------------------------------------------

    def _fold(self, node: Fold) -> Range:
        total = plus(self.cost(node.over), self.cost(node.start))
        self._push(node.accumulator, self._path(node.start), self._size(node.start),
                   self._entry_sizes(node.start))  # fmt: skip
        self._push_variables(node)
        turn = plus(self.cost(node.condition), self.cost(node.step))
        self._pop(node.variable)
        if node.second:
            self._pop(node.second)
        total = plus(total, self.cost(node.result))
        self._pop(node.accumulator)
        turns = self._size_or_unknown(node.over)
        if isinstance(node.start, Literal):
            size = self._size(node.start)
            if size is not None:
                self._sizes[id(node)] = size
        elif isinstance(node.start, ListLiteral | MapLiteral):
            self._sizes[id(node)] = turns
            entries = self._entry_sizes(node.step)
            if entries is not None:
                self._entries[id(node)] = entries
        return plus(total, times(turns, turn))

    def _push_variables(self, node: Fold) -> None:
        entries, path = self._entry_sizes(node.over), self._path(node.over)
        keys, items = entries or (None, None)
        is_list = node.over.type.kind == "list"
        if node.second:
            first, second = ("@indices", "@items") if is_list else ("@keys", "@values")
            self._push(node.variable, (*path, first), keys)
            self._push(node.second, (*path, second), items)
        elif is_list:
            self._push(node.variable, (*path, "@items"), items)
        else:
            self._push(node.variable, (*path, "@keys"), keys)

    def _bind(self, node: Fold) -> Range:
        total = plus(self.cost(node.over), self.cost(node.start))
        self._push(node.accumulator, self._path(node.start), self._size(node.start),
                   self._entry_sizes(node.start))  # fmt: skip
        total = plus(total, self.cost(node.result))
        self._pop(node.accumulator)
        self._copy(node, node.result)
        return total

    def _push(
        self, name: str, path: Path, size: Range | None, entries: Entries | None = None
    ) -> None:
        self._locals.setdefault(name, []).append(_Local(path, size, entries))

    def _pop(self, name: str) -> None:
        self._locals[name].pop()

    def _local(self, name: str) -> _Local | None:
        stack = self._locals.get(name)
        return stack[-1] if stack else None

    # -- sizes and paths --------------------------------------------------------------------------

    def _path(self, node: Node) -> Path:
        if isinstance(node, Name):
            local = self._local(node.name)
            if local is not None:
                return local.path
        return self._paths.get(id(node), ())

    def _copy(self, node: Node, source: Node) -> None:
        size, entries = self._size(source), self._entry_sizes(source)
        if size is not None:
            self._sizes[id(node)] = size
        if entries is not None:
            self._entries[id(node)] = entries

    def _entry_sizes(self, node: Node) -> Entries | None:
        found = self._entries.get(id(node))
        if found is None and isinstance(node, Name):
            local = self._local(node.name)
            return local.entries if local is not None else None
        return found

    def _size_or_unknown(self, node: Node) -> Range:
        return self._size(node) or UNKNOWN

    def _size(self, node: Node) -> Range | None:
        found = self._sizes.get(id(node))
        if found is None:
            found = _literal_size(node)
        if found is None:
            found = self._of_path(self._path(node))
            if found is not None:
                self._sizes[id(node)] = found
        if found is None:
            found = _type_size(node.type)
        if found is None and isinstance(node, Name):
            local = self._local(node.name)
            return local.size if local is not None else None
        return found

    def _of_path(self, path: Path) -> Range | None:
        """The size of what the data has at a path, by its schema."""
        if not path or self._root is None:
            return None
        here: Type | None = self._root
        for step in path[1:]:
            assert here is not None
            if step in ("@items", "@values"):
                here = here.params[-1] if here.kind in ("list", "map") else None
            elif step == "@keys":
                here = here.params[0] if here.kind == "map" else None
            else:
                here = here.field(step) if isinstance(here, StructType) else None
            if here is None:
                return None
        assert here is not None
        return 0, here.elements_max or 0


def _literal_size(node: Node) -> Range | None:
    if isinstance(node, Literal):
        count = len(node.value) if isinstance(node.value, str | bytes) else 1
    elif isinstance(node, ListLiteral):
        count = len(node.elements)
    elif isinstance(node, MapLiteral):
        count = len(node.entries)
    else:
        return None
    return count, count


def _type_size(t: Type) -> Range | None:
    if is_optional(t):
        t = t.params[0]
    return (1, 1) if t.kind in _SCALARS else None
