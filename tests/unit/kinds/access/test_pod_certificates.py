"""Pod certificate requests: which are taken, and which answers."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from kind_bench import NOW, changed, findings, kind, made

Json = dict[str, Any]
NAME = "podcertificaterequests.certificates.k8s.io"
Key = ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
KEY = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
START = datetime.fromtimestamp(NOW, UTC)
NOBODY = x509.Name([])


def stub(key: Key = KEY) -> str:
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    request = x509.CertificateSigningRequestBuilder(NOBODY).sign(key, digest)
    return base64.b64encode(request.public_bytes(serialization.Encoding.DER)).decode()


def request(**spec: Any) -> Json:
    base: Json = {"signerName": "example.com/s", "stubPKCS10Request": stub()}
    for who in ("pod", "serviceAccount", "node"):
        base |= {f"{who}Name": "a", f"{who}UID": "u"}
    return {"spec": {**base, **spec}}


def condition(kind: str, **more: Any) -> Json:
    base = {"status": "True", "reason": "R", "lastTransitionTime": "2026-09-21T14:13:20Z"}
    return {"type": kind, **base, **more}


def chain(key: Key = KEY, hours: int = 2, dns: str = "") -> str:
    signer = ed25519.Ed25519PrivateKey.from_private_bytes(b"s" * 32)
    builder = (
        x509.CertificateBuilder()
        .subject_name(NOBODY)
        .issuer_name(NOBODY)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(START)
        .not_valid_after(START + timedelta(hours=hours))
    )
    if dns:
        names = x509.SubjectAlternativeName([x509.DNSName(dns)])
        builder = builder.add_extension(names, critical=False)
    made = builder.sign(signer, None)
    return made.public_bytes(serialization.Encoding.PEM).decode()


def answer(certificate: str, **more: Any) -> Json:
    status = {
        "conditions": [condition("Issued")],
        "certificateChain": certificate,
        "notBefore": "2026-09-21T14:13:20Z",
        "notAfter": "2026-09-21T16:13:20Z",
        "beginRefreshAt": "2026-09-21T15:13:20Z",
        **more,
    }
    return {**request(), "status": {k: v for k, v in status.items() if v is not None}}


def answered(status: Json) -> list[str]:
    return changed(NAME, request(), status, "status")


@pytest.mark.parametrize(
    "key",
    [KEY, ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP521R1())],
)
def test_good_requests(key: Key) -> None:
    assert findings(NAME, request(stubPKCS10Request=stub(key))) == []


def test_a_day_is_the_default() -> None:
    assert made(NAME, request())["spec"]["maxExpirationSeconds"] == 86400


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"podUID": ""}, ['spec.podUID: Invalid value: "": must not be empty']),
        ({"nodeUID": "u" * 129}, ["spec.nodeUID: Too long: may not be more than 128 bytes"]),
        (
            {"maxExpirationSeconds": 60},
            ["spec.maxExpirationSeconds: Invalid value: 60: must be in the range [3600, 7862400]"],
        ),
        (
            {"maxExpirationSeconds": 90000, "signerName": "kubernetes.io/s"},
            ["spec.maxExpirationSeconds: Invalid value: 90000: must be in the range [3600, 86400]"],
        ),
        (
            {"stubPKCS10Request": "eA=="},
            ['spec.stubPKCS10Request: Invalid value: "eA==": must be a valid PKCS#10 CSR'],
        ),
        (
            {"stubPKCS10Request": stub(ec.generate_private_key(ec.SECP256K1()))},
            [
                'spec.stubPKCS10Request: Invalid value: "curve secp256k1": elliptic public keys '
                "must use curve P256 or P384"
            ],
        ),
        (
            {"stubPKCS10Request": stub(rsa.generate_private_key(65537, 2048))},
            [
                'spec.stubPKCS10Request: Invalid value: "2048-bit modulus": RSA keys must have '
                "modulus size 3072 or 4096"
            ],
        ),
    ],
)
def test_bad_requests(spec: Json, expected: list[str]) -> None:
    assert findings(NAME, request(**spec)) == expected


def test_a_request_stays() -> None:
    (finding,) = changed(NAME, request(), request(podName="b"))
    assert finding.startswith('spec: Invalid value: {"SignerName":"example.com/s","PodName":"b",')
    assert finding.endswith(": field is immutable")


def test_good_answers() -> None:
    assert answered(answer(chain())) == []
    for verdict in ("Denied", "Failed"):
        status = {"conditions": [condition(verdict)]}
        assert answered({**request(), "status": status}) == []


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            answer(chain(ec.generate_private_key(ec.SECP256R1()))),
            "leaf certificate was not issued to the requested public key",
        ),
        (answer("x"), "issued certificate chain must contain at least one certificate"),
        (
            answer(chain() + "-----BEGIN X-----\neA==\n-----END X-----\n"),
            "issued certificate chain must consist entirely of CERTFICATE PEM blocks",
        ),
        (answer(chain(dns="a..b")), "leaf certificate's DNSName should not contain '..'"),
        (
            answer(chain(), notAfter="2026-09-21T17:13:20Z"),
            "must be set to the NotAfter time encoded in the leaf certificate",
        ),
        (
            answer(chain(), beginRefreshAt="2026-09-21T14:14:20Z"),
            "must be at least 10 minutes after status.notBefore",
        ),
        (
            answer(chain(), beginRefreshAt=None),
            "must be present and in the range [notbefore+10min, notafter-10min]",
        ),
        (
            answer(chain(hours=25), notAfter="2026-09-22T15:13:20Z"),
            "leaf certificate lifetime must be <= spec.maxExpirationSeconds (86400)",
        ),
        (
            answer(chain(), conditions=[condition("Denied")]),
            "non-condition status fields must be empty when denying or failing the "
            "PodCertificateRequest",
        ),
        (
            answer(chain(), conditions=[]),
            'status is immutable unless transitioning to "Issued", "Denied", or "Failed"',
        ),
    ],
)
def test_bad_answers(status: Json, expected: str) -> None:
    (finding,) = answered(status)
    assert finding.endswith(f": {expected}")


def test_an_answer_stays() -> None:
    denied = {**request(), "status": {"conditions": [condition("Denied")]}}
    assert changed(NAME, denied, answer(chain()), "status") == [
        "status: Invalid value: immutable after PodCertificateRequest is issued, denied, or failed"
    ]


def test_conditions() -> None:
    two = [condition("Denied"), condition("Failed", status="False", reason="1")]
    first, second, third = answered({**request(), "status": {"conditions": two}})
    assert first == (
        'status.conditions.[1].type: Invalid value: "Failed": There may be at most one condition '
        'with type "Issued", "Denied", or "Failed"'
    )
    assert second == (
        'status.conditions.[1].status: Unsupported value: "False": supported values: "True"'
    )
    assert third.startswith('status.conditions[1].reason: Invalid value: "1": a condition reason')


def test_the_older_version() -> None:
    version = kind(NAME).versions["v1beta1"]
    assert version.to_stored is not None
    assert version.from_stored is not None
    old = request(pkixPublicKey="eA==", proofOfPossession="eA==")
    stored = version.to_stored(old)
    assert stored == request()
    assert version.from_stored(stored) == request(pkixPublicKey=None, proofOfPossession=None)
