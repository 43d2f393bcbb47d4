"""One of several servers runs the controllers: the one that holds a Lease.

As client-go's leader election: the holder renews it, and stops its work when it could not for a
while; another one takes it when it has seen no renewal for longer than that, by its own clock, so
that clocks need not agree. Writes compare versions, so two can never both take it. Who shuts down
gives it back, and the next one starts at once.

The lease is looked at in the cache, which costs nothing; only taking and renewing are writes.
`background/loops.py` runs this where servers share their store.
https://kubernetes.io/docs/concepts/architecture/leases/#leader-election
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from kapi import log
from kapi.clock import Clock, Entropy, rfc3339_micro
from kapi.controllers.objects import Objects
from kapi.errors import ApiError
from kapi.storage.interface import StorageError

Json = dict[str, Any]
GROUP, PLURAL, NAMESPACE = "coordination.k8s.io", "leases", "kube-system"
NAME: Final = "kapi-controllers"
# Seconds, as client-go's defaults: how long a lease is good, how long its holder tries to renew it
# before it stops, and between two tries.
LEASE_S, DEADLINE_S, RETRY_S = 15, 10.0, 2.0
# How often others look whether it is free.
LOOK_S: Final = 0.5
# How long giving it back may take.
RELEASE_S: Final = 2.0

_log = log.get("leader")

Work = Callable[[], Coroutine[Any, Any, None]]


class Leader:
    """`run` is a task of the server and ends by being cancelled."""

    def __init__(
        self,
        clock: Clock,
        entropy: Entropy,
        host: str,
        objects: Objects,
        seen: Callable[[], Json | None],
    ) -> None:
        """`seen` gives the lease as the cache has it."""
        self._clock = clock
        self._entropy = entropy
        self._objects = objects
        self._seen = seen
        self.holder = f"{host}_{entropy.uid()}"
        self.leads = False
        # The version of the lease that was seen last, and when it was first seen.
        self._version = ""
        self._since = 0.0

    async def run(self, work: Work) -> None:
        """Do the work whenever this server leads."""
        try:
            while True:
                while not await self._try():
                    await self._clock.sleep(LOOK_S)
                _log.info("this server runs the controllers", holder=self.holder)
                self.leads = True
                await self._lead(work)
                self.leads = False
                _log.warning("this server runs the controllers no more", holder=self.holder)
        finally:
            self.leads = False
            await self._release()  # it may have been taken in this very moment

    async def _lead(self, work: Work) -> None:
        """The work, until the lease could not be renewed in time."""
        async with asyncio.TaskGroup() as tasks:
            working = tasks.create_task(work(), name="controllers")
            renewed = self._clock.monotonic()
            while self._clock.monotonic() - renewed < DEADLINE_S:
                await self._clock.sleep(RETRY_S)
                start = self._clock.monotonic()
                left = renewed + DEADLINE_S - start
                try:
                    async with asyncio.timeout(max(0.0, left)):
                        if await self._try():
                            renewed = start
                        elif self._is_taken():
                            break
                except TimeoutError:
                    break
            working.cancel()

    def _is_taken(self) -> bool:
        spec = (self._seen() or {}).get("spec") or {}
        return spec.get("holderIdentity") not in (None, "", self.holder)

    async def _try(self) -> bool:
        """Take the lease, or renew it; whether it is ours now."""
        lease = self._seen()
        now = rfc3339_micro(self._clock.now())
        spec = {"holderIdentity": self.holder, "leaseDurationSeconds": LEASE_S, "renewTime": now}
        if lease is None:
            made = {
                "kind": "Lease",
                "apiVersion": f"{GROUP}/v1",
                "metadata": {"name": NAME, "namespace": NAMESPACE},
                "spec": {**spec, "acquireTime": now, "leaseTransitions": 0},
            }
            return await self._written(self._objects.create(GROUP, PLURAL, NAMESPACE, made))
        old = lease.get("spec") or {}
        if not self._is_free(lease["metadata"]["resourceVersion"], old):
            return False
        if self.leads and self._is_taken():
            return False  # stop first; only then try to get it
        if old.get("holderIdentity") != self.holder:
            spec["acquireTime"] = now
            spec["leaseTransitions"] = (old.get("leaseTransitions") or 0) + 1
        return await self._update(lease, spec)

    def _is_free(self, version: str, spec: Json) -> bool:
        """Whether it is ours, nobody's, or was not renewed for too long."""
        if version != self._version:
            self._version, self._since = version, self._clock.monotonic()
        holder = spec.get("holderIdentity")
        if not holder or holder == self.holder:
            return True
        seconds = float(spec.get("leaseDurationSeconds") or 0)
        return self._since + seconds <= self._clock.monotonic()

    async def _release(self) -> None:
        """Give it back, if it is still ours."""
        now = rfc3339_micro(self._clock.now())
        spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": now}
        try:
            async with asyncio.timeout(RELEASE_S):
                lease = await self._objects.get(GROUP, PLURAL, NAMESPACE, NAME)
                if lease is not None and lease["spec"].get("holderIdentity") == self.holder:
                    await self._update(lease, {**spec, "acquireTime": now})
        except (TimeoutError, ApiError, StorageError) as error:
            _log.warning("the lease was not given back", holder=self.holder, error=str(error))

    async def _update(self, lease: Json, spec: Json) -> bool:
        """Only as long as it is at the version that was seen."""
        kind = {"kind": "Lease", "apiVersion": f"{GROUP}/v1"}
        changed = {**lease, **kind, "spec": {**(lease.get("spec") or {}), **spec}}
        return await self._written(self._objects.update(GROUP, PLURAL, NAMESPACE, changed))

    async def _written(self, write: Coroutine[Any, Any, None]) -> bool:
        try:
            await write
        except ApiError as error:
            if error.code != 409:
                _log.warning("the lease of the controllers", error=error.message)
            return False
        except StorageError as error:
            _log.warning("the lease of the controllers", error=str(error))
            return False
        return True
