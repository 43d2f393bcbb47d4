"""Why a call to another server failed, in the words of Go's net, crypto/tls and net/http: clients
see them in statuses and conditions, and scripts look for them.

Every failure of `kapi.outgoing` is an `OutgoingError`; its text is what Go's `error.Error()` says.
"""

from __future__ import annotations

import errno
import os
import ssl

_ERRNO = {
    errno.ECONNREFUSED: "connection refused",
    errno.ECONNRESET: "connection reset by peer",
    errno.EHOSTUNREACH: "no route to host",
    errno.ENETUNREACH: "network is unreachable",
    errno.ETIMEDOUT: "connection timed out",
    errno.EADDRNOTAVAIL: "cannot assign requested address",
    errno.EPIPE: "broken pipe",
}
# Alerts of the other side, by OpenSSL's name of the reason.
_ALERTS = {
    "SSLV3_ALERT_BAD_CERTIFICATE": "bad certificate",
    "TLSV1_ALERT_UNKNOWN_CA": "unknown certificate authority",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "expired certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "unknown certificate",
    "SSLV3_ALERT_HANDSHAKE_FAILURE": "handshake failure",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "certificate required",
    "TLSV1_ALERT_PROTOCOL_VERSION": "protocol version not supported",
    "TLSV1_ALERT_INTERNAL_ERROR": "internal error",
    "TLSV1_UNRECOGNIZED_NAME": "unrecognized name",
    "TLSV1_ALERT_DECRYPT_ERROR": "error decrypting message",
    "TLSV1_ALERT_ACCESS_DENIED": "access denied",
}
PLAIN_ANSWER = "http: server gave HTTP response to HTTPS client"
UNKNOWN_AUTHORITY = "x509: certificate signed by unknown authority"
HANDSHAKE_LATE = "net/http: TLS handshake timeout"
SHORT = "unexpected EOF"
NOTHING = "EOF"
DEADLINE = "context deadline exceeded"


class OutgoingError(Exception):
    """A call that failed; the text is Go's."""


class DeadlineExceeded(OutgoingError):
    """The time for the whole call is over."""

    def __init__(self, text: str = DEADLINE) -> None:
        super().__init__(text)


class AddressNotAllowed(OutgoingError):
    """The address is one that must not be called."""

    def __init__(self) -> None:
        super().__init__("address not allowed")


class CertificateRefused(OutgoingError):
    """The certificate of the other side does not hold."""


class AnswerTooLarge(OutgoingError):
    """The answer is longer than the caller reads."""


class ConnectionLost(OutgoingError):
    """The connection ended before a byte of the answer came: another try may do."""


def url_error(method: str, url: str, error: BaseException) -> str:
    """As http.Client words it: `Post "https://host/x": dial tcp …`."""
    verb = method[:1] + method[1:].lower() if method else "Get"
    return f'{verb} "{url}": {error}'


def host_port(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def system(error: OSError) -> str:
    """What the system says, in Go's words."""
    number = error.errno or 0
    return _ERRNO.get(number) or (os.strerror(number).lower() if number else str(error))


def dial(address: str, error: OSError) -> str:
    return f"dial tcp {address}: connect: {system(error)}"


def dial_late(address: str) -> str:
    return f"dial tcp {address}: i/o timeout"


def no_host(name: str, server: str) -> str:
    return f"dial tcp: lookup {name} on {server}: no such host"


def lost(error: BaseException | None, local: str, remote: str) -> str:
    """The connection ended while more was expected."""
    if isinstance(error, ssl.SSLError):
        return handshake(error)
    if isinstance(error, OSError) and error.errno:
        return f"read tcp {local}->{remote}: read: {system(error)}"
    return NOTHING


def handshake(error: ssl.SSLError) -> str:
    """TLS failed, but not for the certificate of the other side."""
    reason = error.reason or ""
    if reason in _ALERTS:
        return f"remote error: tls: {_ALERTS[reason]}"
    if reason in ("WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE"):
        return PLAIN_ANSWER
    if "EOF" in reason:
        return NOTHING
    return "tls: " + (reason.replace("_", " ").lower() or "handshake failed")


def unverified(text: str) -> str:
    return f"tls: failed to verify certificate: {text}"


def malformed(data: bytes) -> str:
    """An answer that is not HTTP: Go shows its first line."""
    line = data.split(b"\n", 1)[0].rstrip(b"\r")[:200].decode("utf-8", "replace")
    shown = line.replace("\\", "\\\\").replace('"', '\\"')
    text = f'malformed HTTP response "{shown}"'
    return f"net/http: HTTP/1.x transport connection broken: {text}"
