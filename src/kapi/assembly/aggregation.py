"""Puts `aggregator/` into a server: what serves group versions of others, and what tends them.

Called by `server.py` once the core is built; `background/loops.py` runs the loop,
`routing/front.py` hands the rest to the mux, discovery and OpenAPI.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kapi.aggregator.api_services import ApiServices, Backend
from kapi.aggregator.checks import Prober
from kapi.aggregator.front_proxy import Credentials
from kapi.aggregator.registration import Registration
from kapi.aggregator.remote_documents import RemoteDocuments
from kapi.aggregator.tending import Tending
from kapi.assembly.outside import Outside
from kapi.cacher.lister import Lister
from kapi.clock import Clock
from kapi.handlers.aside import Aside
from kapi.kinds.server.apiregistration import GROUP
from kapi.messages import Request, Response
from kapi.options.table import Options
from kapi.registry.in_process import InProcess

if TYPE_CHECKING:
    from kapi.aggregator.proxy import AggregatorProxy

Json = dict[str, Any]
PLURAL = "apiservices"


class LateProxy:
    """Knows at once whose a path is; loads what passes requests on with the first of them."""

    def __init__(self, services: ApiServices, build: Callable[[], AggregatorProxy]) -> None:
        self._services = services
        self._build = build
        self._built: AggregatorProxy | None = None

    def at(self, path: str) -> Backend | None:
        return self._services.at(path)

    async def handle(self, request: Request, backend: Backend) -> Response:
        if self._built is None:
            self._built = self._build()
        return await self._built.handle(request, backend)


@dataclass(frozen=True, slots=True)
class Aggregation:
    """`proxy` answers requests, `documents` are merged into ours, the others are loops."""

    proxy: LateProxy
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

    def build_proxy() -> AggregatorProxy:
        from kapi.aggregator.proxy import AggregatorProxy
        from kapi.handlers.proxying.forward import Forwarder

        return AggregatorProxy(
            outside.services,
            Forwarder(outside.client),
            credentials,
            rejects_redirects=options.aggregator_reject_forwarding_redirect,
        )

    return Aggregation(
        proxy=LateProxy(services, build_proxy),
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
