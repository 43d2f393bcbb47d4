"""Asks another server to review something: sends a document of a kind, gets it back with a status.

For authorization and token webhooks, which kubeconfig files name. A call that failed for a reason
that may pass is made again, a few times, after ever longer waits, as the real server's client does.
https://kubernetes.io/docs/reference/access-authn-authz/webhook/
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import orjson

from kapi import durations
from kapi.clock import Clock, Entropy
from kapi.outgoing import words
from kapi.outgoing.client import Call, Client, Fetched
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.hooks import HookError, refused
from kapi.outgoing.words import ConnectionLost, DeadlineExceeded, OutgoingError

Json = dict[str, Any]
ATTEMPTS_MAX = 5
FIRST_WAIT_S = 0.5
_FACTOR, _JITTER = 1.5, 0.2  # each wait is so much longer than the one before, and at random longer
ANSWER_BYTES_MAX = 4 << 20  # a status with the groups and attributes of a user
_AGAIN = frozenset((429, 500, 504))  # statuses after which another try may do
_SHOWN_MAX = 200  # of an answer that is no review, in messages
# Told of each call: success, canceled, timeout or error; and its seconds.
Tally = Callable[[str, float], None]
_HEADERS = (
    ("User-Agent", "kube-apiserver"),
    ("Accept", "application/json, */*"),
    ("Content-Type", "application/json"),
)


class ReviewError(Exception):
    """No review. `again`: another try may do. `late`: it took too long."""

    def __init__(self, text: str, *, again: bool = False, late: bool = False) -> None:
        super().__init__(text)
        self.again = again
        self.late = late


@dataclass(frozen=True, slots=True)
class Server:
    """`url`: as messages show it; `path`: with its query, for the request line."""

    url: str
    path: str
    host: str
    endpoint: Endpoint
    headers: tuple[tuple[str, str], ...]


class ReviewClient:
    """Asks one server. `result` of a tally is that of the last call."""

    def __init__(
        self, client: Client, server: Server, clock: Clock, entropy: Entropy, timeout_s: float
    ) -> None:
        self._client = client
        self._clock = clock
        self._entropy = entropy
        self._timeout_s = timeout_s
        self._server = server
        # As client-go: the path of the file as it stands, a query of it does not count.
        parts = urlsplit(server.url)
        path = posixpath.normpath(f"/{parts.path.lstrip('/')}")
        self._target = f"{path}?timeout={durations.spell(timeout_s)}"
        self._url = f"{parts.scheme}://{parts.netloc}{self._target}"

    async def review(self, document: Json, tally: Tally | None = None) -> Json:
        """The status that the document comes back with. Raises ReviewError."""
        body = orjson.dumps(document) + b"\n"
        wait = FIRST_WAIT_S
        for attempt in range(1, ATTEMPTS_MAX + 1):
            start = self._clock.monotonic()
            result = "canceled"
            try:
                status = await self._once(document, body)
                result = "success"
                return status
            except ReviewError as error:
                result = "timeout" if error.late else "error"
                if not error.again or attempt == ATTEMPTS_MAX:
                    raise
            finally:
                if tally is not None:
                    tally(result, self._clock.monotonic() - start)
            await self._clock.sleep(wait * self._entropy.jitter(1, 1 + _JITTER))
            wait *= _FACTOR
        raise AssertionError("the last attempt returns or raises")

    async def _once(self, document: Json, body: bytes) -> Json:
        try:
            fetched = await self._fetched(body)
        except OutgoingError as error:
            text = words.url_error("POST", self._url, error)
            late = isinstance(error, DeadlineExceeded)
            again = "connection reset by peer" in str(error)
            raise ReviewError(text, again=again, late=late) from error
        if not 200 <= fetched.status <= 206:
            problem: HookError = refused(fetched)
            again = fetched.status in _AGAIN or bool(fetched.header("retry-after"))
            raise ReviewError(str(problem), again=again, late=fetched.status == 504)
        return _status(document, fetched.body)

    async def _fetched(self, body: bytes) -> Fetched:
        server = self._server
        call = Call(
            method="POST",
            target=self._target,
            endpoint=server.endpoint,
            headers=(*_HEADERS, *server.headers),
            body=body,
            host=server.host,
        )
        try:
            return await self._client.fetch(call, timeout_s=self._timeout_s, limit=ANSWER_BYTES_MAX)
        except ConnectionLost:  # a kept connection that the other side has just closed
            return await self._client.fetch(call, timeout_s=self._timeout_s, limit=ANSWER_BYTES_MAX)


def _status(document: Json, body: bytes) -> Json:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        text = f"couldn't get version/kind; json parse error: {error}"
        raise ReviewError(text) from error
    if not isinstance(answer, dict):
        raise ReviewError("couldn't get version/kind; json parse error: not an object")
    shown = body[:_SHOWN_MAX].decode("utf-8", "replace")
    for field, name in (("kind", "Kind"), ("apiVersion", "apiVersion")):
        if not answer.get(field):
            raise ReviewError(f"Object '{name}' is missing in '{shown}'")
    group = str(document["apiVersion"]).partition("/")[0]
    kind, version = answer["kind"], answer["apiVersion"]
    known = str(version) in (f"{group}/v1", f"{group}/v1beta1")
    if kind != document["kind"] or not known:
        raise ReviewError(f'no kind "{kind}" is registered for version "{version}"')
    status = answer.get("status")
    if status is None:
        return {}
    if not isinstance(status, dict):
        raise ReviewError(f"json: cannot unmarshal into Go struct field {kind}.status")
    return status
