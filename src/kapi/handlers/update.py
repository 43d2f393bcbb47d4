"""PUT of an object or of its status: decode, then one call into the write pipeline."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from kapi.handlers.decode import Decoder, Rules, read_body
from kapi.handlers.notes import note_object
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target, manager_name
from kapi.messages import Request, Response
from kapi.registry.change import Change, Json
from kapi.registry.conditions import match_path
from kapi.registry.options import write_options
from kapi.registry.resource import GroupVersionKind
from kapi.registry.versions import Versions
from kapi.registry.write import Writer

# Is the user of this request allowed another verb on the same target? Raises ApiError 403.
Authorize = Callable[[Request, Target, str], Awaitable[None]]


class UpdateHandler:
    def __init__(
        self,
        decoder: Decoder,
        versions: Versions,
        writer: Writer,
        respond: Responder,
        authorize: Authorize,
    ) -> None:
        self._decoder = decoder
        self._versions = versions
        self._writer = writer
        self._respond = respond
        self._authorize = authorize

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        data = await read_body(request)
        options = write_options(request.query, "UpdateOptions")
        version = target.version
        schema = version.schema()

        body = (data, request.headers.get("content-type"), version.kind, schema)
        rules: Rules = {"field_validation": options.field_validation, "warn": request.warn}

        def complete(obj: Json, kind: GroupVersionKind) -> Json:
            if kind == version.kind:
                self._versions.defaulters.default(schema, obj)
            return obj

        read = await self._decoder.read(*body, **rules)
        first = [await self._decoder.aside.run(len(data), lambda: complete(*read))]
        if request.audit.level:
            note_object(request, first[0], partial(self._versions.text, schema))

        def propose(current: Json | None) -> Json:
            # The pipeline owns what it is given: a second attempt gets an object decoded anew.
            return first.pop() if first else complete(*self._decoder.decode(*body, **rules))

        assert request.user is not None
        change = Change(
            resource=target.resource,
            version=version,
            size=len(data),
            namespace=target.namespace,
            name=target.name,
            propose=propose,
            mode="update",
            options=options,
            user=request.user,
            manager=manager_name(request, options.field_manager),
            subresource=target.subresource_name,
            may_create=target.resource.strategy.create_on_update and not target.subresource,
            warn=request.warn,
            annotate=request.audit.annotate,
            body=lambda: self._decoder.undecoded(data, request.headers.get("content-type")),
            authorize_create=lambda: self._authorize(request, target, "create"),
        )
        match_path(change, first[0])  # even if there is nothing under that name
        written = await self._writer.commit(change)
        status = 201 if written.created else 200
        return self._respond.object(request, target, written.object, accepted, status=status)
