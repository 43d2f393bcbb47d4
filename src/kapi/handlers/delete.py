"""DELETE of an object and of a collection."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from kapi import errors
from kapi.codec.json_format import JsonSyntaxError
from kapi.codec.negotiate import content_format
from kapi.codec.protobuf_format import ProtobufError
from kapi.codec.yaml_scalars import YamlError
from kapi.errors import ApiError
from kapi.handlers.body_kinds import UNREADABLE_KIND, kind_of
from kapi.handlers.body_words import not_registered
from kapi.handlers.decode import Decoder, parse, read_body
from kapi.handlers.notes import note_object
from kapi.handlers.respond import Responder
from kapi.handlers.target import Target
from kapi.handlers.update import Authorize
from kapi.messages import Request, Response
from kapi.registry.delete import Deleter, Deletion
from kapi.registry.options import META_GROUP, UNREAD, DeleteOptions, delete_options
from kapi.registry.read import Reader
from kapi.registry.resource import GroupVersionKind
from kapi.schema.structural import Schema, SchemaSource

Json = dict[str, Any]
UNREAD_VERB = "unsafe-delete-ignore-read-errors"
WORKERS = 8  # deletions of a collection that run side by side


class DeleteHandler:
    def __init__(
        self,
        decoder: Decoder,
        deleter: Deleter,
        respond: Responder,
        options_schema: SchemaSource,
        authorize: Authorize,
    ) -> None:
        self._authorize = authorize
        self._decoder = decoder
        self._deleter = deleter
        self._respond = respond
        self._schema = options_schema

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        options = await self.options(request, target)
        if options.unread:
            await self._may_remove_unread(request, target)
        assert request.user is not None
        why = target.resource.strategy.undeletable.get(target.name)
        if why is not None:  # of collections they are deleted, as by the real server
            raise errors.forbidden(target.resource.group, target.resource.plural, target.name, why)
        deleted = await self._deleter.delete(
            Deletion(
                resource=target.resource,
                version=target.version,
                namespace=target.namespace,
                name=target.name,
                options=options,
                user=request.user,
                warn=request.warn,
                annotate=request.audit.annotate,
            )
        )
        # 202: still there, and its dependents were to go with it.
        status = 202 if not deleted.gone and options.orphan_dependents is False else 200
        if options.unread or (deleted.gone and not target.resource.returns_deleted):
            return self._respond.status(request, success(target, deleted.object), accepted, status)
        return self._respond.object(request, target, deleted.object, accepted, status=status)

    async def _may_remove_unread(self, request: Request, target: Target) -> None:
        """Raises ApiError 403 for who may delete, but not what cannot be read."""
        try:
            await self._authorize(request, target, UNREAD_VERB)
        except ApiError as e:
            if e.code != 403:
                raise
            why = f'not permitted to do "{UNREAD_VERB}", reason: '
            resource = target.resource
            raise errors.forbidden(resource.group, resource.plural, target.name, why) from None

    async def options(self, request: Request, target: Target) -> DeleteOptions:
        """From the body, or where there is none from the query. Raises ApiError 400, 415, 422."""
        data = await read_body(request)
        if not data:
            return delete_options(request.query, None)
        content_type = request.headers.get("content-type")
        body = self._body(data, content_type, request)
        if request.audit.level:
            note_object(request, _headed(body))
        return delete_options(request.query, body)

    def _body(self, data: bytes, content_type: str, request: Request) -> Json:
        form = content_format(content_type, self._decoder.offer)
        gvk = GroupVersionKind("", "v1", "DeleteOptions")
        if form == "protobuf":
            return self._from_protobuf(data, gvk)
        if form == "cbor":
            return self._decoder.cbor.options(data, gvk, self._schema())
        try:
            document = parse(data, form)
            kind = kind_of(document.value, data, gvk)
        except JsonSyntaxError as e:
            words = f"{e}" if isinstance(e, YamlError) else f"{UNREADABLE_KIND}{e}"
            raise errors.bad_request(words) from None
        if kind.kind != "DeleteOptions":
            raise errors.bad_request(not_registered(kind))
        schema: Schema = self._schema()
        try:
            return self._decoder.typed(
                document, schema, gvk, field_validation="Ignore", warn=request.warn
            )
        except ApiError as e:
            raise errors.bad_request(e.message.partition(": ")[2]) from None

    def _from_protobuf(self, data: bytes, gvk: GroupVersionKind) -> Json:
        try:
            kind, raw = self._decoder.opened(data, gvk)
            if kind.kind != "DeleteOptions":
                raise errors.bad_request(not_registered(kind))
            return {**self._decoder.message(raw, self._schema()), "apiVersion": kind.api_version}
        except ProtobufError as e:
            raise errors.bad_request(str(e)) from None


def _headed(options: Json) -> Json:
    """As it is told of: with a kind, and a version even if none was sent."""
    version = options.get("apiVersion") or f"{META_GROUP}/v1"
    head = {"kind": "DeleteOptions", "apiVersion": version}
    return head | {k: v for k, v in options.items() if k not in head}


def success(target: Target, obj: Json) -> Json:
    """The Status that answers for an object that is gone."""
    meta = obj.get("metadata") or {}
    details: Json = {"name": meta.get("name", target.name)}
    if target.resource.group:
        details["group"] = target.resource.group
    details["kind"] = target.resource.plural
    if meta.get("uid"):
        details["uid"] = meta["uid"]
    return {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Success",
        "details": details,
    }


class DeleteCollectionHandler:
    """Lists what the selectors match, deletes each, and answers with the list as it was."""

    def __init__(
        self, delete: DeleteHandler, deleter: Deleter, reader: Reader, respond: Responder
    ) -> None:
        self._delete = delete
        self._deleter = deleter
        self._reader = reader
        self._respond = respond

    async def __call__(self, request: Request, target: Target) -> Response:
        accepted = self._respond.negotiate(request, transforms=True, target=target)
        options = await self._delete.options(request, target)
        if options.unread:
            words = "is not allowed with DELETECOLLECTION, try again after removing the option"
            found = [errors.invalid_value(UNREAD, True, words)]
            raise errors.invalid(META_GROUP, "DeleteOptions", "", found)
        form = self._respond.forms.get(target.resource, target.version)
        page = await self._reader.list(target.resource, target.namespace, request.query, form)
        if form.asks:
            page = replace(page, items=await form.twins(page.items))
        slots = asyncio.Semaphore(WORKERS)

        async def delete_one(namespace: str, name: str) -> None:
            async with slots:
                assert request.user is not None
                try:
                    await self._deleter.delete(
                        Deletion(
                            resource=target.resource,
                            version=target.version,
                            namespace=namespace,
                            name=name,
                            options=options,
                            user=request.user,
                            warn=request.warn,
                            collection=True,
                        )
                    )
                except ApiError as e:
                    if e.code != 404:  # somebody else was faster: just as well
                        raise

        await _all([delete_one(i.namespace, i.name) for i in page.items])
        return self._respond.page(request, target, page, accepted)


async def _all(calls: Sequence[Any]) -> None:
    """Run all to their end; raise the first failure."""
    outcomes = await asyncio.gather(*calls, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
