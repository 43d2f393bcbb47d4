"""Metrics of which keys of a plugin are used, and when: by hash, for the last ten of them."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import Final

from kapi.clock import Clock
from kapi.metrics import Metrics

# Label sets that are kept, as by the real server.
KEPT: Final = 10


def hashed(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}" if text else ""


class KeyIds:
    """Of one provider."""

    def __init__(self, metrics: Metrics, clock: Clock, provider: str, server: str) -> None:
        name = "apiserver_envelope_encryption_"
        self._total = metrics.metric(f"{name}key_id_hash_total")
        self._last = metrics.metric(f"{name}key_id_hash_last_timestamp_seconds")
        self._status = metrics.metric(f"{name}key_id_hash_status_last_timestamp_seconds")
        self._invalid = metrics.metric(f"{name}invalid_key_id_from_status_total")
        self._clock = clock
        self._provider = provider
        self._server = hashed(server)
        self._hashes: dict[str, str] = {}
        self._used: OrderedDict[tuple[str, ...], None] = OrderedDict()
        self._told: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def used(self, kind: str, key_id: str) -> None:
        """A value was read from storage or written to it."""
        labels = (kind, self._provider, self._hash(key_id), self._server)
        self._total.cell(*labels).value += 1
        self._last.cell(*labels).value = self._clock.now()
        for gone in _touch(self._used, labels):
            self._total.remove(*gone)
            self._last.remove(*gone)

    def told(self, key_id: str) -> None:
        """The plugin named it as the key it encrypts with."""
        labels = (self._provider, self._hash(key_id), self._server)
        self._status.cell(*labels).value = self._clock.now()
        for gone in _touch(self._told, labels):
            self._status.remove(*gone)

    def invalid(self, code: str) -> None:
        self._invalid.cell(self._provider, code).value += 1

    def _hash(self, key_id: str) -> str:
        found = self._hashes.get(key_id)
        if found is None:
            if len(self._hashes) >= 4 * KEPT:
                self._hashes.clear()
            found = self._hashes[key_id] = hashed(key_id)
        return found


def _touch(
    kept: OrderedDict[tuple[str, ...], None], labels: tuple[str, ...]
) -> list[tuple[str, ...]]:
    """Note a use; the label sets that are kept no more."""
    kept[labels] = None
    kept.move_to_end(labels)
    return [kept.popitem(last=False)[0] for _ in range(len(kept) - KEPT)]
