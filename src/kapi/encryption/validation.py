"""What is wrong with an EncryptionConfiguration, in the real server's words. Pure.

All findings are told at once; secrets are never among the words.
https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#understanding-the-encryption-at-rest-configuration
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from kapi import durations
from kapi.encryption.configuration import (
    ANYTHING,
    Configuration,
    ConfigurationError,
    GroupResource,
    Key,
    Keys,
    Kms,
    Provider,
    group_resource,
)
from kapi.errors import quote_value

SIZES: Final = {"aesgcm": (16, 24, 32), "aescbc": (16, 24, 32), "secretbox": (32,)}
_WITHOUT_API: Final = ("apiserveripinfo", "serviceipallocations", "servicenodeportallocations")
_STAR: Final = (
    "use '*.' to encrypt all the resources from core API group or *.* to encrypt all resources"
)
_OVERLAP: Final = (
    "using overlapping resources such as 'secrets' and '*.' in the same resource list is not "
    "allowed as they will be masked"
)
_EVENTS: Final = (
    "'*.events.k8s.io' objects are stored using the 'events' API group in etcd. Use 'events' "
    "instead in the config file"
)
_EXTENSIONS: Final = "'extensions' group has been removed and cannot be used for encryption"
NO_PROVIDER: Final = (
    "provider does not contain any of the expected providers: "
    "KMS, AESGCM, AESCBC, Secretbox, Identity"
)
_TWO_PROVIDERS: Final = (
    "more than one provider specified in a single element, should split into different list "
    "elements"
)


def check(configuration: Configuration, *, reload: bool) -> None:
    """Raises ConfigurationError. `reload`: the file is read again when it changes."""
    found = list(dict.fromkeys(_findings(configuration, reload)))
    if len(found) == 1:
        raise ConfigurationError(found[0])
    if found:
        raise ConfigurationError(f"[{', '.join(found)}]")


def secret_bytes(key: Key) -> bytes:
    """Raises ValueError. Line ends do not count, as to Go's decoder."""
    text = key.secret.replace("\r", "").replace("\n", "")
    try:
        return base64.b64decode(text.encode(), validate=True)
    except (binascii.Error, UnicodeEncodeError) as error:
        raise ValueError("secrets must be base64 encoded") from error


def _invalid(path: str, value: Any, text: str) -> str:
    return f"{path}: Invalid value: {quote_value(value)}: {text}"


def _required(path: str, text: str) -> str:
    return f"{path}: Required value: {text}"


def _findings(configuration: Configuration, reload: bool) -> Iterator[str]:
    if not configuration.resources:
        yield _required("resources", "at least one resources is required")
    names: set[str] = set()
    for i, one in enumerate(configuration.resources):
        resources, providers = f"resources[{i}].resources", f"resources[{i}].providers"
        if not one.resources:
            yield _required(resources, f"at least one {resources} is required")
        yield from _overlaps(one.resources, resources)
        for j, name in enumerate(one.resources):
            yield from _name(name, f"{resources}[{j}]")
        if not one.providers:
            yield _required(providers, f"at least one {providers} is required")
        for j, element in enumerate(one.providers):
            path = f"{providers}[{j}]"
            if len(element) != 1:
                yield _invalid(path, _shown(element), _TWO_PROVIDERS if element else NO_PROVIDER)
            for provider in element[:1]:
                if isinstance(provider, Kms):
                    yield from _kms(provider, f"{path}.kms", names, reload)
                    names.add(provider.name)
                elif isinstance(provider, Keys):
                    yield from _keys(provider, f"{path}.{provider.kind}.keys")


def _shown(element: Sequence[Provider]) -> dict[str, Any]:
    """Which providers an element has; not what is in them."""
    return {p.kind if isinstance(p, Keys) else type(p).__name__.lower(): {} for p in element}


