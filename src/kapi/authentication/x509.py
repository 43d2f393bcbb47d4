"""Client certificates: the common name is the user, the organizations are the groups.

The TLS layer has only seen that the client has the key. Whether a CA vouches for the certificate,
and *which* (those of clients and of front proxies share one listener), is looked at here. What
a certificate says is remembered per certificate; its dates are looked at with every request.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from typing import TypeVar

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.x509 import (
    BasicConstraints,
    Certificate,
    DuplicateExtension,
    ExtendedKeyUsage,
    ExtensionNotFound,
    Extensions,
    ExtensionType,
    KeyUsage,
    ObjectIdentifier,
    Version,
    load_pem_x509_certificates,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kapi.authentication.authenticator import CREDENTIAL_ID, InvalidCredentials
from kapi.clock import Clock
from kapi.messages import Request, UserInfo

UID_OID = ObjectIdentifier("1.3.6.1.4.1.57683.2")  # a subject attribute that holds the user's uid
# Certificates of a client that are looked at, and from the leaf to the CA. Not more than
# `edge/asked_certificates.py` looks at: what leads to our CA has been through OpenSSL, which knows
# all that a CA may say of those below it.
CHAIN_MAX = 10
REMEMBERED_MAX = 1024  # certificates; the least recently used is forgotten first
_E = TypeVar("_E", bound=ExtensionType)
_EKU = (ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE)


class Verdict:
    """When a chain is good."""

    __slots__ = ("not_after", "not_before")

    def __init__(self, chain: Sequence[Certificate]) -> None:
        self.not_before = max(c.not_valid_before_utc.timestamp() for c in chain)
        self.not_after = min(c.not_valid_after_utc.timestamp() for c in chain)

    def good_at(self, now: float) -> bool:
        return self.not_before <= now <= self.not_after


class CertificateAuthority:
    """The roots of one bundle (--client-ca-file, --requestheader-client-ca-file)."""

    def __init__(self, roots: Sequence[Certificate]) -> None:
        self._roots = tuple(roots)
        self._known: OrderedDict[tuple[Certificate, ...], tuple[Verdict, ...]] = OrderedDict()

    @classmethod
    def from_pem(cls, pem: bytes) -> CertificateAuthority:
        """Raises ValueError if there is no certificate."""
        return cls(load_pem_x509_certificates(pem))

    def vouches_for(self, chain: Sequence[Certificate], now: float) -> bool:
        """True if the leaf may be a client and a path over the sent certificates ends at a root."""
        key = tuple(chain[:CHAIN_MAX])
        if key in self._known:
            self._known.move_to_end(key)
            verdicts = self._known[key]
        else:
            verdicts = self._known[key] = self._looked_at(key)
            if len(self._known) > REMEMBERED_MAX:
                self._known.popitem(last=False)
        return any(verdict.good_at(now) for verdict in verdicts)

    def _looked_at(self, chain: Sequence[Certificate]) -> tuple[Verdict, ...]:
        try:
            return tuple(self._verdicts(chain))
        except (ValueError, DuplicateExtension):  # something in it cannot be read
            return ()

    def _verdicts(self, chain: Sequence[Certificate]) -> Iterator[Verdict]:
        """One for each root that the path leads to: a CA that was renewed has two certificates."""
        if not _may_be_client(chain[0]):
            return
        path = [chain[0]]
        while len(path) <= CHAIN_MAX:
            current, below = path[-1], len(path) - 1
            if current in self._roots:
                yield Verdict(path)
            for root in _issuers(current, [c for c in self._roots if _may_sign(c, below)]):
                yield Verdict([*path, root])
            others = [c for c in chain[1:] if c not in path and _is_ca(c) and _may_sign(c, below)]
            issuer = next(_issuers(current, others), None)
            if issuer is None:
                return
            path.append(issuer)


def _issuers(child: Certificate, among: Sequence[Certificate]) -> Iterator[Certificate]:
    for candidate in among:
        if candidate.subject != child.issuer:
            continue
        try:
            child.verify_directly_issued_by(candidate)
        except (InvalidSignature, ValueError, TypeError, UnsupportedAlgorithm):
            continue
        yield candidate


def _is_ca(certificate: Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(BasicConstraints).value.ca
    except (ExtensionNotFound, DuplicateExtension, ValueError):
        return False


def _may_sign(certificate: Certificate, below: int) -> bool:
    """Whether it may vouch for others, `below` CAs between it and the leaf. A bundle may hold plain
    certificates, too: each is good for itself alone. Those of version 1 cannot say what they are.
    """
    try:
        constraints = _extension(certificate.extensions, BasicConstraints)
        usage = _extension(certificate.extensions, KeyUsage)
    except (ValueError, DuplicateExtension):  # what cannot be read
        return False
    if constraints is None:
        may = certificate.version is not Version.v3
    else:
        longest = constraints.path_length
        may = constraints.ca and (longest is None or below <= longest)
    return may and (usage is None or usage.key_cert_sign)


def _extension(extensions: Extensions, kind: type[_E]) -> _E | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except ExtensionNotFound:
        return None


def _may_be_client(certificate: Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(ExtendedKeyUsage).value
    except ExtensionNotFound:
        return True
    except (ValueError, DuplicateExtension):  # an extension that cannot be read
        return False
    return any(usage in _EKU for usage in usages)


def common_name(certificate: Certificate) -> str:
    """Raises InvalidCredentials for a subject that cannot be read."""
    try:
        certificate.subject  # noqa: B018 — parsed when it is first wanted
    except ValueError as error:
        raise InvalidCredentials(f"x509: malformed subject: {error}") from error
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return _text(names[-1].value) if names else ""


def user_of(certificate: Certificate) -> UserInfo | None:
    """The user that a certificate names; None without a common name.

    Raises InvalidCredentials for a subject that cannot be read, and for a uid that is no text,
    empty, or given twice.
    """
    name = common_name(certificate)
    if not name:
        return None
    organizations = certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
    return UserInfo(
        name=name,
        uid=_uid(certificate),
        groups=tuple(_text(o.value) for o in organizations),
        extra={CREDENTIAL_ID: (f"X509SHA256={fingerprint}",)},
    )


def _uid(certificate: Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(UID_OID)
    if not found:
        return ""
    if len(found) > 1:
        raise InvalidCredentials("expected 1 UID, but found multiple")
    value = found[0].value
    if not isinstance(value, str):
        raise InvalidCredentials("unable to parse UID into a string")
    if not value:
        raise InvalidCredentials("UID cannot be an empty string")
    return value


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "replace")


class ClientCertificate:
    """Authenticates by the certificate of the connection."""

    def __init__(self, authority: CertificateAuthority, clock: Clock) -> None:
        self._authority = authority
        self._clock = clock
        self._users: OrderedDict[Certificate, UserInfo | None] = OrderedDict()

    async def authenticate(self, request: Request) -> UserInfo | None:
        chain = request.peer.certificates
        if not chain:
            return None
        if not self._authority.vouches_for(chain, self._clock.now()):
            raise InvalidCredentials(
                f"verifying certificate SN={chain[0].serial_number} failed: "
                "x509: certificate signed by unknown authority or not valid now"
            )
        leaf = chain[0]
        if leaf in self._users:
            return self._users[leaf]
        user = self._users[leaf] = user_of(leaf)
        if len(self._users) > REMEMBERED_MAX:
            self._users.popitem(last=False)
        return user
