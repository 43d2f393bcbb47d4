"""What takes audit events: the one interface of backends, and how their failures are counted.

`log_sink.py` and `webhook_sink.py` are the backends, `batches.py` gathers events for them,
`truncation.py` cuts what is too large before.
"""

from __future__ import annotations

from asyncio import Future
from collections.abc import Sequence
from typing import Protocol

from kapi import log
from kapi.audit.record import Record
from kapi.metrics import Metrics

_log = log.get("audit")


class Sink(Protocol):
    """A backend."""

    strict: bool  # whether a request is refused if its first event cannot be kept

    def put(self, record: Record) -> Future[bool] | None:
        """Take an event; at once, and without raising. The future says when it is kept, or that it
        could not be; None: nobody needs to wait. No answer may wait for a future that is dropped.
        """

    async def close(self) -> None:
        """Give on what waits, within a bounded time, and end. Nothing is put any more."""


def failed(metrics: Metrics, plugin: str, error: str, records: Sequence[Record]) -> None:
    """Count events that are lost, and say so."""
    metrics.metric("apiserver_audit_error_total").cell(plugin).value += len(records)
    _log.error(
        "audit events are lost",
        plugin=plugin,
        events=len(records),
        error=error,
        first=records[0].audit_id if records else "",
    )
