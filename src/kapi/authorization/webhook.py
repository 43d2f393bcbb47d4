"""Webhook: another server says whether a request may be.

It is asked with a SubjectAccessReview if the match conditions hold; answers are remembered for a
while. Where there is no answer, the failure policy says what that means: no opinion, or a refusal.
Either way the failure is told on (`Undecided`), so that nobody mistakes it for a no.
https://kubernetes.io/docs/reference/access-authn-authz/webhook/
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Protocol

import orjson

from kapi import log
from kapi.authorization.authorizer import Attributes, Decision, Rules, Undecided
from kapi.authorization.configuration import WEBHOOK, WebhookSettings
from kapi.authorization.review import review, spec_of
from kapi.clock import Clock
from kapi.messages import UserInfo
from kapi.metrics import Metrics
from kapi.outgoing.reviews import ReviewError, Tally

Json = dict[str, Any]
ANSWERS_MAX = 8192  # remembered; the least recently used goes first
# Attributes that a client chooses and that are longer than this in all are not remembered.
REMEMBERED_CHARS_MAX = 10_000
BOTH = "webhook subject access review returned both allow and deny response"
_DIGEST_BYTES = 32
_Answer = tuple[Decision, str]

_log = log.get("authorization-webhook")


class Reviewer(Protocol):
    async def review(self, document: Json, tally: Tally | None = None) -> Json:
        """The status. Raises ReviewError."""


class Conditions(Protocol):
    def matches(self, spec: Json) -> bool:
        """Raises an exception whose text says what failed."""


class WebhookMetrics:
    """What one webhook counts."""

    def __init__(self, metrics: Metrics, name: str, clock: Clock) -> None:
        self._name = name
        prefix = "apiserver_authorization_"
        self._evaluations = metrics.metric(f"{prefix}webhook_evaluations_total")
        self._seconds = metrics.histogram(f"{prefix}webhook_duration_seconds")
        self._open = metrics.metric(f"{prefix}webhook_evaluations_fail_open_total")
        self._errors = metrics.metric(f"{prefix}match_condition_evaluation_errors_total")
        self._exclusions = metrics.metric(f"{prefix}match_condition_exclusions_total")
        self._matching = metrics.histogram(f"{prefix}match_condition_evaluation_seconds")
        self._clock = clock

    def called(self, result: str, seconds: float) -> None:
        self._evaluations.cell(self._name, result).value += 1
        self._seconds.cell(self._name, result).observe(seconds)

    def failed_open(self, result: str) -> None:
        self._open.cell(self._name, result).value += 1

    def matched(self, match: Callable[[], bool]) -> bool:
        """What `match` says, counted and timed."""
        start = self._clock.monotonic()
        try:
            found = match()
        except Exception:
            self._errors.cell(self._name, WEBHOOK).value += 1
            raise
        finally:
            seconds = self._clock.monotonic() - start
            self._matching.cell(self._name, WEBHOOK).observe(seconds)
        if not found:
            self._exclusions.cell(self._name, WEBHOOK).value += 1
        return found


class WebhookAuthorizer:
    def __init__(
        self,
        settings: WebhookSettings,
        reviewer: Reviewer,
        conditions: Conditions | None,
        metrics: WebhookMetrics,
        clock: Clock,
    ) -> None:
        self._settings = settings
        self._reviewer = reviewer
        self._conditions = conditions
        self._metrics = metrics
        self._clock = clock
        self._on_failure = Decision.DENY if settings.denies_on_failure else Decision.NO_OPINION
        self._answers: OrderedDict[bytes, tuple[float, Json]] = OrderedDict()

    async def authorize(self, attributes: Attributes) -> _Answer:
        spec = spec_of(attributes)
        conditions = self._conditions
        if conditions is not None:
            try:
                if not self._metrics.matched(lambda: conditions.matches(spec)):
                    return Decision.NO_OPINION, ""
            except Exception as error:
                raise Undecided(self._on_failure, [str(error)]) from error
        return _decision(await self._status(attributes, spec))

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        words = "webhook authorizer does not support user rule resolution"
        return Rules(incomplete=True, errors=[words])

    async def _status(self, attributes: Attributes, spec: Json) -> Json:
        # What is asked may be long, with selectors that a client chooses; what is kept is not.
        key = hashlib.blake2b(orjson.dumps(spec), digest_size=_DIGEST_BYTES).digest()
        known = self._answers.get(key)
        if known is not None:
            if self._clock.monotonic() < known[0]:
                self._answers.move_to_end(key)
                return known[1]
            del self._answers[key]
        last = ""

        def tally(result: str, seconds: float) -> None:
            nonlocal last
            last = result
            self._metrics.called(result, seconds)

        try:
            status = await self._reviewer.review(review(spec, self._settings.version), tally)
            _check(status)
        except ReviewError as error:
            _log.error("an authorization webhook failed", error=str(error))
            if self._on_failure is Decision.NO_OPINION:
                self._metrics.failed_open(last)
            raise Undecided(self._on_failure, [str(error)]) from error
        self._remember(attributes, key, status)
        return status

    def _remember(self, a: Attributes, key: bytes, status: Json) -> None:
        settings = self._settings
        kept_s = settings.authorized_s if status.get("allowed") else settings.unauthorized_s
        what = (a.verb, a.group, a.version, a.resource, a.subresource, a.path)
        chars = sum(map(len, (*what, a.namespace, a.name)))
        if kept_s <= 0 or chars >= REMEMBERED_CHARS_MAX:
            return
        self._answers[key] = (self._clock.monotonic() + kept_s, status)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)


def _check(status: Json) -> None:
    """That the fields of a status have their types. Raises ReviewError."""
    for field, kind in (("allowed", bool), ("denied", bool), ("reason", str)):
        value = status.get(field)
        if value is not None and not isinstance(value, kind):
            shown = "bool" if kind is bool else "string"
            text = f"json: cannot unmarshal status.{field} into Go value of type {shown}"
            raise ReviewError(text)


def _decision(status: Json) -> _Answer:
    reason = status.get("reason") or ""
    if status.get("denied") and status.get("allowed"):
        raise Undecided(Decision.DENY, [BOTH], reason)
    if status.get("denied"):
        return Decision.DENY, reason
    return (Decision.ALLOW if status.get("allowed") else Decision.NO_OPINION), reason
