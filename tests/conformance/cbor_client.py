"""A client that speaks CBOR, where its tests speak JSON: what they send is translated, and what
comes back. So every suite can be run in this form, too.

It insists: an answer that could be CBOR and is not fails the test.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import orjson
from server_harness import APPLY_PATCH, Answer, Client, Running, Watch, running

from kapi.codec.cbor_format import SELF_DESCRIBED, dumps, tagged
from kapi.codec.cbor_scanner import Scanner
from kapi.schema.cbor_reading import loads

CBOR, JSON = "application/cbor", "application/json"
APPLY_CBOR = "application/apply-patch+cbor"
GATE = {"CBORServingAndStorage": True}
# What is never CBOR.
TEXTS = ("/openapi/", "/version", "/healthz", "/livez", "/readyz", "/metrics", "/.well-known/")


class CborWatch(Watch):
    """Events of a sequence, given as JSON."""

    def feed(self, chunk: bytes | None) -> None:
        if chunk is None:
            super().feed(None)
            return
        scanner = Scanner(chunk)  # whole events come in one piece
        while scanner.at < len(chunk):
            start = scanner.at
            assert chunk.startswith(SELF_DESCRIBED, start)
            scanner.skip()
            super().feed(orjson.dumps(loads(chunk[start : scanner.at])) + b"\n")


class CborClient(Client):
    """The same client in another language."""

    async def __call__(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = None,
        content_type: str = JSON,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        if isinstance(body, dict | list) and content_type in (JSON, APPLY_PATCH):
            body = tagged(dumps(body))
            content_type = CBOR if content_type == JSON else APPLY_CBOR
        answer = await super().__call__(
            method,
            path,
            body,
            token=token,
            content_type=content_type,
            headers=headers if path.startswith(TEXTS) else _translated(headers),
        )
        kind = answer.header("content-type")
        if kind.startswith(CBOR):
            # The order of fields is nobody's promise in CBOR.
            text = orjson.dumps(loads(answer.body), option=orjson.OPT_SORT_KEYS)
            named = {**answer.headers, "content-type": [kind.replace(CBOR, JSON, 1)]}
            return replace(answer, body=text, headers=named)
        asked = headers is None or "accept" not in headers
        if asked and kind.startswith(JSON) and not path.startswith(TEXTS):
            raise AssertionError(f"{method} {path} was answered in JSON: {answer.body[:300]!r}")
        return answer

    def new_watch(self) -> Watch:
        return CborWatch()

    @asynccontextmanager
    async def watch(
        self, path: str, *, headers: Mapping[str, str] | None = None, token: str | None = None
    ) -> AsyncIterator[Watch]:
        async with super().watch(path, headers=_translated(headers), token=token) as watch:
            yield watch


def _translated(headers: Mapping[str, str] | None) -> dict[str, str]:
    return {"accept": CBOR, **{k: v.replace(JSON, CBOR) for k, v in (headers or {}).items()}}


@asynccontextmanager
async def running_cbor(**more: Any) -> AsyncIterator[Running]:
    """A server with the gate on, and a client that speaks CBOR."""
    async with running(feature_gates=GATE, **more) as run:
        client = CborClient(run.client.app)
        yield Running(run.server, run.storage, client)
        run.client.crashes += client.crashes
