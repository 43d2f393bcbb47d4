"""Answers about objects in CBOR: what `respond.py` does for JSON, for this one form.

Made by `Responder` where the gate CBORServingAndStorage is on. Objects are encoded once for each
version and kept with the item, and every answer is put together from those bytes. The real server
writes the fields of an answer in any order, another one each time; here it is the order of JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kapi.cacher.event import Item
from kapi.clock import Clock
from kapi.codec.cbor_format import NULL, Raw, dumps, dumps_sorted, extended, opened, tagged
from kapi.codec.negotiate import CBOR, Accepted
from kapi.handlers.forms import Form, Forms, list_metadata
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

Json = dict[str, Any]

TYPE = ("Content-Type", CBOR)
_HEAD = ("kind", "apiVersion")


class CborAnswers:
    """One per server."""

    def __init__(self, forms: Forms, clock: Clock) -> None:
        self._forms = forms
        self._clock = clock

    # -- objects, without the tag that goes before a whole answer ---------------------------------

    def element(self, form: Form, item: Item) -> bytes:
        """An object as it stands in a list."""
        return item.encoded((*form.key, CBOR), lambda i: self._encoded(form, form.object(i)))

    def whole(self, form: Form, item: Item) -> bytes:
        """An object by itself."""
        return self._with_head(form, self.element(form, item))

    def partial(self, form: Form, item: Item, version: str) -> bytes:
        """The object as PartialObjectMetadata of meta.k8s.io/`version`."""
        key = (form.partial_key(version), CBOR)
        return item.encoded(key, lambda i: dumps(form.partial_object(i, version)))

    def any_object(self, form: Form, obj: Json) -> bytes:
        """An object that is no item."""
        if form.resource.custom:
            return dumps(obj)
        return form.encoder.cbor(form.version.schema(), obj)

    def _encoded(self, form: Form, obj: Json) -> bytes:
        own = obj if form.resource.custom else {k: x for k, x in obj.items() if k not in _HEAD}
        return self.any_object(form, own)

    def _with_head(self, form: Form, data: bytes) -> bytes:
        if form.resource.custom:
            return data
        kind = form.version.kind
        return extended(data, {"kind": kind.kind, "apiVersion": kind.api_version})

    # -- answers ----------------------------------------------------------------------------------

    def status(self, status: Json, code: int) -> Response:
        return Response(code, [TYPE], tagged(dumps_sorted(status)))

    def item(self, request: Request, target: Target, item: Item, accepted: Accepted) -> Response:
        form = self._forms.get(target.resource, target.version)
        if not accepted.as_kind:
            return Response(200, [TYPE], tagged(self.whole(form, item)))
        if accepted.as_kind == PARTIAL:
            return Response(200, [TYPE], tagged(self.partial(form, item, accepted.as_version)))
        if accepted.as_kind != TABLE:
            raise not_a_list(target.resource)
        row = self.row(form, item, accepted, checked_include(request))
        meta = {"resourceVersion": str(item.revision)}
        return Response(200, [TYPE], tagged(self.table(form, meta, accepted, 1), row))

    def object(
        self, request: Request, target: Target, obj: Json, accepted: Accepted, status: int
    ) -> Response:
        form = self._forms.get(target.resource, target.version)
        if not accepted.as_kind:
            return Response(status, [TYPE], tagged(self.any_object(form, obj)))
        if accepted.as_kind == PARTIAL:
            hidden = form.resource.hidden_annotations
            partial = table.partial_metadata(obj, accepted.as_version, hidden)
            return Response(status, [TYPE], tagged(dumps(partial)))
        if accepted.as_kind != TABLE:
            raise not_a_list(target.resource)
        shown = obj if form.resource.custom else form.stored(obj)
        row = self.row_of(form, obj, shown, accepted, checked_include(request))
        version = obj["metadata"].get("resourceVersion")
        meta = {"resourceVersion": version} if version else {}
        return Response(status, [TYPE], tagged(self.table(form, meta, accepted, 1), row))

    def steps(
        self, request: Request, target: Target, page: Page, accepted: Accepted
    ) -> Iterator[Sequence[bytes]]:
        """The pieces of a list; between two steps others may have a turn."""
        form = self._forms.get(target.resource, target.version)
        items, kind, version = page.items, accepted.as_kind, accepted.as_version
        if kind == PARTIAL:
            raise a_list(target.resource)
        if kind == TABLE:
            yield (tagged(self.table(form, list_metadata(page), accepted, len(items))),)
            include = checked_include(request)
            for _, part in parts(items, DECODED_PER_STEP):
                yield [self.row(form, item, accepted, include) for item in part]
            return
        start: Json = {"kind": kind, "apiVersion": f"meta.k8s.io/{version}"}
        if not kind:
            start = {"kind": form.resource.list_kind, "apiVersion": form.version.kind.api_version}
        start["metadata"] = list_metadata(page, custom=form.resource.custom and not kind)
        if kind and not items:  # a Go list that was never filled
            yield (tagged(dumps({**start, "items": None})),)
            return
        yield (tagged(opened(start, "items", len(items))),)
        for _, part in parts(items, DECODED_PER_STEP):
            if kind:
                yield [self.partial(form, item, version) for item in part]
            else:
                yield [self.element(form, item) for item in part]

    # -- tables -----------------------------------------------------------------------------------

    def table(
        self, form: Form, meta: Json, accepted: Accepted, count: int, *, columns: bool = True
    ) -> bytes:
        """A Table up to its rows."""
        start = table_head(form.resource, form.version, meta, accepted, columns=columns)
        return opened(start, "rows", count)

    def row(self, form: Form, item: Item, accepted: Accepted, include: str) -> bytes:
        if include == "None":
            obj = NULL
        elif include == "Object":
            obj = self.whole(form, item)
        else:
            obj = self.partial(form, item, accepted.as_version)
        return self._row(form, form.shown(item), obj)

    def row_of(self, form: Form, obj: Json, shown: Json, accepted: Accepted, include: str) -> bytes:
        """The row of an object that is no item; `shown`: what its columns are over."""
        if include == "Object":
            data = self.any_object(form, obj)
        elif include == "None":
            data = NULL
        else:
            hidden = form.resource.hidden_annotations
            data = dumps(table.partial_metadata(obj, accepted.as_version, hidden))
        return self._row(form, shown, data)

    def _row(self, form: Form, shown: Json, obj: bytes) -> bytes:
        cells = table.cells(form.resource, form.version, shown, self._clock.now())
        row: Json = {"cells": cells}
        conditions = table.conditions(form.resource, shown)
        if conditions:
            row["conditions"] = conditions
        row["object"] = Raw(obj)
        return dumps(row)
