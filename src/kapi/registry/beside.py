"""Work with large objects, done where it holds up nobody: what the write pipeline knows of it.

`handlers/aside.py` is the thread; `server.py` gives the writer its `run`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

T = TypeVar("T")

# Objects up to this size are worked on at once: at worst some 40 ms, mostly under one.
INLINE_BYTES_MAX = 100 * 1024


class Run(Protocol):
    """The result of `work` over so many bytes; raises what it raises. It must not touch what the
    event loop may change."""

    def __call__(self, size: int, work: Callable[[], T], /) -> Awaitable[T]: ...
