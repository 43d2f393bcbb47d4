"""A whole server in the test's own process, on the memory store, with a client that needs no
socket.

`running()` starts one and checks at its end what must hold after any test: the cache holds what
the store holds, no request crashed, no task and no thread is left. The client speaks to the ASGI
application, so paths, bodies and headers take the way of real ones."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import quote

import orjson

from kapi.cacher import consistency
from kapi.clock import Clock, Entropy, SystemClock
from kapi.edge.asgi import App
from kapi.options.table import Options
from kapi.server import Server
from kapi.storage.interface import Storage
from kapi.storage.memory import MemoryStorage

Json = dict[str, Any]
ADMIN = "admin-token"
USERS = {
    ADMIN: ("admin", "system:masters"),
    "alice-token": ("alice", "team"),
}
CRASH_WORDS = "the server failed; its log says why"
EVENT_WAIT_S = 10.0  # how long a test waits for an event that must come, on a busy machine
SEED = 4711

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Header names are in lower case; of a repeated one all values."""

    status: int
    headers: Mapping[str, list[str]]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def reason(self) -> str:
        return str(self.json.get("reason", ""))

    @property
    def message(self) -> str:
        return str(self.json.get("message", ""))

    def header(self, name: str) -> str:
        return self.headers.get(name, [""])[0]

    @property
    def warnings(self) -> list[str]:
        """The texts of the Warning headers, unquoted."""
        quoted = [w.partition(" - ")[2][1:-1] for w in self.headers.get("warning", [])]
        return [text.replace('\\"', '"').replace("\\\\", "\\") for text in quoted]

    def expect(self, status: int) -> Any:
        """The JSON of an answer that must have this status."""
        assert self.status == status, f"{self.status} instead of {status}: {self.body[:600]!r}"
        return self.json if self.body else None


