"""ImagePolicyWebhook: another server says which images may run.

Its answers are remembered for a while. If it does not answer, the configuration says what then.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#imagepolicywebhook
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import orjson

from kapi.admission.configuration import ConfigurationError
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.clock import Clock

Json = dict[str, Any]
ANSWERS_MAX = 1024  # answers that are remembered
ATTEMPTS_MAX = 5
_BACKOFF = 1.5  # each wait is so much longer than the one before
_AUDIT = "imagepolicywebhook.image-policy.k8s.io/"
_ANNOTATION = ".image-policy.k8s.io/"  # in the names of those that are sent along
_EPHEMERAL = "ephemeralcontainers"


class ReviewError(Exception):
    """No answer."""


# The ImageReview, to its status. Raises ReviewError.
Review = Callable[[Json], Awaitable[Json]]


@dataclass(frozen=True, slots=True)
class Settings:
    kubeconfig: str
    allow_s: float
    deny_s: float
    retry_s: float
    default_allow: bool


def configure(part: Any) -> Settings:
    """Raises ConfigurationError."""
    found = (part or {}).get("imagePolicy") if isinstance(part or {}, dict) else None
    if not isinstance(found, dict) or not found.get("kubeConfigFile"):
        raise ConfigurationError("imagePolicy.kubeConfigFile: must be given")
    numbers = []
    for field, default in (("allowTTL", 50), ("denyTTL", 50), ("retryBackoff", 500)):
        number = found.get(field) or default
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise ConfigurationError(f"imagePolicy.{field}: must be a positive number")
        numbers.append(float(number))
    allow, deny, retry_ms = numbers
    kubeconfig = str(found["kubeConfigFile"])
    return Settings(kubeconfig, allow, deny, retry_ms / 1000, bool(found.get("defaultAllow")))


class ImagePolicyWebhook:
    name = "ImagePolicyWebhook"

    def __init__(self, settings: Settings, review: Review, clock: Clock) -> None:
        self._settings = settings
        self._review = review
        self._clock = clock
        self._answers: OrderedDict[bytes, tuple[float, Json]] = OrderedDict()

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (
            operation in ("CREATE", "UPDATE")
            and (group, resource) == ("", "pods")
            and (subresource in ("", _EPHEMERAL))
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        pod = a.object or {}
        spec = pod.get("spec") or {}
        fields = (_EPHEMERAL_FIELD,) if a.subresource else ("containers", "initContainers")
        containers = [{"image": c.get("image", "")} for f in fields for c in spec.get(f) or ()]
        annotations = (pod.get("metadata") or {}).get("annotations") or {}
        asked: Json = {"containers": containers}
        sent = {k: v for k, v in annotations.items() if _ANNOTATION in k}
        if sent:
            asked["annotations"] = sent
        asked["namespace"] = a.namespace
        try:
            status = await self._status(asked)
        except ReviewError as error:
            if not self._settings.default_allow:
                raise refused(a, str(error)) from None
            a.annotate(f"{_AUDIT}failed-open", "true")
            return
        for key, value in (status.get("auditAnnotations") or {}).items():
            a.annotate(_AUDIT + key, value)
        if status.get("allowed") is not True:
            reason = status.get("reason")
            text = "one or more images rejected by webhook backend"
            if reason:
                text = f"image policy webhook backend denied one or more images: {reason}"
            raise refused(a, text)

    async def _status(self, asked: Json) -> Json:
        key = orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)
        now = self._clock.monotonic()
        known = self._answers.get(key)
        if known is not None and now < known[0]:
            return known[1]
        status = await self._asked(asked)
        kept_s = self._settings.allow_s if status.get("allowed") else self._settings.deny_s
        self._answers[key] = (now + kept_s, status)
        self._answers.move_to_end(key)
        if len(self._answers) > ANSWERS_MAX:
            self._answers.popitem(last=False)
        return status

    async def _asked(self, asked: Json) -> Json:
        review = {
            "kind": "ImageReview",
            "apiVersion": "imagepolicy.k8s.io/v1alpha1",
            "metadata": {"creationTimestamp": None},
            "spec": asked,
            "status": {"allowed": False},
        }
        wait = self._settings.retry_s
        for attempt in range(1, ATTEMPTS_MAX + 1):
            try:
                return await self._review(review)
            except ReviewError:
                if attempt == ATTEMPTS_MAX:
                    raise
            await self._clock.sleep(wait)
            wait *= _BACKOFF
        raise AssertionError("the last attempt returns or raises")


_EPHEMERAL_FIELD = "ephemeralContainers"
