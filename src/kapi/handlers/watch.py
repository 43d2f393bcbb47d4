"""GET with `watch=1`, and the old paths under `/watch/`: a stream of events until it times out.

The stream ends by itself at the timeout, when the resource is removed, when the server stops, and
after an ERROR event; when the client goes, the edge closes it. Every failure that is known after
the options were found good is an ERROR event, not a status code.
https://kubernetes.io/docs/reference/using-api/api-concepts/#efficient-detection-of-changes
"""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Sequence
from typing import Any

from kapi.cacher.event import Event, Item
from kapi.cacher.watcher import Delivery, Selection, Watcher
from kapi.clock import Clock, Entropy
from kapi.codec import negotiate
from kapi.codec.negotiate import Accepted
from kapi.errors import ApiError
from kapi.handlers.forms import Form
from kapi.handlers.frames import (
    Frames,
    NoFrames,
    PartialFrames,
    PartialProtobufFrames,
    ProtobufFrames,
    TableFrames,
    subjects,
)
from kapi.handlers.respond import Responder
from kapi.handlers.shapes import PARTIAL, PARTIAL_LIST, TABLE, checked_include
from kapi.handlers.target import Target
from kapi.messages import Request, Response
from kapi.metrics import Cell, Metrics
from kapi.registry import list_options
from kapi.registry.conversion import Corrupt
from kapi.registry.list_options import ListOptions
from kapi.registry.read import Reader

Json = dict[str, Any]

# A watch that does not say how long lasts this long up to twice as long, so that clients do not
# come back all at once.
TIMEOUT_MIN_S = 1800.0


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
        form = self._respond.forms.get(target.resource, target.version)
        options = list_options.parse(
            request.query, target.resource, path_name, selectable=form.selectable
        )
        if "watch" not in target.version.verbs:
            raise unwatchable(target)
        watcher = await self._reader.watch(
            target.resource, target.namespace, options, self._timeout(options), form
        )
        request.exit.append(watcher.end)
        begun, request.begun = request.begun, None
        if begun is not None:
            watcher.when_begun(begun)
        accepted = self._negotiate_stream(request, target)
        frames = self._frames(request, form, accepted)
        group, version = target.resource.group, target.version.name
        sent = self._metrics.watch_events.cell(group, version, target.resource.plural)
        content_type = accepted.media_type
        if content_type == negotiate.PROTOBUF:
            content_type += ";stream=watch"
        elif content_type == negotiate.CBOR:
            content_type = negotiate.CBOR_SEQUENCE
        if request.websocket is not None:
            binary = accepted.media_type in (negotiate.PROTOBUF, negotiate.CBOR)
            return Response(101, [], Messages(watcher, frames, sent), binary=binary)
        headers = [("Content-Type", content_type)]
        return Response(200, headers, Stream(watcher, frames, sent))

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
            custom=target.resource.custom,
            route=() if target.resource.custom else self._respond.offer.route_of_lists,
            offer=self._respond.offer,
        )

    def _frames(self, request: Request, form: Form, accepted: Accepted) -> Frames:
        if accepted.as_kind == PARTIAL_LIST:
            return NoFrames(form)
        if accepted.media_type == negotiate.CBOR:
            return self._cbor_frames(request, form, accepted)
        if accepted.media_type == negotiate.PROTOBUF:
            messages = request.websocket is not None
            if accepted.as_kind == PARTIAL:
                return PartialProtobufFrames(form, accepted, messages=messages)
            return ProtobufFrames(form, messages=messages)
        if accepted.as_kind == TABLE:
            include = checked_include(request)
            return TableFrames(form, accepted, include, self._respond, self._clock)
        if accepted.as_kind == PARTIAL:
            return PartialFrames(form, accepted)
        return Frames(form)

    def _cbor_frames(self, request: Request, form: Form, accepted: Accepted) -> Frames:
        from kapi.handlers.cbor_frames import CborFrames, PartialCborFrames, TableCborFrames

        answers = self._respond.cbor
        if accepted.as_kind == TABLE:
            return TableCborFrames(form, answers, accepted, checked_include(request))
        if accepted.as_kind == PARTIAL:
            return PartialCborFrames(form, answers, accepted)
        return CborFrames(form, answers)


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


async def next_frames(watcher: Watcher, frames: Frames) -> list[bytes]:
    """At least one; nothing: the stream is over."""
    while batch := await watcher.batch():
        found = await encoded(watcher, frames, batch)
        if found or watcher.inside is None or isinstance(frames, NoFrames):
            return found
    return []


async def encoded(watcher: Watcher, frames: Frames, batch: Sequence[Delivery]) -> list[bytes]:
    """An object that cannot be shown ends the stream."""
    try:
        if frames.form.asks:
            if watcher.inside is not None:
                batch = await sifted(watcher.inside, frames.form, batch)
            await frames.form.ready(subjects(batch))
        return frames.encode_all(batch)
    except Corrupt as e:
        watcher.end()
        return [frames.error_frame(e)]


async def sifted(selection: Selection, form: Form, batch: Sequence[Delivery]) -> Sequence[Delivery]:
    """What of a batch a selection leaves, once objects were converted. Raises Corrupt."""
    looked_into: list[Item] = []
    for _, subject in batch:
        if isinstance(subject, Event):
            looked_into += selection.looked_into(subject)
        elif isinstance(subject, Item):
            looked_into.append(subject)
    known = {item: item.known_fields(form) for item in looked_into}
    await form.ready([item for item, fields in known.items() if fields is None])
    for item, fields in known.items():
        if fields is not None:  # those of another form may stand there now
            item.keep_fields(form, fields)
    found: list[Delivery] = []
    for type_, subject in batch:
        if isinstance(subject, Event):
            now = selection.change(subject)
        else:
            matches = not isinstance(subject, Item) or selection.matches(subject)
            now = type_ if matches else ""
        if now:
            found.append((now, subject))
    return found


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
        frames = await next_frames(self._watcher, self._frames)
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
            self._ready.extend(await next_frames(self._watcher, self._frames))
        if not self._ready:
            raise StopAsyncIteration
        self._sent.value += 1
        return self._ready.popleft()

    async def aclose(self) -> None:
        self._watcher.end()
