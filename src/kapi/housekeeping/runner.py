"""Runs a controller: a queue of keys, and workers that bring one key after the other in order.

A controller hears of changes by the feed (`feed.py`) and adds keys; `sync` looks at the world anew
and does what is missing. So it does not matter how often a key is added, nor which event was it.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

from kapi import log
from kapi.errors import ApiError
from kapi.housekeeping.queue import WorkQueue
from kapi.storage.interface import StorageError

# Failures of one key in a row after which the log says so; before, it may be a passing conflict.
WARN_AFTER = 5

_log = log.get("controllers")


class Controller(Protocol):
    """One kind of housekeeping."""

    name: str
    workers: int
    queue: WorkQueue[Any]

    async def sync(self, key: Any) -> float | None:
        """Do what is missing for a key; seconds until it should be looked at again, if need be.

        Raises ApiError or StorageError where it could not; it is called again later.
        """


async def run(controller: Controller) -> None:
    """Until cancelled."""
    async with asyncio.TaskGroup() as tasks:
        for number in range(controller.workers):
            tasks.create_task(_work(controller), name=f"{controller.name}-{number}")


async def _work(controller: Controller) -> None:
    queue = controller.queue
    while True:
        key = await queue.get()
        try:
            await step(controller, key)
        finally:
            queue.done(key)
        await asyncio.sleep(0)  # a store in memory never waits, and others must have their turn


async def step(controller: Controller, key: Any) -> None:
    """Sync one key; what fails comes back later."""
    queue = controller.queue
    try:
        again = await controller.sync(key)
    except (ApiError, StorageError) as error:
        queue.add_limited(key)
        if queue.failures(key) == WARN_AFTER:
            _log.warning(
                "keeps failing", controller=controller.name, key=str(key), error=str(error)
            )
    except Exception:
        # A bug of ours must not stop the controller, nor be tried in a tight loop.
        queue.add_limited(key)
        _log.exception("a controller crashed", controller=controller.name, key=str(key))
    else:
        queue.forget(key)
        if again is not None:
            queue.add_after(key, again)
