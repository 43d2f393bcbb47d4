"""Memory and SQLite, and memory and a real etcd, driven side by side by random calls.

The machine is `tests/conformance/storage_model.py`; the file of SQLite is checked at the end of
each run.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from etcd_process import one_member
from hypothesis import settings
from storage_model import StorageModel

from kapi.clock import SystemClock
from kapi.storage.check import check_file
from kapi.storage.etcd import EtcdStorage
from kapi.storage.etcd_client import EtcdSettings
from kapi.storage.interface import Storage
from kapi.storage.sqlite import SqliteStorage


class SqliteModel(StorageModel):
    def __init__(self) -> None:
        super().__init__()
        self.directory = Path(tempfile.mkdtemp(prefix="kapi-model-"))

    async def open_other(self) -> Storage:
        return await SqliteStorage.open(self.directory)

    def closed(self) -> None:
        assert check_file(self.directory) == []

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            shutil.rmtree(self.directory)


class EtcdModel(StorageModel):
    def __init__(self) -> None:
        super().__init__()
        self.cleanup = ExitStack()
        directory = Path(tempfile.mkdtemp(prefix="kapi-model-"))
        self.cleanup.callback(shutil.rmtree, directory)
        try:
            self.etcd = self.cleanup.enter_context(one_member(directory))
        except BaseException:
            self.cleanup.close()
            raise

    async def open_other(self) -> Storage:
        return await EtcdStorage.open(EtcdSettings(servers=[self.etcd.url]), SystemClock())

    def teardown(self) -> None:
        try:
            super().teardown()
        finally:
            self.cleanup.close()


SqliteModel.TestCase.settings = settings(
    max_examples=15, stateful_step_count=30, deadline=None, derandomize=True, database=None
)
TestSqliteModel = SqliteModel.TestCase
EtcdModel.TestCase.settings = settings(
    max_examples=6, stateful_step_count=20, deadline=None, derandomize=True, database=None
)
TestEtcdModel = EtcdModel.TestCase
