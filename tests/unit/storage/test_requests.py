"""Requests to etcd are counted by operation and resource."""

from __future__ import annotations

import pytest

from kapi.clock import SystemClock
from kapi.storage.interface import Unavailable
from kapi.storage.requests import Requests, prefix_of


@pytest.mark.parametrize(
    ("key", "prefix"),
    [
        ("/registry/pods/default/a", "pods"),
        ("/registry/minions/a", "minions"),
        ("/registry/pods/", "pods"),
        ("/registry/services/specs/default/a", "services/specs"),
        ("/registry/services/endpoints/", "services/endpoints"),
        ("/registry/example.com/things/default/a", "example.com/things"),
        ("/registry/apiextensions.k8s.io/customresourcedefinitions/a.b",
         "apiextensions.k8s.io/customresourcedefinitions"),
        ("/registry/ranges/servicenodeports", "ranges"),
        ("/registry/", ""),
    ],
)  # fmt: skip
def test_the_prefix_of_a_key(key: str, prefix: str) -> None:
    assert prefix_of(key) == prefix


async def test_requests_and_errors() -> None:
    async def well() -> int:
        return 7

    async def badly() -> int:
        raise Unavailable("gone")

    requests = Requests(SystemClock())
    assert await requests.timed("get", "/registry/pods/default/a", well()) == 7
    with pytest.raises(Unavailable):
        await requests.timed("get", "/registry/pods/default/b", badly())
    await requests.timed("create", "/registry/pods/default/b", well())
    assert set(requests.tallies) == {("get", "pods"), ("create", "pods")}
    got = requests.tallies[("get", "pods")]
    assert (got.requests, got.errors) == (2, 1)
    assert got.seconds.counts[0] == 2
