"""The current objects of one resource: by key, by namespace, and in the order of their keys.

Names are kept sorted as they come and go, so a list costs nothing to sort; the list of a namespace,
and that of all, is made once and given to every reader until something changes. Those lists are
never changed in place: a reader may hold one across awaits and page through it while writes go on.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Iterable, Sequence

from kapi.cacher.event import Item


class _Shelf:
    """The objects of one namespace."""

    __slots__ = ("by_name", "items", "names")

    def __init__(self) -> None:
        self.by_name: dict[str, Item] = {}
        self.names: list[str] = []  # sorted
        self.items: list[Item] | None = None  # in order; None: to be made

    def all(self) -> list[Item]:
        if self.items is None:
            by_name = self.by_name
            self.items = [by_name[name] for name in self.names]
        return self.items


class Snapshot:
    def __init__(self) -> None:
        self._shelves: dict[str, _Shelf] = {}
        self._order: list[str] = []  # namespace + "/", sorted: the order of the keys
        self._all: list[Item] | None = None
        self._count = 0
        self.bytes = 0  # of all objects, as JSON

    def __len__(self) -> int:
        return self._count

    def get(self, namespace: str, name: str) -> Item | None:
        shelf = self._shelves.get(namespace)
        return shelf.by_name.get(name) if shelf is not None else None

    def list(self, namespace: str = "") -> Sequence[Item]:
        """The objects of a namespace, or all, by key. Read-only, and never changed later."""
        if namespace:
            shelf = self._shelves.get(namespace)
            return shelf.all() if shelf is not None else ()
        if self._all is None:
            if len(self._order) == 1:
                return self._shelves[self._order[0][:-1]].all()
            shelves = self._shelves
            self._all = [i for ns in self._order for i in shelves[ns[:-1]].all()]
        return self._all

    def put(self, item: Item) -> Item | None:
        """Add or replace; returns what it replaced."""
        self._all = None
        shelf = self._shelves.get(item.namespace)
        if shelf is None:
            shelf = self._shelves[item.namespace] = _Shelf()
            insort(self._order, item.namespace + "/")
        shelf.items = None
        previous = shelf.by_name.get(item.name)
        shelf.by_name[item.name] = item
        self.bytes += len(item.tail)
        if previous is None:
            insort(shelf.names, item.name)
            self._count += 1
        else:
            self.bytes -= len(previous.tail)
        return previous

    def remove(self, namespace: str, name: str) -> Item | None:
        """Take out; returns what was there."""
        shelf = self._shelves.get(namespace)
        item = shelf.by_name.pop(name, None) if shelf is not None else None
        if shelf is None or item is None:
            return None
        self._all = shelf.items = None
        self._count -= 1
        self.bytes -= len(item.tail)
        del shelf.names[bisect_left(shelf.names, name)]
        if not shelf.names:
            del self._shelves[namespace]
            del self._order[bisect_left(self._order, namespace + "/")]
        return item

    def load(self, items: Iterable[Item]) -> None:
        """Replace everything by items that come in the order of their keys."""
        self._shelves, self._order, self._all, self._count, self.bytes = {}, [], None, 0, 0
        for item in items:
            shelf = self._shelves.get(item.namespace)
            if shelf is None:
                shelf = self._shelves[item.namespace] = _Shelf()
                self._order.append(item.namespace + "/")
            shelf.by_name[item.name] = item
            shelf.names.append(item.name)
            self._count += 1
            self.bytes += len(item.tail)
