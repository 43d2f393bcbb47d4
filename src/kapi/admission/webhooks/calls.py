"""One call of one admission webhook, and what its failure means. Used by both webhook plugins.

What can go wrong is of three kinds: the webhook denies (`Denied`); it cannot be asked, or says
nothing sensible (`CallFailed`: its failure policy decides); or this server fails with what it
said (any other ApiError). Each is counted as the real server counts it.
"""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Protocol

from kapi import errors, log
from kapi.admission.plugin import Attributes
from kapi.admission.requests.review import (
    InvalidAnswer,
    Verdict,
    encoded_request,
    read_answer,
    refusal,
    request_fields,
    review_text,
    review_version,
)
from kapi.admission.requests.rules import Kinds, Place
from kapi.admission.webhooks.hooks import ConditionError, Hook, HookSource, condition_refused
from kapi.clock import Clock, Entropy
from kapi.errors import ApiError, quote
from kapi.metrics import Metrics
from kapi.outgoing.hooks import HookError

Json = dict[str, Any]
CODE_MAX = 600  # of a metric's label: a webhook must not make as many series as it likes
_EFFECTLESS = ("None", "NoneOnDryRun")

_log = log.get("webhooks")


class Poster(Protocol):
    """Reaches webhooks."""

    async def post(self, client: Json, body: bytes, timeout_s: int) -> bytes:
        """The body of a good answer to JSON sent to a clientConfig. Raises HookError."""


class CallFailed(Exception):
    """The webhook could not be asked. `code`: how the failure is counted."""

    def __init__(self, name: str, why: str, code: int) -> None:
        super().__init__(f"failed calling webhook {quote(name)}: {why}")
        self.code = code


