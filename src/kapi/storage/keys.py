"""Where an object lives in the store: `/registry/<storage prefix>/[<namespace>/]<name>`.

The layout is the real server's, so that one etcd can serve both. Used by the registry (to write),
the cacher (to index) and continue tokens. Names and namespaces are path segments: callers have
validated that they hold no slash.
"""

from __future__ import annotations

from typing import Protocol

ROOT = "/registry/"


class Keyed(Protocol):
    """The part of a `ResourceType` that decides on keys."""

    @property
    def storage_prefix(self) -> str: ...
    @property
    def namespaced(self) -> bool: ...


def object_key(resource: Keyed, namespace: str, name: str) -> str:
    """The key of one object; `namespace` is ignored for a cluster-scoped resource."""
    if resource.namespaced:
        return f"{ROOT}{resource.storage_prefix}/{namespace}/{name}"
    return f"{ROOT}{resource.storage_prefix}/{name}"


def prefix(resource: Keyed, namespace: str = "") -> str:
    """What all keys of a resource (in one namespace, if given) start with; ends with a slash."""
    if namespace and resource.namespaced:
        return f"{ROOT}{resource.storage_prefix}/{namespace}/"
    return f"{ROOT}{resource.storage_prefix}/"


def split(resource: Keyed, key: str) -> tuple[str, str]:
    """(namespace, name) of a key of this resource; the namespace is "" if it has none."""
    rest = key[len(ROOT) + len(resource.storage_prefix) + 1 :]
    if not resource.namespaced:
        return "", rest
    namespace, _, name = rest.partition("/")
    return namespace, name


def check_key(key: str) -> None:
    """Raise ValueError for a key that no backend can hold: NUL or lone surrogates in it."""
    if "\0" in key:
        raise ValueError("a key must not hold NUL")
    key.encode()  # UnicodeEncodeError is a ValueError
