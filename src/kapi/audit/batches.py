"""Mode `batch`: events wait in a bounded queue and go on in batches; no answer waits for them.

A batch goes when it is full, or when the time since the last one is over, and not more often than
the throttle lets it. What finds the queue full is lost and counted. At the end the queue is
emptied, for a bounded time.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable

from kapi.audit.record import Record
from kapi.audit.settings import Batches
from kapi.audit.sink import failed
from kapi.clock import Clock
from kapi.metrics import Metrics

PLUGIN = "buffered"
CLOSE_S = 5.0  # how long a stop waits for what is still to be sent
SENDING_MAX = 64  # batches on their way at a time; then the queue fills
# Of what waits or is on its way: objects of answers may be large.
QUEUE_BYTES_MAX = 256 * 1024 * 1024

Send = Callable[[list[Record]], Awaitable[object]]


class BatchedSink:
    """`send`: gives a batch on, and counts what it loses. `sequential`: one after the other, which
    is for files; else several are on their way.
    """

    strict = False

    def __init__(
        self,
        send: Send,
        settings: Batches,
        clock: Clock,
        metrics: Metrics,
        *,
        sequential: bool = False,
        closing: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._send = send
        self._settings = settings
        self._size = settings.size
        self._at_once = settings.size == 1
        self._clock = clock
        self._metrics = metrics
        self._closing_send = closing
        self._throttle = Throttle(settings.qps, settings.burst, clock)
        self._sending = asyncio.Semaphore(1 if sequential else SENDING_MAX)
        self._sequential = sequential
        self._waiting: deque[Record] = deque()
        self._bytes = 0
        self._full = asyncio.Event()
        self._stopping = False
        self._under_way: set[asyncio.Task[None]] = set()
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(), name="audit-batches")

    def put(self, record: Record) -> None:
        size = record.weight
        room = len(self._waiting) < self._settings.buffer
        if self._stopping or not room or self._bytes + size > QUEUE_BYTES_MAX:
            failed(self._metrics, PLUGIN, "audit buffer queue blocked", [record])
            return
        self._waiting.append(record)
        self._bytes += size
        if self._at_once or len(self._waiting) >= self._size:
            self._full.set()

    async def close(self) -> None:
        self._stopping = True
        self._full.set()
        await asyncio.wait({self._task}, timeout=CLOSE_S)
        pending = {self._task, *self._under_way}
        for task in pending:
            if not task.done():
                task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
        if self._waiting:
            words = f"not sent within {CLOSE_S:g}s of the stop"
            failed(self._metrics, PLUGIN, words, list(self._waiting))
            self._waiting.clear()
        if self._closing_send is not None:
            await self._closing_send()

    async def _run(self) -> None:
        while not self._stopping:
            await self._wait()
            await self._give_on()
        while self._waiting:
            await self._give_on()
        if self._under_way:
            await asyncio.wait(self._under_way)

    async def _wait(self) -> None:
        """Until a batch is full, its time is over or the end has come."""
        if not self._at_once:
            loop = asyncio.get_running_loop()
            timer = loop.create_task(self._sleep(), name="audit-batch-timer")
            full = loop.create_task(self._full_set(), name="audit-batch-full")
            try:
                await asyncio.wait({timer, full}, return_when=asyncio.FIRST_COMPLETED)
            finally:
                timer.cancel()
                full.cancel()
                await asyncio.gather(timer, full, return_exceptions=True)
        elif not self._waiting:
            await self._full.wait()
        self._full.clear()

    async def _sleep(self) -> None:
        await self._clock.sleep(self._settings.wait_s)

    async def _full_set(self) -> None:
        if len(self._waiting) < self._size:
            await self._full.wait()

    async def _give_on(self) -> None:
        """One batch, if there is anything."""
        if not self._waiting:
            return
        await self._throttle.accept()
        await self._sending.acquire()
        batch = [self._waiting.popleft() for _ in range(min(self._size, len(self._waiting)))]
        if self._sequential:
            await self._sent(batch)
            return
        task = asyncio.get_running_loop().create_task(self._sent(batch), name="audit-batch")
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    async def _sent(self, batch: list[Record]) -> None:
        try:
            await self._send(batch)
        except Exception as error:  # those behind it must go on all the same
            failed(self._metrics, PLUGIN, f"unexpected: {error!r}", batch)
        finally:
            self._bytes -= sum(record.weight for record in batch)
            self._sending.release()


class Throttle:
    """So many per second, and so many at once after a pause. `qps` 0: no bound."""

    def __init__(self, qps: float, burst: int, clock: Clock) -> None:
        self._qps = qps
        self._burst = float(max(burst, 1))
        self._tokens = self._burst
        self._clock = clock
        self._at = clock.monotonic()

    async def accept(self) -> None:
        """Wait for one's turn."""
        if not self._qps:
            return
        now = self._clock.monotonic()
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._qps)
        self._at = now
        self._tokens -= 1
        if self._tokens < 0:
            await self._clock.sleep(-self._tokens / self._qps)
