"""Encryption at rest, put together: the file, the plugins it names, their health, and its reload.

`server.py` makes it of the flags before it opens the cache, and only with
`--encryption-provider-config`. With `--encryption-provider-config-automatic-reload` the file is
looked at every minute: a changed one replaces the rules once all its plugins are well; one that
cannot be used is told of in the log and in metrics, and what was there goes on.
https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/
"""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from kapi import log
from kapi.assembly.stores import EXTRA, json_of_messages
from kapi.clock import Clock, Entropy
from kapi.controllers.identity_lease import server_name
from kapi.encryption import configuration as files
from kapi.encryption import validation
from kapi.encryption.configuration import (
    ANYTHING,
    Configuration,
    ConfigurationError,
    GroupResource,
    Keys,
    Kms,
    ResourceConfiguration,
    group_resource,
)
from kapi.encryption.key_ids import hashed
from kapi.encryption.kms import Provider
from kapi.encryption.local_keys import from_keys
from kapi.encryption.plugin import Plugin
from kapi.encryption.resources import ResourceCiphers, Rules
from kapi.encryption.transformers import (
    NO_MATCH,
    Counts,
    Identity,
    Prefixed,
    PrefixTransformers,
)
from kapi.handlers.documents.health import Check
from kapi.kinds.catalog import Catalog
from kapi.metrics import Metrics
from kapi.options.table import Options
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.interface import StorageError

CHECK: Final = "kms-providers"
# Seconds between looks at the file.
RELOAD_S: Final = 60.0
# Seconds after a file that could not be used, doubled up to RELOAD_S.
RETRY_S: Final = 1.0
# Seconds that the plugins of a new file have to be well, at least; and between two looks.
WELL_S, LOOK_S = 10.0, 0.1
KMS_V1_REFUSED: Final = (
    "KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead.  "
    "Set --feature-gates=KMSv1=true to use the deprecated KMSv1 feature."
)
KMS_V1_ABSENT: Final = (
    "KMSv1 is not there, whatever the feature gate KMSv1 says. Use KMSv2 instead."
)

_log = log.get("encryption")


