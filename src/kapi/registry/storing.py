"""Calls into storage from the registry: a backend that cannot answer now is a 503 with a retry
hint.

A write of which nobody knows whether it was made is a 504, as a request that ran out of time;
without a hint to try again, for a client that does so blindly might make it twice.
"""

from __future__ import annotations

import types
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from kapi import errors
from kapi.errors import ApiError
from kapi.storage.interface import Corrupt, Refused, TooLarge, Unavailable

T = TypeVar("T")


async def storage_call(call: Awaitable[T], meanwhile: Callable[[], None] | None = None) -> T:
    """Await a storage call, and do something while the store is at work.

    Raises ApiError 500, 503, 504, and what `meanwhile` raises, when the call is at its end.
    """
    try:
        return await (call if meanwhile is None else _begun(call, meanwhile))
    except TooLarge as e:
        raise ApiError(500, "", str(e)) from e
    except (Corrupt, Refused) as e:
        raise errors.internal_error(str(e)) from e
    except Unavailable as e:
        if e.uncertain:
            raise ApiError(504, "Timeout", f"Timeout: {e}") from e
        raise errors.service_unavailable(f"storage is unavailable: {e}", retry_after=1) from e


@types.coroutine
def _begun(call: Awaitable[T], meanwhile: Callable[[], None]) -> Generator[Any, Any, T]:
    """A call that goes on up to where it waits, before `meanwhile` is run."""
    steps = call.__await__()
    failed: Exception | None = None
    try:
        try:
            waited = next(steps)
        finally:
            try:
                meanwhile()
            except Exception as error:
                failed = error
        while True:
            try:
                sent = yield waited
            except BaseException as error:
                waited = steps.throw(error)
            else:
                waited = steps.send(sent)
    except StopIteration as end:
        if failed is not None:
            raise failed from None
        result: T = end.value
        return result
