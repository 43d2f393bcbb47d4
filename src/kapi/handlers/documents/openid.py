"""The two documents by which others check our service-account tokens.

Public by role, not by exception: reading them takes the right to the path. Made once; they do not
change while the server runs. `server.py` puts them among the root paths.
https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
"""

from __future__ import annotations

from collections.abc import Mapping

from kapi.authentication.service_account_keys import (
    CACHE_CONTROL,
    CONFIGURATION_PATH,
    JWKS_MEDIA_TYPE,
    JWKS_PATH,
    KeySet,
    configuration_document,
    jwks_document,
)
from kapi.codec.negotiate import JSON, check_route
from kapi.errors import method_not_allowed
from kapi.messages import Handler, Request, Response


def openid_paths(issuer: str, jwks_uri: str, keys: KeySet) -> Mapping[str, Handler]:
    """By path; none where there is no key to tell of."""
    if not keys.all:
        return {}
    return {
        CONFIGURATION_PATH: _document(configuration_document(issuer, jwks_uri, keys), JSON),
        JWKS_PATH: _document(jwks_document(keys), JWKS_MEDIA_TYPE),
    }


def _document(body: bytes, media_type: str) -> Handler:
    headers = [("Content-Type", media_type), ("Cache-Control", CACHE_CONTROL)]

    async def handle(request: Request) -> Response:
        if request.method != "GET":
            raise method_not_allowed()
        if accept := request.headers.get("accept"):
            check_route(accept, (media_type,))
        return Response(200, list(headers), body)

    return handle
