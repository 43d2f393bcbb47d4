"""Client certificates and the front proxy that is known by one: whose CA vouches, what they say."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from kapi.authentication.authenticator import InvalidCredentials
from kapi.authentication.request_header import HeaderNames, RequestHeader
from kapi.authentication.x509 import (
    CHAIN_MAX,
    UID_OID,
    CertificateAuthority,
    ClientCertificate,
)
from kapi.messages import EmptyBody, Headers, Peer, Query, Request, UserInfo

NOT_BEFORE = datetime(2026, 1, 1, tzinfo=UTC)
NOT_AFTER = datetime(2027, 1, 1, tzinfo=UTC)
NOW_DATE = datetime(2026, 6, 1, tzinfo=UTC)
NOW = NOW_DATE.timestamp()

Attribute = tuple[x509.ObjectIdentifier, str]


def name(common_name: str, more: Sequence[Attribute] = ()) -> x509.Name:
    attributes: list[Attribute] = [(NameOID.COMMON_NAME, common_name)] if common_name else []
    return x509.Name([x509.NameAttribute(oid, text) for oid, text in (*attributes, *more)])


class Authority:
    """A CA that signs what it is told."""

    def __init__(
        self,
        common_name: str,
        parent: Authority | None = None,
        extensions: Sequence[x509.ExtensionType] = (x509.BasicConstraints(True, None),),
    ) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = name(common_name)
        signer = parent or self
        builder = self._builder(self.name, signer.name).public_key(self.key.public_key())
        for extension in extensions:
            builder = builder.add_extension(extension, critical=True)
        self.certificate = builder.sign(signer.key, hashes.SHA256())

    @staticmethod
    def _builder(
        subject: x509.Name,
        issuer: x509.Name,
        begin: datetime = NOT_BEFORE,
        end: datetime = NOT_AFTER,
    ) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(issuer)
            .serial_number(x509.random_serial_number())
            .not_valid_before(begin)
            .not_valid_after(end)
        )

    def leaf(
        self,
        common_name: str,
        more: Sequence[Attribute] = (),
        usages: Sequence[x509.ObjectIdentifier] = (ExtendedKeyUsageOID.CLIENT_AUTH,),
    ) -> x509.Certificate:
        key = ec.generate_private_key(ec.SECP256R1())
        builder = self._builder(name(common_name, more), self.name).public_key(key.public_key())
        if usages:
            builder = builder.add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        return builder.sign(self.key, hashes.SHA256())


class FakeClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


def request(*chain: x509.Certificate, headers: Sequence[tuple[str, str]] = ()) -> Request:
    peer = Peer(certificates=tuple(chain), tls=True)
    return Request("GET", "/", "/", Query(""), Headers(headers), EmptyBody(), peer)


def clients_of(authority: Authority) -> ClientCertificate:
    return ClientCertificate(CertificateAuthority([authority.certificate]), FakeClock())


async def test_a_certificate_names_user_and_groups() -> None:
    authority = Authority("ca")
    leaf = authority.leaf(
        "jane",
        [(NameOID.ORGANIZATION_NAME, "dev"), (NameOID.ORGANIZATION_NAME, "ops"), (UID_OID, "42")],
    )
    expected = UserInfo(
        "jane",
        "42",
        ("dev", "ops"),
        {
            "authentication.kubernetes.io/credential-id": (
                f"X509SHA256={leaf.fingerprint(hashes.SHA256()).hex()}",
            )
        },
    )
    clients = clients_of(authority)
    for _ in range(2):  # the second time from memory
        assert await clients.authenticate(request(leaf)) == expected
    assert await clients.authenticate(request()) is None
    assert await clients.authenticate(request(authority.leaf(""))) is None


async def test_an_intermediate_that_was_sent_is_followed() -> None:
    root = Authority("root")
    middle = Authority("middle", root)
    leaf = middle.leaf("jane")
    clients = clients_of(root)
    with pytest.raises(InvalidCredentials):
        await clients.authenticate(request(leaf))
    user = await clients.authenticate(request(leaf, middle.certificate))
    assert user is not None
    assert user.name == "jane"


async def test_what_stands_too_far_behind_is_not_looked_at() -> None:
    """TLS, which knows what a CA may say of those below it, has not looked there either."""
    root = Authority("root")
    middle = Authority("middle", root)
    others = [Authority(f"other {n}").certificate for n in range(CHAIN_MAX)]
    chain = [middle.leaf("jane"), *others]
    clients = clients_of(root)
    assert await clients.authenticate(request(*chain[: CHAIN_MAX - 1], middle.certificate))
    with pytest.raises(InvalidCredentials):
        await clients.authenticate(request(*chain[:CHAIN_MAX], middle.certificate))


async def test_a_leaf_does_not_vouch_for_others() -> None:
    root = Authority("root")
    # Signed by a certificate of the root that is no CA.
    key = ec.generate_private_key(ec.SECP256R1())
    builder = Authority._builder(name("fake"), root.name).public_key(key.public_key())
    fake = builder.sign(root.key, hashes.SHA256())
    forged_key = ec.generate_private_key(ec.SECP256R1())
    forged = (
        Authority._builder(name("admin"), name("fake"))
        .public_key(forged_key.public_key())
        .sign(key, hashes.SHA256())
    )
    with pytest.raises(InvalidCredentials):
        await clients_of(root).authenticate(request(forged, fake))


def key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(True, False, False, False, False, signs_certificates, False, False, False)


@pytest.mark.parametrize(
    ("extensions", "good"),
    [
        ((), False),
        ((x509.BasicConstraints(False, None),), False),
        ((x509.BasicConstraints(True, None), key_usage(signs_certificates=False)), False),
        ((x509.BasicConstraints(True, None), key_usage(signs_certificates=True)), True),
        ((x509.BasicConstraints(True, 0),), True),
    ],
)
async def test_what_is_no_ca_vouches_for_itself_alone(
    extensions: Sequence[x509.ExtensionType], good: bool
) -> None:
    pinned = Authority("pinned", extensions=extensions)
    clients = ClientCertificate(
        CertificateAuthority([Authority("ca").certificate, pinned.certificate]), FakeClock()
    )
    user = await clients.authenticate(request(pinned.certificate))
    assert user is not None
    assert user.name == "pinned"
    forged = request(pinned.leaf("admin"))
    if good:
        assert await clients.authenticate(forged)
        return
    with pytest.raises(InvalidCredentials):
        await clients.authenticate(forged)


async def test_a_ca_says_how_long_a_path_may_be() -> None:
    for length, good in ((0, False), (1, True)):
        root = Authority("root", extensions=[x509.BasicConstraints(True, length)])
        middle = Authority("middle", root)
        sent = request(middle.leaf("jane"), middle.certificate)
        if good:
            assert await clients_of(root).authenticate(sent)
            continue
        with pytest.raises(InvalidCredentials):
            await clients_of(root).authenticate(sent)


async def test_a_certificate_of_another_ca_is_wrong() -> None:
    stranger = Authority("ca").leaf("jane")
    with pytest.raises(InvalidCredentials, match="verifying certificate SN="):
        await clients_of(Authority("ca")).authenticate(request(stranger))


async def test_the_certificate_must_be_for_clients() -> None:
    authority = Authority("ca")
    clients = clients_of(authority)
    server = authority.leaf("jane", usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    with pytest.raises(InvalidCredentials):
        await clients.authenticate(request(server))
    for usages in ([], [ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]):
        assert await clients.authenticate(request(authority.leaf("jane", usages=usages)))


def with_other_bytes(certificate: x509.Certificate, by: Authority, old: bytes, new: bytes) -> Any:
    """The same certificate but for some bytes, signed again."""
    tbs = certificate.tbs_certificate_bytes.replace(old, new)
    assert tbs != certificate.tbs_certificate_bytes
    signature = by.key.sign(tbs, ec.ECDSA(hashes.SHA256()))
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    bits = b"\x03" + bytes([len(signature) + 1, 0]) + signature
    body = tbs + algorithm + bits
    return x509.load_der_x509_certificate(b"\x30\x82" + len(body).to_bytes(2, "big") + body)


async def test_a_subject_that_cannot_be_read() -> None:
    authority = Authority("ca")
    odd = with_other_bytes(authority.leaf("jane"), authority, b"jane", b"\xff\xfe\xfd\xfc")
    with pytest.raises(InvalidCredentials, match="malformed subject"):
        await clients_of(authority).authenticate(request(odd))
    with pytest.raises(InvalidCredentials, match="malformed subject"):
        await proxy_of(authority).authenticate(request(odd))
    odd = with_other_bytes(authority.leaf("jane"), authority, b"\x0c\x02ca", b"\x0c\x02\xff\xff")
    with pytest.raises(InvalidCredentials, match="verifying certificate"):
        await clients_of(authority).authenticate(request(odd))


async def test_dates_are_looked_at_each_time() -> None:
    authority, clock = Authority("ca"), FakeClock()
    clients = ClientCertificate(CertificateAuthority([authority.certificate]), clock)
    asked = request(authority.leaf("jane"))
    assert await clients.authenticate(asked)
    clock.time = NOT_AFTER.timestamp() + 1
    with pytest.raises(InvalidCredentials):
        await clients.authenticate(asked)
    clock.time = NOT_BEFORE.timestamp() - 1
    with pytest.raises(InvalidCredentials):
        await clients.authenticate(asked)


async def test_a_renewed_ca_beside_the_old_one() -> None:
    authority = Authority("ca")
    later = NOT_AFTER + timedelta(days=300)
    renewed = (
        Authority._builder(authority.name, authority.name, NOW_DATE, later)
        .public_key(authority.key.public_key())
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(authority.key, hashes.SHA256())
    )
    leaf = (
        Authority._builder(name("jane"), authority.name, NOT_BEFORE, later)
        .public_key(authority.key.public_key())
        .sign(authority.key, hashes.SHA256())
    )
    clock = FakeClock()
    for roots in ([authority.certificate, renewed], [renewed, authority.certificate]):
        clients = ClientCertificate(CertificateAuthority(roots), clock)
        for moment in (NOT_BEFORE, NOT_AFTER + timedelta(days=1)):
            clock.time = moment.timestamp() + 1
            assert await clients.authenticate(request(leaf))
        clock.time = later.timestamp() + 1
        with pytest.raises(InvalidCredentials):
            await clients.authenticate(request(leaf))


async def test_two_uids_are_wrong() -> None:
    authority = Authority("ca")
    leaf = authority.leaf("jane", [(UID_OID, "1"), (UID_OID, "2")])
    with pytest.raises(InvalidCredentials, match="found multiple"):
        await clients_of(authority).authenticate(request(leaf))


# -- the front proxy ------------------------------------------------------------------------------

SAID = (
    ("x-remote-user", "bob"),
    ("x-remote-group", "a"),
    ("x-remote-group", "b"),
    ("x-remote-extra-acme.com%2fproject", "p"),
    ("x-remote-extra-scopes", "s1"),
    ("x-remote-extra-scopes", "s2"),
    ("x-remote-uid", "7"),
)


def proxy_of(authority: Authority, *allowed: str) -> RequestHeader:
    names = HeaderNames(users=("X-Other", "X-Remote-User"))
    return RequestHeader(CertificateAuthority([authority.certificate]), allowed, names, FakeClock())


async def test_a_trusted_proxy_says_who_asks() -> None:
    authority = Authority("front")
    user = UserInfo("bob", "7", ("a", "b"), {"acme.com/project": ("p",), "scopes": ("s1", "s2")})
    asked = request(authority.leaf("proxy"), headers=SAID)
    assert await proxy_of(authority, "proxy").authenticate(asked) == user
    assert await proxy_of(authority).authenticate(asked) == user


async def test_a_proxy_of_another_name_is_wrong() -> None:
    authority = Authority("front")
    asked = request(authority.leaf("stranger"), headers=SAID)
    with pytest.raises(InvalidCredentials, match="cn=stranger is not in the allowed list"):
        await proxy_of(authority, "proxy").authenticate(asked)


async def test_headers_of_anyone_else_say_nothing() -> None:
    authority = Authority("front")
    proxy = proxy_of(authority, "proxy")
    assert await proxy.authenticate(request(headers=SAID)) is None
    assert await proxy.authenticate(request(Authority("x").leaf("proxy"), headers=SAID)) is None
    assert await proxy.authenticate(request(authority.leaf("proxy"))) is None
