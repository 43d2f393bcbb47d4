"""The storage suite over a real etcd; a fresh one for each test, since revisions are counted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from etcd_process import one_member
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
