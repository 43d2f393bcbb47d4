"""`/openapi/v2` and `/openapi/v3`: the documents that kubectl and client generators read.

A document is built when it is first asked for, kept compressed, and dropped when its digest changes
with the resource table; the digest is the ETag and the `hash` of the v3 index. Whoever asks with
the right hash may keep the answer for ever; a wrong hash is sent to the right one. Any method
reads, as on the real server.
"""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any, Protocol

from kapi import errors
from kapi.clock import Clock
from kapi.codec import json_format
from kapi.codec.negotiate import JSON, PLAIN, Offer, matches, parse_accept
from kapi.handlers.aside import Aside
from kapi.handlers.documents.answers import TEXT
from kapi.handlers.documents.merged_discovery import Remote, Remotes, merged_v2
from kapi.handlers.documents.openapi_documents import Documents
from kapi.handlers.documents.openapi_proto_v2 import encode_v2
from kapi.handlers.documents.openapi_proto_v3 import encode_v3
from kapi.messages import Request, Response
from kapi.registry.resource import ResourceTable

V2_PROTOBUF = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf"
_V2_TYPES = {
    JSON: JSON,
    # As clients spell it:
    "application/com.github.proto-openapi.spec.v2@v1.0+protobuf": V2_PROTOBUF,
    V2_PROTOBUF: V2_PROTOBUF,
}
V3_PROTOBUF = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf"
_V3_TYPES = {
    JSON: JSON,
    "application/com.github.proto-openapi.spec.v3@v1.0+protobuf": V3_PROTOBUF,
    V3_PROTOBUF: V3_PROTOBUF,
}
KEEP_DAYS = 365  # what HTTP calls for ever
# What building a document costs for each kind in it, as bytes of a body that is read aside.
KIND_BYTES = 20_000
COMPRESSION = 6  # of 9: a tenth of the time of 9, within a twentieth of its size


class Elsewhere(Protocol):
    """The servers of other group versions."""

    def at(self, path: str) -> Any: ...

    async def handle(self, request: Request, backend: Any) -> Response: ...


@dataclass(frozen=True, slots=True)
class _Kept:
    digest: str
    compressed: bytes


@dataclass(frozen=True, slots=True)
class _Seen:
    """Other servers as they were known at a moment, for another thread to read."""

    generation: int
    found: Mapping[tuple[str, str], Remote]

    @staticmethod
    def of(remotes: Remotes | None) -> _Seen | None:
        return _Seen(remotes.generation, dict(remotes.versions())) if remotes else None

    def versions(self) -> Mapping[tuple[str, str], Remote]:
        return self.found

    def group_priorities(self) -> Mapping[str, int]:
        return {}


