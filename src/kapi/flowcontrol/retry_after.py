"""After how many seconds a refused client should come back: longer while many are refused.

Per priority level; the filter asks with each refusal. Times are whole seconds since the epoch.
The rule of k8s.io/apiserver: twice as long once there were three refusals for each second of it,
one second less when there was less than one; never more than 32.
"""

from __future__ import annotations

from collections import deque

RETRY_AFTER_MAX_S = 32


class Refusals:
    """The refusals of one level."""

    __slots__ = ("_count", "_history", "_raised_at", "_second", "retry_after")

    def __init__(self) -> None:
        self.retry_after = 1
        self._second = 0
        self._count = 0
        self._history: deque[tuple[int, int]] = deque()  # second, refusals in it; the oldest first
        self._raised_at = 0

    def add(self, second: int) -> int:
        """One more; how long its client should wait."""
        if second == self._second:
            self._count += 1
            return self.retry_after
        self._history.append((self._second, self._count))
        while self._second - self._history[0][0] > RETRY_AFTER_MAX_S:
            self._history.popleft()
        self._second, self._count = second, 1
        self._adjust(second)
        return self.retry_after

    def _adjust(self, second: int) -> None:
        wait = self.retry_after
        recent = sum(n for at, n in self._history if second - wait <= at < second)
        if second - self._raised_at >= wait and recent >= 3 * wait:
            self.retry_after = min(2 * wait, RETRY_AFTER_MAX_S)
            self._raised_at = second
        elif recent < wait and wait > 1:
            self.retry_after = wait - 1