class Watch:
    """An open watch: frames as they come."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._buffer = b""
        self._ended = False
        self.status = 0

    def feed(self, chunk: bytes | None) -> None:
        self._chunks.put_nowait(chunk)

    async def next(self, wait: float = EVENT_WAIT_S) -> Json | None:
        """The next event; None if the watch ended. Raises TimeoutError."""
        while b"\n" not in self._buffer:
            if self._ended:
                return None
            async with asyncio.timeout(wait):
                chunk = await self._chunks.get()
            if chunk is None:
                self._ended = True
            else:
                self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\n")
        event: Json = orjson.loads(line)
        return event

    def waiting(self) -> bool:
        """Whether `next` has something to give at once."""
        return b"\n" in self._buffer or not self._chunks.empty() or self._ended

    async def take(self, count: int) -> list[tuple[str, str]]:
        """Type and name of so many events."""
        found: list[tuple[str, str]] = []
        for _ in range(count):
            event = await self.next()
            assert event is not None, f"the watch ended after {found}"
            found.append((event["type"], event["object"]["metadata"].get("name", "")))
        return found

    async def ended(self) -> bool:
        """Whether it ends, after whatever still comes."""
        try:
            while await self.next() is not None:
                pass
        except TimeoutError:
            return False
        return True


class Client:
    """Requests to one server, as one user unless told otherwise."""

    def __init__(self, app: App, token: str = ADMIN) -> None:
        self.app = app
        self._token = token
        self.crashes: list[str] = []

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        content_type: str = "application/json",
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """One request. `path` may have a query; `body` is bytes, or a value sent as JSON."""
        data = b"" if body is None else encoded(body)
        scope = self._scope(method, path, data, token, content_type, headers or {})
        sent: list[Any] = []

        pending = [{"type": "http.request", "body": data, "more_body": False}]

        async def receive() -> Any:
            if not pending:
                await asyncio.Event().wait()  # the client stays until it has its answer
            return pending.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        await self.app(scope, receive, send)
        start = sent[0]
        answer = Answer(
            start["status"],
            collected(start["headers"]),
            b"".join(m.get("body", b"") for m in sent[1:]),
        )
        if answer.status == 500 and CRASH_WORDS.encode() in answer.body:
            self.crashes.append(f"{method} {path} {data[:300]!r}")
        return answer

    def new_watch(self) -> Watch:
        """What gets the answers of a watch."""
        return Watch()

    @asynccontextmanager
    async def watch(
        self, path: str, *, headers: Mapping[str, str] | None = None, token: str | None = None
    ) -> AsyncIterator[Watch]:
        """An open watch; the client goes away at the end of the block."""
        watch = self.new_watch()
        gone = asyncio.Event()
        begun = asyncio.Event()
        scope = self._scope("GET", path, b"", token, "", headers or {})

        async def receive() -> Any:
            await gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                watch.status = message["status"]
                begun.set()
                return
            if message.get("body"):
                watch.feed(message["body"])
            if not message.get("more_body"):
                watch.feed(None)

        async with asyncio.TaskGroup() as group:
            group.create_task(self.app(scope, receive, send))
            async with asyncio.timeout(EVENT_WAIT_S):
                await begun.wait()
            try:
                yield watch
            finally:
                gone.set()

    def _scope(
        self,
        method: str,
        path: str,
        data: bytes,
        token: str | None,
        content_type: str,
        headers: Mapping[str, str],
    ) -> Json:
        target, _, query = path.partition("?")
        raw = target.encode("utf-8", "surrogateescape")
        named = {"user-agent": "suite/1.0", **{k.lower(): v for k, v in headers.items()}}
        if data:
            named.setdefault("content-length", str(len(data)))
            if content_type:
                named.setdefault("content-type", content_type)
        token = self._token if token is None else token
        if token:
            named.setdefault("authorization", f"Bearer {token}")
        return {
            "type": "http",
            "method": method,
            "path": target,
            "raw_path": raw,
            "query_string": query.encode("utf-8", "surrogateescape"),
            "headers": [
                (k.encode(), v.encode("utf-8", "surrogateescape")) for k, v in named.items()
            ],
            "client": ("127.0.0.1", 1),
            "scheme": "https",
        }

    # -- what most tests do -----------------------------------------------------------------------

    async def get(self, path: str, **more: Any) -> Any:
        return (await self("GET", path, **more)).expect(200)

    async def post(self, path: str, body: Any, status: int = 201, **more: Any) -> Any:
        return (await self("POST", path, body, **more)).expect(status)

    async def put(self, path: str, body: Any, status: int = 200, **more: Any) -> Any:
        return (await self("PUT", path, body, **more)).expect(status)

    async def patch(self, path: str, body: Any, form: str = MERGE_PATCH, status: int = 200) -> Any:
        return (await self("PATCH", path, body, content_type=form)).expect(status)

    async def delete(self, path: str, body: Any = None, status: int = 200) -> Any:
        return (await self("DELETE", path, body)).expect(status)


def encoded(body: Any) -> bytes:
    """A body as sent: bytes as they are, anything else as JSON."""
    if isinstance(body, bytes):
        return body
    try:
        return orjson.dumps(body)
    except TypeError:  # integers beyond 64 bits
        return json.dumps(body).encode()


def collected(headers: list[tuple[bytes, bytes]]) -> dict[str, list[str]]:
    """Headers by name, in order."""
    found: dict[str, list[str]] = {}
    for name, value in headers:
        found.setdefault(name.decode(), []).append(value.decode())
    return found


def escaped(text: str) -> str:
    """One segment of a path."""
    return quote(text, safe="")


@dataclass(slots=True)
class Running:
    """A started server, its store and a client as its administrator."""

    server: Server
    storage: Storage
    client: Client

    async def caught_up(self) -> None:
        """The cache has all that is in the store."""
        assert self.server.cacher is not None
        current = await self.storage.current_revision()
        assert await self.server.cacher.wait_until(current, EVENT_WAIT_S)


@asynccontextmanager
async def running(
    *,
    storage: Storage | None = None,
    clock: Clock | None = None,
    seed: int = SEED,
    wrap: Callable[[Storage], Storage] = lambda inner: inner,
    alone: bool = True,
    **flags: Any,
) -> AsyncIterator[Running]:
    """A server; at its end everything must be in order. `flags` are fields of `Options`.

    `alone`: no other server is in this loop, so that every new task is this one's.
    """
    tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
    inner = storage or MemoryStorage()
    wrapped = wrap(inner)

    async def opened(options: Options) -> Storage:
        return wrapped

    with TemporaryDirectory(prefix="kapi-test-") as directory:
        tokens = Path(directory) / "tokens.csv"
        tokens.write_text("".join(f"{t},{u},{u}-uid,{g}\n" for t, (u, g) in USERS.items()))
        options = Options(**{"data_dir": ":memory:", "token_auth_file": str(tokens), **flags})
        time = clock or SystemClock()
        server = Server(options, time, Entropy(seed), open_storage=opened)
        await server.start()
    run = Running(server, inner, Client(App(server.handler, time, server.metrics)))
    try:
        yield run
        if not server.stopping:
            await _check(run)
    finally:
        await server.stop()
    left = {t for t in asyncio.all_tasks() - tasks if not t.done()} - {asyncio.current_task()}
    assert not alone or not left, f"tasks are left: {left}"
    assert not set(threading.enumerate()) - threads, "threads are left"


async def _check(run: Running) -> None:
    await run.caught_up()
    assert run.server.cacher is not None
    storage = run.storage
    if run.server.options.encryption_provider_config:  # as the cache sees it
        storage = next(iter(run.server.cacher.caches())).source.storage
    assert await consistency.check(run.server.cacher, storage) == []
    assert not run.client.crashes, "\n".join(run.client.crashes)


async def eventually(condition: Callable[[], Awaitable[bool]], wait: float = EVENT_WAIT_S) -> None:
    """Wait until a condition holds. Raises TimeoutError."""
    async with asyncio.timeout(wait):
        while not await condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)
