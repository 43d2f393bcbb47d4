"""Configuration files that are read again when they change, without a restart.

A file is looked at every second; what is wrong with a new one is logged and counted, and the old
one stays in force. What is good but could not come into force (`NotYet`) is tried again. The loops
are started by `background/loops.py`, one for each such file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable

from kapi import log
from kapi.clock import Clock
from kapi.codec.typed_documents import FILE_BYTES_MAX
from kapi.metrics import Metrics

LOOK_EVERY_S = 1.0
AGAIN_EVERY_S = 60.0  # of what is good, but failed for a reason that may pass

_log = log.get("configuration")
# Takes the new content into force; False: it means the same as before. Raises ValueError, OSError.
Apply = Callable[[bytes], Awaitable[bool]]


class ConfigurationFileError(ValueError):
    """A file that the start needs cannot be used; the text is one line."""


def read(path: str) -> bytes:
    """Raises OSError."""
    with open(path, "rb") as file:
        return file.read(FILE_BYTES_MAX + 1)


def sha256(text: bytes) -> str:
    """As labels of metrics name a configuration, an issuer or a server."""
    return f"sha256:{hashlib.sha256(text).hexdigest()}" if text else ""


class NotYet(ValueError):
    """New content cannot come into force now; the same may do later."""


class ReloadMetrics:
    """`subsystem`: authorization or authentication. `server`: the identity of this server."""

    def __init__(self, metrics: Metrics, subsystem: str, server: str, clock: Clock) -> None:
        prefix = f"apiserver_{subsystem}_config_controller_"
        self._count = metrics.metric(f"{prefix}automatic_reloads_total")
        self._last = metrics.metric(f"{prefix}automatic_reload_last_timestamp_seconds")
        self._info = metrics.metric(f"{prefix}last_config_info")
        self._server = sha256(server.encode())
        self._clock = clock

    def in_force(self, data: bytes) -> None:
        self._info.clear()
        self._info.cell(self._server, sha256(data)).value = 1

    def done(self, *, success: bool) -> None:
        status = "success" if success else "failure"
        self._count.cell(self._server, status).value += 1
        self._last.cell(self._server, status).value = self._clock.now()


class ReloadedFile:
    """One file. `data`: what is in force."""

    def __init__(
        self, path: str, data: bytes, apply: Apply, metrics: ReloadMetrics, clock: Clock
    ) -> None:
        self.path = path
        self._data = data
        self._apply = apply
        self._metrics = metrics
        self._clock = clock
        self._problem = ""
        self._again_at: float | None = None
        metrics.in_force(data)

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._clock.sleep(LOOK_EVERY_S)
            await self.look()

    async def look(self) -> None:
        """Read it; take what is new into force."""
        try:
            data = read(self.path)
        except OSError as error:
            text = str(error)
            if text != self._problem:
                self._failed(text)
            self._problem = text
            return
        self._problem = ""
        again = self._again_at is not None and self._clock.monotonic() >= self._again_at
        if data == self._data and not again:
            return
        self._data = data
        self._again_at = None
        try:
            changed = await self._apply(data)
        except NotYet as error:
            self._again_at = self._clock.monotonic() + AGAIN_EVERY_S
            self._failed(str(error))
            return
        except (ValueError, OSError) as error:
            self._failed(str(error))
            return
        if changed:
            self._metrics.done(success=True)
            self._metrics.in_force(data)
            _log.info("reloaded", file=self.path)

    def _failed(self, text: str) -> None:
        self._metrics.done(success=False)
        _log.error("cannot reload", file=self.path, error=text)
