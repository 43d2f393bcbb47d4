"""Whose certificates a handshake lets in, and what is then known of them: both sides in memory."""

from __future__ import annotations

import ssl
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from kapi.authentication.x509 import CertificateAuthority
from kapi.edge import asked_certificates
from kapi.edge.asked_certificates import CHAIN_MAX, handshake_done
from kapi.edge.tls import TlsFiles, client_chain, server_context

VERSIONS = (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3)
NOW = datetime.now(UTC)


class Owner:
    """A certificate and its key."""

    def __init__(
        self,
        name: str,
        signer: Owner | None = None,
        *,
        ca: bool = False,
        longest: int | None = None,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None,
    ) -> None:
        self.key = key or ec.generate_private_key(ec.SECP256R1())
        self.subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        by = signer or self
        self.certificate = (
            x509.CertificateBuilder()
            .subject_name(self.subject)
            .issuer_name(by.subject)
            .public_key(self.key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(NOW - timedelta(days=1))
            .not_valid_after(NOW + timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca, longest), critical=True)
            .sign(by.key, hashes.SHA256())
        )
        self.der = self.certificate.public_bytes(serialization.Encoding.DER)

    def written(self, path: Path, *above: Owner) -> str:
        """One file with the key, the certificate and those above it."""
        form = serialization.PrivateFormat.PKCS8
        pem = serialization.Encoding.PEM
        data = self.key.private_bytes(pem, form, serialization.NoEncryption())
        for owner in (self, *above):
            data += owner.certificate.public_bytes(pem)
        path.write_bytes(data)
        return str(path)


class Server:
    """Knows some CAs."""

    def __init__(self, folder: Path, *bundle: Owner) -> None:
        own = Owner("localhost").written(folder / "server.pem")
        pem = b"".join(o.certificate.public_bytes(serialization.Encoding.PEM) for o in bundle)
        (folder / "ca.pem").write_bytes(pem)
        self.context = server_context(TlsFiles(own, own, (str(folder / "ca.pem"),)))
        self.authority = CertificateAuthority.from_pem(pem)

    def vouches_for(self, chain: Sequence[bytes]) -> bool:
        parsed = [x509.load_der_x509_certificate(der) for der in chain]
        return self.authority.vouches_for(parsed, NOW.timestamp())

    def chain(
        self, client: ssl.SSLContext, session: ssl.SSLSession | None = None
    ) -> tuple[list[bytes], ssl.SSLObject]:
        """What is known of a client after its handshake, and its side of the connection."""
        to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
        theirs = client.wrap_bio(to_client, to_server, session=session)
        ours = self.context.wrap_bio(to_server, to_client, server_side=True)
        waiting = [theirs, ours]
        for _ in range(10):
            for side in tuple(waiting):
                try:
                    side.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                waiting.remove(side)
        assert not waiting
        chain = client_chain(ours)
        handshake_done(ours)
        ours.write(b"hello")
        assert theirs.read(5) == b"hello"  # and the tickets before it
        return chain, theirs


def client(path: str, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.maximum_version = version
    context.load_cert_chain(path)
    return context


@pytest.mark.parametrize("version", VERSIONS)
def test_a_chain_is_known_up_to_its_ca_and_when_a_session_goes_on(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    root = Owner("root", ca=True)
    middle = Owner("middle", root, ca=True)
    server = Server(tmp_path, root)
    below, direct = Owner("jane", middle), Owner("joe", root)
    cases: Sequence[tuple[Owner, Sequence[Owner]]] = ((below, (middle,)), (direct, ()))
    for owner, sent in cases:
        context = client(owner.written(tmp_path / "client.pem", *sent), version)
        chain, side = server.chain(context)
        assert chain == [o.der for o in (owner, *sent, root)]
        assert server.vouches_for(chain)
        again, side = server.chain(context, side.session)
        assert side.session_reused
        assert again[0] == owner.der
        assert server.vouches_for(again)


@pytest.mark.parametrize("version", VERSIONS)
def test_foreign_certificates_are_known_but_nobody_vouches(
    tmp_path: Path, version: ssl.TLSVersion
) -> None:
    """Among them one that a certificate of the bundle signed which is no CA."""
    pinned = Owner("pinned")
    server = Server(tmp_path, Owner("root", ca=True), pinned)
    for owner, good in ((Owner("x"), False), (Owner("x", pinned), False), (pinned, True)):
        context = client(owner.written(tmp_path / "client.pem"), version)
        chain, side = server.chain(context)
        assert chain == [owner.der]
        assert server.vouches_for(chain) is good
        again, side = server.chain(context, side.session)
        assert side.session_reused
        assert again == [owner.der]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_chain_that_nobody_followed_is_not_known(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """What is hidden behind other certificates does not escape the constraints of a CA."""
    root = Owner("root", ca=True, longest=0)
    middle = Owner("middle", root, ca=True)
    server = Server(tmp_path, root)
    owner = Owner("jane", middle)
    others = [Owner(f"other-{i}") for i in range(CHAIN_MAX)]
    path = owner.written(tmp_path / "client.pem", *others, middle)
    chain, _ = server.chain(client(path, version))
    assert chain == [owner.der]
    assert not server.vouches_for(chain)
    path = owner.written(tmp_path / "client.pem", middle)
    with pytest.raises(ssl.SSLCertVerificationError):
        server.chain(client(path, version))


@pytest.mark.parametrize("version", VERSIONS)
def test_strangers_bring_no_huge_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: ssl.TLSVersion
) -> None:
    monkeypatch.setattr(asked_certificates, "RSA_BITS_MAX", 2048)
    root = Owner("root", ca=True)
    server = Server(tmp_path, root)
    for bits, signer, good in ((2048, None, True), (2056, None, False), (2056, root, True)):
        owner = Owner("x", signer, key=rsa.generate_private_key(65537, bits))
        context = client(owner.written(tmp_path / "client.pem"), version)
        if good:
            assert server.chain(context)[0][0] == owner.der
            continue
        with pytest.raises(ssl.SSLCertVerificationError):
            server.chain(context)
