"""API Priority and Fairness, as the options say: priority levels over the cache's objects.

`server.py` calls `build` once the cache is there; filters and loops get what it makes."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from kapi.cacher.cacher import Cacher
from kapi.cacher.lister import Lister
from kapi.clock import Clock
from kapi.controllers.fixed_objects import Bootstrap
from kapi.flowcontrol.levels import FlowControl
from kapi.flowcontrol.work import Size
from kapi.options.table import Options
from kapi.registry.resource import ResourceTable

GROUP = "flowcontrol.apiserver.k8s.io"
SCHEMAS, LEVELS = "flowschemas", "prioritylevelconfigurations"
MANDATORY = ("exempt", "catch-all")


def build(
    options: Options,
    clock: Clock,
    table: ResourceTable,
    cacher: Cacher,
    lister: Callable[[str, str], Lister],
    fixed: Bootstrap,
) -> FlowControl | None:
    """None where it is switched off. Raises ValueError if there are no seats."""
    if not options.enable_priority_and_fairness:
        return None
    reading, writing = options.max_requests_inflight, options.max_mutating_requests_inflight
    if reading + writing <= 0:
        raise ValueError("priority and fairness needs requests in flight")

    def size_of(group: str, plural: str) -> Size | None:
        resource = table.get(group, plural)
        if resource is None or not resource.stored_in_store:
            return None
        cache = cacher.cache(resource)
        return Size(len(cache.snapshot), cache.snapshot.bytes) if cache is not None else None

    return FlowControl(
        clock,
        lister(GROUP, SCHEMAS),
        lister(GROUP, LEVELS),
        mandatory={
            plural: [obj for obj in fixed[plural] if obj["metadata"]["name"] in MANDATORY]
            for plural in (SCHEMAS, LEVELS)
        },
        seats=reading + writing,
        request_timeout=options.request_timeout,
        size_of=size_of,
        later=asyncio.get_running_loop().call_later,
    )
