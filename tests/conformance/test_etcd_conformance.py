"""The storage suite over a real etcd; a fresh one for each test, since revisions are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from etcd_process import Etcd, one_member
from ports import free_ports
from storage_suite import StorageSuite

from kapi.clock import SystemClock
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings
from kapi.storage.interface import Storage


class TestEtcd(StorageSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        with one_member(tmp_path) as etcd:
            storage = await EtcdStorage.open(EtcdSettings(servers=[etcd.url]), SystemClock())
            yield storage
            await storage.close()


@pytest.mark.parametrize("relative", [False, True])
async def test_an_etcd_behind_a_unix_socket(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, relative: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    client, peer = free_ports(2)
    name = f"localhost:{client}"  # no host: etcd calls the file so
    path = name if relative else str(tmp_path / name)
    urls = f"--listen-client-urls=http://127.0.0.1:{client},unix://{name}"
    etcd = Etcd(tmp_path, "m0", client, peer, "", ("--unsafe-no-fsync", urls))
    etcd.start()
    try:
        etcd.wait()
        storage = await EtcdStorage.open(EtcdSettings(servers=[f"unix://{path}"]), SystemClock())
        revision = await storage.create("/registry/pods/default/a", b"value")
        found = await storage.list("/registry/")
        assert [(r.value, r.revision) for r in found.records] == [(b"value", revision)]
        await storage.close()
    finally:
        etcd.kill()
