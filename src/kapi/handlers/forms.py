"""`Form`: how the items of a resource become bytes in one of its versions.

Bytes are shared wherever they can be. A version that differs from the stored one by name only (or
not at all) takes the stored bytes as they are, behind a head of its own. Others are converted once
per item and kept there. So are messages of Protocol Buffers. Every piece of an answer that
concerns objects is made here: objects, list elements, metadata, zero objects for bookmarks.

Where a webhook converts, `ready` or `twins` come first: they ask for all that is needed, and what
follows finds it in the items.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from itertools import count
from typing import Any

import orjson

from kapi.cacher.event import Item
from kapi.codec import json_format
from kapi.codec.protobuf_format import ENVELOPE_END, envelope_start, sealed, sized
from kapi.errors import ApiError
from kapi.handlers.encoder import Encoder
from kapi.handlers.hooked_items import HookedItems
from kapi.registry.conversion import ConversionFailed, Corrupt
from kapi.registry.corrupt import UNREADABLE_MAX, unreadable_list
from kapi.registry.listing import Page
from kapi.registry.resource import ResourceType, Version
from kapi.registry.table import partial_metadata
from kapi.registry.versions import Versions

Json = dict[str, Any]


class Form:
    """One version of one resource."""

    def __init__(
        self,
        versions: Versions,
        encoder: Encoder,
        resource: ResourceType,
        version: Version,
        serial: int,
    ) -> None:
        self._versions = versions
        self.encoder = encoder
        self.resource = resource
        self.version = version
        kind = version.kind
        self._name = orjson.dumps(kind.kind)
        self._api_version = orjson.dumps(kind.api_version)
        if resource.custom:
            self.head = b"{"
        else:
            self.head = b'{"kind":%b,"apiVersion":%b,' % (self._name, self._api_version)
        self.as_stored = version.from_stored is None and (
            not resource.custom or kind == resource.stored
        )
        self._own_metadata = resource.custom and not self.as_stored
        # What is kept under it in items and events is of this form, not of one that it replaced.
        self.key = (kind.group, kind.version, serial)
        self.message_key = (*self.key, "message")
        self._envelope = envelope_start(kind.api_version, kind.kind)
        self._zero: Json | None = None
        self.hooked: HookedItems | None = None  # where a webhook converts
        if resource.conversions is not None:
            self.hooked = HookedItems(self, resource.conversions)

    # -- what a webhook is asked for before -------------------------------------------------------

    async def ready(self, items: Sequence[Item]) -> None:
        """From here to the next await the items can be shown. Raises Corrupt."""
        if self.hooked is None:
            return
        for item, found in (await self.hooked.converted(items)).items():
            if isinstance(found, Corrupt):
                raise found
            item.encoded(self.key, lambda _, found=found: found)  # type: ignore[misc]

    async def twins(self, items: Sequence[Item]) -> Sequence[Item]:
        """Items that can be shown at any time. Raises ApiError 500 StorageReadError."""
        if self.hooked is None:
            return items
        found = await self.hooked.converted(items)
        corrupt = [f for f in found.values() if isinstance(f, Corrupt)]
        if corrupt:
            raise unreadable_list(self.resource.group, self.resource.plural, corrupt)
        out = []
        for item in items:
            twin = item
            if item in found:
                twin, tail = item.twin(), found[item]
                twin.encoded(self.key, lambda _, tail=tail: tail)  # type: ignore[misc]
            out.append(twin)
        return out

    # -- fields that may be selected by -----------------------------------------------------------

    @property
    def selectable(self) -> Collection[str]:
        return self.version.field_selectors

    @property
    def asks(self) -> bool:
        return self.hooked is not None

    def fields(self, item: Item) -> Mapping[str, str]:
        """Those of this version, where they are not those of the stored form."""
        found = item.known_fields(self)
        if found is None:
            obj = self.object(item)
            found = {f: value_of(obj) for f, value_of in self.version.field_selectors.items()}
            item.keep_fields(self, found)
        return found

    # -- objects ----------------------------------------------------------------------------------

    def foreign(self, item: Item) -> bool:
        """Whether the item may have to be converted, or completed, to be shown."""
        return not self.as_stored or item.revision <= self.resource.renewed_after

    def tail(self, item: Item) -> bytes:
        """The object without its head."""
        if not self.foreign(item):
            return item.tail
        return item.encoded(self.key, self._converted)

    def shown(self, item: Item) -> Json:
        """What columns are over: the stored form, of a custom kind this version. Read-only."""
        return self.object(item) if self.resource.custom else item.peek()

    def object(self, item: Item) -> Json:
        """The object in this version. Read-only."""
        if self.hooked is not None and self.foreign(item):
            tail = item.known(self.key)
            assert tail is not None, "the webhook was not asked"
            shown: Json = orjson.loads(self.head + tail)
            return shown
        try:
            obj = self._versions.renewed(self.resource, item.peek(), item.revision)
            found = self._versions.from_stored(self.resource, self.version, obj)
        except ConversionFailed as e:
            raise Corrupt(item.key, item.revision, e) from None
        assert found is not None, "an item holds an object"
        return found

    def unreadable(self, items: Sequence[Item]) -> ApiError:
        """Why these cannot be shown, though one by one some of them could."""
        found: list[Corrupt] = []
        for item in items:
            try:
                self.object(item)
            except Corrupt as e:
                found.append(e)
            if len(found) > UNREADABLE_MAX:
                break
        return unreadable_list(self.resource.group, self.resource.plural, found)

    def _converted(self, item: Item) -> bytes:
        tail = self.encode(self.object(item))[len(self.head) :]
        return item.tail if tail == item.tail else tail  # held once

    def encode(self, obj: Json) -> bytes:
        """An object of this version; custom ones with their keys sorted."""
        return json_format.dumps_sorted(obj) if self.resource.custom else json_format.dumps(obj)

    def stored(self, obj: Json) -> Json:
        """An object of this version in the stored form. It may be the argument itself."""
        return self._versions.to_stored(self.resource, self.version, obj)

    def tails(self, items: Sequence[Item]) -> list[bytes]:
        if self.as_stored and not self.resource.renewed_after:
            return [item.tail for item in items]
        return [self.tail(item) for item in items]

    def partial(self, item: Item, version: str) -> bytes:
        """The object as PartialObjectMetadata of meta.k8s.io/`version`."""
        return item.encoded(
            self.partial_key(version),
            lambda i: json_format.dumps(self.partial_object(i, version)),
        )

    def partial_object(self, item: Item, version: str) -> Json:
        return partial_metadata(self._described(item), version, self.resource.hidden_annotations)

    def partial_key(self, version: str) -> Hashable:
        """Metadata are the same in all versions, unless a webhook converts."""
        return (*self.key, "partial", version) if self._own_metadata else ("partial", version)

    def _described(self, item: Item) -> Json:
        """What metadata are taken from. Read-only."""
        return self.object(item) if self._own_metadata else item.peek()

    # -- messages of Protocol Buffers -------------------------------------------------------------

    def message(self, item: Item) -> bytes:
        """The object as it stands in a list."""
        return item.encoded(self.message_key, self._message)

    def _message(self, item: Item) -> bytes:
        return self.encoder.message(self.version.schema(), self.object(item))

    def sealed(self, item: Item) -> bytes:
        """The object in its envelope."""
        return b"".join((self._envelope, sized(self.message(item)), ENVELOPE_END))

    def partial_message(self, item: Item) -> bytes:
        """The object as PartialObjectMetadata, as it stands in a list."""
        return item.encoded(
            (self.partial_key("v1"), "message"),
            lambda i: self.encoder.partial(self.partial_object(i, "v1")),
        )

    def sealed_partial(self, item: Item, version: str) -> bytes:
        """The object as PartialObjectMetadata of meta.k8s.io/`version`, in its envelope."""
        message = self.partial_message(item)
        return sealed(f"meta.k8s.io/{version}", "PartialObjectMetadata", message)

    # -- what is no item --------------------------------------------------------------------------

    def zero(self) -> Json:
        """The object that has nothing: what a bookmark carries. The caller's own."""
        if self._zero is None:
            kind = self.version.kind
            self._zero = {"kind": kind.kind, "apiVersion": kind.api_version, "metadata": {}}
            if not self.resource.custom:
                empty, _ = self._versions.decoders.decode(self.version.schema(), {})
                self._zero = {**self._zero, **empty, **self._zero}
        return {**self._zero, "metadata": {}}

    # -- lists ------------------------------------------------------------------------------------

    def around_list(self, page: Page) -> tuple[bytes, bytes]:
        """What comes before and after the elements of a list."""
        list_kind = orjson.dumps(self.resource.list_kind)
        if self.resource.custom:
            before = b'{"apiVersion":%b,"items":[' % self._api_version
            metadata = orjson.dumps(list_metadata(page, custom=True))
            return before, b'],"kind":%b,"metadata":%b}\n' % (list_kind, metadata)
        metadata = orjson.dumps(list_metadata(page))
        before = b'{"kind":%b,"apiVersion":%b,"metadata":%b,"items":['
        return before % (list_kind, self._api_version, metadata), b"]}\n"


def list_metadata(page: Page, *, custom: bool = False) -> Json:
    """metav1.ListMeta, in the order of its struct; lists of custom objects are sorted."""
    meta: Json = {"resourceVersion": str(page.revision)}
    if page.continue_token or custom:
        meta["continue"] = page.continue_token
    if page.remaining is not None:
        meta["remainingItemCount"] = page.remaining
    return dict(sorted(meta.items())) if custom else meta


class Forms:
    """The forms in use, by resource and version. One per server."""

    def __init__(self, versions: Versions, encoder: Encoder) -> None:
        self._versions = versions
        self.encoder = encoder
        self._forms: dict[tuple[str, str, str], Form] = {}
        self._serial = count()

    def get(self, resource: ResourceType, version: Version) -> Form:
        key = (resource.group, resource.plural, version.name)
        form = self._forms.get(key)
        if form is None or form.version is not version:
            form = Form(self._versions, self.encoder, resource, version, next(self._serial))
            self._forms[key] = form
        return form