class Denied(Exception):
    """The webhook said no."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


@dataclass(frozen=True, slots=True)
class Caller:
    """What a webhook plugin works with. `step` is "admit" or "validating"."""

    step: str
    source: HookSource
    poster: Poster
    metrics: Metrics
    clock: Clock
    entropy: Entropy

    @property
    def kinds(self) -> Kinds:
        return self.source.kinds

    # -- whether ----------------------------------------------------------------------------------

    async def wanted(self, hook: Hook, a: Attributes, own: Place, view: View) -> Place | None:
        """Where the webhook wants to see the request; None if it need not be asked. Raises
        ApiError 403, 404.
        """
        place = await self.source.place(hook, a, own)
        if place is None or hook.conditions is None:
            return place
        obj, old = await view.objects(place)
        labels = (hook.name, "webhook", self.step, a.operation)
        try:
            if await hook.conditions.hold(a, place, obj, old):
                return place
        except ConditionError as e:
            name = "apiserver_admission_match_condition_evaluation_errors_total"
            self.metrics.metric(name).cell(*labels).value += 1
            if not hook.ignores_failure:
                raise condition_refused(a, e) from None
            return None
        excluded = self.metrics.metric("apiserver_admission_match_condition_exclusions_total")
        excluded.cell(*labels).value += 1
        return None

    # -- the call ---------------------------------------------------------------------------------

    async def ask(self, hook: Hook, a: Attributes, place: Place, view: View) -> Verdict:
        """Raises CallFailed, Denied, ApiError."""
        if a.dry_run and hook.side_effects not in _EFFECTLESS:
            words = f"admission webhook {quote(hook.name)} does not support dry run"
            raise errors.bad_request(words)
        version = review_version(hook.review_versions)
        if not version:
            words = "webhook does not accept known AdmissionReview versions (v1, v1beta1)"
            raise CallFailed(hook.name, f"could not create admission objects: {words}", 400)
        uid = self.entropy.uid()
        body = review_text(version, uid, await view.request(place))
        unanswered = 503 if self.step == "admit" else 400
        try:
            data = await self.poster.post(hook.client, body, hook.timeout_s)
            verdict = read_answer(data, uid, version, mutating=self.step == "admit")
        except HookError as e:
            why = f"failed to call webhook: {e}"
            raise CallFailed(hook.name, why, e.code or unanswered) from None
        except InvalidAnswer as e:
            if not e.read:
                raise CallFailed(hook.name, f"failed to call webhook: {e}", unanswered) from None
            why = f"received invalid webhook response: {e}"
            raise CallFailed(hook.name, why, 503) from None
        for key, value in verdict.annotations.items():
            a.annotate(f"{hook.name}/{key}", value)
        for text in verdict.warnings:
            a.warn(text)
        if not verdict.allowed:
            raise Denied(refusal(hook.name, verdict.result))
        return verdict

    # -- what became of it ------------------------------------------------------------------------

    async def measured(self, hook: Hook, a: Attributes, work: Coroutine[Any, Any, None]) -> None:
        """Await a call and count it. Raises CallFailed where that was ignored (the caller says so
        to the audit log), else the ApiError for the client.
        """
        began = self.clock.monotonic()
        try:
            await work
        except CallFailed as e:
            if hook.ignores_failure:
                self._count(hook, a, began, e.code, rejected=False)
                _log.warning("failing open", webhook=hook.name, error=str(e))
                opened = self.metrics.metric("apiserver_admission_webhook_fail_open_count")
                opened.cell(hook.name, self.step).value += 1
                raise
            self._count(hook, a, began, e.code, rejected=True, error="calling_webhook_error")
            _log.warning("failing closed", webhook=hook.name, error=str(e))
            raise errors.internal_error(str(e)) from None
        except Denied as e:
            self._count(hook, a, began, e.error.code, rejected=True, error="no_error")
            raise e.error from None
        except ApiError:
            self._count(hook, a, began, 0, rejected=True, error="apiserver_internal_error")
            raise
        self._count(hook, a, began, 200, rejected=False)

    def _count(
        self, hook: Hook, a: Attributes, began: float, code: int, *, rejected: bool, error: str = ""
    ) -> None:
        name, step, operation = hook.name, self.step, a.operation
        code_text, said = str(min(code, CODE_MAX)), "true" if rejected else "false"
        counted = self.metrics.metric("apiserver_admission_webhook_request_total")
        counted.cell(name, step, operation, code_text, said).value += 1
        took = self.metrics.histogram("apiserver_admission_webhook_admission_duration_seconds")
        took.cell(name, step, operation, said).observe(self.clock.monotonic() - began)
        if rejected:
            refused = self.metrics.metric("apiserver_admission_webhook_rejection_count")
            refused.cell(name, step, operation, error, code_text).value += 1


class View:
    """The request as its webhooks see it, made once for each place it is seen at."""

    def __init__(self, kinds: Kinds, a: Attributes, own: Place) -> None:
        self._kinds = kinds
        self._a = a
        self._own = own
        self._objects: dict[Place, tuple[Json | None, Json | None]] = {}
        self._requests: dict[Place, bytes] = {}

    async def objects(self, place: Place) -> tuple[Json | None, Json | None]:
        """Object and old object. Raises ApiError 500 if they cannot be converted."""
        found = self._objects.get(place)
        if found is None:
            a = self._a
            found = self._objects[place] = (
                await self._shown(a.object, place),
                await self._shown(a.old, place),
            )
        return found

    async def _shown(self, obj: Json | None, place: Place) -> Json | None:
        if obj is None:
            return None
        try:
            return await self._kinds.shown(obj, place)
        except ApiError as e:
            raise errors.internal_error(e.message) from None

    async def request(self, place: Place) -> bytes:
        found = self._requests.get(place)
        if found is None:
            fields = request_fields(self._a, place, self._own)
            found = self._requests[place] = encoded_request(fields, *await self.objects(place))
        return found

    def changed(self) -> None:
        """The object is another one now."""
        self._objects.clear()
        self._requests.clear()
