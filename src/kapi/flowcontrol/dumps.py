"""The tables under `/debug/api_priority_and_fairness/`: priority levels, queues, requests.

As the real server writes them: cells end with a comma and are aligned in columns. Levels come by
name. `front.py` serves these handlers; they are in no index.
https://kubernetes.io/docs/reference/debug-cluster/flow-control/
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence

from kapi.flowcontrol.level import Level
from kapi.flowcontrol.levels import FlowControl
from kapi.flowcontrol.queue_set import QueueSet
from kapi.flowcontrol.ticket import SEAT_SECOND, Queue, State, Ticket
from kapi.messages import Handler, Request, Response

PREFIX = "/debug/api_priority_and_fairness/"
# Queues of one level that are listed though nothing is in them; beyond, only busy ones are.
IDLE_QUEUES_SHOWN_MAX = 10_000
CELL_WIDTH_MIN = 8
NEVER = "0001-01-01T00:00:00Z"

_LEVELS = (
    "PriorityLevelName", "ActiveQueues", "IsIdle", "IsQuiescing", "WaitingRequests",
    "ExecutingRequests", "DispatchedRequests", "RejectedRequests", "TimedoutRequests",
    "CancelledRequests",
)  # fmt: skip
_QUEUES = (
    "PriorityLevelName", "Index", "PendingRequests", "ExecutingRequests", "SeatsInUse",
    "NextDispatchR", "InitialSeatsSum", "MaxSeatsSum", "TotalWorkSum",
)  # fmt: skip
_REQUESTS = (
    "PriorityLevelName", "FlowSchemaName", "QueueIndex", "RequestIndexInQueue",
    "FlowDistingsher", "ArriveTime", "InitialSeats", "FinalSeats", "AdditionalLatency",
    "StartTime",
)  # fmt: skip
_DETAILS = (
    "UserName", "Verb", "APIPath", "Namespace", "Name", "APIVersion", "Resource", "SubResource",
)  # fmt: skip


def handlers(control: FlowControl) -> Mapping[str, Handler]:
    """By path."""

    async def levels(request: Request) -> Response:
        control.refresh()
        return _answer([_LEVELS, *(_level_row(level) for level in _sorted(control))])

    async def queues(request: Request) -> Response:
        control.refresh()
        rows = [row for level in _sorted(control) for row in _queue_rows(level)]
        return _answer([_QUEUES, *rows])

    async def requests(request: Request) -> Response:
        control.refresh()
        details = bool(request.query.get("includeRequestDetails"))
        offset = control.clock.now() - control.clock.monotonic()
        rows = [row for level in _sorted(control) for row in _request_rows(level, offset, details)]
        return _answer([_REQUESTS + _DETAILS if details else _REQUESTS, *rows])

    return {
        PREFIX + "dump_priority_levels": levels,
        PREFIX + "dump_queues": queues,
        PREFIX + "dump_requests": requests,
    }


def table(rows: Sequence[Sequence[str]]) -> str:
    """Rows of equal length; each column but the last is as wide as its widest cell and a space."""
    cells = [[f"{cell}," for cell in row[:-1]] for row in rows]
    widths = [
        max(CELL_WIDTH_MIN, *(len(cell) + 1 for cell in column))
        for column in zip(*cells, strict=True)
    ]
    lines = []
    for row, start in zip(rows, cells, strict=True):
        padded = [cell.ljust(width) for cell, width in zip(start, widths, strict=True)]
        lines.append("".join(padded) + row[-1] + "\n")
    return "".join(lines)


def _answer(rows: Sequence[Sequence[str]]) -> Response:
    headers = [("Content-Type", "text/plain; charset=utf-8")]
    return Response(200, headers, table(rows).encode("utf-8", "replace"))


def _sorted(control: FlowControl) -> list[Level]:
    return [level for _, level in sorted(control.levels.items())]


def _level_row(level: Level) -> tuple[str, ...]:
    queues = level.queues
    numbers = (
        queues.waiting, len(queues.executing), queues.dispatched, queues.refused,
        queues.timed_out, queues.cancelled,
    )  # fmt: skip
    return (
        level.name,
        str(sum(1 for _ in queues.waiting_queues())),
        _bool(not queues.waiting and not queues.executing),
        _bool(level.quiescing),
        *map(str, numbers),
    )


def _bool(value: bool) -> str:
    return "true" if value else "false"


def _shown_queues(queues: QueueSet) -> Iterator[Queue]:
    count = queues.queuing.queues if queues.queuing is not None else 0
    if count > IDLE_QUEUES_SHOWN_MAX:
        yield from (queue for _, queue in sorted(queues.queues.items()) if not queue.idle)
        return
    for index in sorted({*range(count), *queues.queues}):
        yield queues.queues.get(index) or Queue(index)


def _queue_rows(level: Level) -> Iterator[tuple[str, ...]]:
    for queue in _shown_queues(level.queues):
        yield (
            level.name,
            str(queue.index),
            str(len(queue.waiting)),
            str(queue.executing),
            str(queue.seats),
            _seat_seconds(queue.next_r),
            str(sum(ticket.estimate.initial for ticket in queue.waiting)),
            str(sum(ticket.seats for ticket in queue.waiting)),
            _seat_seconds(queue.work),
        )


def _seat_seconds(amount: int) -> str:
    whole, rest = divmod(max(amount, 0), SEAT_SECOND)
    return f"{whole}.{rest:08d}ss"


def _request_rows(level: Level, offset: float, details: bool) -> Iterator[tuple[str, ...]]:
    executing: dict[int, list[Ticket]] = {}
    for ticket in level.queues.executing:
        at = ticket.queue.index if ticket.queue is not None else -1
        executing.setdefault(at, []).append(ticket)
    for queue in _shown_queues(level.queues):
        for position, ticket in enumerate(queue.waiting):
            yield _request_row(level, queue.index, position, ticket, offset, details)
        for ticket in executing.get(queue.index, ()):
            yield _request_row(level, queue.index, -1, ticket, offset, details)
    for ticket in executing.get(-1, ()):
        yield _request_row(level, -1, -1, ticket, offset, details)


def _request_row(
    level: Level, queue: int, position: int, ticket: Ticket, offset: float, details: bool
) -> tuple[str, ...]:
    waits = ticket.state is State.WAITING
    row = (
        level.name,
        ticket.tally.schema,
        str(queue),
        str(position),
        ticket.distinguisher,
        _time(ticket.arrived + offset),
        str(ticket.estimate.initial),
        str(ticket.final),
        go_duration(ticket.linger),
        NEVER if waits else _time(ticket.started + offset),
    )
    if not details:
        return row
    user, info = ticket.request.user, ticket.request.info
    version = f"{info.group}/{info.version}" if info.group else info.version
    return (
        *row, user.name if user is not None else "", info.verb, info.path, info.namespace,
        info.name, version, info.resource, info.subresource,
    )  # fmt: skip


def _time(seconds: float) -> str:
    """RFC 3339 with as much of a second as there is, as Go's RFC3339Nano."""
    nanoseconds = round(seconds * 1e6) * 1000  # a float knows no more
    whole, rest = divmod(nanoseconds, 10**9)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole))
    return f"{text}.{rest:09d}".rstrip("0").rstrip(".") + "Z"


def go_duration(seconds: float) -> str:
    """As Go prints a duration of less than a minute: `0s`, `5ms`, `12.5ms`, `1.05s`."""
    nanoseconds = round(seconds * 1e9)
    for unit, size in (("s", 10**9), ("ms", 10**6), ("µs", 10**3)):
        if nanoseconds >= size:
            whole, rest = divmod(nanoseconds, size)
            digits = len(str(size)) - 1
            return f"{whole}.{rest:0{digits}d}".rstrip("0").rstrip(".") + unit
    return f"{nanoseconds}ns" if nanoseconds else "0s"
