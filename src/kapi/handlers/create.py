"""POST of an object: decode, then one call into the write pipeline. Reviews and other kinds
without a store answer here too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

from kapi import errors
from kapi.clock import Clock, rfc3339
from kapi.handlers.admission import SubresourceAdmission
from kapi.handlers.decode import Decoder, Rules, read_body
from kapi.handlers.notes import note_object
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target, manager_name
from kapi.managedfields.manager import FieldManager
from kapi.messages import Request, Response
from kapi.registry.change import Change
from kapi.registry.options import WriteOptions, write_options
from kapi.registry.resource import GroupVersionKind
from kapi.registry.versions import Versions
from kapi.registry.write import Writer
from kapi.schema.structural import Schema

Json = dict[str, Any]
# A kind that is answered, not stored: (request, target, object, options) -> what is answered.
Virtual = Callable[[Request, Target, Json, WriteOptions], Awaitable[Json]]


class CreateHandler:
    def __init__(
        self,
        decoder: Decoder,
        versions: Versions,
        writer: Writer,
        respond: Responder,
        virtual: Mapping[tuple[str, str], Virtual],
        fields: FieldManager,
        clock: Clock,
        admission: SubresourceAdmission,
    ) -> None:
        self._admission = admission
        self._fields = fields
        self._clock = clock
        self._decoder = decoder
        self._versions = versions
        self._writer = writer
        self._respond = respond
        self._virtual = virtual

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(
            request, transforms=target.resource.stored_in_store, target=target
        )
        data = await read_body(request)
        options = write_options(request.query, "CreateOptions")
        resource, version = target.resource, target.version
        schema = version.schema()
        body = (data, request.headers.get("content-type"), version.kind, schema)
        rules: Rules = {"field_validation": options.field_validation, "warn": request.warn}

        def complete(obj: Json, kind: GroupVersionKind) -> Json:
            if kind == version.kind:
                self._versions.defaulters.default(schema, obj)
            return obj

        read = await self._decoder.read(*body, **rules)
        obj = await self._decoder.aside.run(len(data), lambda: complete(*read))
        if request.audit.level:
            note_object(request, obj, partial(self._versions.text, schema))
        answer = self._virtual.get((resource.group, resource.plural))
        if answer is not None:
            self._own(request, version.kind, schema, obj, options, "")
            await self._admission.create(request, target, version.kind, obj, options)
            answered = await _answered(answer, request, target, obj, options)
            return self._respond.object(request, target, answered, accepted, status=201)
        meta = obj.get("metadata") or {}
        if resource.namespaced and not target.namespace:
            raise errors.method_not_allowed(resource.group, resource.plural)
        assert request.user is not None
        first = [obj]

        def propose(current: Json | None) -> Json:
            # The pipeline owns what it is given: a second attempt gets an object decoded anew.
            return first.pop() if first else complete(*self._decoder.decode(*body, **rules))

        change = Change(
            resource=resource,
            version=version,
            size=len(data),
            namespace=target.namespace,
            name=meta.get("name", ""),
            propose=propose,
            mode="create",
            options=options,
            user=request.user,
            manager=manager_name(request, options.field_manager),
            warn=request.warn,
            annotate=request.audit.annotate,
            body=lambda: self._decoder.undecoded(data, request.headers.get("content-type")),
        )
        written = await self._writer.commit(change)
        return self._respond.object(request, target, written.object, accepted, status=201)

    async def subresource(self, request: Request, target: Target, answer: Virtual) -> Response:
        """POST of a subresource that is answered, not stored."""
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        data = await read_body(request)
        options = write_options(request.query, "CreateOptions")
        subresource = target.subresource
        assert subresource is not None
        assert subresource.schema is not None
        schema = subresource.schema()
        obj, _ = await self._decoder.read(
            data,
            request.headers.get("content-type"),
            subresource.kind,
            schema,
            field_validation=options.field_validation,
            warn=request.warn,
        )
        self._versions.defaulters.default(schema, obj)
        if request.audit.level:
            note_object(request, obj, partial(self._versions.text, schema))
        self._own(request, subresource.kind, schema, obj, options, subresource.name)
        await self._admission.create(request, target, subresource.kind, obj, options)
        answered = await _answered(answer, request, target, obj, options)
        return self._respond.object(request, target, answered, accepted, status=201)

    def _own(
        self,
        request: Request,
        kind: GroupVersionKind,
        schema: Schema,
        obj: Json,
        options: WriteOptions,
        subresource: str,
    ) -> None:
        """Even what is not stored tells who set its fields."""
        managed = self._fields.updated(
            live=None,
            new=obj,
            schema=schema,
            api_version=kind.api_version,
            manager=manager_name(request, options.field_manager),
            subresource=subresource,
            now=rfc3339(self._clock.now()),
            convert=lambda other, version: None,
        )
        if managed:
            obj.setdefault("metadata", {})["managedFields"] = managed


async def _answered(
    answer: Virtual, request: Request, target: Target, obj: Json, options: WriteOptions
) -> Json:
    try:
        with errors.bounded_findings():
            return await answer(request, target, obj, options)
    except errors.TooManyFindings as e:
        kind = target.resource.kind
        raise errors.invalid(target.resource.group, kind, target.name, e.found) from None
