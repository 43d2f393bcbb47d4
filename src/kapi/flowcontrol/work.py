"""How much work a request is: seats while it executes, and seats that its watchers take afterwards.

A list counts by the bytes that it holds at once, a change by the watches that will be told of it;
anything else is one seat. `levels.py` asks for every request.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/#seats-occupied-by-a-request
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from kapi.flowcontrol.ticket import ONE_SEAT, Estimate
from kapi.messages import Query, RequestInfo

# Bounds of one request, whatever its level says.
LIST_SEATS_MAX = 100
CHANGE_SEATS_MAX = 10
BYTES_PER_SEAT = 100_000
# A list from the cache is written in slices: it never holds more than this.
CACHED_BYTES_MAX = 1_000_000
WATCHES_PER_SEAT = 10
# How long it takes to tell those watches.
TELLING_S = 0.005

CHANGES = frozenset(("create", "update", "patch", "delete"))
INT64_CHARS_MAX = 20
_INT64 = re.compile(r"[+-]?[0-9]+")


@dataclass(frozen=True, slots=True)
class Size:
    """The objects of one resource."""

    objects: int
    bytes: int  # of all of them


# By group and resource; None: not stored here.
SizeOf = Callable[[str, str], Size | None]


def list_estimate(info: RequestInfo, query: Query, size_of: SizeOf, widest: int) -> Estimate:
    """Of a list, or of a watch that begins with one. `widest`: the bound of its level, or 0."""
    bound = min(widest or LIST_SEATS_MAX, LIST_SEATS_MAX)
    limit = _number(query, "limit")
    if limit is None or _number(query, "timeoutSeconds") is None:
        return Estimate(bound)  # it will be refused, but that is not known yet
    version = query.get("resourceVersion")
    if info.verb == "watch" and version not in ("", "0") and not _wants_initial(query):
        return ONE_SEAT
    size = size_of(info.group, info.resource)
    if size is None or not size.objects:
        return ONE_SEAT
    limited = limit if 0 < limit < size.objects else size.objects
    cached = info.verb == "watch" or not _from_store(query, limit, version)
    selects = query.get("fieldSelector") or query.get("labelSelector")
    if info.name:
        loaded = 1
    elif not cached and selects:
        loaded = max(limited, size.objects // 2)
    else:
        loaded = limited
    held = loaded * size.bytes / size.objects
    if cached:
        held = min(held, CACHED_BYTES_MAX)
    seats = max(1, min(math.ceil(held / BYTES_PER_SEAT), bound))
    return Estimate(seats) if seats > 1 else ONE_SEAT


def change_estimate(watches: int, widest: int) -> Estimate:
    """Of a change that so many watches may be told of."""
    if watches < WATCHES_PER_SEAT:
        return ONE_SEAT
    seats = math.ceil(watches / WATCHES_PER_SEAT)
    final = min(seats, widest or CHANGE_SEATS_MAX, CHANGE_SEATS_MAX)
    return Estimate(1, final, TELLING_S * seats / final)


def _from_store(query: Query, limit: int, version: str) -> bool:
    """Whether a list is of one exact version of the past."""
    match = query.get("resourceVersionMatch")
    if match:
        return match == "Exact"
    return bool(query.get("continue")) or (limit > 0 and version not in ("", "0"))


def _wants_initial(query: Query) -> bool:
    if "sendInitialEvents" not in query:
        return False
    return query.get("sendInitialEvents").lower() not in ("false", "0")


def _number(query: Query, name: str) -> int | None:
    """0 where it is absent; None: not a number."""
    if name not in query:
        return 0
    text = query.get(name)
    if len(text) > INT64_CHARS_MAX or _INT64.fullmatch(text) is None:
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None


class WatchCounts:
    """How many watches are open, by what they are about."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str, str, str], int] = {}

    def open(self, info: RequestInfo) -> Callable[[], None]:
        """One more; call what comes back, once, when it ends."""
        key = (info.group, info.resource, info.namespace, info.name)
        self._counts[key] = self._counts.get(key, 0) + 1

        def close() -> None:
            left = self._counts[key] - 1
            if left:
                self._counts[key] = left
            else:
                del self._counts[key]

        return close

    def interested(self, info: RequestInfo) -> int:
        """Those that may be told of a change: of all, of its namespace, of its object."""
        counts = self._counts
        if not counts:
            return 0
        group, resource, namespace = info.group, info.resource, info.namespace
        if resource == "serviceaccounts" and info.subresource == "token":
            return 0  # a token is nobody's event
        found = counts.get((group, resource, "", ""), 0)
        if namespace:
            found += counts.get((group, resource, namespace, ""), 0)
        if info.name:
            found += counts.get((group, resource, namespace, info.name), 0)
        return found
