"""The bytes of a request as the HTTP server hands them over. Used by `asgi.py`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from kapi import errors

Receive = Callable[[], Awaitable[Any]]


class AsgiBody:
    """The bytes of a request as they come."""

    __slots__ = ("_length", "_receive")

    def __init__(self, receive: Receive, length: int) -> None:
        self._receive = receive
        self._length = length  # as declared; -1: unknown

    async def read(self, limit: int) -> bytes:
        if self._length > limit:
            raise too_large(limit)
        chunks: list[bytes] = []
        size = 0
        async for chunk in self.stream():
            size += len(chunk)
            if size > limit:
                raise too_large(limit)
            chunks.append(chunk)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def stream(self) -> AsyncIterator[bytes]:
        while True:
            message = await self._receive()
            if message["type"] != "http.request":
                raise errors.bad_request("unexpected EOF")
            chunk: bytes = message.get("body", b"")
            if chunk:
                yield chunk
            if not message.get("more_body", False):
                return


def too_large(limit: int) -> errors.ApiError:
    return errors.request_entity_too_large(f"Request entity too large: limit is {limit}")
