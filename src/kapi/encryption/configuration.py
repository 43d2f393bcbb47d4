"""EncryptionConfiguration, as `--encryption-provider-config` names it: from a file to records.

Decoding is strict, with the defaults of the real server; what is wrong with the values says
`validation.py`. Read at the start, and again when the file changes, by `assembly/encryption.py`.
https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from kapi import durations
from kapi.codec import yaml_format
from kapi.errors import quote

Json = dict[str, Any]
API_VERSION: Final = "apiserver.config.k8s.io/v1"
KIND: Final = "EncryptionConfiguration"
# Bytes of the file; one with a thousand keys has some 100 KB.
FILE_BYTES_MAX: Final = 16 << 20
KMS_TIMEOUT_S: Final = 3.0
KMS_CACHE_SIZE: Final = 1000  # of version 1


class ConfigurationError(ValueError):
    """What is wrong with the file or its parts, in the words of the real server."""


@dataclass(frozen=True, slots=True)
class Key:
    name: str
    secret: str = field(repr=False)  # base64


@dataclass(frozen=True, slots=True)
class Keys:
    """A provider with keys of its own: `aescbc`, `aesgcm`, `secretbox`."""

    kind: str
    keys: Sequence[Key]


@dataclass(frozen=True, slots=True)
class Kms:
    """A plugin. `timeout` in seconds."""

    name: str
    endpoint: str
    api_version: str
    timeout: float
    cache_size: int | None


@dataclass(frozen=True, slots=True)
class Identity:
    """Values as they are."""


Provider = Keys | Kms | Identity


@dataclass(frozen=True, slots=True)
class ResourceConfiguration:
    resources: Sequence[str]
    # What each element names: one, if it is right.
    providers: Sequence[Sequence[Provider]]


@dataclass(frozen=True, slots=True)
class Configuration:
    resources: Sequence[ResourceConfiguration]
    hash: str  # of the file


@dataclass(frozen=True, slots=True, order=True)
class GroupResource:
    """As in `secrets`, `deployments.apps`, `*.apps`, `*.`, `*.*`."""

    group: str
    resource: str

    def __str__(self) -> str:
        if self.resource == "*" and not self.group:
            return "*."
        return f"{self.resource}.{self.group}" if self.group else self.resource


def group_resource(text: str) -> GroupResource:
    resource, _, group = text.partition(".")
    return GroupResource(group, resource)


ANYTHING: Final = GroupResource("*", "*")


def read(path: str) -> tuple[bytes, str]:
    """The file and its hash, by which changes are noticed. Raises ConfigurationError."""
    what = f"encryption provider configuration file {quote(path)}"
    try:
        with Path(path).open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise ConfigurationError(f"error reading {what}: open {path}: {why}") from error
    if len(data) > FILE_BYTES_MAX:
        raise ConfigurationError(f"error reading {what}: larger than {FILE_BYTES_MAX} bytes")
    if not data:
        raise ConfigurationError(f"{what} is empty")
    return data, f"sha256:{hashlib.sha256(data).hexdigest()}"


def decode(path: str, data: bytes, file_hash: str) -> Configuration:
    """Raises ConfigurationError."""
    what = f"error decoding encryption provider configuration file {quote(path)}"
    try:
        document, repeated = yaml_format.loads(data)
    except yaml_format.YamlError as error:
        raise ConfigurationError(f"{what}: {' '.join(str(error).split())}") from error
    problems = [f"strict decoding error: {text}" for text in repeated]
    reader = _Reader(problems)
    if not isinstance(document, dict):
        raise ConfigurationError(f"{what}: couldn't get version/kind; it is no object")
    api_version, kind = document.get("apiVersion", ""), document.get("kind", "")
    if not isinstance(api_version, str) or not isinstance(kind, str) or not kind:
        raise ConfigurationError(f"{what}: Object 'Kind' is missing")
    if (api_version, kind) != (API_VERSION, KIND):
        raise ConfigurationError(
            f"{what}: no kind {quote(kind)} is registered for version {quote(api_version)}"
        )
    resources = reader.configuration(document)
    if problems:
        raise ConfigurationError(f"{what}: {', '.join(dict.fromkeys(problems))}")
    return Configuration(resources, file_hash)


class _Reader:
    """Walks the document; what is unknown or of the wrong type goes into `problems`."""

    def __init__(self, problems: list[str]) -> None:
        self._problems = problems

    def configuration(self, document: Json) -> Sequence[ResourceConfiguration]:
        self._fields(document, "", ("apiVersion", "kind", "resources"))
        return [
            self._resources(item, f"resources[{i}]")
            for i, item in self._objects(document, "resources", "")
        ]

    def _resources(self, item: Json, path: str) -> ResourceConfiguration:
        self._fields(item, path, ("resources", "providers"))
        names = item.get("resources") or []
        if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            self._wrong(f"{path}.resources", "a list of strings")
            names = []
        providers = [
            list(self._provider(provider, f"{path}.providers[{i}]"))
            for i, provider in self._objects(item, "providers", path)
        ]
        return ResourceConfiguration(names, providers)

    def _provider(self, item: Json, path: str) -> Iterator[Provider]:
        kinds: Mapping[str, Callable[[str, Json, str], Provider]] = {
            "kms": self._kms,
            "aesgcm": self._keys,
            "aescbc": self._keys,
            "secretbox": self._keys,
            "identity": self._identity,
        }
        self._fields(item, path, tuple(kinds))
        for kind, reads in kinds.items():
            part = item.get(kind)
            if part is None:
                continue
            if isinstance(part, dict):
                yield reads(kind, part, f"{path}.{kind}")
            else:
                self._wrong(f"{path}.{kind}", "an object")

    def _identity(self, kind: str, part: Json, path: str) -> Provider:
        self._fields(part, path, ())
        return Identity()

    def _keys(self, kind: str, part: Json, path: str) -> Provider:
        self._fields(part, path, ("keys",))
        keys = []
        for i, key in self._objects(part, "keys", path):
            where = f"{path}.keys[{i}]"
            self._fields(key, where, ("name", "secret"))
            keys.append(Key(self._text(key, "name", where), self._text(key, "secret", where)))
        return Keys(kind, keys)

    def _kms(self, kind: str, part: Json, path: str) -> Provider:
        self._fields(part, path, ("apiVersion", "name", "cachesize", "endpoint", "timeout"))
        api_version = self._text(part, "apiVersion", path) or "v1"
        size = part.get("cachesize")
        if size is not None and (not isinstance(size, int) or isinstance(size, bool)):
            self._wrong(f"{path}.cachesize", "an integer")
            size = None
        if size is None and api_version == "v1":
            size = KMS_CACHE_SIZE
        timeout = KMS_TIMEOUT_S
        if part.get("timeout") is not None:
            try:
                timeout = durations.parse(self._text(part, "timeout", path))
            except ValueError as error:
                self._problems.append(f"{path}.timeout: {error}")
        name, endpoint = self._text(part, "name", path), self._text(part, "endpoint", path)
        return Kms(name, endpoint, api_version, timeout, size)

    # -- parts ------------------------------------------------------------------------------------

    def _fields(self, item: Json, path: str, known: Sequence[str]) -> None:
        for name in item:
            if name not in known:
                where = f"{path}.{name}" if path else str(name)
                self._problems.append(f"strict decoding error: unknown field {quote(where)}")

    def _objects(self, item: Json, name: str, path: str) -> Iterator[tuple[int, Json]]:
        where = f"{path}.{name}" if path else name
        value = item.get(name)
        if value is None:
            return
        if not isinstance(value, list):
            self._wrong(where, "a list")
            return
        for i, element in enumerate(value):
            if isinstance(element, dict):
                yield i, element
            elif element is None:
                yield i, {}
            else:
                self._wrong(f"{where}[{i}]", "an object")

    def _text(self, item: Json, name: str, path: str) -> str:
        value = item.get(name)
        if value is None:
            return ""
        if not isinstance(value, str):
            self._wrong(f"{path}.{name}", "a string")
            return ""
        return value

    def _wrong(self, path: str, wanted: str) -> None:
        self._problems.append(f"{path}: must be {wanted}")
