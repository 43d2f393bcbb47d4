"""`/api` and `/apis`: which groups, versions and resources there are, plain and aggregated.

Documents come from the live ResourceTable and are kept, encoded, until the table's generation
changes, so a kind that is added while the server runs appears with the next request. Which methods
a path allows looks odd but is the real server's: paths of the aggregator (`/apis`, `/apis/<group>`)
take any, the others GET only.

`Discovery.handle` serves every path under `/api` and `/apis` that is no resource's; the mux calls
it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from kapi.codec import json_format
from kapi.codec.negotiate import (
    PLAIN,
    Accepted,
    Offer,
    matches,
    negotiate,
    parse_accept,
    wants_pretty,
)
from kapi.errors import method_not_allowed, path_not_found
from kapi.handlers.documents import discovery_documents as documents
from kapi.handlers.documents.answers import encode, plain_not_found
from kapi.handlers.documents.merged_discovery import Remote, Remotes, Served, merged
from kapi.handlers.encoder import Encoder
from kapi.messages import Request, Response
from kapi.registry.resource import ResourceTable

Json = dict[str, Any]

_AGGREGATED = {"as": "APIGroupDiscoveryList", "g": "apidiscovery.k8s.io", "v": "v2"}
_AGGREGATED_SUFFIX = ";g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"


class Discovery:
    """Serves discovery from one table. `address` is told to clients: host and port."""

    def __init__(
        self,
        table: ResourceTable,
        address: Callable[[], str],
        encoder: Encoder,
        remotes: Remotes | None = None,
        offer: Offer = PLAIN,
    ) -> None:
        self._offer = offer
        self._table = table
        self._remotes = remotes
        self._encoder = encoder
        self._address = address
        self._generation = (-1, -1)
        self._served: Served = {}
        self._encoded: dict[tuple[str, Accepted], bytes] = {}
        self._etags: dict[str, str] = {}

    def serves_group(self, group: str) -> bool:
        """Whether any version of a group is served."""
        self._refresh()
        return group in self._served

    def _is_built_in(self, group: str) -> bool:
        """Whether any version of a group is served, and not all by definitions."""
        self._refresh()
        versions = self._served.get(group, {}).values()
        own = [served for served in versions if isinstance(served, list)]
        return any(not resource.custom for served in own for resource, _ in served)

    def group_versions(self) -> list[tuple[str, str]]:
        """What is served, in the order of discovery."""
        self._refresh()
        return [(g, v) for g, versions in self._served.items() for v in versions]

    def unknown(self, request: Request) -> Response:
        """The answer where no resource is: ApiError 404 in built-in groups, else plain text."""
        parts = request.path.split("/")
        if parts[1] == "api" or (
            parts[1] == "apis" and len(parts) > 2 and parts[2] and self._is_built_in(parts[2])
        ):
            raise path_not_found()
        return plain_not_found()

    async def handle(self, request: Request) -> Response:
        """A path under /api or /apis that is no resource's. Raises ApiError."""
        self._refresh()
        parts = request.path.split("/")[1:]
        if parts[-1] == "" and len(parts) > 1:
            parts.pop()
        if parts[0] == "api":
            return self._core(request, parts)
        if len(parts) == 1:
            return self._groups(request)
        if len(parts) == 2 and parts[1] in self._served and parts[1]:
            accepted = self._negotiated(request, route=False)
            return self._plain(f"/apis/{parts[1]}", accepted)
        if len(parts) == 3 and parts[2] in self._served.get(parts[1], ()) and parts[1]:
            return self._resources(request, parts[1], parts[2])
        return self.unknown(request)

    def _core(self, request: Request, parts: list[str]) -> Response:
        if len(parts) == 1 and "" in self._served:
            _only_get(request)
            if (accepted := self._wants_aggregated(request)) is not None:
                return self._aggregated(request, "/api", accepted)
            return self._plain("/api", self._negotiated(request))
        if len(parts) == 2 and parts[1] in self._served.get("", ()):
            return self._resources(request, "", parts[1])
        return self.unknown(request)

    def _groups(self, request: Request) -> Response:
        # With a slash at the end the path is another handler's, which knows no aggregated form.
        if request.path == "/apis" and (accepted := self._wants_aggregated(request)) is not None:
            return self._aggregated(request, "/apis", accepted)
        return self._plain("/apis", self._negotiated(request, route=False))

    def _resources(self, request: Request, group: str, version: str) -> Response:
        _only_get(request)
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        return self._plain(path, self._negotiated(request))

    # -- what is asked for ------------------------------------------------------------------------

    def _negotiated(self, request: Request, *, route: bool = True) -> Accepted:
        return negotiate(
            request.headers.get("accept"),
            request.query,
            request.headers.get("user-agent"),
            transforms=False,
            route=None if route else (),
            offer=self._offer,
        )

    def _wants_aggregated(self, request: Request) -> Accepted | None:
        """The form of aggregated discovery, if any part of Accept asks for it."""
        accept = request.headers.get("accept")
        if "APIGroupDiscoveryList" not in accept:
            return None
        for clause in parse_accept(accept):
            params = dict(clause.params)
            if all(params.get(k) == v for k, v in _AGGREGATED.items()):
                for media_type in self._offer.media_types:
                    if matches(clause.media_type, media_type):
                        pretty = wants_pretty(request.query, request.headers.get("user-agent"))
                        return Accepted(media_type, pretty=pretty or params.get("pretty") == "1")
        return None

    # -- cached documents ---------------------------------------------------------------------

    def _refresh(self) -> None:
        remotes = self._remotes
        generation = (self._table.generation, remotes.generation if remotes is not None else 0)
        if self._generation != generation:
            self._generation = generation
            own = documents.served(self._table)
            self._served = merged(own, remotes)
            self._encoded.clear()
            self._etags.clear()

    def _plain(self, path: str, accepted: Accepted) -> Response:
        key = (path, accepted)
        body = self._encoded.get(key)
        if body is None:
            body = self._encoded[key] = encode(self._document(path), accepted, self._encoder)
        return Response(200, [("Content-Type", accepted.media_type)], body)

    def _document(self, path: str) -> Json:
        parts = path.split("/")
        if parts[1] == "api":
            if len(parts) == 2:
                return documents.api_versions(self._served[""], self._address())
            return documents.resource_list("", parts[2], _own(self._served[""][parts[2]]))
        if len(parts) == 2:
            return documents.group_list(self._served)
        if len(parts) == 3:
            return documents.api_group(parts[2], self._served[parts[2]])
        served = _own(self._served[parts[2]][parts[3]])
        return documents.resource_list(parts[2], parts[3], served)

    def _aggregated(self, request: Request, path: str, accepted: Accepted) -> Response:
        key = (path + _AGGREGATED_SUFFIX, accepted)
        body = self._encoded.get(key)
        if body is None:
            value = documents.aggregated(
                {g: v for g, v in self._served.items() if (g == "") == (path == "/api")}
            )
            body = self._encoded[key] = encode(value, accepted, self._encoder)
            digest = hashlib.sha512(json_format.dumps(value)).hexdigest().upper()
            self._etags[path] = f'"{digest}"'
        etag = self._etags[path]
        headers = [("ETag", etag), ("Vary", "Accept"), ("Cache-Control", "public")]
        if request.headers.get("if-none-match") == etag:
            return Response(304, headers)
        headers.insert(0, ("Content-Type", accepted.media_type + _AGGREGATED_SUFFIX))
        return Response(200, headers, body)


def _own(served: documents.Resources | Remote) -> documents.Resources:
    """What is served here. The mux leaves paths of other servers to them."""
    return served if isinstance(served, list) else []


def _only_get(request: Request) -> None:
    if request.method != "GET":
        raise method_not_allowed()
