"""A deadline for every request that is not long-running: `?timeout=`, at most and by default the
server's.

Past it the handler is cancelled and the answer is 504. A write that was handed to the store may
still happen: the client cannot know, as with the real server."""

from __future__ import annotations

import asyncio

from kapi import durations, errors
from kapi.clock import Clock
from kapi.filters.long_running import is_long_running
from kapi.messages import Handler, Request, RequestInfo, Response
from kapi.metrics import Metrics

_READING = frozenset(("get", "list"))
_READ_LATE = "Timeout: request did not complete within the allotted timeout"
_WRITE_LATE = (
    "Timeout: request did not complete within requested timeout - context deadline exceeded"
)


def with_timeout(
    handler: Handler, clock: Clock, request_timeout: float, metrics: Metrics
) -> Handler:
    """`request_timeout` in seconds."""

    async def filtered(request: Request) -> Response:
        if is_long_running(request.info):
            return await handler(request)
        seconds = request_timeout
        if request.query.text:
            seconds = _wanted(request.query.get("timeout"), request_timeout)
        request.deadline = request.received_at + seconds
        try:
            async with asyncio.timeout(request.deadline - clock.monotonic()) as deadline:
                return await handler(request)
        except TimeoutError:
            if not deadline.expired():
                raise
            metrics.terminated(request, 504)
            raise too_late(request.info) from None

    return filtered


def too_late(info: RequestInfo) -> errors.ApiError:
    """504 for a request that could not be answered in its time."""
    return errors.timeout(_READ_LATE if info.verb in _READING else _WRITE_LATE)


def _wanted(text: str, maximum: float) -> float:
    if not text:
        return maximum
    try:
        seconds = durations.parse(text)
    except ValueError as error:
        raise errors.bad_request(
            f"invalid timeout specified in the request URL - {error}"
        ) from None
    return seconds if 0 < seconds < maximum else maximum
