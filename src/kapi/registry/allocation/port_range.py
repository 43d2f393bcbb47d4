"""The node ports in use, as one object that all servers on a store share.

The real server's `servicenodeports`: a RangeAllocation whose data is a bitmap, as the bytes of a
big number: bit n is the port n above the first. Every change is a compare-and-set of the whole
object. It is not served; `registry/allocation/shared.py` alone uses it.
https://github.com/kubernetes/kubernetes/tree/master/pkg/registry/core/service/portallocator
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from typing import Any, Final

from kapi.codec import json_format
from kapi.registry.storing import storage_call
from kapi.storage import keys
from kapi.storage.interface import AlreadyExists, Conflict, NotFound, Record, Storage

Json = dict[str, Any]
KEY: Final = f"{keys.ROOT}ranges/servicenodeports"
ATTEMPTS_MAX: Final = 64  # lost races in a row: as many as there may be writers of services


class PortRange:
    """Ports from `first` to `last`. One per server; all state is in the store."""

    def __init__(self, storage: Storage, first: int, last: int) -> None:
        self._storage = storage
        self.first, self.last = first, last

    async def taken(self) -> set[int]:
        """The ports in use now. Raises ApiError 503."""
        return self._ports(await self._record())

    async def claim(self, ports: Iterable[int]) -> set[int]:
        """Take all of them, or none: those that somebody else has. Raises ApiError 503."""
        wanted = {p for p in ports if self.first <= p <= self.last}
        lost: set[int] = set()

        def change(taken: set[int]) -> set[int]:
            nonlocal lost
            lost = taken & wanted
            return taken if lost else taken | wanted

        if wanted:
            await self._change(change)
        return lost

    async def release(self, ports: Iterable[int]) -> None:
        """Give back, also what was not taken. Raises ApiError 503."""
        given = set(ports)
        if given:
            await self._change(lambda taken: taken - given)

    async def renew(self, used: Iterable[int], leaked: Iterable[int]) -> None:
        """Make sure that `used` are taken and `leaked` are not; the object comes to be with it."""
        held, gone = {p for p in used if self.first <= p <= self.last}, set(leaked)
        await self._change(lambda taken: (taken | held) - (gone - held), make=True)

    async def _change(self, change: Callable[[set[int]], set[int]], *, make: bool = False) -> None:
        for _ in range(ATTEMPTS_MAX):
            record = await self._record()
            before = self._ports(record)
            after = change(before)
            if after == before and not (make and record is None):
                return
            value = self._value(after)
            try:
                if record is None:
                    await storage_call(self._storage.create(KEY, value))
                else:
                    await storage_call(
                        self._storage.update(KEY, value, expected_revision=record.revision)
                    )
                return
            except (AlreadyExists, Conflict, NotFound):
                continue
        raise TooManyRaces(KEY)

    async def _record(self) -> Record | None:
        record: Record | None = await storage_call(self._storage.get(KEY))
        return record

    def _ports(self, record: Record | None) -> set[int]:
        if record is None:
            return set()
        obj: Json = json_format.loads(record.value)
        if obj.get("range") != self._spec:
            return set()  # of another --service-node-port-range: it is made anew
        bits = int.from_bytes(base64.b64decode(obj.get("data") or ""), "big")
        text = bin(bits)[:1:-1]
        return {self.first + i for i, bit in enumerate(text) if bit == "1"}

    def _value(self, ports: set[int]) -> bytes:
        bits = sum(1 << (port - self.first) for port in ports)
        data = bits.to_bytes((bits.bit_length() + 7) // 8, "big")
        obj = {
            "kind": "RangeAllocation",
            "apiVersion": "v1",
            "metadata": {},
            "range": self._spec,
            "data": base64.b64encode(data).decode(),
        }
        return json_format.dumps(obj)

    @property
    def _spec(self) -> str:
        return f"{self.first}-{self.last}"


class TooManyRaces(Exception):
    """Others changed the ports faster than this server; one more than can be."""
