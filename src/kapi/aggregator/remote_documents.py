"""Discovery and OpenAPI of the servers behind APIServices: fetched, bounded, checked, kept.

`tending.py` has them fetched; `handlers/documents/merged_discovery.py` and `openapi.py` merge what
is here. What a backend sends is taken only for the group versions that are registered for it, and
only where it has the right shape; if it stops answering, its last word stays, marked stale.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from kapi import log
from kapi.aggregator.api_services import ApiServices, Backend, GroupVersion
from kapi.aggregator.front_proxy import AGGREGATOR, Credentials, user_headers
from kapi.handlers.aside import Aside
from kapi.handlers.documents.merged_discovery import Remote, converted
from kapi.outgoing.client import Call, Client, Fetched
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.services import ServiceResolver
from kapi.outgoing.words import OutgoingError

Json = dict[str, Any]
FETCH_SECONDS = 5.0
DISCOVERY_BYTES_MAX = 8 << 20
OPENAPI_BYTES_MAX = 16 << 20
RESOURCES_MAX = 5_000  # of one group version
KINDS_OF_DISCOVERY = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
)

_log = log.get("aggregator")


class Unusable(Exception):
    """A document that is not what it should be."""


@dataclass(slots=True)
class _Known:
    """What a backend said of one group version."""

    entry: Json | None = None  # APIVersionDiscovery
    stale: bool = True
    v3: dict[str, str] = field(default_factory=dict)  # key of the v3 index → its relative URL
    v2: Json | None = None


class RemoteDocuments:
    def __init__(
        self,
        services: ApiServices,
        client: Client,
        resolver: ServiceResolver,
        credentials: Credentials,
        aside: Aside,
    ) -> None:
        self._aside = aside
        self._services = services
        self._client = client
        self._resolver = resolver
        self._credentials = credentials
        self._known: dict[GroupVersion, _Known] = {}
        self._own_generation = 0
        self._seen: object = None
        self._versions: dict[GroupVersion, Remote] = {}

    # -- for the handlers -------------------------------------------------------------------------

    @property
    def generation(self) -> int:
        """Changes when what `versions` gives does."""
        self._refresh()
        return self._own_generation

    def versions(self) -> Mapping[GroupVersion, Remote]:
        """Every group version that is served elsewhere, with what is known of it."""
        self._refresh()
        return self._versions

    def group_priorities(self) -> Mapping[str, int]:
        return self._services.group_priorities()

    def _refresh(self) -> None:
        backends = self._services.backends()
        priorities = self._services.group_priorities()
        if self._seen is priorities:  # made anew with every change of an APIService
            return
        self._seen = priorities
        self._own_generation += 1
        self._known = {gv: known for gv, known in self._known.items() if gv in backends}
        self._versions = {gv: self._remote(backend) for gv, backend in backends.items()}

    def _remote(self, backend: Backend) -> Remote:
        known = self._known.get((backend.group, backend.version)) or _Known()
        stale = known.stale or not backend.available
        return Remote(
            backend.group,
            backend.version,
            backend.version_priority,
            known.entry,
            stale=stale,
            openapi_v3=known.v3,
            openapi_v2=known.v2,
        )

    def _changed(self) -> None:
        self._seen = None

    # -- for the tending --------------------------------------------------------------------------

    def mark_stale(self, backend: Backend) -> None:
        known = self._known.get((backend.group, backend.version))
        if known is not None and not known.stale:
            known.stale = True
            self._changed()

    async def fetch(self, backend: Backend) -> bool:
        """Ask for everything anew; False if discovery did not come."""
        known = self._known.setdefault((backend.group, backend.version), _Known())
        before = (known.entry, known.stale, known.v3, known.v2)
        try:
            known.entry = await self._discovery(backend)
            known.stale = False
        except (OutgoingError, Unusable) as error:
            _log.info("discovery of an APIService", name=backend.name, problem=str(error))
            known.stale = True
        else:
            known.v3 = await self._v3(backend)
            known.v2 = await self._v2(backend)
        if before != (known.entry, known.stale, known.v3, known.v2):
            self._changed()
        return not known.stale

    async def _discovery(self, backend: Backend) -> Json:
        fetched = await self._get(backend, "/apis", KINDS_OF_DISCOVERY, DISCOVERY_BYTES_MAX)
        if fetched.status == 200 and "APIGroupDiscoveryList" in fetched.header("content-type"):
            found = _aggregated_entry(await self._parsed(fetched), backend)
            if found is not None:
                return _checked(found, backend)
        fetched = await self._get(backend, backend.path, "application/json", DISCOVERY_BYTES_MAX)
        if fetched.status != 200:
            raise Unusable(f"status {fetched.status} of {backend.path}")
        listed = await self._parsed(fetched)
        return _checked(converted(listed, backend.version), backend)

    async def _v3(self, backend: Backend) -> dict[str, str]:
        """The documents of the backend for its group version, if it has any."""
        key = backend.path.removeprefix("/")
        try:
            fetched = await self._get(
                backend, "/openapi/v3", "application/json", DISCOVERY_BYTES_MAX
            )
            paths = (await self._parsed(fetched)).get("paths") if fetched.status == 200 else None
        except (OutgoingError, Unusable):
            return {}
        found = paths.get(key) if isinstance(paths, dict) else None
        url = found.get("serverRelativeURL") if isinstance(found, dict) else None
        if isinstance(url, str) and url.startswith(f"/openapi/v3/{key}"):
            return {key: url}
        return {}

    async def _v2(self, backend: Backend) -> Json | None:
        try:
            fetched = await self._get(backend, "/openapi/v2", "application/json", OPENAPI_BYTES_MAX)
            return await self._parsed(fetched) if fetched.status == 200 else None
        except (OutgoingError, Unusable):
            return None

    async def _parsed(self, fetched: Fetched) -> Json:
        """A JSON object. Raises Unusable. Large ones are read aside, so that requests go on."""
        body = fetched.body
        try:
            value = await self._aside.run(len(body), lambda: orjson.loads(body))
        except orjson.JSONDecodeError as error:
            raise Unusable(f"not JSON: {error}") from error
        if not isinstance(value, dict):
            raise Unusable("not an object")
        return value

    async def _get(self, backend: Backend, target: str, accept: str, limit: int) -> Fetched:
        host, port = self._resolver.resolve(backend.namespace, backend.service, backend.port)
        tls = backend.tls(self._credentials.certificate, self._credentials.key)
        call = Call(
            method="GET",
            target=target,
            endpoint=Endpoint(host, port, tls),
            headers=[*user_headers(AGGREGATOR), ("Accept", accept)],
        )
        return await self._client.fetch(call, timeout_s=FETCH_SECONDS, limit=limit)


def _aggregated_entry(document: Json, backend: Backend) -> Any:
    items = document.get("items")
    for group in items if isinstance(items, list) else ():
        meta = group.get("metadata") if isinstance(group, dict) else None
        if not isinstance(meta, dict) or meta.get("name") != backend.group:
            continue
        versions = group.get("versions")
        for version in versions if isinstance(versions, list) else ():
            if isinstance(version, dict) and version.get("version") == backend.version:
                return version
    return None


def _checked(entry: Any, backend: Backend) -> Json:
    """An APIVersionDiscovery of the right shape. Raises Unusable."""
    resources = entry.get("resources") if isinstance(entry, dict) else None
    if not isinstance(resources, list) or len(resources) > RESOURCES_MAX:
        raise Unusable(f"no list of resources for {backend.path}")
    for resource in resources:
        well = (
            isinstance(resource, dict)
            and isinstance(resource.get("resource"), str)
            and isinstance(resource.get("verbs", []), list)
            and isinstance(resource.get("subresources", []), list)
            and resource.get("scope") in ("Namespaced", "Cluster")
        )
        if not well:
            raise Unusable(f"a resource of {backend.path} has another shape")
    return {"version": backend.version, "resources": resources}
