"""How objects of a custom kind get from one of its versions to another by the webhook that its
definition names.

`Converter` asks: one per server. `HookConversions` is what the ResourceType of one definition has
(`kapi.registry.conversion`): reads convert many objects at once, writes in steps. In the middle of
a step nobody can wait, so a conversion that was not asked for yet raises `Unconverted`; the session
asks, remembers the answer and does the step again. An answer is remembered for what the webhook may
look at: the object without the metadata that it cannot change.
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definition-versioning/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import orjson

from kapi.apiextensions.conversion_review import (
    Mistake,
    converted_objects,
    restored,
    review_text,
    review_version,
)
from kapi.clock import Clock, Entropy
from kapi.metrics import Metrics
from kapi.outgoing.hooks import HookError
from kapi.registry.conversion import ConversionFailed, Unconverted

Json = dict[str, Any]
T = TypeVar("T")
TIMEOUT_S = 30  # that the real server gives a webhook; part of the address that it shows
# What goes into one call: a webhook must read it within its time.
OBJECTS_MAX = 100
BYTES_MAX = 1024 * 1024
STEPS_MAX = 100  # conversions that one step of a write may wait for: owners in many versions
_CALL_FAILED = "conversion_webhook_call_failure"
_KEPT = frozenset(("name", "namespace", "labels", "annotations"))


class Poster(Protocol):
    """Reaches webhooks."""

    async def post(self, client: Json, body: bytes, timeout_s: int) -> bytes:
        """The body of a good answer to JSON sent to a clientConfig. Raises HookError."""


@dataclass(frozen=True, slots=True)
class Hook:
    """The webhook of one definition."""

    definition: str
    client: Json  # its clientConfig
    review_versions: tuple[str, ...]


class Converter:
    """One per server."""

    def __init__(self, poster: Poster, metrics: Metrics, clock: Clock, entropy: Entropy) -> None:
        self._poster = poster
        self._metrics = metrics
        self._clock = clock
        self._entropy = entropy

    async def convert(self, hook: Hook, objects: Sequence[Json], api_version: str) -> list[Json]:
        """Objects of one version in another. Raises ConversionFailed: of none or of all."""
        began = self._clock.monotonic()
        kind = f"{objects[0].get('apiVersion', '')}, Kind={objects[0].get('kind', '')}"
        failure = _CALL_FAILED
        try:
            found = await self._asked(hook, objects, api_version)
            failure = ""
        except HookError as e:
            words = f"conversion webhook for {kind} failed: {e}"
            raise ConversionFailed(words, unreached=True) from None
        except Mistake as e:
            failure = e.failure
            raise ConversionFailed(f"conversion webhook for {kind} {e}") from None
        finally:
            self._count(hook, objects[0], api_version, began, failure)
        return found

    async def _asked(self, hook: Hook, objects: Sequence[Json], api_version: str) -> list[Json]:
        version = review_version(hook.review_versions)
        uid = self._entropy.uid()
        body = review_text(version, uid, api_version, objects)
        data = await self._poster.post(hook.client, body, TIMEOUT_S)
        found = converted_objects(data, version, uid, len(objects))
        pairs = zip(objects, found, strict=True)
        return [restored(before, after, api_version) for before, after in pairs]

    def _count(self, hook: Hook, obj: Json, api_version: str, began: float, failure: str) -> None:
        took = self._clock.monotonic() - began
        result = "failure" if failure else "success"
        calls = self._metrics.metric("apiserver_conversion_webhook_request_total")
        calls.cell(result, failure).value += 1
        times = self._metrics.histogram("apiserver_conversion_webhook_duration_seconds")
        times.cell(result, failure).observe(took)
        by_kind = self._metrics.histogram("apiserver_crd_conversion_webhook_duration_seconds")
        versions = (_version(obj.get("apiVersion", "")), _version(api_version))
        by_kind.cell(hook.definition, *versions, "false" if failure else "true").observe(took)


def _version(api_version: str) -> str:
    return api_version.rpartition("/")[2]


class Shapes(Protocol):
    """What else happens to objects of the definition."""

    def as_read(self, obj: Json) -> Json:
        """A stored object as its own version completes it, the caller's own."""

    def shaped(self, obj: Json, version: str) -> Json:
        """A converted object without what its version does not know."""

    def api_version(self, version: str) -> str: ...


