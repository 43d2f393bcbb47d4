"""EventRateLimit: events beyond a rate are refused, by server, namespace, user, or what they are
about.

Token buckets, the least recently used of which go first. They fill by the clock.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#eventratelimit
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kapi.admission.configuration import ConfigurationError, typed
from kapi.admission.plugin import Attributes, Operation
from kapi.authorization.authorizer import aggregate
from kapi.clock import Clock
from kapi.errors import ApiError

Json = dict[str, Any]
CACHE_SIZE = 4096  # buckets of a limit, unless it says otherwise
_VERSION = "eventratelimit.admission.k8s.io/v1alpha1"


@dataclass(frozen=True, slots=True)
class Limit:
    type: str
    qps: int
    burst: int
    cache_size: int


def configure(part: Any) -> tuple[Limit, ...]:
    """Raises ConfigurationError."""
    found = typed(part, "Configuration", (_VERSION,)) if part is not None else {}
    limits = found.get("limits") or []
    if not isinstance(limits, list) or not limits:
        raise ConfigurationError("limits: Required value: must have at least one limit")
    return tuple(_limit(limit, f"limits[{i}]") for i, limit in enumerate(limits))


def _limit(limit: Any, path: str) -> Limit:
    if not isinstance(limit, dict):
        raise ConfigurationError(f"{path}: must be an object")
    kind = limit.get("type")
    if kind not in _KEYS:
        supported = ", ".join(f'"{name}"' for name in sorted(_KEYS))
        raise ConfigurationError(
            f'{path}.type: Unsupported value: "{kind or ""}": supported values: {supported}'
        )
    numbers = []
    for field, default, low in (("qps", None, 1), ("burst", None, 1), ("cacheSize", CACHE_SIZE, 1)):
        number = limit.get(field) or default
        if not isinstance(number, int) or isinstance(number, bool) or number < low:
            raise ConfigurationError(
                f"{path}.{field}: Invalid value: {limit.get(field) or 0}: must be positive"
            )
        numbers.append(number)
    return Limit(kind, *numbers)


def _source_and_object(a: Attributes) -> str:
    event = a.object or {}
    about = event.get("involvedObject") or event.get("regarding") or {}
    source = event.get("source") or event.get("deprecatedSource") or {}
    fields = ("kind", "namespace", "name", "uid", "apiVersion")
    parts = [source.get("component"), source.get("host"), *(about.get(f) for f in fields)]
    return "".join(part or "" for part in parts)


_KEYS: dict[str, Callable[[Attributes], str]] = {
    "Server": lambda a: "",
    "Namespace": lambda a: a.namespace,
    "User": lambda a: a.user.name,
    "SourceAndObject": _source_and_object,
}


class _Buckets:
    """The buckets of one limit: how much is in each, and since when."""

    def __init__(self, limit: Limit, clock: Clock) -> None:
        self._limit = limit
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def take(self, a: Attributes) -> str:
        """Empty, or why not."""
        limit, key = self._limit, _KEYS[self._limit.type](a)
        now = self._clock.monotonic()
        there, since = self._buckets.pop(key, (float(limit.burst), now))
        there = min(float(limit.burst), there + (now - since) * limit.qps)
        allowed = there >= 1
        self._buckets[key] = (there - 1 if allowed else there, now)
        if len(self._buckets) > limit.cache_size:
            self._buckets.popitem(last=False)
        return "" if allowed else f"limit reached on type {limit.type} for key {key}"


class EventRateLimit:
    name = "EventRateLimit"

    def __init__(self, limits: tuple[Limit, ...], clock: Clock) -> None:
        self._limits = tuple(_Buckets(limit, clock) for limit in limits)

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and resource == "events" and not subresource

    async def validate(self, attributes: Attributes) -> None:
        if attributes.dry_run:
            return
        reasons = [reason for limit in self._limits if (reason := limit.take(attributes))]
        if reasons:
            raise _too_many(reasons)


def _too_many(reasons: list[str]) -> ApiError:
    return ApiError(429, "TooManyRequests", f"Too many requests: {aggregate(reasons)}")