class OpenApi:
    """Serves the documents of one table."""

    def __init__(
        self,
        table: ResourceTable,
        clock: Clock,
        remotes: Remotes | None = None,
        elsewhere: Elsewhere | None = None,
        aside: Aside | None = None,
        offer: Offer = PLAIN,
    ) -> None:
        """`remotes`: group versions of other servers, whose documents `elsewhere` fetches.
        `aside` builds documents about many kinds; None: all are built at once.
        """
        self._aside = aside
        self._table = table
        self._remotes = remotes
        self._elsewhere = elsewhere
        self._clock = clock
        self._documents = Documents(table, offer)
        self._kept: dict[tuple[str, str], _Kept] = {}  # by key and media type
        self._building: dict[tuple[str, str], asyncio.Lock] = {}
        self._index: tuple[tuple[int, int], bytes] = ((-1, -1), b"")

    async def handle_v2(self, request: Request) -> Response:
        media_type = _chosen(request, _V2_TYPES)
        if media_type is None:
            return Response(406, [("Vary", "Accept-Encoding"), ("Vary", "Accept")])
        digest = self._documents.digest_of_all()
        if self._remotes is not None and self._remotes.versions():
            digest = hashlib.sha512(f"{digest} {self._remotes.generation}".encode()).hexdigest()
        kept = await self._keep("v2", media_type, digest)
        headers = [("Vary", "Accept-Encoding"), ("Vary", "Accept"), ("Content-Type", media_type)]
        return _answer(request, kept, headers)

    async def handle_v3_index(self, request: Request) -> Response:
        generation, body = self._index
        current = self._generation()
        if generation != current:
            paths = {
                key: {"serverRelativeURL": f"/openapi/v3/{key}?hash={self._documents.digest(key)}"}
                for key in self._documents.index()
            }
            body = json_format.dumps({"paths": self._with_remotes(paths)})
            self._index = (current, body)
        return Response(200, [("Content-Type", TEXT)], body)

    def _generation(self) -> tuple[int, int]:
        return self._table.generation, self._remotes.generation if self._remotes is not None else 0

    def _with_remotes(self, paths: dict[str, dict[str, str]]) -> dict[str, dict[str, str]]:
        remotes = self._remotes.versions() if self._remotes is not None else {}
        if not remotes:
            return paths
        for (group, version), remote in remotes.items():
            paths.pop(f"apis/{group}/{version}", None)
            for key, url in remote.openapi_v3.items():
                paths[key] = {"serverRelativeURL": url}
        return dict(sorted(paths.items()))

    async def handle_v3(self, request: Request) -> Response:
        key = request.path.removeprefix("/openapi/v3/")
        backend = self._elsewhere.at(f"/{key}") if self._elsewhere is not None else None
        if backend is not None and self._elsewhere is not None:
            return await self._elsewhere.handle(request, backend)
        vary = ("Vary", "Accept")
        media_type = _chosen(request, _V3_TYPES)
        if media_type is None:
            return Response(406, [vary])
        digest = self._documents.digest(key)
        if digest is None:
            return Response(404, [vary])
        headers = [vary, ("Content-Type", media_type)]
        asked = request.query.get("hash")
        if asked and asked != digest:
            where = f"/openapi/v3/{key}?hash={digest}"
            return Response(301, [*headers, ("ETag", f'"{digest}"'), ("Location", where)])
        if asked:
            headers += [("Cache-Control", "public, immutable"), ("Expires", self._far_away())]
        return _answer(request, await self._keep(key, media_type, digest), headers)

    def _far_away(self) -> str:
        expires = datetime.fromtimestamp(self._clock.now(), UTC) + timedelta(days=KEEP_DAYS)
        return expires.strftime("%a, %d %b %Y %H:%M:%S UTC")

    async def _keep(self, key: str, media_type: str, digest: str) -> _Kept:
        kept = self._kept.get((key, media_type))
        if kept is not None and kept.digest == digest:
            return kept
        # Whoever asks meanwhile waits for the same document.
        async with self._building.setdefault((key, media_type), asyncio.Lock()):
            kept = self._kept.get((key, media_type))
            if kept is not None and kept.digest == digest:
                return kept
            remotes = _Seen.of(self._remotes)
            if self._aside is None:
                built = self._build(key, media_type, remotes)
            else:
                size = self._documents.kinds(key) * KIND_BYTES
                work = partial(self._build, key, media_type, remotes)
                built = await self._aside.run(size, work)
            if built is None:
                raise errors.path_not_found()  # served no more since it was asked for
            kept = self._kept[(key, media_type)] = _Kept(digest, built)
            return kept

    def _build(self, key: str, media_type: str, remotes: Remotes | None) -> bytes | None:
        """A document, compressed; None if there is none. May be called by another thread."""
        if key == "v2":
            document = self._documents.v2()
            if remotes is not None:
                document = merged_v2(document, remotes)
            proto = media_type == V2_PROTOBUF
            body = encode_v2(document) if proto else json_format.dumps(document)
        else:
            v3 = self._documents.v3(key)
            if v3 is None:
                return None
            body = encode_v3(v3) if media_type == V3_PROTOBUF else json_format.dumps(v3)
        return gzip.compress(body, COMPRESSION, mtime=0)


def _chosen(request: Request, served: dict[str, str]) -> str | None:
    """The media type to answer with: of the first clause of Accept that names one."""
    for clause in parse_accept(request.headers.get("accept") or "*/*"):
        for name, media_type in served.items():
            if matches(clause.media_type, name):
                return media_type
    return None


_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})\Z")


def _answer(request: Request, kept: _Kept, headers: list[tuple[str, str]]) -> Response:
    """The document, or the part of it that is asked for, or that nothing changed."""
    etag = f'"{kept.digest}"'
    headers = [*headers, ("ETag", etag)]
    if _unchanged(request.headers.get("if-none-match"), etag):
        return Response(304, [h for h in headers if h[0] != "Content-Type"])
    wanted = _RANGE.match(request.headers.get("range"))
    if wanted is None and _takes_gzip(request.headers.get("accept-encoding")):
        return Response(200, [*headers, ("Content-Encoding", "gzip")], kept.compressed)
    body = gzip.decompress(kept.compressed)
    headers.append(("Accept-Ranges", "bytes"))
    if wanted is None or not any(wanted.groups()):
        return Response(200, headers, body)
    size = len(body)
    if not wanted[1]:
        first, last = max(0, size - int(wanted[2])), size - 1
    else:
        first, last = int(wanted[1]), min(int(wanted[2] or size), size - 1)
    if first >= size or last < first:
        headers = [h for h in headers if h[0] != "Content-Type"]
        return Response(416, [*headers, ("Content-Range", f"bytes */{size}")])
    headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    return Response(206, headers, body[first : last + 1])


def _unchanged(condition: str, etag: str) -> bool:
    known = [part.strip().removeprefix("W/") for part in condition.split(",")]
    return etag in known or known == ["*"]


def _takes_gzip(accept_encoding: str) -> bool:
    return any(part.partition(";")[0].strip() == "gzip" for part in accept_encoding.split(","))
