"""Verb → handler, for objects and for the subresources with a life of their own. Called by
`server.py` once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from kapi import errors
from kapi.admission.plugin import AdmissionChain
from kapi.assembly.authority import Authority
from kapi.assembly.identity import Identity
from kapi.assembly.outside import Outside
from kapi.authorization.authorizer import Decision, refusal
from kapi.clock import Clock, Entropy
from kapi.codec.negotiate import offered
from kapi.filters.authorization import attributes
from kapi.handlers.admission import CONNECTS, SubresourceAdmission
from kapi.handlers.aside import Aside
from kapi.handlers.binding import BindingHandler
from kapi.handlers.component_status import ComponentStatusHandler
from kapi.handlers.create import CreateHandler
from kapi.handlers.decode import Decoder
from kapi.handlers.delete import DeleteCollectionHandler, DeleteHandler
from kapi.handlers.encoder import Encoder
from kapi.handlers.eviction import EvictionHandler
from kapi.handlers.forms import Forms
from kapi.handlers.get import GetHandler
from kapi.handlers.list import ListHandler
from kapi.handlers.patch import PatchHandler
from kapi.handlers.respond import Responder
from kapi.handlers.scale import ScaleHandler
from kapi.handlers.target import Target
from kapi.handlers.update import UpdateHandler
from kapi.handlers.watch import WatchHandler
from kapi.kinds.access import authentication, authorization
from kapi.kinds.catalog import Catalog
from kapi.kinds.shared import scale as scale_kind
from kapi.managedfields.manager import FieldManager
from kapi.messages import Request, Response
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.registry.applying import Applier
from kapi.registry.delete import Deleter
from kapi.registry.in_process import InProcess
from kapi.registry.read import Reader
from kapi.registry.resource import ResourceTable
from kapi.registry.versions import Versions
from kapi.registry.write import Writer
from kapi.routing.mux import ResourceHandler, SubresourceHandlers

Authorize = Callable[[Request, Target, str], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class VerbDependencies:
    table: ResourceTable
    catalog: Catalog
    versions: Versions
    encoder: Encoder
    fields: FieldManager
    applier: Applier
    reader: Reader
    writer: Writer
    deleter: Deleter
    admission: AdmissionChain
    clock: Clock
    entropy: Entropy
    options: Options
    metrics: Metrics
    identity: Identity
    authority: Authority
    in_process: InProcess
    healthy: Callable[[], bool]
    aside: Aside
    outside: Outside


@dataclass(frozen=True, slots=True)
class Verbs:
    objects: Mapping[str, ResourceHandler]
    subresources: SubresourceHandlers


class _CoreLookup:
    """Objects of the core group as the store has them, or a 404."""

    def __init__(self, objects: InProcess) -> None:
        self._objects = objects

    async def get(self, resource: str, namespace: str, name: str) -> dict[str, Any]:
        found = await self._objects.get("", resource, namespace, name)
        if found is None:
            raise errors.not_found("", resource, name)
        return found


def build_verbs(d: VerbDependencies) -> Verbs:
    offer = offered(d.options.gates)
    respond = Responder(Forms(d.versions, d.encoder), d.clock, offer)
    decoder = Decoder(d.versions.decoders, d.catalog.go_type, d.aside, d.catalog.schema_of, offer)

    async def authorize(request: Request, target: Target, verb: str) -> None:
        asked = replace(attributes(request), verb=verb)
        decision, reason = await d.authority.authorizer.authorize(asked)
        if decision is not Decision.ALLOW:
            raise refusal(asked, reason)

    admission = SubresourceAdmission(d.admission)
    binding = BindingHandler(decoder, d.writer, respond, d.table, d.clock, admission)
    virtual = {
        **authorization.reviews(d.authority.authorizer, d.authority.rules),
        **authentication.reviews(d.identity.tokens, d.identity.audiences, d.clock),
        ("", "bindings"): binding.virtual,
    }
    patch = PatchHandler(decoder, d.versions, d.writer, respond, authorize, d.applier)
    options_schema = d.catalog.schema("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions")
    delete = DeleteHandler(decoder, d.deleter, respond, options_schema, authorize)
    scale = ScaleHandler(
        decoder, d.versions, d.writer, d.reader, respond, patch, d.applier, scale_kind.COLUMNS
    )
    components = ComponentStatusHandler(respond, d.healthy)
    eviction = EvictionHandler(
        decoder, d.writer, d.deleter, d.reader, respond, d.table, d.clock, admission
    )
    create = CreateHandler(
        decoder, d.versions, d.writer, respond, virtual, d.fields, d.clock, admission
    )
    objects: dict[str, ResourceHandler] = {
        "get": GetHandler(d.reader, respond),
        "list": ListHandler(d.reader, respond),
        "watch": WatchHandler(
            d.reader,
            respond,
            d.clock,
            d.entropy,
            d.metrics,
            min_timeout=d.options.min_request_timeout,
        ),
        "create": create,
        "update": UpdateHandler(decoder, d.versions, d.writer, respond, authorize),
        "patch": patch,
        "delete": delete,
        "deletecollection": DeleteCollectionHandler(delete, d.deleter, d.reader, respond),
    }
    subresources: dict[tuple[str, str], Mapping[str, ResourceHandler]] = {
        ("", "scale"): {"get": scale.get, "update": scale.update, "patch": scale.patch},
        ("componentstatuses", ""): {"get": components.get, "list": components.list},
        ("pods", "binding"): {"create": binding},
        ("pods", "eviction"): {"create": eviction},
        **_elsewhere(d, authorize),
    }
    _add_tokens(d, create, subresources)
    _ask_admission(admission, subresources)
    return Verbs(objects, subresources)


_Subresources = dict[tuple[str, str], Mapping[str, ResourceHandler]]


def _add_tokens(d: VerbDependencies, create: CreateHandler, subresources: _Subresources) -> None:
    if d.identity.issuer is not None:
        requests = authentication.TokenRequests(
            d.identity.issuer,
            d.identity.audiences,
            _CoreLookup(d.in_process),
            d.clock,
            max_expiration_s=int(d.options.service_account_max_token_expiration),
            extend_expiration=d.options.service_account_extend_token_expiration,
        )
        subresources[("serviceaccounts", "token")] = {
            "create": lambda request, target: create.subresource(request, target, requests.create)
        }


def _ask_admission(admission: SubresourceAdmission, subresources: _Subresources) -> None:
    """Before anybody is connected."""
    for key, (kind, fields) in CONNECTS.items():
        subresources[key] = {
            verb: admission.connecting(kind, fields, handler)
            for verb, handler in subresources[key].items()
        }


def _elsewhere(
    d: VerbDependencies, authorize: Authorize
) -> dict[tuple[str, str], Mapping[str, ResourceHandler]]:
    """Subresources that a kubelet, a pod or a service answers."""
    late = _Elsewhere(d, authorize)
    streams = dict.fromkeys(("get", "create"), late.handler("stream"))
    return {
        ("pods", "log"): {"get": late.handler("log")},
        **{("pods", name): streams for name in ("exec", "attach", "portforward")},
        ("pods", "proxy"): dict.fromkeys(_ALL, late.handler("pod")),
        ("services", "proxy"): dict.fromkeys(_ALL, late.handler("service")),
        ("nodes", "proxy"): dict.fromkeys(_ALL, late.handler("node")),
    }


class _Elsewhere:
    """Loads what passes requests on with the first of them: most servers have no kubelets."""

    def __init__(self, d: VerbDependencies, authorize: Authorize) -> None:
        self._d = d
        self._authorize = authorize
        self._built: Mapping[str, ResourceHandler] | None = None

    def handler(self, name: str) -> ResourceHandler:
        async def handle(request: Request, target: Target) -> Response:
            if self._built is None:
                self._built = self._build()
            return await self._built[name](request, target)

        return handle

    def _build(self) -> Mapping[str, ResourceHandler]:
        from kapi.handlers.proxying.connect import ConnectHandlers
        from kapi.handlers.proxying.forward import Forwarder
        from kapi.handlers.proxying.proxies import Proxies

        d, outside = self._d, self._d.outside
        forwarder = Forwarder(outside.client)
        offer = offered(d.options.gates)
        connect = ConnectHandlers(
            d.reader, outside.client, forwarder, outside.kubelets, self._authorize, d.clock, offer
        )
        proxies = Proxies(d.reader, forwarder, outside.services, outside.kubelets, d.entropy)
        return {
            "log": connect.log,
            "stream": connect.stream,
            "pod": proxies.pod,
            "service": proxies.service,
            "node": proxies.node,
        }


_ALL = ("get", "create", "update", "patch", "delete")
