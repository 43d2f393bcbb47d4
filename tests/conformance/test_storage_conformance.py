"""The storage suite over each storage; SQLite files are checked afterwards."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from storage_suite import StorageSuite

from kapi.storage.check import check_file
from kapi.storage.interface import Storage
from kapi.storage.memory import MemoryStorage
from kapi.storage.sqlite import SqliteStorage


class TestMemory(StorageSuite):
    @pytest.fixture
    async def storage(self) -> AsyncIterator[Storage]:
        storage = MemoryStorage()
        yield storage
        await storage.close()


class TestSqlite(StorageSuite):
    @pytest.fixture
    async def storage(self, tmp_path: Path) -> AsyncIterator[Storage]:
        storage = await SqliteStorage.open(tmp_path)
        yield storage
        await storage.close()
        assert check_file(tmp_path) == []
