"""The TLS side of a listener: one `ssl.SSLContext` from certificate files and the flags' words.

Client certificates are asked for, not demanded, and any is taken (`asked_certificates.py`): which
CA a chain leads to is for the authenticators to tell."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kapi.edge.asked_certificates import AskingContext, ask

VERSIONS = {"VersionTLS12": ssl.TLSVersion.TLSv1_2, "VersionTLS13": ssl.TLSVersion.TLSv1_3}

# Go's names of the TLS 1.2 suites that OpenSSL has, too. As in Go, those of TLS 1.3 are fixed.
CIPHERS = {
    "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA": "ECDHE-ECDSA-AES128-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA": "ECDHE-ECDSA-AES256-SHA",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256": "ECDHE-ECDSA-AES128-GCM-SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384": "ECDHE-ECDSA-AES256-GCM-SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305": "ECDHE-ECDSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA": "ECDHE-RSA-AES128-SHA",
    "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA": "ECDHE-RSA-AES256-SHA",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256": "ECDHE-RSA-AES128-GCM-SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384": "ECDHE-RSA-AES256-GCM-SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305": "ECDHE-RSA-CHACHA20-POLY1305",
    "TLS_RSA_WITH_AES_128_GCM_SHA256": "AES128-GCM-SHA256",
    "TLS_RSA_WITH_AES_256_GCM_SHA384": "AES256-GCM-SHA384",
    "TLS_RSA_WITH_AES_128_CBC_SHA": "AES128-SHA",
    "TLS_RSA_WITH_AES_256_CBC_SHA": "AES256-SHA",
}
CIPHERS_13 = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")
CIPHERS_DEFAULT = "ECDHE+AESGCM:ECDHE+CHACHA20"
_LEAF_AND_CA = 2  # certificates of a chain that needs nothing more
_DER = 2  # how OpenSSL calls this form of a certificate


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where keys and certificates are; every CA in `client_cas` may vouch for a client."""

    certificate: str
    private_key: str
    client_cas: tuple[str, ...] = ()
    min_version: str = "VersionTLS12"
    ciphers: Sequence[str] = ()
    http2: bool = False


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """Raises OSError, ssl.SSLError or ValueError for what cannot be loaded."""
    if not files.client_cas:
        return _plain(files)
    context = AskingContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, files)
    for path in files.client_cas:
        context.load_verify_locations(path)
    ask(context, lambda: _plain(files))
    return context


def _plain(files: TlsFiles) -> ssl.SSLContext:
    """Without clients' certificates."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, files)
    return context


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    context.minimum_version = VERSIONS[files.min_version]
    context.options |= ssl.OP_NO_RENEGOTIATION  # who a client is stays so; older OpenSSLs allow it
    chosen = [CIPHERS[name] for name in files.ciphers if name in CIPHERS]
    context.set_ciphers(":".join(chosen) or CIPHERS_DEFAULT)
    context.load_cert_chain(files.certificate, files.private_key)
    context.set_alpn_protocols(["h2", "http/1.1"] if files.http2 else ["http/1.1"])


def tls_extension(ssl_object: ssl.SSLObject | None) -> dict[str, Any] | None:
    """What the ASGI TLS extension says; the chain is the client's, leaf first."""
    if ssl_object is None:
        return None
    cipher = ssl_object.cipher()
    return {
        "server_cert": None,
        "client_cert_chain": [ssl.DER_cert_to_PEM_cert(der) for der in client_chain(ssl_object)],
        "client_cert_name": None,
        "client_cert_error": None,
        "tls_version": ssl_object.version(),
        "cipher_suite": cipher[0] if cipher else None,
    }


def client_chain(ssl_object: ssl.SSLObject) -> list[bytes]:
    """The client's certificate and those that OpenSSL found above it, up to a CA of ours.

    Of a foreign certificate nothing above it: there OpenSSL looked at the certificate alone, and
    what else the client sent is worth nothing.
    """
    leaf = ssl_object.getpeercert(binary_form=True)
    if leaf is None:
        return []
    context = ssl_object.context
    if not isinstance(context, AskingContext):
        return [leaf]
    found = _verified(ssl_object)
    if not found:  # a session goes on: it holds the leaf alone
        return context.chains.get(leaf, [leaf])
    if len(found) > _LEAF_AND_CA:
        context.remember(found)
    return found


def _verified(ssl_object: ssl.SSLObject) -> list[bytes]:
    """Public since Python 3.13; before, the same is there for the asking."""
    inner = getattr(ssl_object, "_sslobj", None)
    look = getattr(inner, "get_verified_chain", None)
    return [c.public_bytes(_DER) for c in (look() if look is not None else None) or ()]
