"""TLS secrets whose certificate and key do not belong together are warned of, in Go's words."""

from __future__ import annotations

import base64
import datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from kind_bench import context, kind, made

from kapi.kinds.cluster.key_pairs import key_pair_problem

KEY = ec.generate_private_key(ec.SECP256R1())


def private(key: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate() -> bytes:
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a")])
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name)
    builder = builder.public_key(KEY.public_key()).serial_number(1)
    builder = builder.not_valid_before(start).not_valid_after(start + datetime.timedelta(days=9))
    return builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.PEM)


CERTIFICATE, PRIVATE = certificate(), private(KEY)


def block(kind: str, body: str = "AAAA") -> bytes:
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n".encode()


SWITCHED = (
    "tls: failed to find certificate PEM data in certificate input, but did find a private key; "
    "PEM inputs may have been switched"
)
AFTER = "input after skipping PEM blocks of the following types: [A B]"


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        (CERTIFICATE, PRIVATE, ""),
        (b"text\n" + CERTIFICATE.replace(b"\n", b"\r\n"), block("A") + PRIVATE, ""),
        (b"", PRIVATE, "tls: failed to find any PEM data in certificate input"),
        (PRIVATE, CERTIFICATE, SWITCHED),
        (block("A") + block("B"), PRIVATE,
         f'tls: failed to find "CERTIFICATE" PEM block in certificate {AFTER}'),
        (CERTIFICATE, b"x", "tls: failed to find any PEM data in key input"),
        (CERTIFICATE, CERTIFICATE,
         "tls: found a certificate rather than a key in the PEM for the private key"),
        (CERTIFICATE, block("A") + block("B"),
         f'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key {AFTER}'),
        (block("CERTIFICATE"), PRIVATE, "x509: malformed certificate"),
        (block("CERTIFICATE", "!"), PRIVATE,
         "tls: failed to find any PEM data in certificate input"),
        (CERTIFICATE, block("PRIVATE KEY"), "tls: failed to parse private key"),
        (CERTIFICATE, private(ec.generate_private_key(ec.SECP256R1())),
         "tls: private key does not match public key"),
        (CERTIFICATE, private(ed25519.Ed25519PrivateKey.generate()),
         "tls: private key type does not match public key type"),
    ],
)  # fmt: skip
def test_pairs(one: bytes, other: bytes, expected: str) -> None:
    assert key_pair_problem(one, other) == expected


def test_only_tls_secrets_are_looked_at() -> None:
    resource = kind("secrets")
    about = context("CREATE", resource.versions["v1"])
    data = {"tls.crt": base64.b64encode(b"x").decode(), "tls.key": ""}
    for name, count in (("kubernetes.io/tls", 1), ("Opaque", 0)):
        obj = made("secrets", {"type": name, "data": data})
        assert len(resource.strategy.warnings(obj, None, about)) == count
