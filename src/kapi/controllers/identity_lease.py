"""The Lease by which this server tells that it lives, and the end of those of servers that do not.

Its name is made of the host's, so that a server that starts again finds its own; who holds it is
new with each start. Other leases are left alone.
https://kubernetes.io/docs/concepts/architecture/leases/#api-server-identity
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Protocol

from kapi import log
from kapi.clock import Clock, Entropy, rfc3339_micro
from kapi.controllers.objects import Fixed, Objects, ensure
from kapi.errors import ApiError
from kapi.schema.scalars import parse_time
from kapi.storage.interface import StorageError

Json = dict[str, Any]
GROUP, PLURAL, NAMESPACE = "coordination.k8s.io", "leases", "kube-system"
LABEL, COMPONENT = "apiserver.kubernetes.io/identity", "kube-apiserver"
HOST_LABEL = "kubernetes.io/hostname"
DURATION_S = 3600  # without a renewal the server is gone
RENEW_S = 10.0
COLLECT_S = 3600.0
_LABEL_MAX = 63
_HASH_BYTES = 16

_log = log.get("identity")

Remove = Callable[[str, str], Awaitable[None]]  # name, revision


class Lister(Protocol):
    def list(self, namespace: str = "") -> Iterable[Json]: ...


class IdentityLease:
    def __init__(
        self,
        clock: Clock,
        entropy: Entropy,
        host: str,
        objects: Objects,
        leases: Lister,
        remove: Remove,
    ) -> None:
        self._clock = clock
        self._host = host
        self._objects = objects
        self._leases = leases
        self._remove = remove
        self.name = server_name(host)
        self._holder = f"{self.name}_{entropy.uid()}"
        self._collected = clock.monotonic()

    async def run(self) -> None:
        """Until cancelled; the start made the first step."""
        while True:
            await self._clock.sleep(RENEW_S)
            await self.step()

    async def step(self) -> None:
        """Renew the lease; now and then look for those that ran out."""
        try:
            await ensure(self._objects, self._fixed())
        except (ApiError, StorageError) as error:
            _log.warning("the server's lease", error=str(error))
        if self._clock.monotonic() - self._collected >= COLLECT_S:
            self._collected = self._clock.monotonic()
            await self.collect()

    async def collect(self) -> None:
        """Remove the leases of servers that are gone."""
        for lease in list(self._leases.list(NAMESPACE)):
            meta = lease["metadata"]
            if (meta.get("labels") or {}).get(LABEL) != COMPONENT or not self._is_over(lease):
                continue
            try:
                await self._remove(meta["name"], meta["resourceVersion"])
            except (ApiError, StorageError) as error:
                _log.warning("a lease that ran out", name=meta["name"], error=str(error))

    def _is_over(self, lease: Json) -> bool:
        spec = lease.get("spec") or {}
        if not spec.get("renewTime") or not spec.get("leaseDurationSeconds"):
            return True
        renewed = float(parse_time(spec["renewTime"])[0])
        return renewed + float(spec["leaseDurationSeconds"]) < self._clock.now()

    def _fixed(self) -> Fixed:
        obj = {
            "kind": "Lease",
            "apiVersion": f"{GROUP}/v1",
            "metadata": {"name": self.name, "namespace": NAMESPACE, "labels": self._labels()},
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": DURATION_S,
                "renewTime": rfc3339_micro(self._clock.now()),
            },
        }
        return Fixed(group=GROUP, resource=PLURAL, object=obj, merge=_renewed)

    def _labels(self) -> dict[str, str]:
        labels = {LABEL: COMPONENT}
        if self._host and len(self._host) <= _LABEL_MAX:
            labels[HOST_LABEL] = self._host
        return labels


def server_name(host: str) -> str:
    """`apiserver-` and a hash of the host's name, as the real server."""
    digest = hashlib.sha256(host.encode()).digest()[:_HASH_BYTES]
    return "apiserver-" + base64.b32encode(digest).decode().rstrip("=").lower()


def _renewed(existing: Json, wanted: Json) -> Json:
    meta = existing["metadata"]
    labels = {**(meta.get("labels") or {}), **wanted["metadata"]["labels"]}
    spec = {**(existing.get("spec") or {}), **wanted["spec"]}
    return {**existing, "metadata": {**meta, "labels": labels}, "spec": spec}
