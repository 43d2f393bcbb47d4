"""An issuer of JSON Web Tokens for tests: keys, documents and tokens, without a socket.

`Issuer.get` answers what a provider asks for; the tests of whole servers serve the same documents.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jwt
import orjson
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from kapi.outgoing.pages import Page

Json = dict[str, Any]
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
WELL_KNOWN = "/.well-known/openid-configuration"
KEYS_PATH = "/keys"
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEYS = {
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "ES512": ec.generate_private_key(ec.SECP521R1()),
}


def jwk(key: PrivateKey, kid: str) -> Json:
    public = key.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        document = orjson.loads(RSAAlgorithm.to_jwk(public))
    else:
        document = orjson.loads(ECAlgorithm.to_jwk(public))
    return {**document, "kid": kid, "use": "sig"}


def raw_token(header: Json, claims: Json | bytes, signature: bytes = b"x") -> str:
    """A token whose parts are what the test says."""
    payload = claims if isinstance(claims, bytes) else orjson.dumps(claims)
    parts = (orjson.dumps(header), payload, signature)
    return ".".join(base64.urlsafe_b64encode(p).rstrip(b"=").decode() for p in parts)


@dataclass
class Issuer:
    """`documents`: by path, a value or bytes, or what makes one. `fetched`: paths asked for."""

    url: str
    now: Callable[[], float]
    keys: dict[str, PrivateKey] = field(default_factory=lambda: {"one": RSA_KEY})
    documents: dict[str, Any] = field(default_factory=dict)
    fetched: list[str] = field(default_factory=list)
    down: bool = False

    def page(self, path: str) -> tuple[int, bytes]:
        self.fetched.append(path)
        if path in self.documents:
            found = self.documents[path]
        elif path == WELL_KNOWN:
            found = {"issuer": self.url, "jwks_uri": self.url + KEYS_PATH}
        elif path == KEYS_PATH:
            found = {"keys": [jwk(key, kid) for kid, key in self.keys.items()]}
        else:
            return 404, b"not there"
        if isinstance(found, int):
            return found, b"no"
        return 200, found if isinstance(found, bytes) else orjson.dumps(found)

    async def get(self, url: str, limit: int, token: str = "") -> Page:
        if self.down:
            raise OSError(f'Get "{url}": connection refused')
        status, body = self.page(url.removeprefix(self.url))
        if len(body) > limit:
            raise OSError(f'Get "{url}": http: response body too large')
        return Page(status, body)

    def claims(self, **more: Any) -> Json:
        now = int(self.now())
        base = {"iss": self.url, "aud": "me", "sub": "ada", "exp": now + 600, "iat": now}
        return {k: v for k, v in {**base, **more}.items() if v is not ...}

    def token(
        self,
        key: PrivateKey = RSA_KEY,
        kid: str | None = "one",
        algorithm: str = "RS256",
        **more: Any,
    ) -> str:
        headers = {} if kid is None else {"kid": kid}
        return jwt.encode(self.claims(**more), key, algorithm, headers=headers)
