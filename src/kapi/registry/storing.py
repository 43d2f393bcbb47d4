"""Calls into storage from the registry: a backend that cannot answer now is a 503 with a retry
hint.

A write of which nobody knows whether it was made is a 504, as a request that ran out of time;
without a hint to try again, for a client that does so blindly might make it twice.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TypeVar

from kapi import errors
from kapi.errors import ApiError
from kapi.storage.interface import Corrupt, Refused, TooLarge, Unavailable

T = TypeVar("T")


async def storage_call(call: Awaitable[T]) -> T:
    """Await a storage call. Raises ApiError 500, 503, 504."""
    try:
        return await call
    except TooLarge as e:
        raise ApiError(500, "", str(e)) from e
    except (Corrupt, Refused) as e:
        raise errors.internal_error(str(e)) from e
    except Unavailable as e:
        if e.uncertain:
            raise ApiError(504, "Timeout", f"Timeout: {e}") from e
        raise errors.service_unavailable(f"storage is unavailable: {e}", retry_after=1) from e
