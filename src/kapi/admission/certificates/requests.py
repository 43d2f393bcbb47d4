"""What a request for a certificate asks for, by its PKCS#10 form. Read by admission plugins."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

_BLOCK = b"-----BEGIN CERTIFICATE REQUEST-----"


@dataclass(frozen=True, slots=True)
class Subject:
    common_name: str
    organizations: tuple[str, ...]


def subject(request: str) -> Subject:
    """Of `spec.request` of a CertificateSigningRequest. Raises ValueError."""
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    try:
        pem = base64.b64decode(request, validate=True)
    except (binascii.Error, ValueError):
        pem = b""
    start = pem.find(_BLOCK)
    if start < 0:
        raise ValueError("PEM block type must be CERTIFICATE REQUEST")
    name = x509.load_pem_x509_csr(pem[start:]).subject

    def values(oid: x509.ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(part.value) for part in name.get_attributes_for_oid(oid))

    return Subject((values(NameOID.COMMON_NAME) or ("",))[-1], values(NameOID.ORGANIZATION_NAME))
