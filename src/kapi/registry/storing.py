"""Calls into storage from the registry: a backend that cannot answer now is a 503 with a retry
hint."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from kapi import errors
from kapi.storage.interface import Unavailable

T = TypeVar("T")


async def storage_call(call: Awaitable[T]) -> T:
    """Await a storage call. Raises ApiError 503."""
    try:
        return await call
    except Unavailable as e:
        raise errors.service_unavailable(f"storage is unavailable: {e}", retry_after=1) from e
