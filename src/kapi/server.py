"""COMPOSITION ROOT: storage → cacher → registry → handlers → mux → chain; start and stop order.

Everything is made here, by constructor arguments, and nowhere else; so two servers in one process
share nothing. `serving.py` runs a `Server` behind sockets; tests call `Server.handler` in
process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from kapi import errors
from kapi.apiextensions.conversion import Converter
from kapi.assembly import flow_control, identity, service_ranges
from kapi.assembly.admission import AdmissionDependencies, build_admission
from kapi.assembly.aggregation import Aggregation, build_aggregation
from kapi.assembly.authority import Authority, AuthorityDependencies, build_authority
from kapi.assembly.core import Core
from kapi.assembly.custom_kinds import build_definitions, surroundings
from kapi.assembly.measures import watch_parts
from kapi.assembly.outside import Outside, build_outside
from kapi.assembly.shown_options import bootstrap_settings
from kapi.assembly.stores import open_store, translated
from kapi.background import loops as background
from kapi.background import replicas
from kapi.cacher.cacher import Cacher
from kapi.cacher.lister import Lister
from kapi.cel.door import Rules
from kapi.clock import Clock, Entropy
from kapi.controllers import fixed_objects
from kapi.filters.wait_group import WaitGroup
from kapi.flowcontrol.levels import FlowControl
from kapi.handlers.aside import Aside
from kapi.handlers.documents.health import Check
from kapi.kinds.catalog import Catalog
from kapi.managedfields.manager import FieldManager
from kapi.messages import Handler, Request, Response
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.outgoing.hooks import HookClient
from kapi.registry.applying import Applier
from kapi.registry.delete import Deleter
from kapi.registry.fresh import Fresh
from kapi.registry.hearsay import from_cache, nothing
from kapi.registry.in_process import InProcess, LateObjects
from kapi.registry.read import Reader
from kapi.registry.resource import ResourceTable, ResourceType
from kapi.registry.versions import Versions
from kapi.registry.write import Writer
from kapi.routing.front import FrontDependencies, build_front
from kapi.routing.mux import Mux
from kapi.schema.decoding import Decoders
from kapi.schema.defaulting import Defaulters
from kapi.storage.encryption import Cipher
from kapi.storage.interface import Storage

if TYPE_CHECKING:
    from kapi.assembly.encryption import Encryption
    from kapi.audit.auditor import Auditor

# How long a start waits until the cache has what it wrote, in seconds.
SETTLE_S = 3.0


class Server:
    """One API server in one event loop. `handler` serves once `start` has returned."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        entropy: Entropy,
        *,
        open_storage: Callable[[Options], Awaitable[Storage]] | None = None,
    ) -> None:
        """`open_storage`: instead of the store that the options name; the server closes it."""
        self._fresh = Fresh() if options.etcd_servers else None
        self._open_storage = open_storage or (lambda options: open_store(options, clock))
        self.options = options
        self.clock = clock
        self.entropy = entropy
        self.metrics = Metrics()
        self.table = ResourceTable()
        self.requests = WaitGroup()
        self._aside = Aside()
        self.handler: Handler = _not_started
        self._mux: Mux | None = None
        self.stopping = False
        self._storage: Storage | None = None
        self._encryption: Encryption | None = None
        self.cacher: Cacher | None = None
        self.flow_control: FlowControl | None = None  # None: switched off, or not started
        self._outside: Outside | None = None
        self._auditor: Auditor | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopped: asyncio.Future[None] | None = None

    # -- life -------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Open the store, load the cache, make the fixed objects. Raises StorageError, OSError."""
        options = self.options
        storage = await self._open_storage(options)
        self._storage = storage
        try:
            await self._start(storage)
        except BaseException:
            await self.stop()
            raise

    async def _start(self, storage: Storage) -> None:
        catalog = Catalog()
        cipher = await self._build_cipher(catalog)
        storage = translated(storage, self.options, catalog, cipher, fresh=self._fresh)
        cacher = self.cacher = Cacher(storage, self.clock, self.entropy)
        config = {k: v not in ("false", "0") for k, v in self.options.runtime_config.items()}
        for resource in catalog.resources(config):
            self.serve(resource)
        await cacher.start()
        outside = build_outside(self.options, self.clock, self.entropy, self._lister)
        self._outside = outside
        core = self._build_core(storage, cacher, catalog)
        definitions = build_definitions(
            self.clock,
            surroundings(
                core.catalog,
                core.versions,
                core.fields,
                Converter(self._hook_client(), self.metrics, self.clock, self.entropy),
                Rules(),
            ),
            self.table,
            storage,
            cacher,
            core.in_process,
            core.deleter,
            serve=self.serve,
            unserve=self.unserve,
        )
        aggregation = build_aggregation(
            self.options, self.clock, outside, self._aside, self._lister, core.in_process
        )
        probes = replicas.probes_of(storage, self.options, self.clock)
        if self.options.audited:
            self._auditor = self._build_auditor(outside)
        fixed, settings = fixed_objects.load(), bootstrap_settings(self.options)
        self.flow_control = flow_control.build(
            self.options, self.clock, self.table, cacher, self._lister, fixed
        )
        front = self._front(core, cacher, outside, aggregation, replicas.checks(probes))
        self.handler, self._mux = build_front(front)
        await fixed_objects.bootstrap(core.in_process, fixed, settings, self.clock)
        await cacher.caught_up(SETTLE_S)
        await core.restore_addresses()
        await cacher.caught_up(SETTLE_S)
        counts = self.options.etcd_count_metric_poll_period > 0
        etcds = replicas.etcds(storage, self.options)
        watch_parts(self.metrics, cacher, storage, etcds, counts_objects=counts)
        self._tasks = await background.start(
            background.Dependencies(
                options=self.options,
                clock=self.clock,
                entropy=self.entropy,
                storage=storage,
                table=self.table,
                cacher=cacher,
                reader=core.reader,
                in_process=core.in_process,
                quota_gate=core.quota_gate,
                fixed=fixed,
                definitions=definitions,
                aggregation=aggregation,
                allocation=core.allocation,
                flow_control=self.flow_control,
                probes=probes,
                who=core.who,
                authority=core.authority,
                draining=lambda: self.requests.draining,
            )
        )

    async def _build_cipher(self, catalog: Catalog) -> Cipher | None:
        """How values are encrypted, if they are. Raises StorageError."""
        if not self.options.encryption_provider_config:
            return None
        from kapi.assembly.encryption import Encryption

        self._encryption = Encryption(self.options, self.clock, self.entropy, self.metrics, catalog)
        await self._encryption.start()
        return self._encryption.cipher

    def _build_core(self, storage: Storage, cacher: Cacher, catalog: Catalog) -> Core:
        """Registry, identity and admission: all that handlers are made of."""
        options, clock, entropy = self.options, self.clock, self.entropy
        meta = catalog.types.schema("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta")
        versions = Versions(Decoders(), Defaulters(), tuple(meta.properties), self._fresh)
        fields = FieldManager(versions.decoders)
        assert self._outside is not None, "the outside comes first"
        authority = self._authority()
        objects = LateObjects(options.housekeeping, self._lister("", "resourcequotas").list)
        who = self._identity(objects)
        admission = build_admission(
            AdmissionDependencies(
                options=options,
                clock=clock,
                entropy=entropy,
                metrics=self.metrics,
                table=self.table,
                versions=versions,
                fields=fields,
                lister=self._lister,
                objects=objects,
                authority=authority,
                client=self._hook_client(),
                outgoing=self._outside.client,
                started=lambda: bool(self._tasks),
            )
        )
        services, ips = self._lister("", "services"), self._lister(*service_ranges.IP_ADDRESSES)
        allocation = service_ranges.build(
            options, clock, entropy, objects, service_ranges.Stored(services, ips, storage)
        )
        hooks = objects.hooks(allocation)
        # Asking etcd what stands there takes as long as writing.
        heard = from_cache(cacher) if options.etcd_servers else nothing
        aside = self._aside.run
        writer = Writer(storage, versions, fields, admission, clock, entropy, hooks, heard, aside)
        deleter = Deleter(
            storage,
            versions,
            admission,
            clock,
            (allocation,),
            heard=heard,
            collects=options.enable_garbage_collector,
        )
        applier = Applier(versions, fields, clock)
        in_process = InProcess(self.table, storage, versions, writer, deleter, applier)
        objects.bind(in_process)
        reader = Reader(cacher, storage)
        return Core(
            catalog, versions, fields, applier, reader, writer, deleter, admission, in_process,
            allocation, objects.quota_gate, who, authority,
            lambda: allocation.restore_objects(services.list(), ips.list()),
        )  # fmt: skip

    def _build_auditor(self, outside: Outside) -> Auditor | None:
        from kapi.assembly.audit import build_audit  # most servers have no audit

        return build_audit(
            self.options, self.clock, self.entropy, self.metrics, outside.client, self._aside.run
        )

    def _authority(self) -> Authority:
        assert self._outside is not None, "the outside comes first"
        return build_authority(
            AuthorityDependencies(
                options=self.options,
                lister=self._lister,
                client=self._outside.client,
                clock=self.clock,
                entropy=self.entropy,
                metrics=self.metrics,
            )
        )

    def _identity(self, objects: LateObjects) -> identity.Identity:
        assert self._outside is not None, "the outside comes first"
        listers = {r: self._lister("", r) for r in ("serviceaccounts", "pods", "secrets", "nodes")}
        return identity.build_identity(
            identity.IdentityDependencies(
                options=self.options,
                clock=self.clock,
                entropy=self.entropy,
                metrics=self.metrics,
                client=self._outside.client,
                listers=listers,
                live=objects.live,
                label_secret=objects.label_secret,
            )
        )

    def _front(
        self,
        core: Core,
        cacher: Cacher,
        outside: Outside,
        aggregation: Aggregation,
        store_checks: list[Check],
    ) -> FrontDependencies:
        return FrontDependencies(
            core=core,
            cacher=cacher,
            outside=outside,
            aggregation=aggregation,
            options=self.options,
            clock=self.clock,
            entropy=self.entropy,
            metrics=self.metrics,
            table=self.table,
            requests=self.requests,
            aside=self._aside,
            flow_control=self.flow_control,
            store_checks=store_checks,
            encryption_checks=[] if self._encryption is None else self._encryption.checks(),
            stopping=lambda: self.stopping,
            auditor=self._auditor,
        )

    def begin_shutdown(self) -> None:
        """`/readyz` fails from now on, clients are led elsewhere; requests and watches go on."""
        self.stopping = True
        for task in self._tasks:
            if task.get_name() in replicas.ENDED_FIRST:
                task.cancel()

    def drain(self) -> None:
        """Watches end, new requests are refused; those under way go on."""
        self.begin_shutdown()
        self.requests.drain()
        if self.cacher is not None:
            self.cacher.end_watches()
        if self._outside is not None:
            self._outside.client.end_endless()

    async def stop(self) -> None:
        """End tasks, the cache, the store. Idempotent; a second call waits for the first."""
        if self._stopped is None:
            self._stopped = asyncio.get_running_loop().create_future()
            try:
                await self._stop()
            finally:
                self._stopped.set_result(None)
        await asyncio.shield(self._stopped)

    async def _stop(self) -> None:
        self.drain()
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._auditor is not None:
            await self._auditor.close()
        if self._outside is not None:
            await self._outside.client.close()
        if self.cacher is not None:
            await self.cacher.stop()
        self._aside.close()
        if self._storage is not None:
            await self._storage.close()
        if self._encryption is not None:
            await self._encryption.stop()

    # -- resources ---------------------------------------------------------------------------------

    def serve(self, resource: ResourceType) -> None:
        """Serve a resource from now on, or a new form of one that is served."""
        assert self.cacher is not None, "a server that was not started serves nothing"
        old = self.table.get(resource.group, resource.plural)
        if resource.stored_in_store:
            self.cacher.register(resource)
        self.table.add(resource)
        if old is not None and old.versions is not resource.versions:
            self.cacher.end_watches_of(old)  # they would go on in the old form

    def unserve(self, group: str, plural: str) -> None:
        """Serve it no more: its watches end; the store keeps its objects."""
        resource = self.table.get(group, plural)
        if resource is None:
            return
        self.table.remove(group, plural)
        if resource.stored_in_store:
            assert self.cacher is not None
            self.cacher.unregister(resource)

    def tunnels(self, path: str) -> bool:
        """Whether a WebSocket at this path is another server's to speak."""
        return self._mux is not None and self._mux.tunnels(path)

    # -- parts ------------------------------------------------------------------------------------

    def _lister(self, group: str, plural: str) -> Lister:
        assert self.cacher is not None
        resource = self.table.get(group, plural)
        if resource is None:
            raise LookupError(f"{plural}.{group} is not served, but something needs it")
        return Lister(self.cacher, resource)

    def _hook_client(self) -> HookClient:
        assert self._outside is not None, "a server that was not started calls nobody"
        return HookClient(self._outside.client, self._outside.services.resolve)


async def _not_started(request: Request) -> Response:
    raise errors.service_unavailable("the server is starting", retry_after=1)
