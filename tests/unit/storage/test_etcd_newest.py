"""Who asks how far etcd is shares an answer, but never one to an older question."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from kapi.storage.etcd_client import EtcdClient
from kapi.storage.etcd_identity import Identity
from kapi.storage.etcd_keys import KeySpace
from kapi.storage.etcd_messages import Header
from kapi.storage.etcd_newest import Newest
from kapi.storage.interface import Unavailable
from kapi.storage.watch import Hub, Page


class Asked:
    """In the place of a client: questions that the test answers."""

    def __init__(self) -> None:
        self.questions: list[asyncio.Future[bytes]] = []

    async def read(self, method: str, request: bytes) -> bytes:
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]

    def answer(self, number: int, revision: int) -> None:
        self.questions[number].set_result(bytes((1 << 3 | 2, 2, 3 << 3, revision)))


def _made(hub: Hub | None = None, distrusted: list[str] | None = None) -> tuple[Newest, Asked]:
    asked, said = Asked(), distrusted if distrusted is not None else []
    client = cast(EtcdClient, asked)
    identity = Identity(client, KeySpace("/registry"), Header(0, 1))
    hub = Hub(_no_history, 1) if hub is None else hub
    return Newest(client, hub, identity, lambda: said.append("x")), asked


async def _no_history(prefix: str, after: int) -> Page:
    raise AssertionError("nobody reads history here")


async def _turns() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_meanwhile_shares_the_next_question() -> None:
    newest, asked = _made()
    async with asyncio.TaskGroup() as group:
        first = [group.create_task(newest.revision()) for _ in range(3)]
        await _turns()
        assert len(asked.questions) == 1
        later = [group.create_task(newest.revision()) for _ in range(3)]
        await _turns()
        asked.answer(0, 7)
        await _turns()
        assert [task.result() for task in first] == [7, 7, 7]
        assert not any(task.done() for task in later)
        asked.answer(1, 9)
    assert [task.result() for task in later] == [9, 9, 9]
    assert newest.asked == 2
    await newest.close()


async def test_a_failure_is_told_to_those_who_shared_it() -> None:
    newest, asked = _made()
    tasks = [asyncio.ensure_future(newest.revision()) for _ in range(2)]
    await _turns()
    after = asyncio.ensure_future(newest.revision())
    tasks[0].cancel()
    await _turns()
    asked.questions[0].set_exception(Unavailable("gone"))
    await _turns()
    with pytest.raises(Unavailable, match="gone"):
        await tasks[1]
    asked.answer(1, 3)
    assert await after == 3


async def test_the_end_is_told_to_all_who_wait() -> None:
    newest, _ = _made()
    tasks = [asyncio.ensure_future(newest.revision())]
    await _turns()
    tasks.append(asyncio.ensure_future(newest.revision()))
    await _turns()
    await newest.close()
    for task in tasks:
        with pytest.raises(Unavailable, match="closed"):
            await task


async def test_an_etcd_that_went_back() -> None:
    hub, distrusted = Hub(_no_history, 1), list[str]()
    newest, asked = _made(hub, distrusted)
    task = asyncio.ensure_future(newest.revision())
    await _turns()
    hub.advance(9)  # after the question: its answer need not know of it
    asked.answer(0, 5)
    assert await task == 5
    assert distrusted == []
    task = asyncio.ensure_future(newest.revision())
    await _turns()
    asked.answer(1, 8)
    with pytest.raises(Unavailable, match="its revision is 8 and was 9"):
        await task
    assert distrusted == ["x"]
    await newest.close()
