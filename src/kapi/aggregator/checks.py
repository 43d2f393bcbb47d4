"""Whether the server behind an APIService is there: first what the cache says of its service, then
a request.

`tending.py` calls both and writes the condition. Reasons and messages are the real server's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kapi.aggregator.api_services import Backend
from kapi.aggregator.front_proxy import AGGREGATOR, Credentials, user_headers
from kapi.outgoing import words
from kapi.outgoing.client import Call, Client
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.services import ServiceResolver
from kapi.outgoing.tls import Tls
from kapi.outgoing.words import DeadlineExceeded, OutgoingError

Json = dict[str, Any]
PROBE_SECONDS = 5.0
PROBES_MORE = 4  # at once, after a first one that failed: endpoints are drawn
PROBE_BYTES_MAX = 4 << 20  # of an answer whose status alone counts


@dataclass(frozen=True, slots=True)
class Condition:
    """What `Available` shall say."""

    status: str
    reason: str
    message: str


PASSED = Condition("True", "Passed", "all checks passed")
LOCAL = Condition("True", "Local", "Local APIServices are always available")


def by_cache(
    backend: Backend,
    service: Json | None,
    slices: Sequence[Json],
    endpoints: Json | None,
) -> Condition | None:
    """What is wrong with the service; None: a request must tell."""
    place = f'service/{backend.service} in "{backend.namespace}"'
    if service is None:
        return Condition("False", "ServiceNotFound", f"{place} is not present")
    spec = service.get("spec") or {}
    if spec.get("type", "ClusterIP") != "ClusterIP":
        return None
    port = next((p for p in spec.get("ports") or () if p.get("port") == backend.port), None)
    if port is None:
        text = f"{place} is not listening on port {backend.port}"
        return Condition("False", "ServicePortError", text)
    subsets = (endpoints or {}).get("subsets") or ()
    if not slices and not subsets:
        return Condition("False", "EndpointsNotFound", f"cannot find endpointslices for {place}")
    name = port.get("name", "")
    if any(_serves(found, name) for found in slices) or any(_has(s, name) for s in subsets):
        return None
    text = f'endpointslices for {place} have no addresses with port name "{name}"'
    return Condition("False", "MissingEndpoints", text)


def _serves(found: Json, name: str) -> bool:
    ready = any(
        (e.get("conditions") or {}).get("ready") is not False for e in found.get("endpoints") or ()
    )
    return ready and any(
        (p.get("name") or "") == name and p.get("port") for p in found.get("ports") or ()
    )


def _has(subset: Json, name: str) -> bool:
    ports = subset.get("ports") or ()
    return bool(subset.get("addresses")) and any(p.get("name", "") == name for p in ports)


class Prober:
    """Asks a backend for its discovery, as the aggregator itself."""

    def __init__(self, client: Client, resolver: ServiceResolver, credentials: Credentials) -> None:
        self._client = client
        self._resolver = resolver
        # Nothing that is secret goes there, and nothing of the answer is used.
        self._tls = Tls(certificate=credentials.certificate, key=credentials.key, insecure=True)

    async def check(self, backend: Backend) -> Condition:
        problem = await self._probe(backend)
        if problem:
            more = await asyncio.gather(*(self._probe(backend) for _ in range(PROBES_MORE)))
            problem = "" if "" in more else more[-1]
        return Condition("False", "FailedDiscoveryCheck", problem) if problem else PASSED

    async def _probe(self, backend: Backend) -> str:
        """What went wrong; "" for nothing."""
        try:
            host, port = self._resolver.resolve(backend.namespace, backend.service, backend.port)
        except OutgoingError as error:
            return str(error)
        endpoint = Endpoint(host, port, self._tls)
        call = Call(
            method="GET", target=backend.path, endpoint=endpoint, headers=user_headers(AGGREGATOR)
        )
        url = f"https://{endpoint.authority}{backend.path}"
        missing = f"failing or missing response from {url}: "
        try:
            fetched = await self._client.fetch(call, timeout_s=PROBE_SECONDS, limit=PROBE_BYTES_MAX)
        except DeadlineExceeded as error:
            late = f"{error} (Client.Timeout exceeded while awaiting headers)"
            return missing + words.url_error("GET", url, Exception(late))
        except OutgoingError as error:
            return missing + words.url_error("GET", url, error)
        if not 200 <= fetched.status < 300:
            return f"{missing}bad status from {url}: {fetched.status}"
        return ""


def with_condition(obj: Json, wanted: Condition, now: str) -> Json | None:
    """The object with its `Available` condition set; None if it says so already."""
    status = obj.get("status") or {}
    conditions = [dict(c) for c in status.get("conditions") or ()]
    old: Mapping[str, Any] | None = next(
        (c for c in conditions if c.get("type") == "Available"), None
    )
    moved = old is None or old.get("status") != wanted.status
    new = {
        "type": "Available",
        "status": wanted.status,
        "lastTransitionTime": now if moved or old is None else old.get("lastTransitionTime", now),
        "reason": wanted.reason,
        "message": wanted.message,
    }
    if old == new:
        return None
    conditions = [new if c.get("type") == "Available" else c for c in conditions]
    if old is None:
        conditions.append(new)
    return {**obj, "status": {**status, "conditions": conditions}}
