"""Admission of what is sent to a subresource and not stored as it is: bindings, evictions, requests
for tokens, reviews, and streams.

What is stored passes admission in `registry/write.py`. Here the object of the request is asked
about, under the name of the resource and the subresource, as the real server does: first all that
may change it, then all that may refuse it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from types import MappingProxyType
from typing import Any

from kapi.admission.plugin import AdmissionChain, Attributes, Operation
from kapi.handlers.target import Target
from kapi.messages import Query, Request, Response
from kapi.registry.options import WriteOptions
from kapi.registry.resource import GroupVersionKind

Json = dict[str, Any]
PROXY_PARTS = 3  # resource, name, `proxy`: what follows is the path behind
Handler = Callable[[Request, Target], Awaitable[Response]]
Field = tuple[str, str, Callable[[list[str]], Any]]  # query parameter, field, from values


class SubresourceAdmission:
    def __init__(self, chain: AdmissionChain) -> None:
        self._chain = chain

    async def create(
        self,
        request: Request,
        target: Target,
        kind: GroupVersionKind,
        obj: Json,
        options: WriteOptions,
    ) -> None:
        """May change `obj`. Raises ApiError to refuse."""
        await self._ask(_attributes(request, target, "CREATE", kind, obj, options))

    def connecting(self, kind: str, fields: tuple[Field, ...], handler: Handler) -> Handler:
        """A handler that asks admission before it connects."""
        version = GroupVersionKind("", "v1", kind)

        async def admitted(request: Request, target: Target) -> Response:
            obj = {"kind": kind, "apiVersion": "v1", **_options(request.query, fields)}
            if kind.endswith("ProxyOptions") and len(request.info.parts) > PROXY_PARTS:
                obj["path"] = "/".join(request.info.parts[PROXY_PARTS:])
            await self._ask(_attributes(request, target, "CONNECT", version, obj, None))
            return await handler(request, target)

        return admitted

    async def _ask(self, attributes: Attributes) -> None:
        await self._chain.admit(attributes)
        await self._chain.validate(attributes)


def _attributes(
    request: Request,
    target: Target,
    operation: Operation,
    kind: GroupVersionKind,
    obj: Json,
    options: WriteOptions | None,
) -> Attributes:
    assert request.user is not None
    return Attributes(
        operation=operation,
        group=target.resource.group,
        version=target.version.name,
        kind=kind.kind,
        resource=target.resource.plural,
        subresource=target.subresource_name,
        namespace=target.namespace,
        name=target.name or (obj.get("metadata") or {}).get("name", ""),
        object=obj,
        old=None,
        user=request.user,
        dry_run=options is not None and options.dry_run,
        options=options,
        warn=request.warn,
        annotate=request.audit.annotate,
    )


def _options(query: Query, fields: tuple[Field, ...]) -> Json:
    found = {name: make(query.all(parameter)) for parameter, name, make in fields}
    return {name: value for name, value in found.items() if value}


def _text(values: list[str]) -> str:
    return values[0] if values else ""


def _switch(values: list[str]) -> bool:
    return bool(values) and values[0].lower() not in ("false", "0")


def _ports(values: list[str]) -> list[int]:
    return [int(p) for text in values for p in text.split(",") if p.isdigit() and len(p) < 6]


_STREAMS: tuple[Field, ...] = (
    ("stdin", "stdin", _switch),
    ("stdout", "stdout", _switch),
    ("stderr", "stderr", _switch),
    ("tty", "tty", _switch),
    ("container", "container", _text),
)
# Resource and subresource → kind and fields of the options that admission is shown.
CONNECTS: Mapping[tuple[str, str], tuple[str, tuple[Field, ...]]] = MappingProxyType(
    {
        ("pods", "attach"): ("PodAttachOptions", _STREAMS),
        ("pods", "exec"): ("PodExecOptions", (*_STREAMS, ("command", "command", list))),
        ("pods", "portforward"): ("PodPortForwardOptions", (("ports", "ports", _ports),)),
        ("pods", "proxy"): ("PodProxyOptions", ()),
        ("services", "proxy"): ("ServiceProxyOptions", ()),
        ("nodes", "proxy"): ("NodeProxyOptions", ()),
    }
)