def _overlaps(names: Sequence[str], path: str) -> Iterator[str]:
    resources = [group_resource(name) for name in names]
    if len(set(resources)) < len(resources):
        yield _invalid(path, list(names), "the same resource cannot be specified multiple times")
    if any(_masks(a, b) for a in resources for b in resources if a != b):
        yield _invalid(path, list(names), _OVERLAP)


def _masks(a: GroupResource, b: GroupResource) -> bool:
    return a == ANYTHING or (a.group == b.group and a.resource == "*")


def _name(name: str, path: str) -> Iterator[str]:
    wanted = group_resource(name)
    if name.lower() != name:
        yield _invalid(path, name, "resource name should not contain capital letters")
    elif name == "*":
        yield _invalid(path, name, _STAR)
    elif name in _WITHOUT_API:
        text = "resources which do not have REST API/s cannot be encrypted"
        yield _invalid(path, name, text)
    elif wanted.group == "events.k8s.io":
        yield _invalid(path, name, _EVENTS)
    elif wanted.group == "extensions":
        yield _invalid(path, name, _EXTENSIONS)
    elif wanted.group == "*" and wanted.resource != "*":
        yield _invalid(path, name, "encrypting the same resource across groups is not supported")


def _keys(provider: Keys, path: str) -> Iterator[str]:
    if not provider.keys:
        yield _required(path, "at least one keys is required")
    sizes = SIZES[provider.kind]
    for i, key in enumerate(provider.keys):
        where = f"{path}[{i}]"
        if not key.name:
            yield _required(f"{where}.name", "name is a mandatory field for a key")
        if not key.secret:
            yield _required(f"{where}.secret", "secret is a mandatory field for a key")
            continue
        try:
            size = len(secret_bytes(key))
        except ValueError as error:
            yield _invalid(f"{where}.secret", "REDACTED", str(error))
            continue
        if size not in sizes:
            wanted = " ".join(map(str, sizes))
            text = f"secret is not of the expected length, got {size}, expected one of [{wanted}]"
            yield _invalid(f"{where}.secret", "REDACTED", text)


def _kms(kms: Kms, path: str, names: set[str], reload: bool) -> Iterator[str]:
    first = kms.api_version == "v1"
    if not kms.name:
        yield _required(f"{path}.name", "name is a mandatory field for a provider")
    if not first and ":" in kms.name:
        text = f"invalid KMS provider name {kms.name}, must not contain ':'"
        yield _invalid(f"{path}.name", kms.name, text)
    if (reload or not first) and kms.name in names:
        text = f"duplicate KMS provider name {kms.name}, names must be unique"
        yield _invalid(f"{path}.name", kms.name, text)
    if kms.timeout <= 0:
        spelled = ("-" if kms.timeout < 0 else "") + durations.spell(abs(kms.timeout))
        yield f"{path}.timeout: Invalid value: {spelled}: timeout should be a positive value"
    yield from _endpoint(kms.endpoint, f"{path}.endpoint")
    if not first and kms.cache_size is not None:
        text = "cachesize is not supported in v2"
        yield _invalid(f"{path}.cachesize", kms.cache_size, text)
    if first and kms.cache_size == 0:
        text = "cachesize should be a positive value, or negative to disable"
        yield _invalid(f"{path}.cachesize", 0, text)
    if kms.api_version not in ("v1", "v2"):
        text = "unsupported apiVersion apiVersion for KMS provider, only v1 and v2 are supported"
        yield _invalid(f"{path}.apiVersion", kms.api_version, text)


def _endpoint(endpoint: str, path: str) -> Iterator[str]:
    if not endpoint:
        yield _invalid(path, "", "endpoint is a mandatory field for a kms")
        return
    try:
        scheme = urlsplit(endpoint).scheme
    except ValueError as error:
        yield _invalid(path, endpoint, f"invalid endpoint for kms provider, error: {error}")
        return
    if scheme != "unix":
        text = f"unsupported scheme {quote_value(scheme)} for KMS provider, only unix is supported"
        yield _invalid(path, endpoint, text)
