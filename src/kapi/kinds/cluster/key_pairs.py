"""Why a certificate and a private key, as the data of a TLS secret, are no pair.

The words are those of Go's `tls.X509KeyPair`, which the server repeats in a warning. What is wrong
inside a certificate that cannot be read is not told apart.
"""

from __future__ import annotations

from kapi.kinds.shared import pem

_TYPES = "after skipping PEM blocks of the following types: "


def key_pair_problem(certificate: bytes, key: bytes) -> str:
    """What is wrong with the pair, in Go's words; empty if they belong together."""
    chain, skipped = [], []
    for block in pem.blocks(certificate):
        if block.kind == "CERTIFICATE":
            chain.append(block.der)
        else:
            skipped.append(block.kind)
    if not chain:
        return _no_certificate(skipped)
    skipped = []
    for block in pem.blocks(key):
        if block.kind == "PRIVATE KEY" or block.kind.endswith(" PRIVATE KEY"):
            return _pair_problem(chain[0], block.der)
        skipped.append(block.kind)
    return _no_key(skipped)


def _no_certificate(skipped: list[str]) -> str:
    if not skipped:
        return "tls: failed to find any PEM data in certificate input"
    if len(skipped) == 1 and skipped[0].endswith("PRIVATE KEY"):
        return (
            "tls: failed to find certificate PEM data in certificate input, "
            "but did find a private key; PEM inputs may have been switched"
        )
    return (
        'tls: failed to find "CERTIFICATE" PEM block in certificate input '
        f"{_TYPES}[{' '.join(skipped)}]"
    )


def _no_key(skipped: list[str]) -> str:
    if not skipped:
        return "tls: failed to find any PEM data in key input"
    if skipped == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    return (
        'tls: failed to find PEM block with type ending in "PRIVATE KEY" in key input '
        f"{_TYPES}[{' '.join(skipped)}]"
    )


def _pair_problem(certificate: bytes, key: bytes) -> str:
    from cryptography import exceptions, x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    kinds = (
        (rsa.RSAPublicKey, rsa.RSAPrivateKey),
        (ec.EllipticCurvePublicKey, ec.EllipticCurvePrivateKey),
        (ed25519.Ed25519PublicKey, ed25519.Ed25519PrivateKey),
    )
    try:
        public = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, exceptions.UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        private = serialization.load_der_private_key(key, password=None)
    except (ValueError, TypeError, exceptions.UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    if not isinstance(private, tuple(secret for _, secret in kinds)):
        return "tls: found unknown private key type in PKCS#8 wrapping"
    for open_kind, secret_kind in kinds:
        if not isinstance(public, open_kind):
            continue
        if not isinstance(private, secret_kind):
            return "tls: private key type does not match public key type"
        if private.public_key() != public:
            return "tls: private key does not match public key"
        return ""
    return "tls: unknown public key algorithm"
