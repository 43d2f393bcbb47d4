"""Who the other side must be, who we are, and what went wrong with a certificate.

A `Tls` is a value: calls with equal ones share connections. Verification is OpenSSL's, made to
accept what Go's accepts: any certificate of the bundle is a root, names come from the SANs only.
The words of a refusal need the certificate, which a failed handshake does not show; `refusal`
shakes hands once more without verifying, only to read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import ssl
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from kapi.clock import rfc3339
from kapi.outgoing import words
from kapi.outgoing.words import CertificateRefused, OutgoingError

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

CONTEXTS_MAX = 1024  # of as many servers that are called with different identities; a few KB each
_PEM = "-----BEGIN"
EXPLAIN_SECONDS = 2.0  # for reading a refused certificate
_BAD_BUNDLE = "unable to load root certificates: unable to parse bytes as PEM block"


@dataclass(frozen=True, slots=True)
class Tls:
    """`ca`: PEM, or None for those of the system. `server_name`: instead of the host dialled, for
    SNI and verification. `certificate` and `key`: PEM files of ours, or the PEM itself.
    """

    ca: str | None = None
    server_name: str = ""
    certificate: str = ""
    key: str = field(default="", repr=False)
    insecure: bool = False


class Contexts:
    """One `ssl.SSLContext` for each identity; made anew when its files change."""

    def __init__(self) -> None:
        self._made: dict[Tls, tuple[tuple[int, ...], ssl.SSLContext]] = {}

    def of(self, tls: Tls) -> ssl.SSLContext:
        """Raises OutgoingError for a bundle or key pair that cannot be used."""
        files = (t for t in (tls.certificate, tls.key) if t and not t.startswith(_PEM))
        stamp = tuple(map(_changed, files))
        known = self._made.get(tls)
        if known is not None and known[0] == stamp:
            return known[1]
        context = _context(tls)
        if known is None and len(self._made) >= CONTEXTS_MAX:
            del self._made[next(iter(self._made))]
        self._made[tls] = (stamp, context)
        return context


def _changed(path: str) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError as error:
        raise OutgoingError(f"open {path}: {words.system(error)}") from error


def _context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.hostname_checks_common_name = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    if tls.insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    elif tls.ca is None:
        context.load_default_certs(ssl.Purpose.SERVER_AUTH)
    else:
        try:
            context.load_verify_locations(cadata=tls.ca)
        except (ssl.SSLError, ValueError, TypeError) as error:
            raise OutgoingError(_BAD_BUNDLE) from error
    if tls.certificate:
        _load_pair(context, tls)
    return context


def _load_pair(context: ssl.SSLContext, tls: Tls) -> None:
    with contextlib.ExitStack() as stack:
        paths = [stack.enter_context(_as_file(text)) for text in (tls.certificate, tls.key) if text]
        try:
            context.load_cert_chain(paths[0], paths[1] if len(paths) > 1 else None)
        except (OSError, ssl.SSLError) as error:
            raise OutgoingError(f"tls: cannot use {paths[0]}: {error}") from error


@contextlib.contextmanager
def _as_file(text: str) -> Iterator[str]:
    """The path of a pair's half; PEM becomes a file, readable by us alone, for as long as needed,
    because Python's `ssl` reads nothing else.
    """
    if not text.startswith(_PEM):
        yield text
        return
    with tempfile.NamedTemporaryFile("w", prefix="kapi-", suffix=".pem") as file:
        file.write(text)
        file.flush()
        yield file.name


async def refusal(
    host: str, port: int, name: str, error: ssl.SSLCertVerificationError, now: Callable[[], float]
) -> CertificateRefused:
    """Why the certificate that `host` shows for `name` does not hold. Go looks at the time first,
    then at the name, then at who signed.
    """
    text = words.UNKNOWN_AUTHORITY
    leaf = await _leaf(host, port, name)
    if leaf is not None:
        text = _complaint(leaf, name, now()) or text
    return CertificateRefused(words.unverified(text))


async def _leaf(host: str, port: int, name: str) -> Certificate | None:
    from cryptography import x509  # 50 ms to import; somebody waits for words, not for speed

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    loop = asyncio.get_running_loop()
    with contextlib.suppress(OSError, TimeoutError, ValueError):
        async with asyncio.timeout(EXPLAIN_SECONDS):
            transport, _ = await loop.create_connection(
                asyncio.Protocol, host, port, ssl=context, server_hostname=name
            )
            try:
                shown = transport.get_extra_info("ssl_object").getpeercert(binary_form=True)
            finally:
                transport.abort()
            return x509.load_der_x509_certificate(shown) if shown else None
    return None


def _complaint(leaf: Certificate, name: str, now: float) -> str:
    """What is wrong with a certificate by itself, "" if nothing is."""
    since, until = leaf.not_valid_before_utc.timestamp(), leaf.not_valid_after_utc.timestamp()
    late = f"is after {rfc3339(until)}" if now > until else f"is before {rfc3339(since)}"
    if not since <= now <= until:
        head = "x509: certificate has expired or is not yet valid: current time"
        return f"{head} {rfc3339(now)} {late}"
    return _wrong_name(leaf, name)


def _wrong_name(leaf: Certificate, name: str) -> str:
    from cryptography import x509

    try:
        sans = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = list(sans.get_values_for_type(x509.DNSName))
        addresses = [str(a) for a in sans.get_values_for_type(x509.IPAddress)]
    except x509.ExtensionNotFound:
        names, addresses = [], []
    try:
        address = str(ipaddress.ip_address(name))
    except ValueError:
        if any(_fits(pattern, name) for pattern in names):
            return ""
        if not names and not addresses:
            if leaf.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME):
                return "x509: certificate relies on legacy Common Name field, use SANs instead"
            return f"x509: certificate is not valid for any names, but wanted to match {name}"
        if not names:
            return f"x509: certificate is not valid for any names, but wanted to match {name}"
        return f"x509: certificate is valid for {', '.join(names)}, not {name}"
    if address in addresses:
        return ""
    if not addresses:
        return (
            f"x509: cannot validate certificate for {name} because it doesn't contain any IP SANs"
        )
    return f"x509: certificate is valid for {', '.join(addresses)}, not {name}"


def _fits(pattern: str, name: str) -> bool:
    """RFC 6125: a star stands for the whole first label."""
    pattern, name = pattern.lower().rstrip("."), name.lower().rstrip(".")
    if pattern == name:
        return True
    head, _, rest = pattern.partition(".")
    return head == "*" and bool(rest) and name.partition(".")[2] == rest
