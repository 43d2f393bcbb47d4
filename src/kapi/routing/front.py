"""What requests meet: handlers behind the mux, behind the filters.

Called by `server.py` once, when registry, identity and admission are there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from kapi.assembly.aggregation import Aggregation
from kapi.assembly.core import Core
from kapi.assembly.measures import MeasuredAuthenticator, MeasuredAuthorizer
from kapi.assembly.outside import Outside
from kapi.assembly.shown_options import flag_values, openid
from kapi.cacher.cacher import Cacher
from kapi.clock import Clock, Entropy
from kapi.codec.negotiate import offered
from kapi.filters.wait_group import WaitGroup
from kapi.flowcontrol import dumps
from kapi.flowcontrol.levels import FlowControl
from kapi.flowcontrol.shown import show
from kapi.handlers.aside import Aside
from kapi.handlers.documents import zpages
from kapi.handlers.documents.debugging import debug_paths
from kapi.handlers.documents.discovery import Discovery
from kapi.handlers.documents.health import Check, Health
from kapi.handlers.documents.openapi import OpenApi
from kapi.handlers.documents.root_paths import Served, root_paths
from kapi.handlers.encoder import Encoder
from kapi.messages import Handler
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.registry.resource import ResourceTable
from kapi.routing.chain import Dependencies, build_chain
from kapi.routing.health_checks import health_checks
from kapi.routing.mux import Mux
from kapi.routing.verbs import VerbDependencies, build_verbs

if TYPE_CHECKING:
    from kapi.audit.auditor import Auditor


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontDependencies:
    core: Core
    cacher: Cacher
    outside: Outside
    aggregation: Aggregation
    options: Options
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    table: ResourceTable
    requests: WaitGroup
    aside: Aside
    flow_control: FlowControl | None  # None: switched off
    store_checks: list[Check]  # of a store that is another process; empty: the cache says it all
    encryption_checks: list[Check]
    stopping: Callable[[], bool]
    auditor: Auditor | None  # None: nothing is audited


def build_front(d: FrontDependencies) -> tuple[Handler, Mux]:
    """Handlers behind the mux, behind the filters; and the mux."""
    core, options, clock, who = d.core, d.options, d.clock, d.core.who
    encoder = Encoder(core.catalog.schema_of, core.catalog.object_meta())
    verbs = build_verbs(
        VerbDependencies(
            table=d.table,
            catalog=core.catalog,
            versions=core.versions,
            encoder=encoder,
            fields=core.fields,
            applier=core.applier,
            reader=core.reader,
            writer=core.writer,
            deleter=core.deleter,
            admission=core.admission,
            clock=clock,
            entropy=d.entropy,
            options=options,
            metrics=d.metrics,
            identity=who,
            authority=core.authority,
            in_process=core.in_process,
            healthy=lambda: d.cacher.ready,
            aside=d.aside,
            outside=d.outside,
        )
    )
    if d.flow_control is not None:
        show(d.metrics, d.flow_control)
    roots = root_paths(
        Served(
            discovery=_discovery(d, encoder),
            openapi=_openapi(d),
            health=_health(d),
            metrics=d.metrics.render,
            others={**openid(options, who), **_flagz(d)},
            debug=debug_paths(clock) if options.profiling else None,
            of_paths=_statusz(d),
            unlisted=dumps.handlers(d.flow_control) if d.flow_control is not None else {},
        )
    )
    mux = Mux(
        d.table, verbs.objects, verbs.subresources, roots.exact, roots.prefixes,
        roots.fallback, d.aggregation.proxy,
    )  # fmt: skip
    authenticator = MeasuredAuthenticator(
        who.authenticator, d.metrics, clock, anonymous=who.anonymous is not None
    )
    handler = build_chain(
        mux,
        Dependencies(
            options=options,
            clock=clock,
            entropy=d.entropy,
            metrics=d.metrics,
            requests=d.requests,
            authenticator=authenticator,
            anonymous=who.anonymous,
            proxy_headers=who.proxy_headers,
            authorizer=MeasuredAuthorizer(core.authority.authorizer, d.metrics, clock),
            flow_control=d.flow_control,
            draining=d.stopping,
            auditor=d.auditor,
        ),
    )
    return handler, mux


def _flagz(d: FrontDependencies) -> dict[str, Handler]:
    if not d.options.gates["ComponentFlagz"]:
        return {}
    cbor = offered(d.options.gates).cbor
    return {"/flagz": zpages.flagz(flag_values(d.options), d.entropy, cbor=cbor)}


def _statusz(
    d: FrontDependencies,
) -> dict[str, Callable[[Callable[[], Iterable[str]]], Handler]]:
    if not d.options.gates["ComponentStatusz"]:
        return {}
    cbor = offered(d.options.gates).cbor
    return {"/statusz": partial(zpages.statusz, d.clock, d.entropy, cbor=cbor)}


def _health(d: FrontDependencies) -> Health:
    checks = health_checks(
        d.options,
        d.store_checks,
        d.encryption_checks,
        cache_ready=lambda: d.cacher.ready,
        stopping=d.stopping,
    )
    return Health(checks)


def _discovery(d: FrontDependencies, encoder: Encoder) -> Discovery:
    options = d.options
    offer = offered(options.gates)
    address = partial(_address, options)
    return Discovery(d.table, address, encoder, d.aggregation.documents, offer)


def _openapi(d: FrontDependencies) -> OpenApi:
    remotes, offer = d.aggregation.documents, offered(d.options.gates)
    return OpenApi(d.table, d.clock, remotes, d.aggregation.proxy, d.aside, offer)


def _address(options: Options) -> str:
    return f"{options.reached_at}:{options.secure_port}"
