"""Issuer discovery: who may read what in which form."""

from __future__ import annotations

import orjson
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kapi.authentication.service_account_keys import KeySet
from kapi.errors import ApiError
from kapi.handlers.documents.openid import openid_paths
from kapi.messages import EmptyBody, Headers, Peer, Query, Request

KEYS = KeySet([ec.generate_private_key(ec.SECP256R1()).public_key()])
PATHS = openid_paths("https://i", "https://h/openid/v1/jwks", KEYS)
CONFIGURATION, JWKS = "/.well-known/openid-configuration", "/openid/v1/jwks"


def request(path: str, accept: str = "", method: str = "GET") -> Request:
    headers = Headers([("accept", accept)] if accept else [])
    return Request(method, path, path, Query(""), headers, EmptyBody(), Peer())


@pytest.mark.parametrize(
    ("path", "accept", "media_type"),
    [
        (CONFIGURATION, "", "application/json"),
        (CONFIGURATION, "application/json", "application/json"),
        (JWKS, "*/*", "application/jwk-set+json"),
        (JWKS, "application/jwk-set+json", "application/jwk-set+json"),
    ],
)
async def test_documents(path: str, accept: str, media_type: str) -> None:
    response = await PATHS[path](request(path, accept))
    assert response.status == 200
    assert dict(response.headers) == {
        "Content-Type": media_type,
        "Cache-Control": "public, max-age=3600",
    }
    assert isinstance(response.body, bytes)
    document = orjson.loads(response.body)
    assert document.get("issuer", "https://i") == "https://i"


async def test_refusals() -> None:
    with pytest.raises(ApiError) as caught:
        await PATHS[JWKS](request(JWKS, "application/json"))
    assert caught.value.code == 406
    with pytest.raises(ApiError) as caught:
        await PATHS[JWKS](request(JWKS, method="POST"))
    assert (caught.value.code, caught.value.details) == (405, {})


def test_without_keys_there_is_nothing() -> None:
    assert openid_paths("https://i", "https://h", KeySet([])) == {}