class CannotEncrypt(StorageError):
    """The file cannot be used; nothing is served without what it asks for."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """What one file came to."""

    rules: Rules
    providers: Sequence[Provider]
    hash: str

    @property
    def grace(self) -> float:
        """Seconds that calls under way may take."""
        return 2 * sum(p.timeout for p in self.providers)

    async def close(self) -> None:
        await asyncio.gather(*(provider.close() for provider in self.providers))


class Encryption:
    """`start` before the store is used, `stop` after it."""

    def __init__(
        self,
        options: Options,
        clock: Clock,
        entropy: Entropy,
        metrics: Metrics,
        catalog: Catalog,
    ) -> None:
        self._path = options.encryption_provider_config
        self._reloads = options.encryption_provider_config_automatic_reload
        self._gates = options.feature_gates
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._server = server_name(socket.gethostname())
        self._counts = Counts(metrics, clock.monotonic)
        self._shown = _ConfigMetrics(metrics, clock, self._server)
        self._loaded = _Loaded({}, (), "")
        self._tasks: list[asyncio.Task[None]] = []
        self._polling: list[asyncio.Task[None]] = []
        self._closing: set[asyncio.Task[None]] = set()
        self.cipher = _cipher(options, catalog)

    async def start(self) -> None:
        """Raises CannotEncrypt. A plugin that does not answer yet is no error."""
        try:
            loaded = self._load()
        except ConfigurationError as error:
            raise CannotEncrypt(str(error)) from error
        _warn_of_readers(self._path)
        await asyncio.gather(*(provider.check() for provider in loaded.providers))
        self._use(loaded)
        self._shown.holds(loaded.hash)
        if self._reloads:
            run = self._reload()
            self._tasks = [asyncio.get_running_loop().create_task(run, name="encryption-reload")]

    async def stop(self) -> None:
        tasks = [*self._tasks, *self._polling, *self._closing]
        self._tasks, self._polling = [], []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._loaded.close()

    def checks(self) -> list[Check]:
        """One for all plugins; where the file may change, always."""
        if not self._reloads and not self._loaded.providers:
            return []
        return [Check(CHECK, self._problem, refresh=self._refresh)]

    # -- the file ---------------------------------------------------------------------------------

    def _load(self) -> _Loaded:
        """Raises ConfigurationError."""
        try:
            data, file_hash = files.read(self._path)
        except ConfigurationError as error:
            text = f"error while parsing file: error while loading file: {error}"
            raise ConfigurationError(text) from error
        try:
            found = files.decode(self._path, data, file_hash)
            validation.check(found, reload=self._reloads)
        except ConfigurationError as error:
            raise ConfigurationError(f"error while parsing file: {error}") from error
        try:
            return self._built(found)
        except ConfigurationError as error:
            raise ConfigurationError(f"error while building transformers: {error}") from error

    def _built(self, found: Configuration) -> _Loaded:
        lists: dict[GroupResource, list[Prefixed]] = {}
        providers: list[Provider] = []
        for part in found.resources:
            made = [self._prefixed(one, part, providers) for (one,) in part.providers]
            for name in part.resources:
                wanted = group_resource(name)
                for rule in (GroupResource(wanted.group, "*"), ANYTHING):
                    if rule in lists:
                        text = f'resource "{wanted}" is masked by earlier rule "{rule}"'
                        raise ConfigurationError(text)
                lists.setdefault(wanted, []).extend(made)
        rules = {
            wanted: PrefixTransformers(NO_MATCH, made, self._counts)
            for wanted, made in lists.items()
        }
        return _Loaded(rules, providers, found.hash)

    def _prefixed(
        self, one: files.Provider, part: ResourceConfiguration, providers: list[Provider]
    ) -> Prefixed:
        if isinstance(one, Keys):
            return from_keys(one, self._counts)
        if not isinstance(one, Kms):
            return Prefixed(b"", Identity())
        if one.api_version == "v1":
            raise ConfigurationError(KMS_V1_ABSENT if self._gates.get("KMSv1") else KMS_V1_REFUSED)
        plugin = Plugin(one, self._clock, self._metrics)
        provider = Provider(one, plugin, self._clock, self._entropy, self._metrics, self._server)
        provider.recovered = self.cipher.again
        providers.append(provider)
        return Prefixed(f"k8s:enc:kms:v2:{one.name}:".encode(), provider)

    def _use(self, loaded: _Loaded) -> None:
        self._loaded = loaded
        self.cipher.use(loaded.rules)
        loop = asyncio.get_running_loop()
        self._polling = [
            loop.create_task(provider.run(), name=f"kms-{provider.name}")
            for provider in loaded.providers
        ]

    # -- health -----------------------------------------------------------------------------------

    def _problem(self) -> str:
        return _problem(self._loaded.providers)

    async def _refresh(self) -> None:
        await asyncio.gather(*(provider.check() for provider in self._loaded.providers))

    # -- reload -----------------------------------------------------------------------------------

    async def _reload(self) -> None:
        retry = RETRY_S
        while True:
            try:
                await self.look()
                pause, retry = RELOAD_S, RETRY_S
            except Exception as error:  # whatever it is, what was there goes on
                self._shown.reloaded("failure")
                # What others say may have the file in it.
                known = isinstance(error, ConfigurationError)
                text = str(error) if known else type(error).__name__
                _log.error("the encryption config cannot be used", file=self._path, error=text)
                pause, retry = retry, min(2 * retry, RELOAD_S)
            await self._clock.sleep(pause)

    async def look(self) -> None:
        """Take over the file if it has changed. Raises ConfigurationError."""
        if files.read(self._path)[1] == self._loaded.hash:
            return
        loaded = self._load()
        if loaded.hash == self._loaded.hash:
            return
        try:
            await self._well(loaded)
        except BaseException:
            await loaded.close()
            raise
        old, polling = self._loaded, self._polling
        self._use(loaded)
        self._shown.reloaded("success")
        self._shown.holds(loaded.hash)
        _log.info("the encryption config was read anew", file=self._path)
        task = asyncio.get_running_loop().create_task(
            self._retire(old, polling), name="encryption-retire"
        )
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _well(self, loaded: _Loaded) -> None:
        """Wait until its plugins are. Raises ConfigurationError."""
        until = self._clock.monotonic() + max(loaded.grace, WELL_S)
        while True:
            await asyncio.gather(*(provider.check() for provider in loaded.providers))
            problem = _problem(loaded.providers)
            if not problem:
                return
            if self._clock.monotonic() >= until:
                raise ConfigurationError(
                    "health check for new transformers failed, polling error context deadline "
                    f"exceeded: {problem}"
                )
            await self._clock.sleep(LOOK_S)

    async def _retire(self, old: _Loaded, polling: Sequence[asyncio.Task[None]]) -> None:
        """Let the calls of an earlier file end."""
        try:
            await self._clock.sleep(old.grace)
        finally:
            for task in polling:
                task.cancel()
            await asyncio.gather(*polling, return_exceptions=True)
            await old.close()


class _ConfigMetrics:
    """What is told of the file."""

    def __init__(self, metrics: Metrics, clock: Clock, server: str) -> None:
        name = "apiserver_encryption_config_controller_"
        self._total = metrics.metric(f"{name}automatic_reloads_total")
        self._last = metrics.metric(f"{name}automatic_reload_last_timestamp_seconds")
        self._info = metrics.metric(f"{name}last_config_info")
        self._clock = clock
        self._server = hashed(server)

    def reloaded(self, status: str) -> None:
        self._total.cell(status, self._server).value += 1
        self._last.cell(status, self._server).value = self._clock.now()

    def holds(self, file_hash: str) -> None:
        self._info.clear()
        self._info.cell(self._server, file_hash).value = 1


def _problem(providers: Sequence[Provider]) -> str:
    found = [f"kms-provider-{i}: {p.problem}" for i, p in enumerate(providers) if p.problem]
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else ""


def _warn_of_readers(path: str) -> None:
    """Who reads the file reads everything that its keys protect."""
    mode = stat.S_IMODE(os.stat(path).st_mode)
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        _log.warning(
            "the encryption config may be read by others than its owner: chmod 600",
            file=path,
            mode=f"{mode:04o}",
        )


def _cipher(options: Options, catalog: Catalog) -> ResourceCiphers:
    places: dict[str, GroupResource | None] = {prefix: None for prefix, _, _ in EXTRA}
    for resource in catalog.resources({"api/all": True}):
        if resource.stored_in_store:
            # Events have two groups, and are kept as those of core.
            place = GroupResource(resource.stored.group, resource.plural)
            places[resource.storage_prefix] = place
    if not options.etcd_servers:
        return ResourceCiphers(places, str.encode, json_of_messages(catalog))
    return ResourceCiphers(places, _outer(KeySpace(options.etcd_prefix)))


def _outer(space: KeySpace) -> Callable[[str], bytes]:
    def outer(key: str) -> bytes:
        return space.outer(key) or key.encode("utf-8", "surrogatepass")

    return outer
