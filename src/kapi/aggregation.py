"""Puts `aggregator/` into a server: what serves group versions of others, and what tends them.

Called by `server.py` once the core is built; `background.py` runs the loop, `front.py` hands the
rest to the mux, discovery and OpenAPI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kapi.aggregator.api_services import ApiServices
from kapi.aggregator.checks import Prober
from kapi.aggregator.proxy import AggregatorProxy, Credentials
from kapi.aggregator.registration import Registration
from kapi.aggregator.remote_documents import RemoteDocuments
from kapi.aggregator.tending import Tending
from kapi.cacher.lister import Lister
from kapi.clock import Clock
from kapi.handlers.aside import Aside
from kapi.handlers.forward import Forwarder
from kapi.in_process import InProcess
from kapi.kinds.apiregistration import GROUP
from kapi.options import Options
from kapi.outside import Outside

Json = dict[str, Any]
PLURAL = "apiservices"


@dataclass(frozen=True, slots=True)
class Aggregation:
    """`proxy` answers requests, `documents` are merged into ours, the others are loops."""

    proxy: AggregatorProxy
    documents: RemoteDocuments
    tending: Tending
    registration: Registration


class _Objects:
    """APIServices from the cache, written as the server itself."""

    def __init__(self, lister: Lister, in_process: InProcess) -> None:
        self._lister = lister
        self._in_process = in_process

    def get(self, name: str) -> Json | None:
        return self._lister.get("", name)

    async def create(self, obj: Json) -> None:
        await self._in_process.create(GROUP, PLURAL, "", obj)

    async def update(self, obj: Json) -> None:
        await self._in_process.update(GROUP, PLURAL, "", obj)

    async def delete(self, name: str) -> None:
        await self._in_process.delete(GROUP, PLURAL, "", name)


def build_aggregation(
    options: Options,
    clock: Clock,
    outside: Outside,
    aside: Aside,
    lister: Callable[[str, str], Lister],
    in_process: InProcess,
) -> Aggregation:
    api_services = lister(GROUP, PLURAL)
    services = ApiServices(api_services)
    credentials = Credentials(options.proxy_client_cert_file, options.proxy_client_key_file)
    documents = RemoteDocuments(services, outside.client, outside.services, credentials, aside)

    async def write(obj: Json) -> Json:
        return await in_process.update_status(GROUP, PLURAL, "", obj)

    return Aggregation(
        proxy=AggregatorProxy(
            services,
            outside.services,
            Forwarder(outside.client),
            credentials,
            rejects_redirects=options.aggregator_reject_forwarding_redirect,
        ),
        documents=documents,
        tending=Tending(
            clock,
            services,
            documents,
            Prober(outside.client, outside.services, credentials),
            outside.services,
            read=lambda name: api_services.get("", name),
            write=write,
        ),
        registration=Registration(clock, _Objects(api_services, in_process)),
    )
