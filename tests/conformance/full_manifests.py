"""A full manifest of every built-in kind that can be created: `tests/manifests/*.yaml`, and those
that need a certificate.

The words NAMESPACE in them stand for the namespace of the test. Every object has the label
`full: before`, which tests change. Objects without a namespace are harmless: webhooks, policies and
flow schemas match nothing.
"""

from __future__ import annotations

import base64
import datetime
from pathlib import Path
from typing import Any

import yaml
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

Json = dict[str, Any]
FOLDER = Path(__file__).resolve().parents[1] / "manifests"
LABELS = {"full": "before"}


def stored(namespace: str) -> list[Json]:
    """Manifests of what is stored, in an order in which it can be created."""
    files = ("cluster.yaml", "core.yaml", "workloads.yaml")
    return [*(m for name in files for m in _read(name, namespace)), *_certificates()]


def answered(namespace: str) -> list[Json]:
    """Manifests of what is answered only. A Binding, which needs a pod, is not among them."""
    return list(_read("answered.yaml", namespace))


def identity(manifest: Json) -> tuple[str, str]:
    return manifest["apiVersion"], manifest["kind"]


def _read(name: str, namespace: str) -> list[Json]:
    text = (FOLDER / name).read_text().replace("NAMESPACE", namespace)
    return list(yaml.load(text, yaml.CSafeLoader))


def _certificates() -> list[Json]:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "jane")])
    request = x509.CertificateSigningRequestBuilder(name).sign(key, None)
    stub = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, None)
    start = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    builder = x509.CertificateBuilder(
        name, name, key.public_key(), 1, start, start.replace(year=2036)
    )
    authority = x509.BasicConstraints(ca=True, path_length=None)
    bundle = builder.add_extension(authority, critical=True).sign(key, None)
    pem, der = serialization.Encoding.PEM, serialization.Encoding.DER
    who = {f"{w}{x}": "full" for w in ("pod", "serviceAccount", "node") for x in ("Name", "UID")}
    group = "certificates.k8s.io/v1"
    return [
        {
            "apiVersion": group,
            "kind": "CertificateSigningRequest",
            "metadata": {"name": "full", "labels": LABELS},
            "spec": {
                "request": base64.b64encode(request.public_bytes(pem)).decode(),
                "signerName": "kubernetes.io/kube-apiserver-client",
                "usages": ["client auth", "digital signature"],
                "expirationSeconds": 3600,
            },
        },
        {
            "apiVersion": group,
            "kind": "ClusterTrustBundle",
            "metadata": {"name": "example.com:signer:full", "labels": LABELS},
            "spec": {
                "signerName": "example.com/signer",
                "trustBundle": bundle.public_bytes(pem).decode(),
            },
        },
        {
            "apiVersion": group,
            "kind": "PodCertificateRequest",
            "metadata": {"name": "full", "labels": LABELS},
            "spec": {
                "signerName": "example.com/signer",
                "stubPKCS10Request": base64.b64encode(stub.public_bytes(der)).decode(),
                "maxExpirationSeconds": 7200,
                **who,
            },
        },
    ]
