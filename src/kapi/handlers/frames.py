"""Events of a watch as the bytes that go out: JSON or Protocol Buffers, whole objects, their
metadata or a row of a table.

Used by `watch.py`. A frame that depends on the object alone is made once and shared by all watches
of the same form: `Event.frame` keeps it under the form's key.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from kapi.cacher.event import Event, Item
from kapi.cacher.watcher import BOOKMARK, ERROR, Bookmark, Delivery
from kapi.clock import Clock
from kapi.codec import json_format
from kapi.codec.framing import json_frame, protobuf_event, protobuf_frame
from kapi.codec.negotiate import Accepted
from kapi.errors import ApiError
from kapi.handlers.forms import Form
from kapi.handlers.respond import Responder, around_table
from kapi.registry import table

Json = dict[str, Any]
INITIAL_END = "k8s.io/initial-events-end"


def subjects(batch: Sequence[Delivery]) -> list[Item]:
    """The objects that a batch shows."""
    found: list[Item] = []
    for type_, subject in batch:
        if isinstance(subject, Event):
            found.append(subject.subject(type_))
        elif isinstance(subject, Item):
            found.append(subject)
    return found


class Frames:
    """Events as JSON, objects as they are. Frames are shared by all watches of the same form."""

    def __init__(self, form: Form) -> None:
        self.form = form
        self._key: Hashable = form.key

    def encode_all(self, batch: Sequence[Delivery]) -> list[bytes]:
        return [
            subject.frame(type_, self._key, self.object_frame)
            if type(subject) is Event
            else self._other(type_, subject)
            for type_, subject in batch
        ]

    def encode_unshared(self, batch: Sequence[Delivery]) -> list[bytes]:
        """For frames that depend on more than the object."""
        return [
            self.object_frame(type_, subject.subject(type_))
            if isinstance(subject, Event)
            else self._other(type_, subject)
            for type_, subject in batch
        ]

    def _other(self, type_: str, subject: Event | Item | Bookmark | ApiError) -> bytes:
        if isinstance(subject, Item):
            return self.object_frame(type_, subject)
        if isinstance(subject, Bookmark):
            return self.bookmark_frame(subject)
        if isinstance(subject, ApiError):
            return self.error_frame(subject)
        return subject.frame(type_, self._key, self.object_frame)

    def object_frame(self, type_: str, item: Item) -> bytes:
        return json_frame(type_, self.form.head, self.form.tail(item))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        return json_frame(BOOKMARK, self.form.encode(self.bookmark_object(bookmark)))

    def error_frame(self, error: ApiError) -> bytes:
        return json_frame(ERROR, json_format.dumps(error.status()))

    def bookmark_object(self, bookmark: Bookmark) -> Json:
        obj = self.form.zero()
        obj["metadata"] = {"resourceVersion": str(bookmark.revision)}
        if bookmark.initial_end:
            obj["metadata"]["annotations"] = {INITIAL_END: "true"}
        return obj


class PartialFrames(Frames):
    """Objects as PartialObjectMetadata."""

    def __init__(self, form: Form, accepted: Accepted) -> None:
        super().__init__(form)
        self._version = accepted.as_version
        self._key = form.partial_key(accepted.as_version)

    def object_frame(self, type_: str, item: Item) -> bytes:
        return json_frame(type_, self.form.partial(item, self._version))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = table.partial_metadata(self.bookmark_object(bookmark), self._version)
        return json_frame(BOOKMARK, json_format.dumps(obj))


class TableFrames(Frames):
    """A Table of one row each; only the first says what the columns are.

    Not shared: cells show ages, which depend on when they are made.
    """

    def __init__(
        self, form: Form, accepted: Accepted, include: str, respond: Responder, clock: Clock
    ) -> None:
        super().__init__(form)
        self._accepted = accepted
        self._include = include
        self._respond = respond
        self._clock = clock
        self._first = True

    def encode_all(self, batch: Sequence[Delivery]) -> list[bytes]:
        return self.encode_unshared(batch)

    def object_frame(self, type_: str, item: Item) -> bytes:
        row = self._respond.row(self.form, item, self._accepted, self._include)
        return self._frame(type_, str(item.revision), row)

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = self.bookmark_object(bookmark)
        form = self.form
        cells = table.cells(form.resource, form.version, obj, self._clock.now())
        row: Json = {"cells": cells}
        row["object"] = None
        if self._include == "Object":
            row["object"] = obj
        elif self._include != "None":
            row["object"] = table.partial_metadata(obj, self._accepted.as_version)
        return self._frame(BOOKMARK, str(bookmark.revision), json_format.dumps(row))

    def _frame(self, type_: str, revision: str, row: bytes) -> bytes:
        first, self._first = self._first, False
        meta = {"resourceVersion": revision}
        resource, version = self.form.resource, self.form.version
        before, after = around_table(resource, version, meta, self._accepted, columns=first)
        return json_frame(type_, before, row, after)


class NoFrames(Frames):
    """An object is no list: where one is asked for, the stream ends at the first event."""

    def encode_all(self, batch: Sequence[Delivery]) -> list[bytes]:
        return []


class ProtobufFrames(Frames):
    """The same as messages. `messages`: for a WebSocket, which needs no lengths."""

    def __init__(self, form: Form, *, messages: bool) -> None:
        super().__init__(form)
        self._key = (*form.key, "event" if messages else "frame")
        self._wrap = protobuf_event if messages else protobuf_frame

    def object_frame(self, type_: str, item: Item) -> bytes:
        return self._wrap(type_, self.form.sealed(item))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        return self._wrap(BOOKMARK, self.form.encoder.sealed(self.bookmark_object(bookmark)))

    def error_frame(self, error: ApiError) -> bytes:
        return self._wrap(ERROR, self.form.encoder.sealed(error.status()))


class PartialProtobufFrames(ProtobufFrames):
    """Objects as PartialObjectMetadata."""

    def __init__(self, form: Form, accepted: Accepted, *, messages: bool) -> None:
        super().__init__(form, messages=messages)
        self._version = accepted.as_version
        self._key = (form.partial_key(accepted.as_version), "event" if messages else "frame")

    def object_frame(self, type_: str, item: Item) -> bytes:
        return self._wrap(type_, self.form.sealed_partial(item, self._version))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = table.partial_metadata(self.bookmark_object(bookmark), self._version)
        return self._wrap(BOOKMARK, self.form.encoder.sealed(obj))
