"""What a handler found → `Response`: JSON, YAML, Protocol Buffers or CBOR, as it is, as a Table or
as metadata only.

Every answer about objects goes through `Responder`. JSON and messages of items are put together
from bytes that the cache keeps; what is rare (YAML, indented, objects that are no items) is encoded
anew. Long lists are made in steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from kapi.cacher.event import Item
from kapi.clock import Clock
from kapi.codec import json_format, negotiate, yaml_format
from kapi.codec.negotiate import PLAIN, Accepted, Offer
from kapi.handlers.forms import Form, Forms, list_metadata
from kapi.handlers.notes import note_answer
from kapi.handlers.shapes import (
    DECODED_PER_STEP,
    PARTIAL,
    TABLE,
    a_list,
    checked_include,
    not_a_list,
    parts,
    table_head,
)
from kapi.handlers.target import Target
from kapi.messages import Request, Response
from kapi.registry import table
from kapi.registry.listing import Page
from kapi.registry.resource import ResourceType, Version

if TYPE_CHECKING:
    from kapi.handlers.cbor_answers import CborAnswers

Json = dict[str, Any]

# Elements of a list gathered in one step if they are taken as they are.
STORED_PER_STEP = 5_000


class Responder:
    """One per server."""

    def __init__(self, forms: Forms, clock: Clock, offer: Offer = PLAIN) -> None:
        self.forms = forms
        self.offer = offer
        self._clock = clock
        self._cbor: CborAnswers | None = None

    @property
    def cbor(self) -> CborAnswers:
        """The same in CBOR, made for the first who asks for it."""
        if self._cbor is None:
            from kapi.handlers.cbor_answers import CborAnswers

            self._cbor = CborAnswers(self.forms, self._clock)
        return self._cbor

    def negotiate(self, request: Request, *, transforms: bool, target: Target) -> Accepted:
        """The form the client wants. Raises ApiError 406."""
        custom = target.resource.custom
        route: Sequence[str] = () if custom else self.offer.route
        if not custom and request.info.verb in ("list", "watch"):
            route = self.offer.route_of_lists
        headers = request.headers
        return negotiate.negotiate(
            headers.get("accept"),
            request.query,
            headers.get("user-agent"),
            transforms=transforms,
            custom=custom,
            route=route,
            offer=self.offer,
        )

    # -- answers ----------------------------------------------------------------------------------

    def status(self, request: Request, status: Json, accepted: Accepted, code: int) -> Response:
        """A Status, or any object that is never transformed."""
        if request.audit.level:
            if status.get("kind") == "Status":
                request.audit.status = status
            note_answer(request, accepted, lambda plain: self.status(request, status, plain, code))
        if accepted.media_type == negotiate.PROTOBUF:
            return Response(code, [_PROTOBUF_TYPE], self.forms.encoder.sealed(status))
        if accepted.media_type == negotiate.CBOR:
            return self.cbor.status(status, code)
        return self._answer(code, json_format.dumps(status), accepted)

    def item(self, request: Request, target: Target, item: Item, accepted: Accepted) -> Response:
        """An object of the cache."""
        if request.audit.level:
            note_answer(request, accepted, lambda plain: self.item(request, target, item, plain))
        if accepted.media_type == negotiate.CBOR:
            return self.cbor.item(request, target, item, accepted)
        form = self.forms.get(target.resource, target.version)
        if not accepted.as_kind:
            if accepted.media_type == negotiate.JSON and not accepted.pretty:
                return Response(200, [_JSON_TYPE], b"".join((form.head, form.tail(item), b"\n")))
            if accepted.media_type == negotiate.PROTOBUF:
                return Response(200, [_PROTOBUF_TYPE], form.sealed(item))
            return self._answer(200, form.head + form.tail(item), accepted)
        if accepted.as_kind == TABLE:
            meta = {"resourceVersion": str(item.revision)}
            rows = self._rows(request, form, [item], accepted)
            before, after = around_table(target.resource, target.version, meta, accepted)
            return self._answer(200, before + b",".join(rows) + after, accepted)
        if accepted.as_kind == PARTIAL:
            if accepted.media_type == negotiate.PROTOBUF:
                sealed = form.sealed_partial(item, accepted.as_version)
                return Response(200, [_PROTOBUF_TYPE], sealed)
            return self._answer(200, form.partial(item, accepted.as_version), accepted)
        raise not_a_list(target.resource)

    def object(
        self,
        request: Request,
        target: Target,
        obj: Json,
        accepted: Accepted,
        *,
        status: int = 200,
    ) -> Response:
        """An object in the version of the request."""
        if request.audit.level:
            note_answer(
                request,
                accepted,
                lambda plain: self.object(request, target, obj, plain, status=status),
            )
        if accepted.media_type == negotiate.CBOR:
            return self.cbor.object(request, target, obj, accepted, status)
        form = self.forms.get(target.resource, target.version)
        if not accepted.as_kind:
            if accepted.media_type == negotiate.PROTOBUF:
                return Response(status, [_PROTOBUF_TYPE], form.encoder.sealed(obj))
            return self._answer(status, form.encode(obj), accepted)
        if accepted.as_kind == TABLE:
            return self._answer(
                status, self._table_of(request, form, target, obj, accepted), accepted
            )
        if accepted.as_kind == PARTIAL:
            hidden = form.resource.hidden_annotations
            partial = table.partial_metadata(obj, accepted.as_version, hidden)
            if accepted.media_type == negotiate.PROTOBUF:
                return Response(status, [_PROTOBUF_TYPE], form.encoder.sealed(partial))
            return self._answer(status, json_format.dumps(partial), accepted)
        raise not_a_list(target.resource)

    def page(self, request: Request, target: Target, page: Page, accepted: Accepted) -> Response:
        """A list, made at once; for those that are known to be short or are to be waited for."""
        if request.audit.level:
            note_answer(request, accepted, lambda plain: self.page(request, target, page, plain))
        if accepted.media_type == negotiate.CBOR:
            steps = self.cbor.steps(request, target, page, accepted)
            return Response(200, [_CBOR_TYPE], [piece for step in steps for piece in step])
        if accepted.media_type == negotiate.PROTOBUF:
            pieces = [p for step in self._message_steps(target, page, accepted) for p in step]
            return self._message_page(target, page, pieces, accepted)
        steps = self._page_steps(request, target, page, accepted)
        return self._page_answer([piece for step in steps for piece in step], accepted)

    async def long_page(
        self, request: Request, target: Target, page: Page, accepted: Accepted
    ) -> Response:
        """A list, made in steps."""
        if request.audit.level:
            note_answer(
                request, accepted, lambda plain: self.long_page(request, target, page, plain)
            )
        slices: list[bytes] = []
        if accepted.media_type == negotiate.CBOR:
            for step in self.cbor.steps(request, target, page, accepted):
                slices += step
                await asyncio.sleep(0)
            return Response(200, [_CBOR_TYPE], slices)
        if accepted.media_type == negotiate.PROTOBUF:
            for messages in self._message_steps(target, page, accepted):
                slices += messages
                await asyncio.sleep(0)
            return self._message_page(target, page, slices, accepted)
        for step in self._page_steps(request, target, page, accepted):
            slices += step
            await asyncio.sleep(0)
        return self._page_answer(slices, accepted)

    def _page_answer(self, slices: list[bytes], accepted: Accepted) -> Response:
        if accepted.media_type == negotiate.JSON and not accepted.pretty:
            return Response(200, [_JSON_TYPE], slices)
        return self._answer(200, b"".join(slices), accepted)

    def _answer(self, code: int, compact: bytes, accepted: Accepted) -> Response:
        """From compact JSON to what the client wants."""
        if accepted.media_type == negotiate.JSON:
            if accepted.pretty:
                compact = json_format.dumps_pretty(json_format.loads(compact))
            elif not compact.endswith(b"\n"):
                compact += b"\n"
            return Response(code, [_JSON_TYPE], compact)
        data = yaml_format.dumps(json_format.loads(compact))
        return Response(code, [("Content-Type", accepted.media_type)], data)

    # -- lists ------------------------------------------------------------------------------------

    def _page_steps(
        self, request: Request, target: Target, page: Page, accepted: Accepted
    ) -> Iterator[Sequence[bytes]]:
        """The pieces of a list; between two steps others may have a turn.

        Elements are given as the cache holds them, with what goes between: the edge joins as much
        as it writes at once, so that a large list is never in memory a second time.
        """
        form = self.forms.get(target.resource, target.version)
        items, kind = page.items, accepted.as_kind
        if not kind:
            before, after = form.around_list(page)
            yield (before,)
            size = STORED_PER_STEP if form.as_stored else DECODED_PER_STEP
            for at, part in parts(items, size):
                yield _separated(form.tails(part), b",{", first=b",{" if at else b"{")
            yield (after,)
            return
        if kind == PARTIAL:
            raise a_list(target.resource)
        version, meta = accepted.as_version, list_metadata(page)
        if kind == TABLE:
            before, after = around_table(target.resource, target.version, meta, accepted)
        else:
            head = {"kind": kind, "apiVersion": f"meta.k8s.io/{version}", "metadata": meta}
            before, after = json_format.dumps(head)[:-1] + b',"items":[', b"]}"
            if not items:  # a Go list that was never filled
                before, after = before[:-1] + b"null", b"}"
        yield (before,)
        for at, part in parts(items, DECODED_PER_STEP):
            if kind == TABLE:
                elements = self._rows(request, form, part, accepted)
            else:
                elements = [form.partial(item, version) for item in part]
            yield _separated(elements, b",", first=b"," if at else b"")
        yield (after, b"\n")

    def _message_steps(
        self, target: Target, page: Page, accepted: Accepted
    ) -> Iterator[list[bytes]]:
        """The messages of a list; between two steps others may have a turn."""
        if accepted.as_kind == PARTIAL:
            raise a_list(target.resource)
        form = self.forms.get(target.resource, target.version)
        message = form.partial_message if accepted.as_kind else form.message
        for _, part in parts(page.items, DECODED_PER_STEP):
            yield [message(item) for item in part]

    def _message_page(
        self, target: Target, page: Page, messages: list[bytes], accepted: Accepted
    ) -> Response:
        kind, api_version = target.resource.list_kind, target.version.kind.api_version
        if accepted.as_kind:
            kind, api_version = accepted.as_kind, f"meta.k8s.io/{accepted.as_version}"
        pieces = self.forms.encoder.sealed_list(api_version, kind, list_metadata(page), messages)
        return Response(200, [_PROTOBUF_TYPE], pieces)

    # -- tables -----------------------------------------------------------------------------------

    def _rows(
        self, request: Request, form: Form, items: Sequence[Item], accepted: Accepted
    ) -> list[bytes]:
        include = checked_include(request)
        return [self.row(form, item, accepted, include) for item in items]

    def row(self, form: Form, item: Item, accepted: Accepted, include: str) -> bytes:
        """One row of a Table."""
        shown = form.shown(item)
        cells = table.cells(form.resource, form.version, shown, self._clock.now())
        if include == "None":
            obj = b"null"
        elif include == "Object":
            obj = form.head + form.tail(item)
        else:
            obj = form.partial(item, accepted.as_version)
        conditions = table.conditions(form.resource, shown)
        said = b',"conditions":' + json_format.dumps(conditions) if conditions else b""
        return b'{"cells":%b%b,"object":%b}' % (json_format.dumps(cells), said, obj)

    def _table_of(
        self, request: Request, form: Form, target: Target, obj: Json, accepted: Accepted
    ) -> bytes:
        include = checked_include(request)
        shown = obj if form.resource.custom else form.stored(obj)
        cells = table.cells(target.resource, target.version, shown, self._clock.now())
        row: Json = {"cells": cells}
        conditions = table.conditions(target.resource, shown)
        if conditions:
            row["conditions"] = conditions
        row["object"] = None
        if include == "Object":
            row["object"] = obj
        elif include != "None":
            hidden = target.resource.hidden_annotations
            row["object"] = table.partial_metadata(obj, accepted.as_version, hidden)
        version = obj["metadata"].get("resourceVersion")
        meta = {"resourceVersion": version} if version else {}
        before, after = around_table(target.resource, target.version, meta, accepted)
        return before + json_format.dumps(row) + after


_JSON_TYPE = ("Content-Type", negotiate.JSON)
_PROTOBUF_TYPE = ("Content-Type", negotiate.PROTOBUF)
_CBOR_TYPE = ("Content-Type", negotiate.CBOR)


def _separated(elements: list[bytes], separator: bytes, *, first: bytes) -> list[bytes]:
    """The elements, each behind a separator."""
    out = [separator] * (2 * len(elements))
    out[0] = first
    out[1::2] = elements
    return out


def around_table(
    resource: ResourceType,
    version: Version,
    meta: Json,
    accepted: Accepted,
    *,
    columns: bool = True,
) -> tuple[bytes, bytes]:
    """What comes before and after the rows; later events of a watch have no column definitions."""
    head = table_head(resource, version, meta, accepted, columns=columns)
    return json_format.dumps(head)[:-1] + b',"rows":[', b"]}"
