"""A KMS plugin as a provider: the seed that is written with, those that are read, and its health.

The plugin is asked for its status every minute (after a failure every ten seconds). While the key
it names stays the same the seed is used on; when it names another one, a new seed is made and
encrypted by it, and what the old key encrypted is stale. Without a good answer for three minutes
nothing is written any more, so that a migration after a change of keys can rely on it; reads go on.

`Provider.run` is a task of `assembly/encryption.py`; `check` is also what health endpoints ask.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from kapi import log
from kapi.clock import Clock, Entropy, rfc3339
from kapi.encryption import envelope
from kapi.encryption.configuration import Kms
from kapi.encryption.envelope import Known, SeedAesGcm
from kapi.encryption.key_ids import KeyIds
from kapi.encryption.local_keys import Random
from kapi.encryption.messages import EncryptedObject, Status, object_bytes
from kapi.encryption.plugin import Plugin
from kapi.encryption.transformers import FROM_STORAGE, TO_STORAGE, Transformer, TransformError
from kapi.errors import quote
from kapi.metrics import Metrics
from kapi.storage.encryption import KeyNeeded

# Seconds between questions for the status: while all is well, and after a failure.
POLL_S, POLL_FAILED_S = 60.0, 10.0
# Seconds for which a seed may be written with after the last good answer.
WRITE_S: Final = 180.0
# Seconds for which health endpoints give the last answer.
HEALTHY_S, UNHEALTHY_S = 20.0, 3.0
# Seconds before a key that could not be decrypted is asked for again: if the plugin said no, and if
# it did not answer. A good answer to a check ends the latter.
REFUSED_S, UNANSWERED_S = 1.0, 10.0
VERSIONS: Final = ("v2", "v2beta1")
_TRANSIENT: Final = frozenset(("Unavailable", "DeadlineExceeded", "Canceled", "Aborted"))

_log = log.get("kms")


@dataclass(frozen=True, slots=True)
class _State:
    """What is written with."""

    transformer: SeedAesGcm
    source: EncryptedObject  # without a value
    expires: float  # seconds since the epoch
    key: bytes  # by which its readers are remembered


class Provider:
    """A `Transformer`. `recovered` is called when values that could not be read may be now."""

    def __init__(
        self,
        settings: Kms,
        plugin: Plugin,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        server: str,
        random: Random = os.urandom,
    ) -> None:
        """`server`: the name of this API server."""
        self.name = settings.name
        self.timeout = settings.timeout
        self.recovered: Callable[[], None] = lambda: None
        self._plugin = plugin
        self._clock = clock
        self._entropy = entropy
        self._random = random
        self._key_ids = KeyIds(metrics, clock, settings.name, server)
        self._misses = metrics.metric(
            "apiserver_storage_envelope_transformation_cache_misses_total"
        )
        self._size = metrics.metric("apiserver_envelope_encryption_dek_source_cache_size")
        self._made = metrics.histogram("apiserver_storage_data_key_generation_duration_seconds")
        self._state: _State | None = None
        self._known = Known()
        self._refused: dict[bytes, tuple[TransformError, float]] = {}
        self._missed = False  # something could not be read
        self._silent: tuple[TransformError, float] | None = None  # until when nobody is asked
        self._version = ""
        self._problem = "not asked yet"
        self._asked = -UNHEALTHY_S  # when, by the clock that never goes back
        self._asking = asyncio.Lock()
        self._fetching = asyncio.Lock()

    # -- values -----------------------------------------------------------------------------------

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        obj = envelope.opened(data)
        state = self._current()
        key = envelope.source_key(obj)
        reader = self._known.get(key)
        if reader is None:
            refused = self._refused.get(key)
            if refused is not None and self._clock.monotonic() < refused[1]:
                raise refused[0]
            raise KeyNeeded(partial(self._fetch, key, obj))
        self._key_ids.used(FROM_STORAGE, obj.key_id)
        value, stale = reader.read(obj.data, context)
        now = state.source
        return value, stale or (obj.key_id, obj.source_type) != (now.key_id, now.source_type)

    def write(self, data: bytes, context: bytes) -> bytes:
        state = self._current()
        if self._clock.now() > state.expires:
            raise TransformError(
                f"encryptedDEKSource with keyID hash {quote(_hash(state.source.key_id))} expired "
                f"at {rfc3339(state.expires)} (current time is {rfc3339(self._clock.now())})"
            )
        self._remember(state.key, state.transformer)
        obj = replace(state.source, data=state.transformer.write(data, context))
        self._key_ids.used(TO_STORAGE, obj.key_id)
        return object_bytes(obj)

    def _current(self) -> _State:
        if self._state is None:
            self._missed = True
            raise TransformError("got unexpected nil transformer")
        return self._state

    async def _fetch(self, key: bytes, obj: EncryptedObject) -> None:
        """Ask the plugin for the key of an object; what it says is remembered either way."""
        async with self._fetching:
            now = self._clock.monotonic()
            refused = self._refused.get(key)
            if self._known.get(key) is not None or (refused is not None and now < refused[1]):
                return
            if self._silent is not None and now < self._silent[1]:
                self._refused[key] = self._silent  # it would wait as long once more
                return
            self._misses.cell().value += 1
            try:
                plain = await self._plugin.decrypt(obj, self._entropy.uid())
                self._remember(key, envelope.of_key(obj.source_type, plain))
                self._refused.pop(key, None)
                self._silent = None
            except TransformError as error:
                transient = error.code in _TRANSIENT
                self._missed |= transient
                if len(self._refused) >= envelope.SEEDS_MAX:
                    self._refused.clear()
                failed = TransformError(f"failed to decrypt DEK, error: {error}", error.code)
                pause = UNANSWERED_S if transient else REFUSED_S
                self._refused[key] = (failed, self._clock.monotonic() + pause)
                if error.code == "DeadlineExceeded":
                    self._silent = self._refused[key]

    def _remember(self, key: bytes, reader: Transformer) -> None:
        self._known.put(key, reader)
        self._size.cell(self.name).value = len(self._known)

    # -- health -----------------------------------------------------------------------------------

    @property
    def problem(self) -> str:
        """What the last check found; empty if all is well."""
        return self._problem

    async def check(self) -> str:
        """Ask the plugin how it is, unless that was just done, and bring the seed up to date."""
        async with self._asking:
            fresh = UNHEALTHY_S if self._problem else HEALTHY_S
            if self._clock.monotonic() - self._asked < fresh:
                return self._problem
            before = self._problem
            try:
                status = await self._plugin.status()
            except TransformError as error:
                self._problem = (
                    "failed to perform status section of the healthz check for KMS Provider "
                    f"{self.name}, error: {error}"
                )
            else:
                self._problem = await self._judged(status)
            self._asked = self._clock.monotonic()
            if self._problem:
                _log.warning("kms plugin", provider=self.name, problem=self._problem)
            elif self._missed:
                self._missed = False
                self._refused.clear()
                self._silent = None
                self.recovered()
            if before and not self._problem:
                _log.info("kms plugin is well", provider=self.name)
            return self._problem

    async def run(self) -> None:
        """Keep asking."""
        while True:
            await self._clock.sleep(POLL_FAILED_S if self._problem else POLL_S)
            await self.check()

    async def close(self) -> None:
        await self._plugin.close()

    async def _judged(self, status: Status) -> str:
        found = []
        if status.healthz != "ok":
            found.append(f"got unexpected healthz status: {status.healthz}")
        if status.version not in VERSIONS:
            found.append(f"expected KMSv2 API version {VERSIONS[0]}, got {status.version}")
        else:
            self._version = self._version or status.version
            if self._version != status.version:
                found.append(
                    "KMSv2 API version should not change after the initial status response "
                    f"version {self._version}, got {status.version}"
                )
        code, wrong = envelope.key_id_problem(status.key_id)
        if wrong:
            self._key_ids.invalid(code)
            found.append(f"got invalid KMSv2 KeyID hash {quote(_hash(status.key_id))}: {wrong}")
        else:
            self._key_ids.told(status.key_id)
            found += filter(None, (await self._rotate(status.key_id),))
        if not found:
            return ""
        text = found[0] if len(found) == 1 else f"[{', '.join(found)}]"
        return f"kmsv2 Provider {self.name} is not healthy, error: {text}"

    async def _rotate(self, key_id: str) -> str:
        """A seed for the key that the plugin names; what is wrong if there is none."""
        expires = self._clock.now() + WRITE_S
        state = self._state
        if state is not None and state.source.key_id == key_id:
            self._state = replace(state, expires=expires)
            return ""
        uid, error, got = self._entropy.uid(), "<nil>", ""
        try:
            made = await self._seed(uid, expires)
            got = made.source.key_id
            if got == key_id:
                self._state = made
                _log.info("a seed for a new key", provider=self.name, key=_hash(key_id))
                return ""
        except TransformError as failed:
            error = str(failed)
        before = "" if state is None else state.source.key_id
        until = "0001-01-01T00:00:00Z" if state is None else rfc3339(state.expires)
        missing = "got unexpected nil transformer" if state is None else "<nil>"
        return (
            f"failed to rotate DEK uid={quote(uid)}, useSeed=true, errState={missing}, "
            f"errGen={error}, statusKeyIDHash={quote(_hash(key_id))}, "
            f"encryptKeyIDHash={quote(_hash(got))}, stateKeyIDHash={quote(_hash(before))}, "
            f"expirationTimestamp={until}"
        )

    async def _seed(self, uid: str, expires: float) -> _State:
        start = self._clock.monotonic()
        seed = self._random(envelope.SEED_BYTES)
        self._made.cell().observe(self._clock.monotonic() - start)
        try:
            answer = await self._plugin.encrypt(seed, uid)
        except TransformError as error:
            text = f"failed to encrypt DEK, error: {error}"
            raise TransformError(text, error.code) from None
        source = EncryptedObject(b"", answer.key_id, answer.ciphertext, answer.annotations)
        envelope.check_source(source)
        key = envelope.source_key(source)
        return _State(SeedAesGcm(seed, self._random), source, expires, key)


def _hash(key_id: str) -> str:
    return f"sha256:{hashlib.sha256(key_id.encode()).hexdigest()}" if key_id else ""
