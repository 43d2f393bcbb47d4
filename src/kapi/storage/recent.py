"""Records that were written or read of late, bounded by their bytes; the oldest go first.

Changed on the event loop only, in the same turn in which a change becomes visible: what is here
is current for the loop. The writer thread reads it too and compares the revision, since it may be
a batch ahead.
"""

from __future__ import annotations

from collections import OrderedDict

from kapi.storage.interface import Event, Record

# What a record counts beside its value: its key, the objects and the entry.
OVERHEAD_BYTES = 400


class Recent:
    def __init__(self, bytes_max: int) -> None:
        self._records: OrderedDict[str, Record] = OrderedDict()
        self._bytes = 0
        self._bytes_max = bytes_max

    def get(self, key: str) -> Record | None:
        return self._records.get(key)

    def put(self, record: Record) -> None:
        self.drop(record.key)
        self._records[record.key] = record
        self._bytes += len(record.value) + OVERHEAD_BYTES
        while self._bytes > self._bytes_max:
            _, oldest = self._records.popitem(last=False)
            self._bytes -= len(oldest.value) + OVERHEAD_BYTES

    def see(self, record: Record) -> None:
        """A record that was read; perhaps it is older than what is known."""
        known = self._records.get(record.key)
        if known is None or known.revision < record.revision:
            self.put(record)

    def learn(self, event: Event) -> None:
        """What a change leaves under its key."""
        if event.type == "delete":
            known = self._records.get(event.key)
            if known is not None and known.revision < event.revision:
                self.drop(event.key)
            return
        before = event.previous
        created = event.revision if before is None else before.create_revision
        self.see(Record(event.key, event.value, event.revision, created))

    def clear(self) -> None:
        self._records.clear()
        self._bytes = 0

    def drop(self, key: str) -> None:
        record = self._records.pop(key, None)
        if record is not None:
            self._bytes -= len(record.value) + OVERHEAD_BYTES
