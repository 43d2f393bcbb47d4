"""A webhook server as a user would write one, over TLS in the test's own loop.

`Hooks` answers AdmissionReviews and ConversionReviews by path; a test says how, and looks at what
was asked.
"""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
from other_server import Asked, Authority, http, scripted, server_tls

Json = dict[str, Any]
# From the request of a review to its response (uid and defaults are added), or a whole answer.
Reply = Callable[[Json], "Json | bytes | Awaitable[Json | bytes]"]


def allow(request: Json) -> Json:
    return {"allowed": True}


def patch(*operations: Json) -> Reply:
    """A mutating webhook that always answers with this patch."""
    text = base64.b64encode(orjson.dumps(operations)).decode()
    return lambda request: {"allowed": True, "patchType": "JSONPatch", "patch": text}


class Hooks:
    """`paths`: how each answers. `requests`: what each was asked, in order."""

    def __init__(self, authority: Authority) -> None:
        self.authority = authority
        self.paths: dict[str, Reply] = {}
        self.requests: dict[str, list[Json]] = {}
        self.targets: list[str] = []
        self.agents: list[str] = []
        self.status = 200
        self.kind = "application/json"
        self.port = 0
        self.connections = 0

    def asked(self, path: str) -> list[Json]:
        return self.requests.get(path, [])

    def client(self, path: str) -> Json:
        """The clientConfig for a path."""
        bundle = base64.b64encode(self.authority.pem.encode()).decode()
        return {"url": f"https://127.0.0.1:{self.port}{path}", "caBundle": bundle}

    async def handle(self, asked: Asked) -> None:
        review = orjson.loads(asked.body)
        request = review["request"]
        self.requests.setdefault(asked.path, []).append(request)
        self.targets.append(asked.target)
        self.agents.append(asked.header("user-agent"))
        response = self.paths[asked.path](request)
        if asyncio.iscoroutine(response) or isinstance(response, Awaitable):
            response = await response
        if isinstance(response, bytes):
            await asked.answer(self.status, response, self.kind)
            return
        head = {"kind": review["kind"], "apiVersion": review["apiVersion"]}
        whole = {**head, "response": {"uid": request["uid"], **response}}
        await asked.answer(self.status, orjson.dumps(whole), self.kind)


@asynccontextmanager
async def webhooks(folder: Path, *names: str) -> AsyncIterator[Hooks]:
    """`names`: of the certificate, beside 127.0.0.1."""
    authority = Authority(folder)
    hooks = Hooks(authority)
    tls = server_tls(authority.serving("127.0.0.1", *names))
    async with scripted(http(hooks.handle), tls) as serving:
        hooks.port = serving.port
        yield hooks
        hooks.connections = serving.connections


def configuration(kind: str, name: str, *webhooks: Json) -> Json:
    """A configuration; what a webhook leaves out has a sensible value."""
    rule = {
        "apiGroups": [""],
        "apiVersions": ["v1"],
        "operations": ["CREATE", "UPDATE", "DELETE"],
        "resources": ["configmaps"],
    }
    base = {"sideEffects": "None", "admissionReviewVersions": ["v1"], "rules": [rule]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": f"{kind}WebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{**base, **webhook} for webhook in webhooks],
    }
