"""Long pure computations beside the event loop: reading large bodies carefully takes a second.

One thread, so that hostile bodies wait for each other and for nobody else. What runs here must not
touch what the loop may change: text goes in, a value or an ApiError comes out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from kapi.registry.beside import INLINE_BYTES_MAX

T = TypeVar("T")


class Aside:
    """One per server; `close` ends its thread."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="kapi-aside")

    async def run(self, size: int, work: Callable[[], T]) -> T:
        """The result of `work` over so many bytes; raises what it raises."""
        if size <= INLINE_BYTES_MAX:
            return work()
        return await asyncio.get_running_loop().run_in_executor(self._pool, work)

    def close(self) -> None:
        """Wait for what is running, at most one body; drop what waits. Idempotent."""
        self._pool.shutdown(cancel_futures=True)
