"""What a `Storage` over another one passes on as it is.

Base of `TranslatedStorage` and `EncryptedStorage`, which change values and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from kapi.storage.interface import Storage


class OverStorage:
    def __init__(self, inner: Storage) -> None:
        self.inner = inner

    async def current_revision(self) -> int:
        return await self.inner.current_revision()

    async def compact(self, revision: int) -> None:
        await self.inner.compact(revision)

    async def compact_revision(self) -> int:
        return await self.inner.compact_revision()

    async def close(self) -> None:
        await self.inner.close()

    def statistics(self) -> Mapping[str, int]:
        return self.inner.statistics()
