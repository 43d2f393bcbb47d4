"""Leases of etcd for keys that end by themselves, shared as the real server shares them.

A lease is granted for a little longer than asked and used for all writes until its rest is shorter
than asked, or it has enough keys; so thousands of events an hour cost a lease a minute.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from kapi.clock import Clock
from kapi.metric_specs import LEASE_BUCKETS
from kapi.metrics import HistogramCell
from kapi.storage import etcd_messages as messages
from kapi.storage.etcd_client import EtcdClient

# For how long a lease is shared: this share of its time, at most so many seconds.
REUSE_SHARE: Final = 0.05
REUSE_S_MAX: Final = 60
# Keys of one lease: when it ends, etcd removes them in one go.
KEYS_MAX: Final = 1000


class _Lease:
    def __init__(self, number: int, ends: float) -> None:
        self.number, self.ends, self.keys = number, ends, 0


class Leases:
    """`lease_for` gives the lease a key is to be written with. One per store."""

    def __init__(self, client: EtcdClient, clock: Clock, lifetimes: Mapping[str, int]) -> None:
        self._client = client
        self._clock = clock
        self._lifetimes = tuple(lifetimes.items())
        self._leases: dict[int, _Lease] = {}  # by lifetime
        self._locks: dict[int, asyncio.Lock] = {}
        self.granted = 0
        self.used = HistogramCell([float(bound) for bound in LEASE_BUCKETS])  # keys of each

    async def lease_for(self, key: str) -> int:
        """The id of a lease; 0 for keys that stay. Raises Unavailable."""
        for prefix, seconds in self._lifetimes:
            if key.startswith(prefix):
                return await self._lease(seconds)
        return 0

    def forget(self, number: int) -> bool:
        """A lease is gone before its time: somebody revoked it. Whether it was in use here."""
        for seconds, lease in self._leases.items():
            if lease.number == number:
                del self._leases[seconds]
                return True
        return False

    def forget_all(self) -> None:
        """etcd is another one."""
        self._leases.clear()

    async def _lease(self, seconds: int) -> int:
        async with self._locks.setdefault(seconds, asyncio.Lock()):
            now = self._clock.monotonic()
            lease = self._leases.get(seconds)
            if lease is None or lease.ends < now + seconds or lease.keys >= KEYS_MAX:
                longer = seconds + min(REUSE_S_MAX, int(REUSE_SHARE * seconds))
                # A lease that was granted and lost harms nobody: it is a read as far as keys go.
                data = await self._client.read(
                    "Lease/LeaseGrant", messages.lease_grant_request(longer)
                )
                if lease is not None:
                    self.used.observe(lease.keys)
                lease = _Lease(messages.lease_grant_answer(data), now + longer)
                self._leases[seconds] = lease
                self.granted += 1
            lease.keys += 1
            return lease.number
