"""GET with `watch=1`, and the old paths under `/watch/`: a stream of events until it times out.

The stream ends by itself at the timeout, when the resource is removed, when the server stops, and
after an ERROR event; when the client goes, the edge closes it. Every failure that is known after
the options were found good is an ERROR event, not a status code.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Hashable, Sequence
from typing import Any

from kapi.cacher.event import Event, Item
from kapi.cacher.watcher import BOOKMARK, ERROR, Bookmark, Delivery, Watcher
from kapi.clock import Clock, Entropy
from kapi.codec import json_format, negotiate
from kapi.codec.framing import json_frame
from kapi.codec.negotiate import Accepted
from kapi.errors import ApiError
from kapi.handlers.forms import Form
from kapi.handlers.respond import (
    PARTIAL,
    PARTIAL_LIST,
    TABLE,
    Responder,
    around_table,
    checked_include,
)
from kapi.handlers.target import Target
from kapi.messages import Request, Response
from kapi.metrics import Cell, Metrics
from kapi.registry import list_options, table
from kapi.registry.list_options import ListOptions
from kapi.registry.read import Reader

Json = dict[str, Any]

# A watch that does not say how long lasts this long up to twice as long, so that clients do not
# come back all at once.
TIMEOUT_MIN_S = 1800.0
INITIAL_END = "k8s.io/initial-events-end"


class WatchHandler:
    def __init__(
        self,
        reader: Reader,
        respond: Responder,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        *,
        min_timeout: float = TIMEOUT_MIN_S,
    ) -> None:
        self._metrics = metrics
        self._min_timeout = min_timeout
        self._reader = reader
        self._respond = respond
        self._clock = clock
        self._entropy = entropy

    async def __call__(self, request: Request, target: Target) -> Response:
        self._respond.negotiate(request, transforms=True, target=target)
        parts = request.info.parts
        path_name = parts[1] if len(parts) > 1 else ""
        options = list_options.parse(request.query, target.resource, path_name)
        if "watch" not in target.version.verbs:
            raise unwatchable(target)
        watcher = await self._reader.watch(
            target.resource, target.namespace, options, self._timeout(options)
        )
        request.exit.append(watcher.end)
        accepted = self._negotiate_stream(request, target)
        form = self._respond.forms.get(target.resource, target.version)
        frames = self._frames(request, form, accepted)
        group, version = target.resource.group, target.version.name
        sent = self._metrics.watch_events.cell(group, version, target.resource.plural)
        if request.websocket is not None:
            return Response(101, [], Messages(watcher, frames, sent))
        stream = Stream(watcher, frames, sent)
        return Response(200, [("Content-Type", accepted.media_type)], stream)

    def _timeout(self, options: ListOptions) -> float:
        seconds = options.timeout_seconds
        if not seconds or seconds < 0:
            return self._entropy.jitter(self._min_timeout, 2 * self._min_timeout)
        return float(seconds)

    def _negotiate_stream(self, request: Request, target: Target) -> Accepted:
        headers = request.headers
        return negotiate.negotiate(
            headers.get("accept"),
            request.query,
            headers.get("user-agent"),
            transforms=True,
            watch=True,
            route=() if target.resource.custom else negotiate.ROUTE_OF_LISTS,
        )

    def _frames(self, request: Request, form: Form, accepted: Accepted) -> Frames:
        if accepted.as_kind == TABLE:
            include = checked_include(request)
            return TableFrames(form, accepted, include, self._respond, self._clock)
        if accepted.as_kind == PARTIAL:
            return PartialFrames(form, accepted)
        if accepted.as_kind == PARTIAL_LIST:
            return NoFrames(form)
        return Frames(form)


def unwatchable(target: Target) -> ApiError:
    resource = target.resource
    details = {"group": resource.group} if resource.group else {}
    return ApiError(
        405,
        "MethodNotAllowed",
        f'watch is not supported on resources of kind "{resource.qualified}"',
        details={**details, "kind": resource.plural},
    )


# -- streams --------------------------------------------------------------------------------------


class Stream:
    """What is ready goes out together."""

    __slots__ = ("_frames", "_sent", "_watcher")

    def __init__(self, watcher: Watcher, frames: Frames, sent: Cell) -> None:
        self._watcher = watcher
        self._frames = frames
        self._sent = sent

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        batch = await self._watcher.batch()
        if not batch:
            raise StopAsyncIteration
        frames = self._frames.encode_all(batch)
        if not frames:
            raise StopAsyncIteration
        self._sent.value += len(frames)
        return frames[0] if len(frames) == 1 else b"".join(frames)

    async def aclose(self) -> None:
        self._watcher.end()


class Messages:
    """One event at a time: WebSocket messages."""

    __slots__ = ("_frames", "_ready", "_sent", "_watcher")

    def __init__(self, watcher: Watcher, frames: Frames, sent: Cell) -> None:
        self._watcher = watcher
        self._frames = frames
        self._sent = sent
        self._ready: deque[bytes] = deque()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        if not self._ready:
            self._ready.extend(self._frames.encode_all(await self._watcher.batch()))
        if not self._ready:
            raise StopAsyncIteration
        self._sent.value += 1
        return self._ready.popleft()

    async def aclose(self) -> None:
        self._watcher.end()


# -- frames ---------------------------------------------------------------------------------------


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

    def _other(self, type_: str, subject: Event | Item | Bookmark | ApiError) -> bytes:
        if isinstance(subject, Item):
            return self.object_frame(type_, subject)
        if isinstance(subject, Bookmark):
            return self.bookmark_frame(subject)
        if isinstance(subject, ApiError):
            return json_frame(ERROR, json_format.dumps(subject.status()))
        return subject.frame(type_, self._key, self.object_frame)

    def object_frame(self, type_: str, item: Item) -> bytes:
        return json_frame(type_, self.form.head, self.form.tail(item))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        return json_frame(BOOKMARK, self.form.encode(self.bookmark_object(bookmark)))

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
        self._key = ("partial", accepted.as_version)

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
        return [
            self.object_frame(type_, subject.subject(type_))
            if isinstance(subject, Event)
            else self._other(type_, subject)
            for type_, subject in batch
        ]

    def object_frame(self, type_: str, item: Item) -> bytes:
        row = self._respond.row(self.form, item, self._accepted, self._include)
        return self._frame(type_, str(item.revision), row)

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = self.bookmark_object(bookmark)
        row: Json = {"cells": table.cells(self.form.resource, obj, self._clock.now())}
        row["object"] = None
        if self._include == "Object":
            row["object"] = obj
        elif self._include != "None":
            row["object"] = table.partial_metadata(obj, self._accepted.as_version)
        return self._frame(BOOKMARK, str(bookmark.revision), json_format.dumps(row))

    def _frame(self, type_: str, revision: str, row: bytes) -> bytes:
        first, self._first = self._first, False
        before, after = around_table(
            self.form.resource, {"resourceVersion": revision}, self._accepted, columns=first
        )
        return json_frame(type_, before, row, after)


class NoFrames(Frames):
    """An object is no list: where one is asked for, the stream ends at the first event."""

    def encode_all(self, batch: Sequence[Delivery]) -> list[bytes]:
        return []
