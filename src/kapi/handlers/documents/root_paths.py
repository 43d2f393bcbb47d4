"""Everything that is served beside resources, as tables for the mux; and `/`, which lists it.

`server.py` calls `root_paths` once with what it has built.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from kapi.handlers.documents import version
from kapi.handlers.documents.answers import plain_not_found, raw_json
from kapi.handlers.documents.debugging import DebugPaths
from kapi.handlers.documents.discovery import Discovery
from kapi.handlers.documents.health import Health
from kapi.handlers.documents.openapi import OpenApi
from kapi.messages import Handler, Request, Response


@dataclass(frozen=True, slots=True)
class RootPaths:
    """What the mux wants: paths as they are, prefixes that end in a slash, and the rest."""

    exact: Mapping[str, Handler]
    prefixes: Mapping[str, Handler]
    fallback: Handler


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What there is to serve. `metrics` renders content type and text; `others` are exact paths,
    as are those `unlisted`, which no index tells of; nor of those of `debug`."""

    discovery: Discovery
    openapi: OpenApi
    health: Health
    metrics: Callable[[], tuple[str, bytes]]
    others: Mapping[str, Handler] = field(default_factory=dict)
    debug: DebugPaths | None = None
    # Pages that are made of the paths that `/` lists, which they are among.
    of_paths: Mapping[str, Callable[[Callable[[], Iterable[str]]], Handler]] = field(
        default_factory=dict
    )
    unlisted: Mapping[str, Handler] = field(default_factory=dict)


def root_paths(served: Served) -> RootPaths:
    listed: dict[str, Handler] = {
        "/apis/": served.discovery.handle,
        "/metrics": _metrics(served.metrics),
        "/metrics/slis": served.health.slis,
        "/openapi/v2": served.openapi.handle_v2,
        "/openapi/v3": served.openapi.handle_v3_index,
        "/openapi/v3/": served.openapi.handle_v3,
        "/version": version.handle,
        **served.health.paths(),
        **served.others,
    }
    for path, make in served.of_paths.items():
        listed[path] = make(lambda: listed)
    index = _index(listed, served.discovery)
    debug = served.debug or DebugPaths({}, {})
    prefixes = {
        "/api/": served.discovery.handle,
        "/apis/": served.discovery.handle,
        "/openapi/v3/": served.openapi.handle_v3,
        "/version/": version.handle,
        **debug.prefixes,
    }
    exact = {
        **debug.exact,
        **listed,
        **served.unlisted,
        "/": index,
        "/index.html": index,
        "/api": served.discovery.handle,
        "/apis": served.discovery.handle,
    }
    return RootPaths(exact, prefixes, _not_found)


def _index(listed: Mapping[str, Handler], discovery: Discovery) -> Handler:
    async def handle(request: Request) -> Response:
        paths = {*listed, "/apis"}
        for group, name in discovery.group_versions():
            paths |= {f"/apis/{group}", f"/apis/{group}/{name}"} if group else {f"/api/{name}"}
            if not group:
                paths.add("/api")
        return raw_json({"paths": sorted(paths)})

    return handle


def _metrics(render: Callable[[], tuple[str, bytes]]) -> Handler:
    async def handle(request: Request) -> Response:
        content_type, body = render()
        return Response(200, [("Content-Type", content_type)], body)

    return handle


async def _not_found(request: Request) -> Response:
    return plain_not_found()
