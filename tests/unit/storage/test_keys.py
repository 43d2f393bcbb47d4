"""Keys follow the real server's layout."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from kapi.storage import keys


@dataclass(frozen=True)
class Resource:
    storage_prefix: str
    namespaced: bool


PODS = Resource("pods", True)
SERVICES = Resource("services/specs", True)
NODES = Resource("minions", False)
WIDGETS = Resource("example.com/widgets", True)


@pytest.mark.parametrize(
    ("resource", "namespace", "name", "key"),
    [
        (PODS, "default", "a", "/registry/pods/default/a"),
        (SERVICES, "kube-system", "dns", "/registry/services/specs/kube-system/dns"),
        (NODES, "", "n1", "/registry/minions/n1"),
        (WIDGETS, "ns", "w", "/registry/example.com/widgets/ns/w"),
    ],
)
def test_key_and_back(resource: Resource, namespace: str, name: str, key: str) -> None:
    assert keys.object_key(resource, namespace, name) == key
    assert keys.split(resource, key) == (namespace, name)
    assert key.startswith(keys.prefix(resource))
    assert key.startswith(keys.prefix(resource, namespace))


def test_prefixes_end_with_a_slash() -> None:
    assert keys.prefix(PODS) == "/registry/pods/"
    assert keys.prefix(PODS, "a") == "/registry/pods/a/"
    assert keys.prefix(NODES, "ignored") == "/registry/minions/"


@pytest.mark.parametrize("key", ["/registry/a\0", "/registry/\udfff"])
def test_keys_that_cannot_be(key: str) -> None:
    with pytest.raises(ValueError):
        keys.check_key(key)


def test_any_other_text_can_be_a_key() -> None:
    keys.check_key("/registry/ü/\U0001f600/\x01")
