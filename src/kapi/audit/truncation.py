"""Events that are too large lose their objects; what is still too large is lost and counted.

Stands before a backend where its truncation is switched on.
"""

from __future__ import annotations

from asyncio import Future

from kapi.audit.policy import Level
from kapi.audit.record import Record
from kapi.audit.sink import Sink, failed
from kapi.metrics import Metrics

PLUGIN = "truncate"


class TruncatingSink:
    def __init__(self, sink: Sink, event_bytes_max: int, metrics: Metrics) -> None:
        self.strict = sink.strict
        self._sink = sink
        self._limit = event_bytes_max
        self._metrics = metrics

    def put(self, record: Record) -> Future[bool] | None:
        if record.size() > self._limit and record.level >= Level.REQUEST:
            record = record.truncated()
        if record.size() > self._limit:
            failed(self._metrics, PLUGIN, "event is too large even after truncating", [record])
            return None
        return self._sink.put(record)

    async def close(self) -> None:
        await self._sink.close()
