"""Two servers behind a balancer of TCP connections are restarted in turn, and their clients see
nothing of it but connections that are closed: lists go on page by page, watches where they were,
tokens are good everywhere, and no request is answered with an error.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from etcd_process import one_member
from server_harness import eventually
from server_process import TOKEN, Process, tls

from kapi.credentials import certificates

Json = dict[str, Any]
MAPS = "/api/v1/namespaces/default/configmaps"
REVIEWS = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
ROUNDS = 2
PAUSE_S = 0.02
LOOK_S = 0.1


class Balancer:
    """Passes connections to servers that say that they are ready, each time to the next one."""

    def __init__(self) -> None:
        self.servers: dict[str, int] = {}  # name → port
        self.ready: list[int] = []
        self._next = 0

    async def look(self) -> None:
        """Until cancelled: who is ready?"""
        async with httpx.AsyncClient(verify=tls(), timeout=1) as client:
            while True:
                ready = []
                for port in list(self.servers.values()):
                    with contextlib.suppress(httpx.TransportError):
                        answer = await client.get(f"https://127.0.0.1:{port}/readyz")
                        if answer.status_code == 200:
                            ready.append(port)
                self.ready = ready
                await asyncio.sleep(LOOK_S)

    async def passes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._next += 1
        for at in range(len(self.ready)):
            port = self.ready[(self._next + at) % len(self.ready)]
            try:
                other_reader, other_writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                continue
            with contextlib.suppress(asyncio.CancelledError):  # the test is over
                await asyncio.gather(pump(reader, other_writer), pump(other_reader, writer))
            other_writer.close()
            break
        writer.close()


async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()


class Client:
    """Requests through the balancer. What fails without an answer is tried again; what is
    answered with an error is noted.
    """

    def __init__(self, port: int) -> None:
        url = f"https://127.0.0.1:{port}"
        self.http = httpx.AsyncClient(base_url=url, verify=tls(), timeout=20)
        self.resets = 0
        self.errors: list[str] = []

    async def __call__(
        self, method: str, path: str, body: Any = None, *, token: str = TOKEN, but: int = 0
    ) -> Json:
        """`but`: a status that a repetition may have: the first try was made after all."""
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        tries = 0
        while True:
            try:
                answer = await self.http.request(method, path, content=data, headers=headers)
            except httpx.TransportError:
                self.resets += 1
                tries += 1
                await asyncio.sleep(PAUSE_S)
                continue
            if answer.status_code >= 400 and not (tries and answer.status_code == but):
                self.errors.append(f"{method} {path}: {answer.status_code} {answer.text}")
            found: Json = answer.json()
            return found


class Story:
    """What the clients do, until `over`, and what they found."""

    def __init__(self, client: Client, token: str) -> None:
        self.client = client
        self.token = token
        self.over = False
        self.made: list[str] = []
        self.lists = self.reviews = 0
        self.watched: list[str] = []
        self.watches = 0

    async def write(self) -> None:
        while not self.over:
            name = f"m{len(self.made):05}"
            await self.client("POST", MAPS, {"metadata": {"name": name}}, but=409)
            self.made.append(name)
            await asyncio.sleep(PAUSE_S)

    async def read(self) -> None:
        while not self.over:
            known = list(self.made)
            page = await self.client("GET", f"{MAPS}?limit=10")
            names, version = [], page["metadata"]["resourceVersion"]
            while True:
                assert page["metadata"]["resourceVersion"] == version
                names += [o["metadata"]["name"] for o in page["items"]]
                token = page["metadata"].get("continue")
                if not token:
                    break
                await asyncio.sleep(PAUSE_S)  # so that pages fall on both servers
                page = await self.client("GET", f"{MAPS}?limit=10&continue={token}")
            assert len(names) == len(set(names))
            assert not set(known) - set(names)  # what was made before is there
            self.lists += 1

    async def watch(self, version: str) -> None:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        while not (self.over and set(self.made) <= set(self.watched)):
            path = f"{MAPS}?watch=1&allowWatchBookmarks=true&timeoutSeconds=5"
            path += f"&resourceVersion={version}"
            self.watches += 1
            with contextlib.suppress(httpx.TransportError):
                async with self.client.http.stream("GET", path, headers=headers) as answer:
                    assert answer.status_code == 200
                    async for line in answer.aiter_lines():
                        event = json.loads(line)
                        assert event["type"] in ("ADDED", "BOOKMARK"), event
                        version = event["object"]["metadata"]["resourceVersion"]
                        if event["type"] == "ADDED":
                            self.watched.append(event["object"]["metadata"]["name"])
            await asyncio.sleep(PAUSE_S)

    async def review(self) -> None:
        """Who am I? With a token that one server made."""
        while not self.over:
            body = {"kind": "SelfSubjectReview", "apiVersion": "authentication.k8s.io/v1"}
            found = await self.client("POST", REVIEWS, body, token=self.token)
            user = found["status"]["userInfo"]["username"]
            assert user == "system:serviceaccount:default:roller"
            self.reviews += 1
            await asyncio.sleep(PAUSE_S)


@asynccontextmanager
async def balanced() -> AsyncIterator[tuple[Balancer, int]]:
    balancer = Balancer()
    server = await asyncio.start_server(balancer.passes, "127.0.0.1", 0)
    looking = asyncio.ensure_future(balancer.look())
    try:
        yield balancer, server.sockets[0].getsockname()[1]
    finally:
        looking.cancel()
        server.close()
        await asyncio.gather(looking, return_exceptions=True)


async def until_ready(balancer: Balancer, count: int) -> None:
    async def so() -> bool:
        return len(balancer.ready) >= count

    await eventually(so, 30)


@pytest.mark.slow
@pytest.mark.timeout(180)
async def test_servers_are_restarted_in_turn(tmp_path: Path) -> None:
    key = certificates.make_token_key()
    (tmp_path / "sa.key").write_bytes(key)
    (tmp_path / "sa.pub").write_bytes(certificates.public_key_of(key))
    with one_member(tmp_path, safe=True) as etcd:
        flags = (
            f"--etcd-servers={etcd.url}",
            f"--service-account-key-file={tmp_path / 'sa.pub'}",
            f"--service-account-signing-key-file={tmp_path / 'sa.key'}",
            "--bind-address=127.0.0.1",
            "--shutdown-delay-duration=1s",
            "--controllers=*,-root-ca",  # each has a CA of its own here
        )
        servers: dict[str, Process] = {}

        async def start(name: str) -> None:
            servers[name] = Process(tmp_path / name, *flags)
            await servers[name].ready()
            balancer.servers[name] = servers[name].port

        try:
            async with balanced() as (balancer, port):
                for name in ("one", "two"):
                    await start(name)
                await until_ready(balancer, 2)
                client = Client(port)
                account = "/api/v1/namespaces/default/serviceaccounts"
                await client("POST", account, {"metadata": {"name": "roller"}})
                issued = await client("POST", f"{account}/roller/token", {"spec": {}})
                begin = (await client("GET", MAPS))["metadata"]["resourceVersion"]
                story = Story(client, issued["status"]["token"])
                async with asyncio.TaskGroup() as tasks:
                    for act in (story.write(), story.read(), story.watch(begin), story.review()):
                        tasks.create_task(act)
                    for name in ("one", "two") * ROUNDS:
                        await asyncio.sleep(0.5)
                        servers[name].terminate()
                        assert await servers[name].ended(30) == 0
                        assert "Traceback" not in servers[name].log, servers[name].log
                        servers[name].close()
                        await start(name)
                        await until_ready(balancer, 2)
                    await asyncio.sleep(0.5)
                    story.over = True
                assert client.errors == []
                mine = [name for name in story.watched if name.startswith("m")]
                assert mine == story.made  # each once, in their order, over all restarts
                assert story.watches >= 2 * ROUNDS  # it went from server to server
                assert min(len(story.made), story.reviews) > 20
                assert story.lists > 2
                await client.http.aclose()
        finally:
            for server in servers.values():
                server.close()
