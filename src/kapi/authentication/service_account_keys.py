"""Keys of service-account tokens: load, name, sign, check; and the two public documents about them.

`server.py` loads --service-account-signing-key-file and --service-account-key-file (private or
public PEM, several in one file) and gives them to `service_account.py`. The documents are made
once: keys do not change while the server runs.
https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/#service-account-issuer-discovery
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

import orjson
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

if TYPE_CHECKING:
    from jwt.algorithms import Algorithm

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

JWKS_PATH = "/openid/v1/jwks"
CONFIGURATION_PATH = "/.well-known/openid-configuration"
JWKS_MEDIA_TYPE = "application/jwk-set+json"
CACHE_CONTROL = "public, max-age=3600"  # of both documents
_PROBE = b"what a sound key signs"
_CURVES = {"secp256r1": ("P-256", "ES256"), "secp384r1": ("P-384", "ES384"),
           "secp521r1": ("P-521", "ES512")}  # fmt: skip


class KeyFileError(ValueError):
    """A key file that holds no usable key."""


def base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def algorithm_name(key: PublicKey | PrivateKey) -> str:
    """RS256, ES256, ES384 or ES512, by the type of the key. Raises KeyFileError for others."""
    if isinstance(key, rsa.RSAPublicKey | rsa.RSAPrivateKey):
        return "RS256"
    if key.curve.name not in _CURVES:
        raise KeyFileError(f"unsupported curve {key.curve.name}")
    return _CURVES[key.curve.name][1]


def key_id(key: PublicKey) -> str:
    """The `kid` of the real server: SHA-256 of the key's DER form, as base64url."""
    der = key.public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return base64url(hashlib.sha256(der).digest())


@cache  # of few names
def algorithm(name: str) -> Algorithm:
    """What signs and verifies by the name of RFC 7518."""
    from jwt.algorithms import get_default_algorithms  # 25 ms to import: with the first token

    return get_default_algorithms()[name]


@dataclass(frozen=True, slots=True)
class VerificationKey:
    id: str
    algorithm: str
    key: PublicKey

    @classmethod
    def of(cls, key: PublicKey) -> VerificationKey:
        return cls(key_id(key), algorithm_name(key), key)

    def verify(self, message: bytes, signature: bytes) -> bool:
        return bool(algorithm(self.algorithm).verify(message, self.key, signature))


class KeySet:
    """The keys that tokens may be signed with, by their id."""

    def __init__(self, keys: Iterable[PublicKey]) -> None:
        unique = {key_id(key): key for key in keys}
        self.all: tuple[VerificationKey, ...] = tuple(
            VerificationKey.of(key) for key in unique.values()
        )
        self._by_id = {key.id: key for key in self.all}

    def candidates(self, kid: str) -> tuple[VerificationKey, ...]:
        """Those that a token with this `kid` can be signed with; all of them if it has none."""
        if not kid:
            return self.all
        key = self._by_id.get(kid)
        return () if key is None else (key,)


class Signer:
    """Signs claims as a compact JWS."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self._algorithm = algorithm_name(key)
        header = {"alg": self._algorithm, "kid": key_id(key.public_key())}
        self._header = base64url(orjson.dumps(header)) + "."

    def sign(self, claims: Mapping[str, Any]) -> str:
        payload = base64url(orjson.dumps(claims, option=orjson.OPT_SORT_KEYS))
        message = self._header + payload
        signature: bytes = algorithm(self._algorithm).sign(message.encode(), self._key)
        return f"{message}.{base64url(signature)}"


def load_private_key(pem: bytes) -> PrivateKey:
    """The signing key. Raises KeyFileError."""
    try:
        key = _read_private_key(pem)
    except (ValueError, TypeError, UnsupportedAlgorithm) as e:
        raise KeyFileError("no unencrypted RSA or ECDSA private key found") from e
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        raise KeyFileError("the private key is neither RSA nor ECDSA")
    algorithm_name(key)
    if isinstance(key, rsa.RSAPrivateKey):
        _try(key)
    return key


def _try(key: rsa.RSAPrivateKey) -> None:
    """Raises KeyFileError if a key does not sign what its public half verifies."""
    scheme, digest = padding.PKCS1v15(), hashes.SHA256()
    try:
        key.public_key().verify(key.sign(_PROBE, scheme, digest), _PROBE, scheme, digest)
    except (InvalidSignature, ValueError) as e:
        raise KeyFileError("the private key is damaged: it does not sign") from e


def _read_private_key(pem: bytes) -> Any:
    """Without looking for factors of an RSA key's primes, which takes 50 ms at every start."""
    return serialization.load_pem_private_key(
        pem, password=None, unsafe_skip_rsa_key_validation=True
    )


def load_public_keys(pem: bytes) -> list[PublicKey]:
    """All keys of a file; of a private key its public half. Raises KeyFileError for none."""
    keys: list[PublicKey] = []
    for block in _pem_blocks(pem):
        key: Any
        try:
            if b"PRIVATE KEY" in block.split(b"\n", 1)[0]:
                key = _read_private_key(block).public_key()
            else:
                key = serialization.load_pem_public_key(block)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            continue
        if isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey):
            algorithm_name(key)
            keys.append(key)
    if not keys:
        raise KeyFileError("no RSA or ECDSA key found")
    return keys


def _pem_blocks(pem: bytes) -> list[bytes]:
    blocks: list[bytes] = []
    current: list[bytes] = []
    for line in pem.splitlines():
        if line.startswith(b"-----BEGIN "):
            current = [line]
        elif current:
            current.append(line)
            if line.startswith(b"-----END "):
                blocks.append(b"\n".join(current) + b"\n")
                current = []
    return blocks


def _unsigned(value: int, length: int = 0) -> str:
    size = length or max(1, (value.bit_length() + 7) // 8)
    return base64url(value.to_bytes(size, "big"))


def _jwk(key: VerificationKey) -> dict[str, str]:
    if isinstance(key.key, rsa.RSAPublicKey):
        numbers = key.key.public_numbers()
        return {
            "use": "sig", "kty": "RSA", "kid": key.id, "alg": key.algorithm,
            "n": _unsigned(numbers.n), "e": _unsigned(numbers.e),
        }  # fmt: skip
    point = key.key.public_numbers()
    size = (key.key.curve.key_size + 7) // 8
    return {
        "use": "sig", "kty": "EC", "kid": key.id, "crv": _CURVES[key.key.curve.name][0],
        "alg": key.algorithm, "x": _unsigned(point.x, size), "y": _unsigned(point.y, size),
    }  # fmt: skip


def jwks_document(keys: KeySet) -> bytes:
    """The body of GET /openid/v1/jwks (JWKS_MEDIA_TYPE)."""
    return orjson.dumps({"keys": [_jwk(key) for key in keys.all]})


def configuration_document(issuer: str, jwks_uri: str, keys: KeySet) -> bytes:
    """The body of GET /.well-known/openid-configuration (application/json)."""
    algorithms: Sequence[str] = sorted({key.algorithm for key in keys.all})
    return orjson.dumps(
        {
            "issuer": issuer,
            "jwks_uri": jwks_uri,
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": algorithms,
        }
    )
