"""Compaction of an etcd that several servers share: one of them does it, by the real server's rule.

The key `compact_rev_key`, outside of everybody's prefix, holds the revision that was last
compacted; its version is a clock. Once in an interval each server tries to raise the version it
last saw. Who succeeds compacts to the revision that it noted an interval ago; who does not takes
over version and revision. So history is at least an interval long, whoever the servers are.
https://github.com/kubernetes/kubernetes/blob/master/staging/src/k8s.io/apiserver/pkg/storage/etcd3/compact.go
"""

from __future__ import annotations

from typing import Final

from kapi import log
from kapi.clock import Clock
from kapi.storage import etcd_messages as messages
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdRefused
from kapi.storage.interface import Compacted, FutureRevision, Unavailable

KEY: Final = b"compact_rev_key"

_log = log.get("etcd")


class EtcdCompactor:
    """`run` is a task of the server and ends by being cancelled."""

    def __init__(self, storage: EtcdStorage, clock: Clock, *, interval: float) -> None:
        assert interval > 0, "an interval of 0 means: run no compactor"
        self._storage = storage
        self._clock = clock
        self._interval = interval
        self._version = 0  # of the key, as last seen
        self._revision = 0  # of the store, at that time
        self.failures = 0

    async def run(self) -> None:
        while True:
            await self._clock.sleep(self._interval)
            await self.step()

    async def step(self) -> None:
        """Try to be the one that compacts."""
        value = str(self._revision).encode()
        request = messages.txn_request(
            messages.if_version(KEY, self._version),
            messages.put_op(KEY, value),
            messages.range_op(KEY),
        )
        try:
            answer = messages.txn_answer(await self._storage.client.write("KV/Txn", request))
            if not answer.succeeded:
                self._version = answer.kvs[0].version if answer.kvs else 0
                self._note(answer.kvs[0].value if answer.kvs else b"")
            else:
                self._version += 1
                if self._revision:
                    await self._storage.compact(self._revision)
            self._revision = answer.revision
        except Compacted:
            self._revision = answer.revision  # somebody else compacts, too, and further
        except FutureRevision:
            self._revision = 0  # etcd went back: note anew where it is
        except (Unavailable, EtcdRefused) as error:
            self.failures += 1  # the next step tries again
            _log.warning("compaction", error=str(error))

    def _note(self, value: bytes) -> None:
        """To where another server has compacted."""
        if value.isdigit():
            self._storage.compacted(int(value))
