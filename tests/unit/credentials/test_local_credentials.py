"""Keys and certificates of kapi's own making: once, private, anew when they do not fit."""

from __future__ import annotations

import base64
import ssl
import time
from pathlib import Path

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from kapi.credentials import certificates
from kapi.credentials import local as local_credentials
from kapi.credentials.local import CredentialsError, prepare
from kapi.options.table import DEFAULT_ISSUER, MEMORY, Options

NOW = time.time()


def options(directory: Path, **more: object) -> Options:
    return Options(data_dir=str(directory), **more)  # type: ignore[arg-type]


def contents(directory: Path) -> dict[str, bytes]:
    return {str(p.relative_to(directory)): p.read_bytes() for p in directory.rglob("*.*")}


def certificate(path: str | Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(path).read_bytes())


def names(path: str | Path) -> set[str]:
    extension = certificate(path).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    return {str(name.value) for name in extension.value}


def test_first_start_makes_everything(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "b"
    made = prepare(options(directory), NOW)
    assert made.options.bind_address == "127.0.0.1"
    assert made.options.service_account_issuer == (DEFAULT_ISSUER,)
    assert {
        "localhost", "127.0.0.1", "::1", "10.0.0.1", "kubernetes", "kubernetes.default",
        "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
    } <= names(made.options.tls_cert_file)  # fmt: skip
    for path in (directory, directory / "pki"):
        assert path.stat().st_mode & 0o777 == 0o700
    for path in (directory / "pki").iterdir():
        assert path.stat().st_mode & 0o777 == 0o600, path
    serving_key = Path(made.options.tls_private_key_file).read_bytes()
    token_key = Path(made.options.service_account_signing_key_file).read_bytes()
    assert isinstance(load_pem_private_key(serving_key, None), ec.EllipticCurvePrivateKey)
    loaded = load_pem_private_key(token_key, None)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    assert loaded.key_size == 2048
    admin = certificate(directory / "pki" / "admin.crt")
    assert admin.subject.rfc4514_string() == "CN=kubernetes-admin,O=system:masters"


def test_second_start_reuses_all(tmp_path: Path) -> None:
    first = prepare(options(tmp_path), NOW)
    before = contents(tmp_path)
    assert prepare(options(tmp_path), NOW + 86400).options == first.options
    assert contents(tmp_path) == before


def test_leaves_are_renewed_before_they_end(tmp_path: Path) -> None:
    prepare(options(tmp_path), NOW)
    before = contents(tmp_path)
    late = NOW + (certificates.LEAF_DAYS - 20) * 86400
    prepare(options(tmp_path), late)
    after = contents(tmp_path)
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {
        "pki/apiserver.crt", "pki/apiserver.key", "pki/admin.crt", "pki/admin.key", "pki/made.json",
    }  # fmt: skip


def test_a_new_name_makes_a_new_serving_certificate(tmp_path: Path) -> None:
    prepare(options(tmp_path), NOW)
    made = prepare(options(tmp_path, advertise_address="192.0.2.7"), NOW)
    assert "192.0.2.7" in names(made.options.tls_cert_file)
    made = prepare(options(tmp_path, service_cluster_ip_range=("10.96.0.0/12",)), NOW)
    assert "10.96.0.1" in names(made.options.tls_cert_file)


def test_a_lost_ca_makes_all_certificates_anew(tmp_path: Path) -> None:
    prepare(options(tmp_path), NOW)
    before = contents(tmp_path)
    (tmp_path / "pki" / "ca.key").unlink()
    prepare(options(tmp_path), NOW)
    after = contents(tmp_path)
    same = {name for name in before if after[name] == before[name]} - {"pki/made.json"}
    assert same == {"pki/sa.key", "pki/sa.pub"}
    certificate(tmp_path / "pki" / "admin.crt").verify_directly_issued_by(
        certificate(tmp_path / "pki" / "ca.crt")
    )


def test_damaged_notes_are_made_anew(tmp_path: Path) -> None:
    prepare(options(tmp_path), NOW)
    (tmp_path / "pki" / "made.json").write_text("{")
    prepare(options(tmp_path), NOW)
    assert (tmp_path / "pki" / "made.json").read_text() != "{"


def test_what_the_user_brings_is_not_made(tmp_path: Path) -> None:
    given = options(
        tmp_path,
        tls_cert_file="/c.crt",
        tls_private_key_file="/c.key",
        client_ca_file="/ca.crt",
        service_account_signing_key_file="/sa.key",
    )
    made = prepare(given, NOW)
    assert made.kubeconfig is None
    assert made.options.bind_address == "0.0.0.0"
    assert made.options.service_account_key_file == ("/sa.key",)
    assert list((tmp_path / "pki").iterdir()) == []


def test_own_serving_certificate_with_a_given_client_ca(tmp_path: Path) -> None:
    made = prepare(options(tmp_path, client_ca_file="/ca.crt"), NOW)
    assert made.options.client_ca_file == "/ca.crt"
    assert made.kubeconfig is None
    assert not (tmp_path / "pki" / "admin.crt").exists()


def test_memory_keeps_nothing() -> None:
    made = prepare(Options(data_dir=MEMORY), NOW)
    assert made.options.data_dir == MEMORY
    assert made.temporary is not None
    directory = made.temporary
    assert directory.stat().st_mode & 0o777 == 0o700
    assert made.kubeconfig == directory / "kubeconfig"
    made.remove_temporary()
    made.remove_temporary()
    assert not directory.exists()


def test_kubeconfig(tmp_path: Path) -> None:
    made = prepare(options(tmp_path), NOW)
    local_credentials.write_kubeconfig(made, "127.0.0.1", 7443)
    path = tmp_path / "kubeconfig"
    assert path.stat().st_mode & 0o777 == 0o600
    document = yaml.safe_load(path.read_text())
    cluster = document["clusters"][0]["cluster"]
    assert cluster["server"] == "https://127.0.0.1:7443"
    user = document["users"][0]["user"]
    pem = base64.b64decode(user["client-certificate-data"])
    assert pem == (tmp_path / "pki" / "admin.crt").read_bytes()
    context = document["contexts"][0]
    assert document["current-context"] == context["name"]
    assert context["context"]["user"] == document["users"][0]["name"]
    loaded = ssl.create_default_context(
        cadata=base64.b64decode(cluster["certificate-authority-data"]).decode()
    )
    assert loaded.cert_store_stats()["x509_ca"] == 1


def test_the_line_for_a_shell() -> None:
    assert local_credentials.export_line(Path("/a/b-c")) == "export KUBECONFIG=/a/b-c"
    assert local_credentials.export_line(Path("/a b/'c")) == "export KUBECONFIG='/a b/'\"'\"'c'"


def test_a_directory_that_cannot_be_written(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(CredentialsError, match=r"cannot write .*file"):
        prepare(options(blocked), NOW)
