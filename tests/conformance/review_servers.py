"""Servers that review something for kapi, and the kubeconfig files that lead to them.

`reviewing` serves over TLS what a test's function answers; the function gets the review and returns
a status, or a whole answer as (code, body).
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
from other_server import Asked, Authority, http, scripted, server_tls

Json = dict[str, Any]
Reply = Json | tuple[int, bytes]
Answer = Callable[[Json], Reply | Awaitable[Reply]]


@dataclass
class Reviews:
    """`asked`: the reviews as they came; `heads`: target and credentials of each."""

    kubeconfig: str
    answer: Answer
    asked: list[Json] = field(default_factory=list)
    heads: list[tuple[str, str, str]] = field(default_factory=list)  # target, token, common name

    async def handle(self, asked: Asked) -> None:
        review = orjson.loads(asked.body)
        self.asked.append(review)
        self.heads.append((asked.target, asked.header("authorization"), asked.peer))
        found = self.answer(review)
        reply = await found if isinstance(found, Awaitable) else found
        if isinstance(reply, tuple):
            await asked.answer(reply[0], reply[1], "application/json")
            return
        head = {key: review[key] for key in ("kind", "apiVersion")}
        await asked.answer(200, orjson.dumps({**head, "status": reply}))


def kubeconfig(path: Path, server: str, ca: str, user: Json | None = None) -> str:
    """A file that leads to a server; `ca`: PEM."""
    bundle = base64.b64encode(ca.encode()).decode()
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {"name": "c", "cluster": {"server": server, "certificate-authority-data": bundle}}
        ],
        "users": [{"name": "u", "user": user or {}}],
        "contexts": [{"name": "x", "context": {"cluster": "c", "user": "u"}}],
        "current-context": "x",
    }
    path.write_text(json.dumps(document))
    return str(path)


def _pair(authority: Authority) -> Json:
    certificate, key = (base64.b64encode(Path(p).read_bytes()) for p in authority.client("kapi"))
    return {"client-certificate-data": certificate.decode(), "client-key-data": key.decode()}


@asynccontextmanager
async def reviewing(
    folder: Path,
    answer: Answer,
    *,
    name: str = "hook",
    user: Json | None = None,
    client: bool = False,
) -> AsyncIterator[Reviews]:
    """`client`: who asks must show a certificate."""
    authority = Authority(folder, f"{name}-ca")
    tls = server_tls(authority.serving("127.0.0.1"), authority.path if client else "")
    if client:
        user = _pair(authority)
    reviews = Reviews("", answer)
    async with scripted(http(reviews.handle), tls) as serving:
        server = f"https://127.0.0.1:{serving.port}/{name}"
        reviews.kubeconfig = kubeconfig(folder / f"{name}.kubeconfig", server, authority.pem, user)
        yield reviews


def unreachable(folder: Path) -> str:
    """A kubeconfig for a server that is not there."""
    return kubeconfig(folder / "gone.kubeconfig", "https://127.0.0.1:1/gone", Authority(folder).pem)


async def never(review: Json) -> Reply:
    """An answer that does not come."""
    await asyncio.Event().wait()
    return {}
