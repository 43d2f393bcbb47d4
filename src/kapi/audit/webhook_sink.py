"""The webhook backend: events go to another server as an EventList.

What fails is tried again after a pause, with longer pauses between, and is lost and counted when
all attempts are used up. How a list gets there is `post`, which `assembly/audit.py` makes.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Awaitable, Callable, Iterator

from kapi.audit.record import Record
from kapi.audit.sink import failed
from kapi.clock import Clock, Entropy
from kapi.metrics import Metrics

PLUGIN = "webhook"
# The real server's: k8s.io/apiserver/pkg/util/webhook.
ATTEMPTS_MAX = 5
BACKOFF_FACTOR = 1.5
BACKOFF_JITTER = 0.2
CLOSE_S = 5.0  # how long a stop waits for lists under way
# In the modes that block; more are lost: their answers wait no longer.
DELIVERIES_MAX = 1000
DELIVERIES_BYTES_MAX = 256 * 1024 * 1024
_HEAD = b'{"kind":"EventList","apiVersion":"audit.k8s.io/v1","metadata":{},"items":['

Post = Callable[[bytes], Awaitable[None]]  # raises PostError


class PostError(Exception):
    """The list did not get there; the text says why."""


class Delivery:
    """Sends lists of events. `batch_max`: bytes of one list, 0 for no bound."""

    def __init__(
        self,
        post: Post,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        *,
        backoff_s: float,
        batch_max: int = 0,
    ) -> None:
        self._post = post
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._backoff_s = backoff_s
        self._batch_max = batch_max

    async def __call__(self, records: list[Record]) -> bool:
        """Whether all of them got there."""
        good = True
        for part in self._parts(records):
            good = await self._send(part) and good
        return good

    def _parts(self, records: list[Record]) -> Iterator[list[Record]]:
        if not self._batch_max:
            yield records
            return
        part: list[Record] = []
        size = 0
        for record in records:
            if part and size + record.size() > self._batch_max:
                yield part
                part, size = [], 0
            part.append(record)
            size += record.size()
        if part:
            yield part

    async def _send(self, records: list[Record]) -> bool:
        body = event_list(records)
        pause = self._backoff_s
        words = "cancelled"
        try:
            for attempt in range(1, ATTEMPTS_MAX + 1):
                try:
                    await self._post(body)
                except PostError as error:
                    words = str(error)
                except Exception as error:  # no answer may fail because of an event
                    words = f"unexpected: {error!r}"
                else:
                    return True
                if attempt < ATTEMPTS_MAX:
                    await self._clock.sleep(pause * self._entropy.jitter(1, 1 + BACKOFF_JITTER))
                    pause *= BACKOFF_FACTOR
        except asyncio.CancelledError:
            failed(self._metrics, PLUGIN, f"{words}, and the server stops", records)
            raise
        failed(self._metrics, PLUGIN, words, records)
        return False


def event_list(records: list[Record]) -> bytes:
    """audit.k8s.io/v1 EventList; its items have no kind of their own."""
    pieces: list[bytes] = [_HEAD]
    for i, record in enumerate(records):
        pieces.append(b",{" if i else b"{")
        pieces += record.pieces()
    pieces.append(b"]}\n")
    return b"".join(pieces)


class WebhookSink:
    """The modes that block: each event is a list of its own, and its answer waits for it."""

    def __init__(self, deliver: Delivery, metrics: Metrics, *, strict: bool) -> None:
        self.strict = strict
        self._deliver = deliver
        self._metrics = metrics
        self._under_way: set[Future[bool]] = set()
        self._bytes = 0

    def put(self, record: Record) -> Future[bool]:
        loop = asyncio.get_running_loop()
        count, weight = len(self._under_way), record.weight
        full = bool(self._bytes) and self._bytes + weight > DELIVERIES_BYTES_MAX
        if full or count >= DELIVERIES_MAX:
            words = f"{count} events of {self._bytes} bytes are on their way"
            failed(self._metrics, PLUGIN, words, [record])
            done: Future[bool] = loop.create_future()
            done.set_result(False)
            return done
        task = loop.create_task(self._deliver([record]), name="audit-webhook")
        self._under_way.add(task)
        self._bytes += weight

        def over(task: Future[bool]) -> None:
            self._under_way.discard(task)
            self._bytes -= weight

        task.add_done_callback(over)
        return asyncio.shield(task)  # who gives up waiting does not take the event back

    async def close(self) -> None:
        pending = set(self._under_way)
        if not pending:
            return
        await asyncio.wait(pending, timeout=CLOSE_S)
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)
