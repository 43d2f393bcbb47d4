"""`QuotaGate`: lets quotas be counted anew without a create slipping through between.

A create is charged to a quota before it is stored. Who counts the stored objects at that moment
would undo the charge, and the next create would find room that is not there. So writes in
namespaces with quotas pass this gate, and a count closes it, waits for those inside to leave, and
counts alone; it takes some milliseconds, and while it does, new writes of that namespace wait.

A hook of the write pipeline (`registry/hooks.py`), there only where quotas are counted in this
process (`housekeeping/quotas.py`).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Protocol

Json = dict[str, Any]

# How long a count waits for the writes under way, and so how long others wait for it at most.
QUIET_WAIT_S = 0.5
# Writes of one status that may be under way: as many as writers meet in one namespace, twice.
WRITTEN_MAX = 64
_UNCOUNTED = frozenset({("", "events"), ("events.k8s.io", "events")})


class Named(Protocol):
    """The part of a ResourceType that is asked for."""

    @property
    def group(self) -> str: ...
    @property
    def plural(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...


class QuotaGate:
    def __init__(self, limited: Callable[[str], Any]) -> None:
        """`limited`: whether a namespace has quotas, by truth value."""
        self._limited = limited
        self._inside: dict[str, int] = {}  # writes under way by namespace
        self._closed: dict[str, asyncio.Event] = {}  # set when the gate opens again
        self._empty: dict[str, asyncio.Event] = {}  # set when nobody is inside
        # What this server wrote into each quota, the last that was seen first.
        self._written: dict[tuple[str, str], deque[Json]] = {}
        # Called when a write came to nothing: what it was charged must be given back.
        self.on_undo: Callable[[str], None] = lambda namespace: None

    # -- the hook ----------------------------------------------------------------------------------

    def handles(self, resource: Named, subresource: str) -> bool:
        if not resource.namespaced or (resource.group, resource.plural) in _UNCOUNTED:
            return False
        if subresource:
            return (resource.group, resource.plural, subresource) == ("", "pods", "resize")
        return True

    def frees(self, resource: Named) -> bool:
        return False

    async def after_delete(self, obj: Json) -> None:
        """Nothing was reserved for an object."""

    async def before_write(self, obj: Json, old: Json | None) -> Passage:
        """Go in, once the gate is open."""
        namespace = obj["metadata"].get("namespace") or ""
        if not namespace or not self._limited(namespace):
            return Passage(self, "")
        while (closed := self._closed.get(namespace)) is not None:
            await closed.wait()
        self._inside[namespace] = self._inside.get(namespace, 0) + 1
        return Passage(self, namespace)

    def leave(self, namespace: str) -> None:
        self._inside[namespace] -= 1
        if not self._inside[namespace]:
            del self._inside[namespace]
            empty = self._empty.get(namespace)
            if empty is not None:
                empty.set()

    # -- the count ---------------------------------------------------------------------------------

    @asynccontextmanager
    async def alone(self, namespace: str) -> AsyncIterator[bool]:
        """Keep writes of a namespace out; False if those inside do not leave in time. One count of
        a namespace at a time."""
        opened = self._closed[namespace] = asyncio.Event()
        try:
            quiet = True
            if namespace in self._inside:
                empty = self._empty[namespace] = asyncio.Event()
                try:
                    async with asyncio.timeout(QUIET_WAIT_S):
                        await empty.wait()
                except TimeoutError:
                    quiet = False
                finally:
                    del self._empty[namespace]
            yield quiet
        finally:
            del self._closed[namespace]
            opened.set()

    # -- who wrote a status ------------------------------------------------------------------------

    def wrote(self, namespace: str, name: str, used: Json) -> None:
        """The usage that this server is about to write, or has written, into a quota."""
        written = self._written.get((namespace, name))
        if written is None:
            written = self._written[(namespace, name)] = deque(maxlen=WRITTEN_MAX)
        if not written or written[-1] != used:
            written.append(used)

    def is_ours(self, namespace: str, name: str, used: Json) -> bool:
        """Whether the usage that a quota is seen to have now is this server's own. Asked for each
        change in turn: what was written before is then history."""
        written = self._written.get((namespace, name))
        if written is None or used not in written:
            return False
        while written[0] != used:
            written.popleft()
        return True

    def forget(self, namespace: str, name: str) -> None:
        """The quota is gone."""
        self._written.pop((namespace, name), None)


class Passage:
    """One write inside the gate."""

    __slots__ = ("_gate", "_namespace")

    def __init__(self, gate: QuotaGate, namespace: str) -> None:
        """`namespace`: "" where there is no gate to pass."""
        self._gate = gate
        self._namespace = namespace

    async def secure(self) -> None:
        """Nobody else must see anything."""

    async def undo(self) -> None:
        self.doubt()

    async def commit(self) -> None:
        if self._namespace:
            self._gate.leave(self._namespace)

    def doubt(self) -> None:
        """Only a count can tell."""
        if self._namespace:
            self._gate.leave(self._namespace)
            self._gate.on_undo(self._namespace)
