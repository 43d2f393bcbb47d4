"""certificates.k8s.io: PodCertificateRequest. What a kubelet asks, and what a signer answers, once.

v1beta1 has two more fields, for a bare key and its proof; the stored form has room only for the
signing request (a stub: its key counts, its names do not), so they are checked and left.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#pod-certificate-requests
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kapi.errors import (
    NO_VALUE,
    FieldError,
    invalid_value,
    not_supported,
    required,
    too_long,
)
from kapi.kinds.shared import checks
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.kinds.shared.signers import signer_name
from kapi.registry import names
from kapi.registry.resource import Convert
from kapi.registry.strategy import Context, Strategy
from kapi.schema import far_times

Json = dict[str, Any]

GROUP = "certificates.k8s.io"
UID_MAX = 128  # characters
CHAIN_BYTES_MAX = 100 << 10
SECONDS_DEFAULT, SECONDS_MIN = 86400, 3600
SECONDS_MAX, KUBERNETES_SECONDS_MAX = 91 * 86400, 86400
RSA_BITS = (3072, 4096)
CLOCK_TOLERANCE = timedelta(minutes=5)
REFRESH_MARGIN = timedelta(minutes=10)
_VERDICTS = ("Issued", "Denied", "Failed")
_CHAIN, _STUB = "status.certificateChain", "spec.stubPKCS10Request"
_SHOWN = (
    "SignerName:s PodName:s PodUID:s ServiceAccountName:s ServiceAccountUID:s NodeName:s "
    "NodeUID:s MaxExpirationSeconds:p PKIXPublicKey=pkixPublicKey:p ProofOfPossession:p "
    "StubPKCS10Request:p UnverifiedUserAnnotations:p"
)
_OLD_KEYS = ("pkixPublicKey", "proofOfPossession")
_BLOCK = re.compile(r"-----BEGIN ([^-\n]*)-----\s*?\n.*?-----END \1-----", re.DOTALL)


class PodCertificateRequestStrategy(Plain):
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec = obj.get("spec") or {}
        if old is None:
            return _request(spec)
        if context.subresource == "status":
            return _status(obj, old, context)
        shown = checks.go_fields(spec, _SHOWN)
        before = old.get("spec") or {}
        return checks.immutable(spec, before, "spec", lambda _: checks.go_json(shown))


# -- requests -----------------------------------------------------------------------------------


def _request(spec: Json) -> list[FieldError]:
    signer = spec.get("signerName", "")
    out = signer_name(signer, "spec.signerName")
    path = "spec.unverifiedUserAnnotations"
    for key in spec.get("unverifiedUserAnnotations") or ():
        out += checks.qualified_name(key.lower(), path)
    for who in ("pod", "serviceAccount", "node"):
        name, uid = spec.get(f"{who}Name", ""), spec.get(f"{who}UID", "")
        out += checks.each(f"spec.{who}Name", name, names.dns_subdomain(name))
        if not uid:
            out.append(invalid_value(f"spec.{who}UID", uid, "must not be empty"))
        if len(uid) > UID_MAX:
            out.append(too_long(f"spec.{who}UID", UID_MAX))
    seconds = spec.get("maxExpirationSeconds")
    if seconds is None:
        return [*out, required("spec.maxExpirationSeconds", "must be set")]
    of_kubernetes = signer.split("/")[0].endswith("kubernetes.io")
    most = KUBERNETES_SECONDS_MAX if of_kubernetes else SECONDS_MAX
    if not SECONDS_MIN <= seconds <= most:
        text = f"must be in the range [{SECONDS_MIN}, {most}]"
        out.append(invalid_value("spec.maxExpirationSeconds", seconds, text))
    return out + _stub(spec)


def _stub(spec: Json) -> list[FieldError]:
    """The signing request: of a key that is good enough, signed by it."""
    path, given = _STUB, spec.get("stubPKCS10Request") or ""
    try:
        request = x509.load_der_x509_csr(base64.b64decode(given))
        key = request.public_key()
        signed = request.is_signature_valid
    except (ValueError, UnsupportedAlgorithm, InvalidSignature):
        return [invalid_value(path, given, "must be a valid PKCS#10 CSR")]
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size not in RSA_BITS:
            text = "RSA keys must have modulus size 3072 or 4096"
            return [invalid_value(path, f"{key.key_size}-bit modulus", text)]
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if not isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
            text = "elliptic public keys must use curve P256 or P384"
            return [invalid_value(path, f"curve {key.curve.name}", text)]
    elif not isinstance(key, ed25519.Ed25519PublicKey):
        text = "unknown public key type; supported types are Ed25519, ECDSA, and RSA"
        return [invalid_value(path, given, text)]
    if not signed:
        return [invalid_value(path, NO_VALUE, "could not verify the signature of the CSR")]
    return []


# -- answers ------------------------------------------------------------------------------------


def _status(obj: Json, old: Json, context: Context) -> list[FieldError]:
    status, before = obj.get("status") or {}, old.get("status") or {}
    out = _conditions(status.get("conditions") or [])
    if out:
        return out
    if _verdict(before):
        text = "immutable after PodCertificateRequest is issued, denied, or failed"
        return [] if status == before else [invalid_value("status", NO_VALUE, text)]
    verdict = _verdict(status)
    if verdict == "Issued":
        return _issued(status, obj.get("spec") or {}, context)
    if verdict:
        text = (
            "non-condition status fields must be empty when denying or failing the "
            "PodCertificateRequest"
        )
        bare = not any(value for name, value in status.items() if name != "conditions")
        return [] if bare else [invalid_value("status", NO_VALUE, text)]
    text = 'status is immutable unless transitioning to "Issued", "Denied", or "Failed"'
    return [] if status == before else [invalid_value("status", NO_VALUE, text)]


def _verdict(status: Json) -> str:
    given = (c.get("type") for c in status.get("conditions") or () if c.get("status") == "True")
    return next((kind for kind in given if kind in _VERDICTS), "")


def _conditions(listed: list[Json]) -> list[FieldError]:
    out: list[FieldError] = []
    known = 0
    for i, condition in enumerate(listed):
        path = f"status.conditions.[{i}]"
        kind = condition.get("type", "")
        if kind not in _VERDICTS:
            out.append(not_supported(f"{path}.type", kind, _VERDICTS))
            continue
        known += 1
        if known > 1:
            text = 'There may be at most one condition with type "Issued", "Denied", or "Failed"'
            out.append(invalid_value(f"{path}.type", kind, text))
        if condition.get("status") != "True":
            out.append(not_supported(f"{path}.status", condition.get("status", ""), ("True",)))
    return out + checks.conditions(listed, "status.conditions")


def _issued(status: Json, spec: Json, context: Context) -> list[FieldError]:
    """The chain: of certificates, the first of them for the key that was asked for."""
    chain = status.get("certificateChain", "")

    def bad(text: str, value: Any = chain) -> list[FieldError]:
        return [invalid_value(_CHAIN, value, text)]

    if len(chain.encode()) > CHAIN_BYTES_MAX:
        return [too_long(_CHAIN, CHAIN_BYTES_MAX)]
    blocks = list(_BLOCK.finditer(chain))
    if not blocks:
        return bad("issued certificate chain must contain at least one certificate")
    if blocks[0][1] != "CERTIFICATE":
        return bad("issued certificate chain must consist entirely of CERTIFICATE PEM blocks")
    leaf = _parsed(blocks[0][0])
    if leaf is None:
        return bad("leaf certificate does not parse as valid X.509")
    odd = [finding for name in _dns_names(leaf) for finding in _dns_name(name)]
    wanted = _public_key(spec.get("stubPKCS10Request") or "")
    if wanted is None:
        given = spec.get("stubPKCS10Request") or ""
        return [*odd, invalid_value(_STUB, given, "must be a valid PKCS#10 CSR")]
    if _encoded_key(leaf) != wanted:
        return odd + bad("leaf certificate was not issued to the requested public key")
    if odd:
        return odd
    out = _times(status, spec, leaf, datetime.fromtimestamp(context.now, UTC))
    if out:
        return out
    for block in blocks[1:]:
        if block[1] != "CERTIFICATE":
            # The real server says it so.
            return bad("issued certificate chain must consist entirely of CERTFICATE PEM blocks")
        if _parsed(block[0]) is None:
            return bad("intermediate certificate does not parse as valid X.509")
    return []


def _parsed(pem: str) -> x509.Certificate | None:
    try:
        return x509.load_pem_x509_certificate(pem.encode())
    except ValueError:
        return None


def _encoded_key(of: x509.Certificate | x509.CertificateSigningRequest) -> bytes | None:
    """None: a key that nothing here understands."""
    try:
        return of.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return None


def _public_key(stub: str) -> bytes | None:
    try:
        return _encoded_key(x509.load_der_x509_csr(base64.b64decode(stub)))
    except ValueError:
        return None


def _dns_names(leaf: x509.Certificate) -> list[str]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (ValueError, x509.ExtensionNotFound):
        return []
    return found.value.get_values_for_type(x509.DNSName)


def _dns_name(name: str) -> list[FieldError]:
    rules = (
        (not name, "leaf certificate should not contain empty DNSName"),
        (".." in name, "leaf certificate's DNSName should not contain '..'"),
        (
            name.startswith(".") or name.endswith("."),
            "leaf certificate's DNSName should not start or end with '.'",
        ),
    )
    return [invalid_value(_CHAIN, name, text) for broken, text in rules if broken]


def _times(status: Json, spec: Json, leaf: x509.Certificate, now: datetime) -> list[FieldError]:
    same = "must be present and consistent with the issued certificate"
    span = "must be present and in the range [notbefore+10min, notafter-10min]"
    lacking = [
        required(f"status.{name}", text)
        for name, text in (("notBefore", same), ("notAfter", same), ("beginRefreshAt", span))
        if not status.get(name)
    ]
    if lacking:
        return lacking
    far = [n for n in ("notBefore", "notAfter", "beginRefreshAt") if far_times.is_far(status[n])]
    if far:  # in a year that no certificate has
        return [invalid_value(f"status.{name}", status[name], same) for name in far]
    start, end, refresh = (
        datetime.fromisoformat(status[name]) for name in ("notBefore", "notAfter", "beginRefreshAt")
    )
    first, last = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    most = spec.get("maxExpirationSeconds", 0)
    rules: tuple[tuple[bool, str, Callable[[], str]], ...] = (
        (start == first, "notBefore", lambda: _encoded("NotBefore")),
        (
            abs(start - now) <= CLOCK_TOLERANCE,
            "notBefore",
            lambda: "must be set to within 5 minutes of kube-apiserver's current time",
        ),
        (end == last, "notAfter", lambda: _encoded("NotAfter")),
        (
            last - first >= timedelta(seconds=SECONDS_MIN),
            "certificateChain",
            lambda: "leaf certificate lifetime must be >= 1 hour",
        ),
        (
            last - first <= timedelta(seconds=most),
            "certificateChain",
            lambda: f"leaf certificate lifetime must be <= spec.maxExpirationSeconds ({most})",
        ),
        (
            refresh >= start + REFRESH_MARGIN,
            "beginRefreshAt",
            lambda: "must be at least 10 minutes after status.notBefore",
        ),
        (
            refresh <= end - REFRESH_MARGIN,
            "beginRefreshAt",
            lambda: "must be at least 10 minutes before status.notAfter",
        ),
    )
    for holds, name, text in rules:
        if not holds:
            nanoseconds = int((last - first).total_seconds()) * 10**9
            value = nanoseconds if name == "certificateChain" else status[name]
            return [invalid_value(f"status.{name}", value, text())]
    return []


def _encoded(name: str) -> str:
    return f"must be set to the {name} time encoded in the leaf certificate"


# -- versions -----------------------------------------------------------------------------------


def _without_old_keys(obj: Json) -> Json:
    spec = obj.get("spec") or {}
    return {**obj, "spec": {name: spec[name] for name in spec if name not in _OLD_KEYS}}


def _with_old_keys(obj: Json) -> Json:
    return {**obj, "spec": {**(obj.get("spec") or {}), **dict.fromkeys(_OLD_KEYS)}}


_DEFAULT: Json = {"maxExpirationSeconds": SECONDS_DEFAULT}
DEFAULTS: Mapping[str, Any] = {
    f"io.k8s.api.certificates.{version}.PodCertificateRequestSpec": _DEFAULT
    for version in ("v1", "v1beta1")
}
STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "podcertificaterequests"): PodCertificateRequestStrategy(),
}
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (GROUP, "podcertificaterequests"): {
        "spec.signerName": lambda obj: (obj.get("spec") or {}).get("signerName", ""),
        "spec.podName": lambda obj: (obj.get("spec") or {}).get("podName", ""),
        "spec.nodeName": lambda obj: (obj.get("spec") or {}).get("nodeName", ""),
    },
}
CONVERSIONS: Mapping[tuple[str, str, str], tuple[Convert | None, Convert | None]] = {
    (GROUP, "podcertificaterequests", "v1beta1"): (_without_old_keys, _with_old_keys),
}
