"""How much history a store keeps: by time (`Compactor`) and by size (`history_bytes_max`).

History is what the store holds beside the current objects: replaced values and deletes. It serves
reads at an older revision (continue tokens, exact reads) and watches that resume.

By time: the server runs one `Compactor`, which does what `--etcd-compaction-interval` asks of the
real server: everything from the last interval stays readable. By size: each storage compares its
history with `history_bytes_max` at every write and drops the oldest first, so that an object that
changes all the time (a lease) cannot fill the disk; then history is shorter than the interval.
"""

from __future__ import annotations

from collections import deque
from typing import Final

from kapi.clock import Clock
from kapi.storage.interface import Compacted, Storage, Unavailable

# Seconds of history, as the real server's default `--etcd-compaction-interval`.
INTERVAL_DEFAULT: Final = 300.0

# The newest revision is noted this often in an interval; history is at most 1/10 longer than asked.
SAMPLES_PER_INTERVAL: Final = 10

# Bytes of history that any store may have: some ten thousand changes of a lease, or 2,500 of a pod.
# Together with its index and the write-ahead log the file then stays below 20 MB.
HISTORY_BYTES_MIN: Final = 8 * 1024 * 1024

# What one row of history counts beside its value: its key, twice, and what a database adds.
ROW_BYTES: Final = 256


def history_bytes_max(live_bytes: int) -> int:
    """The bound of history beside current values of this size: as much again, at least 8 MiB."""
    return max(HISTORY_BYTES_MIN, live_bytes)


class Compactor:
    """Bounds the age of history. `run` is a task of the server and ends by being cancelled."""

    def __init__(self, storage: Storage, clock: Clock, *, interval: float) -> None:
        assert interval > 0, "an interval of 0 means: run no Compactor"
        self._storage = storage
        self._clock = clock
        self._interval = interval
        self._samples: deque[tuple[float, int]] = deque()  # (when, newest revision then), ascending
        self.failures = 0  # compactions that could not be done; each was tried again

    async def run(self) -> None:
        while True:
            await self.step()
            await self._clock.sleep(self._interval / SAMPLES_PER_INTERVAL)

    async def step(self) -> None:
        """Note the newest revision; compact to the newest one that is an interval old."""
        now = self._clock.monotonic()
        try:
            self._samples.append((now, await self._storage.current_revision()))
            old = now - self._interval
            while len(self._samples) > 1 and self._samples[1][0] <= old:
                self._samples.popleft()
            when, revision = self._samples[0]
            if when <= old and revision > await self._storage.compact_revision():
                await self._storage.compact(revision)
        except Compacted:
            return  # the bound in bytes was faster
        except Unavailable:
            self.failures += 1  # nothing is lost: the next step tries again
