"""Says in the status of each flow schema whether the priority level that it names exists.

The real server's own configuration consumer does so; it applies, as the manager below.
https://kubernetes.io/docs/concepts/cluster-administration/flow-control/
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kapi import log
from kapi.clock import Clock, rfc3339
from kapi.controllers.follow import Begin, follow
from kapi.errors import ApiError

Json = dict[str, Any]
GROUP = "flowcontrol.apiserver.k8s.io"
MANAGER = "api-priority-and-fairness-config-consumer-v1"
DANGLING = "Dangling"

_log = log.get("flow-status")


class Lister(Protocol):
    def get(self, namespace: str, name: str) -> Json | None: ...
    def list(self, namespace: str = "") -> list[Json]: ...


# (configuration, manager): apply it to the status of the flow schema that it names.
ApplyStatus = Callable[[Json, str], Awaitable[None]]


class FlowStatus:
    def __init__(self, clock: Clock, schemas: Lister, levels: Lister, apply: ApplyStatus) -> None:
        self._clock = clock
        self._schemas = schemas
        self._levels = levels
        self._apply = apply

    async def run(self, schemas: Begin, levels: Begin) -> None:
        """Until the server stops."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow_schemas(schemas))
            tasks.create_task(self._follow_levels(levels))

    async def _follow_schemas(self, begin: Begin) -> None:
        async for kind, schema in follow(begin):
            if kind != "DELETED":
                await self.settle(schema)

    async def _follow_levels(self, begin: Begin) -> None:
        async for kind, level in follow(begin):
            if kind == "MODIFIED":
                continue
            name = level["metadata"]["name"]
            for schema in self._schemas.list():
                if level_of(schema) == name:
                    await self.settle(schema)

    async def settle(self, schema: Json) -> None:
        """Bring one flow schema's condition up to date, if it is not."""
        wanted = self.condition(schema)
        now = (schema.get("status") or {}).get("conditions") or ()
        found = next((c for c in now if c.get("type") == DANGLING), None)
        if found is not None and all(found.get(k) == v for k, v in wanted.items()):
            return
        if found is not None and found.get("status") == wanted["status"]:
            since = found.get("lastTransitionTime")
        else:
            since = rfc3339(self._clock.now())
        config = {
            "apiVersion": f"{GROUP}/v1",
            "kind": "FlowSchema",
            "metadata": {"name": schema["metadata"]["name"]},
            "status": {"conditions": [{**wanted, "lastTransitionTime": since}]},
        }
        try:
            await self._apply(config, MANAGER)
        except ApiError as e:
            if e.code != 404:  # it went meanwhile
                _log.warning("status", name=schema["metadata"]["name"], error=e.message)

    def condition(self, schema: Json) -> Json:
        name = level_of(schema)
        exists = self._levels.get("", name) is not None
        what = f'This FlowSchema references the PriorityLevelConfiguration object named "{name}"'
        return {
            "type": DANGLING,
            "status": "False" if exists else "True",
            "reason": "Found" if exists else "NotFound",
            "message": f"{what} and it exists" if exists else f"{what} but there is no such object",
        }


def level_of(schema: Json) -> str:
    reference = (schema.get("spec") or {}).get("priorityLevelConfiguration") or {}
    return str(reference.get("name", ""))
