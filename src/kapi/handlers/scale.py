"""GET, PUT and PATCH of `/scale`: the parent is read or changed, a Scale is sent and answered."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from kapi import errors
from kapi.codec.negotiate import Accepted, patch_format
from kapi.errors import ApiError
from kapi.handlers.decode import Decoder, Document, read_body
from kapi.handlers.notes import note_object, note_patch
from kapi.handlers.patch import PatchHandler, parse_patch
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target, manager_name
from kapi.messages import Request, Response
from kapi.registry.applying import Applier
from kapi.registry.change import Change
from kapi.registry.conditions import match_name
from kapi.registry.edits import copied
from kapi.registry.options import WriteOptions, write_options
from kapi.registry.read import Reader
from kapi.registry.resource import Column, ScalePaths
from kapi.registry.scale import (
    STANDARD,
    check_replicas,
    owners_for_scale,
    owners_from_scale,
    to_scale,
    validate_scale,
)
from kapi.registry.versions import Versions
from kapi.registry.write import Writer

Json = dict[str, Any]


class ScaleHandler:
    def __init__(
        self,
        decoder: Decoder,
        versions: Versions,
        writer: Writer,
        reader: Reader,
        respond: Responder,
        patches: PatchHandler,
        applier: Applier,
        columns: tuple[Column, ...],
    ) -> None:
        self._applier = applier
        self._columns = columns
        self._decoder = decoder
        self._versions = versions
        self._writer = writer
        self._reader = reader
        self._respond = respond
        self._patches = patches

    async def get(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        item = await self._reader.get(target.resource, target.namespace, target.name, request.query)
        form = self._respond.forms.get(target.resource, target.version)
        await form.ready((item,))
        parent = form.shown(item)
        check_replicas(parent, _paths(target))
        return self._answer(request, target, parent, accepted)

    def _answer(
        self, request: Request, target: Target, parent: Json, accepted: Accepted
    ) -> Response:
        scale = to_scale(parent, _paths(target))
        if accepted.as_kind:
            # As a Table it has columns of its own, whatever it is the scale of.
            resource = replace(
                target.resource, columns=self._columns, row_conditions=None, custom=False
            )
            version = replace(target.version, columns=())
            target = replace(target, resource=resource, version=version)
            return self._respond.object(request, target, scale, accepted)
        return self._respond.status(request, scale, accepted, 200)

    async def update(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        data = await read_body(request)
        options = write_options(request.query, "UpdateOptions")
        subresource = target.subresource
        assert subresource is not None
        assert subresource.schema is not None
        scale, _ = await self._decoder.read(
            data,
            request.headers.get("content-type"),
            subresource.kind,
            subresource.schema(),
            field_validation=options.field_validation,
            warn=request.warn,
        )
        if request.audit.level:
            note_object(request, scale)
        if name := (scale.get("metadata") or {}).get("name", ""):
            match_name(name, target.name)  # even where there is nothing to scale

        def propose(current: Json | None) -> Json:
            assert current is not None
            return scaled(current, scale, _paths(target))

        return await self._commit(request, target, propose, options, "update", accepted)

    async def patch(self, request: Request, target: Target) -> Response:
        asked = patch_format(
            request.headers.get("content-type"),
            custom=target.resource.custom,
            offer=self._decoder.offer,
        )
        form = asked.form
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        data = await read_body(request)
        options = write_options(request.query, "PatchOptions", patch_type=form)
        document: Document = await self._decoder.aside.run(
            len(data), lambda: parse_patch(data, asked)
        )
        if request.audit.level:
            await note_patch(request, data, asked, document.value, self._decoder.aside)
        subresource = target.subresource
        assert subresource is not None
        assert subresource.schema is not None
        schema = subresource.schema()

        manager = manager_name(request, options.field_manager)

        def propose(current: Json | None) -> Json:
            assert current is not None
            before = to_scale(current, _paths(target))
            if form == "apply":
                return self._applied(target, document, options, manager, current, before)
            after = self._patches.patched(
                request, subresource.kind, schema, form, document, options, before
            )
            return scaled(current, after, _paths(target))

        mode = "apply" if form == "apply" else "patch"
        return await self._commit(request, target, propose, options, mode, accepted)

    def _applied(
        self,
        target: Target,
        document: Document,
        options: WriteOptions,
        manager: str,
        current: Json,
        scale: Json,
    ) -> Json:
        """The parent after a Scale was laid over its own, with the owners of both."""
        subresource = target.subresource
        assert subresource is not None, "the mux found a subresource"
        assert subresource.schema is not None, "a Scale is a kind of its own"
        managed = current["metadata"].get("managedFields") or []
        scale["metadata"]["managedFields"] = owners_for_scale(managed, _paths(target))
        kind = subresource.kind
        out = self._applier.laid_over(
            scale,
            document.value,
            subresource.schema(),
            kind,
            manager,
            "scale",
            force=options.force,
        )
        obj = scaled(current, out.object, _paths(target))
        meta = obj["metadata"]
        meta["managedFields"] = owners_from_scale(
            managed, out.managed, target.version.kind.api_version, _paths(target)
        )
        return obj

    async def _commit(
        self,
        request: Request,
        target: Target,
        propose: Any,
        options: WriteOptions,
        mode: Any,
        accepted: Any,
    ) -> Response:
        assert request.user is not None
        written = await self._writer.commit(
            Change(
                resource=target.resource,
                version=target.version,
                namespace=target.namespace,
                name=target.name,
                propose=propose,
                mode=mode,
                options=options,
                user=request.user,
                manager=manager_name(request, options.field_manager),
                subresource="scale",
                warn=request.warn,
                annotate=request.audit.annotate,
            )
        )
        return self._answer(request, target, written.object, accepted)


def _paths(target: Target) -> ScalePaths | None:
    return target.subresource.scale if target.subresource is not None else None


def scaled(current: Json, scale: Json, paths: ScalePaths | None) -> Json:
    """The parent with what its Scale asks for. Raises ApiError 422; a custom kind's replicas are
    checked with the rest of it.
    """
    meta = scale.get("metadata") or {}
    if paths is None and (found := validate_scale(scale)):
        raise errors.invalid("autoscaling", "Scale", meta.get("name", ""), found)
    obj: Json = copied(current)
    holder = obj
    *way, last = (paths or STANDARD).spec_replicas
    for name in way:
        if holder.get(name) is None:
            holder[name] = {}
        holder = holder[name]
        if not isinstance(holder, dict):
            raise ApiError(500, "", f"value cannot be set because .{name} is not a map")
    holder[last] = (scale.get("spec") or {}).get("replicas", 0)
    own = obj["metadata"]
    own["name"], own["resourceVersion"] = meta.get("name", ""), meta.get("resourceVersion", "")
    for name in ("namespace", "uid"):
        if meta.get(name):
            own[name] = meta[name]
    return obj