class HookConversions:
    """One per definition with a conversion webhook."""

    def __init__(self, converter: Converter, hook: Hook, shapes: Shapes) -> None:
        self._converter = converter
        self._hook = hook
        self._shapes = shapes
        # (what was asked, apiVersion) → the answer and how many sessions hold it.
        self._answers: dict[tuple[bytes, str], _Answer] = {}

    # -- in the middle of a step ------------------------------------------------------------------

    def convert(self, obj: Json, api_version: str) -> Json:
        """The object as the webhook converts it, a new one. Raises Unconverted,
        ConversionFailed.
        """
        text = _asked_of(obj)
        answer = self._answers.get((text, api_version))
        if answer is None:
            raise Unconverted(obj, text, api_version)
        if isinstance(answer.found, ConversionFailed):
            raise ConversionFailed(answer.found.message)
        out: Json = orjson.loads(answer.found)
        out["metadata"] = _merged(obj.get("metadata") or {}, out.get("metadata") or {})
        return out

    def converted(self, obj: Json, version: str) -> Json:
        """An object in another served version. Raises as `convert`."""
        api_version = self._shapes.api_version(version)
        if obj.get("apiVersion") == api_version:
            return obj
        return self._shapes.shaped(self.convert(obj, api_version), version)

    @contextmanager
    def session(self) -> Iterator[_Session]:
        session = _Session(self)
        try:
            yield session
        finally:
            for key in session.held:
                answer = self._answers[key]
                answer.holders -= 1
                if not answer.holders:
                    del self._answers[key]

    async def resolve(self, wanted: Unconverted, held: set[tuple[bytes, str]]) -> None:
        """Ask for what a step lacked; the session that holds the answer lets go of it."""
        key = (wanted.text, wanted.api_version)
        found: bytes | ConversionFailed
        try:
            (obj,) = await self._converter.convert(self._hook, [wanted.object], wanted.api_version)
            found = orjson.dumps(obj)
        except ConversionFailed as e:
            found = e
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = _Answer(found)
        if key not in held:
            held.add(key)
            answer.holders += 1

    # -- many at once -----------------------------------------------------------------------------

    async def many(
        self, objects: Sequence[Json], version: str
    ) -> Sequence[Json | ConversionFailed]:
        """Stored objects, of whatever version, in one of the served versions: each, or why not."""
        api_version = self._shapes.api_version(version)
        own = [self._shapes.as_read(obj) for obj in objects]
        out: list[Json | ConversionFailed] = [*own]
        foreign = [at for at, obj in enumerate(own) if obj.get("apiVersion") != api_version]
        unreached: ConversionFailed | None = None
        for part in _parts(own, foreign):
            if unreached is not None:
                found: Sequence[Json | ConversionFailed] = [unreached] * len(part)
            else:
                found = await self._part([own[at] for at in part], api_version)
            for at, obj in zip(part, found, strict=True):
                out[at] = obj
                if isinstance(obj, ConversionFailed) and obj.unreached:
                    unreached = obj
        return [self._shapes.shaped(obj, version) if isinstance(obj, dict) else obj for obj in out]

    async def _part(
        self, objects: list[Json], api_version: str
    ) -> Sequence[Json | ConversionFailed]:
        try:
            return await self._converter.convert(self._hook, objects, api_version)
        except ConversionFailed as e:
            if len(objects) == 1:
                return [e]
            failed = e
        if failed.unreached:  # it would be no better one by one
            return [failed] * len(objects)
        return [(await self._part([obj], api_version))[0] for obj in objects]


class _Answer:
    __slots__ = ("found", "holders")

    def __init__(self, found: bytes | ConversionFailed) -> None:
        self.found = found
        self.holders = 0


class _Session:
    """Steps of one write."""

    def __init__(self, conversions: HookConversions) -> None:
        self._conversions = conversions
        self.held: set[tuple[bytes, str]] = set()

    async def step(self, work: Callable[[], T], /) -> T:
        """Raises what `work` does."""
        for _ in range(STEPS_MAX):
            try:
                return work()
            except Unconverted as wanted:
                await self._conversions.resolve(wanted, self.held)
        raise ConversionFailed(f"more than {STEPS_MAX} conversions for one change")


def _asked_of(obj: Json) -> bytes:
    """What an answer depends on: the object without metadata that no webhook may change."""
    meta = obj.get("metadata") or {}
    kept = {name: value for name, value in meta.items() if name in _KEPT}
    return orjson.dumps({**obj, "metadata": kept}, option=orjson.OPT_SORT_KEYS)


def _merged(own: Json, answered: Json) -> Json:
    """Metadata as they were, with the labels and annotations of the answer."""
    out = {k: v for k, v in own.items() if k not in ("labels", "annotations")}
    for name in ("labels", "annotations"):
        if name in answered:
            out[name] = answered[name]
    return out


def _parts(objects: Sequence[Any], places: Sequence[int]) -> Iterator[list[int]]:
    """The objects at these places, in groups of one version that fit into a call."""
    part: list[int] = []
    size, version = 0, None
    for at in places:
        length = len(orjson.dumps(objects[at]))
        own = objects[at].get("apiVersion")
        full = len(part) >= OBJECTS_MAX or size + length > BYTES_MAX or own != version
        if part and full:
            yield part
            part, size = [], 0
        part.append(at)
        size, version = size + length, own
    if part:
        yield part
