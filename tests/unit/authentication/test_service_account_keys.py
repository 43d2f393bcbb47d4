"""Keys: loaded from PEM, named as the real server names them, published as JWKS."""

from __future__ import annotations

import hashlib
from typing import Any

import jwt
import orjson
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from kapi.authentication.service_account_keys import (
    KeyFileError,
    KeySet,
    base64url,
    configuration_document,
    jwks_document,
    key_id,
    load_private_key,
    load_public_keys,
)

RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
EC_KEY = ec.generate_private_key(ec.SECP384R1())


def private_pem(key: Any) -> bytes:
    pem: bytes = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL
        if not isinstance(key, ed25519.Ed25519PrivateKey)
        else serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return pem


def public_pem(key: Any) -> bytes:
    pem: bytes = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return pem


def test_the_id_is_the_digest_of_the_public_key() -> None:
    der = RSA_KEY.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert key_id(RSA_KEY.public_key()) == base64url(hashlib.sha256(der).digest())


def test_a_file_may_hold_several_keys() -> None:
    pem = b"# comment\n" + private_pem(RSA_KEY) + public_pem(EC_KEY)
    assert [key_id(k) for k in load_public_keys(pem)] == [
        key_id(RSA_KEY.public_key()),
        key_id(EC_KEY.public_key()),
    ]
    assert load_private_key(private_pem(EC_KEY)).public_key() == EC_KEY.public_key()


@pytest.mark.parametrize("pem", [b"", b"nonsense", public_pem(RSA_KEY)])
def test_a_signing_key_is_needed(pem: bytes) -> None:
    with pytest.raises(KeyFileError):
        load_private_key(pem)


def test_a_damaged_key_is_refused() -> None:
    sound = RSA_KEY.private_numbers()
    damaged = rsa.RSAPrivateNumbers(
        p=sound.p,
        q=sound.q,
        d=sound.d ^ 4,
        dmp1=sound.dmp1 ^ 4,
        dmq1=sound.dmq1 ^ 4,
        iqmp=sound.iqmp,
        public_numbers=sound.public_numbers,
    )
    key = damaged.private_key(unsafe_skip_rsa_key_validation=True)
    with pytest.raises(KeyFileError, match="damaged"):
        load_private_key(private_pem(key))


def test_unsupported_keys_are_refused() -> None:
    with pytest.raises(KeyFileError, match="neither RSA nor ECDSA"):
        load_private_key(private_pem(ed25519.Ed25519PrivateKey.generate()))
    with pytest.raises(KeyFileError, match="unsupported curve secp256k1"):
        load_private_key(private_pem(ec.generate_private_key(ec.SECP256K1())))
    with pytest.raises(KeyFileError, match="no RSA or ECDSA key"):
        load_public_keys(b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n")


def test_the_documents_publish_each_key_once() -> None:
    keys = KeySet([RSA_KEY.public_key(), EC_KEY.public_key(), RSA_KEY.public_key()])
    document = orjson.loads(jwks_document(keys))
    assert [list(k) for k in document["keys"]] == [
        ["use", "kty", "kid", "alg", "n", "e"],
        ["use", "kty", "kid", "crv", "alg", "x", "y"],
    ]
    loaded = jwt.PyJWKSet.from_dict(document)
    assert loaded[key_id(EC_KEY.public_key())].key == EC_KEY.public_key()
    assert document["keys"][0]["e"] == "AQAB"
    configuration = orjson.loads(configuration_document("https://i", "https://h/jwks", keys))
    assert configuration == {
        "issuer": "https://i",
        "jwks_uri": "https://h/jwks",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES384", "RS256"],
    }
