"""Fields of resource.k8s.io that belong to features which are off in this release: what a client
writes there is dropped, unless the object had it before.

Called by the strategies of `resource.py`, before anything is checked.
https://kubernetes.io/docs/reference/command-line-tools-reference/feature-gates/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]

_LISTS = ("ints", "bools", "strings", "versions")  # values of an attribute
_OF_SLICE = ("partitionTypeAttribute", "skipNodeOperations")
_OF_DEVICE = ("nodeAllocatableResources",)


def _requests(spec: Json) -> Iterator[Json]:
    for request in (spec.get("devices") or {}).get("requests") or ():
        yield from [request["exactly"]] if request.get("exactly") else ()
        yield from request.get("firstAvailable") or ()


def drop_of_claim(spec: Json, old: Json) -> None:
    """Attributes that a claim works out for itself."""
    if not any(request.get("derivedAttributes") for request in _requests(old)):
        for request in _requests(spec):
            request.pop("derivedAttributes", None)


def _results(status: Json) -> list[Json]:
    found: list[Json] = ((status.get("allocation") or {}).get("devices") or {}).get("results") or []
    return found


def drop_of_status(status: Json, old: Json) -> None:
    """Operations that a node leaves out."""
    if not any(result.get("skipNodeOperations") for result in _results(old)):
        for result in _results(status):
            result.pop("skipNodeOperations", None)


def _attributes(spec: Json) -> Iterator[Json]:
    for device in spec.get("devices") or ():
        yield from (a for a in (device.get("attributes") or {}).values() if a)


def drop_of_slice(spec: Json, old: Json) -> None:
    for name in _OF_SLICE:
        if not old.get(name):
            spec.pop(name, None)
    if not any(a.get(name) for a in _attributes(old) for name in _LISTS):
        for attribute in _attributes(spec):
            for name in _LISTS:
                attribute.pop(name, None)
    before = old.get("devices") or ()
    for name in _OF_DEVICE:
        if not any(device.get(name) for device in before):
            for device in spec.get("devices") or ():
                device.pop(name, None)
    if not any(c.get("compatibilityGroups") for c in _consumptions(old)):
        for consumption in _consumptions(spec):
            consumption.pop("compatibilityGroups", None)


def _consumptions(spec: Json) -> Iterator[Json]:
    for device in spec.get("devices") or ():
        yield from device.get("consumesCounters") or ()
