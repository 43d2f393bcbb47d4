"""certificates.k8s.io: CertificateSigningRequest, ClusterTrustBundle.

Who asked is written down by the server, and nobody changes a request afterwards.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
"""

from __future__ import annotations

import base64
import binascii
import copy
import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from kapi.clock import rfc3339
from kapi.errors import (
    FieldError,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    quote,
    required,
    too_long,
)
from kapi.kinds.server.apiregistration import any_name
from kapi.kinds.shared import cells, checks, signers
from kapi.kinds.shared.bases import METADATA, Plain
from kapi.kinds.shared.texts import described
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Path, Strategy

Json = dict[str, Any]

GROUP = "certificates.k8s.io"
_CERTS = "io.k8s.api.certificates.v1."
SECONDS_MIN = 600
BUNDLE_BYTES_MAX = 1 << 20
LEGACY_SIGNER = "kubernetes.io/legacy-unknown"
_DECISIONS = ("Approved", "Denied", "Failed")
_USAGES = (
    "any", "cert sign", "client auth", "code signing", "content commitment", "crl sign",
    "data encipherment", "decipher only", "digital signature", "email protection", "encipher only",
    "ipsec end system", "ipsec tunnel", "ipsec user", "key agreement", "key encipherment",
    "microsoft sgc", "netscape sgc", "ocsp signing", "s/mime", "server auth", "signing",
    "timestamping",
)  # fmt: skip
_BLOCK = re.compile(r"-----BEGIN ([^-\n]*)-----\s*?\n(.*?)-----END \1-----", re.DOTALL)


# -- signing requests ---------------------------------------------------------------------------


class SigningRequestStrategy(Plain):
    unowned = (("spec",),)
    name_rule = staticmethod(names.path_segment)
    # Whoever decides may say so in the metadata, too, but not touch what was issued.
    sets: Mapping[str, Sequence[Path]] = MappingProxyType(
        {"approval": (("status", "conditions"), *METADATA)}
    )

    def prepare(self, obj: Json, old: Json | None, context: Context) -> None:
        if old is None:
            obj["spec"] = _signed(obj.get("spec") or {}, context)
            obj["status"] = {}
        elif not context.subresource:
            obj["spec"] = copy.deepcopy(old.get("spec") or {})
        else:
            if context.subresource == "status":
                _keep_decisions(obj, old)
            _stamp(obj, old, rfc3339(context.now))

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        status = obj.get("status") or {}
        if old is None:
            return _request(obj.get("spec") or {}) + _conditions(status)
        if not context.subresource:
            return []
        before = old.get("status") or {}
        out = _conditions(status)
        certificate, known = status.get("certificate") or "", before.get("certificate") or ""
        if certificate != known:
            problem = _chain_problem(certificate)
            if problem:
                out.append(invalid_value("status.certificate", "<certificate data>", problem))
        for kind in _DECISIONS:
            if len(_of_type(status, kind)) < len(_of_type(before, kind)):
                text = f'updates may not remove a condition of type "{kind}"'
                out.append(field_forbidden("status.conditions", text))
        if known and certificate != known:
            text = "updates may not modify existing certificate content"
            out.append(field_forbidden("status.certificate", text))
        return out + _contradiction(status, before)


def _signed(spec: Json, context: Context) -> Json:
    """The request with its author, in the order of the wire."""
    user = context.user
    out = {
        name: value
        for name, value in spec.items()
        if name not in ("username", "uid", "groups", "extra")
    }
    out["username"] = user.name
    if user.uid:
        out["uid"] = user.uid
    if user.groups:
        out["groups"] = list(user.groups)
    if user.extra:
        out["extra"] = {name: list(user.extra[name]) for name in sorted(user.extra)}
    return out


def _keep_decisions(obj: Json, old: Json) -> None:
    """The status subresource leaves approval and denial as they are."""
    status = obj.setdefault("status", {})
    before = (old.get("status") or {}).get("conditions") or []
    fixed = [c for c in before if c.get("type") in ("Approved", "Denied")]
    others = [
        c for c in status.get("conditions") or () if c.get("type") not in ("Approved", "Denied")
    ]
    if fixed or others:
        status["conditions"] = copy.deepcopy(fixed) + others


def _stamp(obj: Json, old: Json, now: str) -> None:
    """Say when each condition came, and when it last changed its status."""
    before = {c.get("type"): c for c in (old.get("status") or {}).get("conditions") or ()}
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("lastUpdateTime") is None:
            condition["lastUpdateTime"] = now
        if condition.get("lastTransitionTime") is None:
            known = before.get(condition.get("type")) or {}
            same = known.get("status") == condition.get("status")
            held = known.get("lastTransitionTime")
            condition["lastTransitionTime"] = held if same and held else now


def _request(spec: Json) -> list[FieldError]:
    out: list[FieldError] = []
    problem = _csr_problem(spec.get("request") or "")
    if problem:
        out.append(invalid_value("spec.request", spec.get("request") or [], problem))
    usages = spec.get("usages") or []
    if not usages:
        out.append(required("spec.usages"))
    seen: set[str] = set()
    for i, usage in enumerate(usages):
        if usage not in _USAGES:
            out.append(not_supported(f"spec.usages[{i}]", usage, _USAGES))
        if usage in seen:
            out.append(duplicate(f"spec.usages[{i}]", usage))
        seen.add(usage)
    name = spec.get("signerName", "")
    if name == LEGACY_SIGNER:
        text = "the legacy signerName is not allowed via this API version"
        out.append(invalid_value("spec.signerName", name, text))
    else:
        out += signers.signer_name(name, "spec.signerName")
    seconds = spec.get("expirationSeconds")
    if seconds is not None and seconds < SECONDS_MIN:
        text = f"may not specify a duration less than {SECONDS_MIN} seconds (10 minutes)"
        out.append(invalid_value("spec.expirationSeconds", seconds, text))
    return out


def _csr_problem(encoded: str) -> str:
    try:
        text = base64.b64decode(encoded)
    except (binascii.Error, ValueError):
        text = b""
    block = _BLOCK.search(text.decode(errors="replace"))
    if block is None or block[1] != "CERTIFICATE REQUEST":
        return "PEM block type must be CERTIFICATE REQUEST"
    try:
        request = x509.load_pem_x509_csr(text[block.start() :])
        if request.is_signature_valid:
            return ""
        key = request.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "asn1: structure error: malformed certificate request"
    if isinstance(key, ec.EllipticCurvePublicKey):
        return "x509: ECDSA verification failure"
    if isinstance(key, ed25519.Ed25519PublicKey):
        return "x509: Ed25519 verification failure"
    return "crypto/rsa: verification error"


def _chain_problem(encoded: str) -> str:
    """What is wrong with an issued certificate: PEM blocks of certificates, and nothing else."""
    try:
        text = base64.b64decode(encoded).decode(errors="replace")
    except (binascii.Error, ValueError):
        text = ""
    if not encoded:
        return ""
    blocks = list(_BLOCK.finditer(text))
    for block in blocks:
        if block[1] != "CERTIFICATE":
            return f"only CERTIFICATE PEM blocks are allowed, found {quote(block[1])}"
        if ":" in block[2]:
            return "no PEM block headers are permitted"
        try:
            x509.load_pem_x509_certificate(block[0].encode())
        except ValueError:
            return "x509: malformed certificate"
    return "" if blocks else "must contain at least one CERTIFICATE PEM block"


def _of_type(status: Json, kind: str) -> list[Json]:
    return [c for c in status.get("conditions") or () if c.get("type") == kind]


def _contradiction(status: Json, before: Json) -> list[FieldError]:
    """A request that is approved and denied; the types declare that it is not."""
    members = [f'conditions[{{"type": "{kind}"}}]' for kind in ("Approved", "Denied")]
    both = [all(_of_type(s, kind) for kind in ("Approved", "Denied")) for s in (status, before)]
    if both != [True, False]:
        return []
    listed = ", ".join(f"`{name}`" for name in members)
    shown, text = "{" + ", ".join(members) + "}", f"must specify at most one of: {listed}"
    return [invalid_value("status.conditions", shown, text)]


def _conditions(status: Json) -> list[FieldError]:
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, condition in enumerate(status.get("conditions") or ()):
        path = f"status.conditions[{i}]"
        kind, value = condition.get("type", ""), condition.get("status", "")
        if not kind:
            out.append(required(f"{path}.type"))
        known = ("True",) if kind in _DECISIONS else ("False", "True", "Unknown")
        if not value:
            out.append(required(f"{path}.status"))
        elif value not in known:
            out.append(not_supported(f"{path}.status", value, known))
        if kind in seen:
            out.append(duplicate(f"{path}.type", kind))
        seen.add(kind)
    return out


# -- trust bundles ------------------------------------------------------------------------------


class TrustBundleStrategy(Plain):
    name_rule = staticmethod(any_name)
    unconditional_update = False

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        spec, name = obj.get("spec") or {}, obj["metadata"].get("name", "")
        signer = spec.get("signerName", "")
        base = obj["metadata"].get("generateName", "")
        found = signers.bundle_name(base, signer, prefix=True) if base else []
        out = checks.each("metadata.generateName", base, found)
        if name:
            out += checks.each("metadata.name", name, signers.bundle_name(name, signer))
        if signer:
            out += signers.signer_name(signer, "spec.signerName")
        before = (old or {}).get("spec") or {}
        bundle = spec.get("trustBundle", "")
        if old is None or bundle != before.get("trustBundle", ""):
            out += _bundle(bundle, "spec.trustBundle")
        if old is not None:
            out += checks.immutable(signer, before.get("signerName", ""), "spec.signerName")
        return out


_OMITTED = "<value omitted>"


def _bundle(text: str, path: str) -> list[FieldError]:
    if len(text.encode()) > BUNDLE_BYTES_MAX:
        return [too_long(path, BUNDLE_BYTES_MAX)]
    out: list[FieldError] = []
    seen: dict[bytes, list[int]] = {}
    for i, block in enumerate(_BLOCK.finditer(text)):
        problem = ""
        if block[1] != "CERTIFICATE":
            problem = f"entry {i} has bad block type: {block[1]}"
        elif ":" in block[2]:
            problem = f"entry {i} has PEM block headers"
        else:
            try:
                parsed = x509.load_pem_x509_certificate(block[0].encode())
                if _signs(parsed):
                    seen.setdefault(parsed.public_bytes(Encoding.DER), []).append(i)
                else:
                    problem = f"entry {i} does not have the CA bit set"
            except ValueError:
                problem = f"entry {i} does not parse as X.509"
        if problem:
            out.append(invalid_value(path, _OMITTED, problem))
    if out:
        return out
    if not seen:
        text = "at least one trust anchor must be provided"
        return [invalid_value(path, _OMITTED, text)]
    for places in seen.values():
        if len(places) > 1:
            listed = " ".join(map(str, places))
            text = f"duplicate trust anchor (indices [{listed}])"
            out.append(invalid_value(path, _OMITTED, text))
    return out


def _signs(certificate: x509.Certificate) -> bool:
    """Whether it says that it belongs to an authority."""
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return False
    return found.value.ca


# -- tables -------------------------------------------------------------------------------------


def _duration(obj: Json, now: float) -> str:
    seconds = (obj.get("spec") or {}).get("expirationSeconds")
    return cells.NONE if seconds is None else cells.human_duration(seconds)


def _condition(obj: Json, now: float) -> str:
    status = obj.get("status") or {}
    given = {c.get("type") for c in status.get("conditions") or ()}
    out = next((kind for kind in _DECISIONS if kind in given), "Pending")
    if "Failed" in given and out != "Failed":
        out += ",Failed"
    return f"{out},Issued" if status.get("certificate") else out


_SIGNER_TEXT = (
    "Requested signer for the request. It is a qualified name in the form: "
    "`scope-hostname.io/name`. If empty, it will be defaulted:\n"
    " 1. If it's a kubelet client certificate, it is assigned\n"
    '    "kubernetes.io/kube-apiserver-client-kubelet".\n'
    " 2. If it's a kubelet serving certificate, it is assigned\n"
    '    "kubernetes.io/kubelet-serving".\n'
    ' 3. Otherwise, it is assigned "kubernetes.io/legacy-unknown".\n'
    "Distribution of trust for signers happens out of band. You can select on this field using "
    "`spec.signerName`."
)

STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "certificatesigningrequests"): SigningRequestStrategy(),
    (GROUP, "clustertrustbundles"): TrustBundleStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "certificatesigningrequests"): (
        cells.name_column(),
        cells.age_column(),
        cells.column("SignerName", "string", cells.field("spec", "signerName"), _SIGNER_TEXT),
        cells.column(
            "Requestor",
            "string",
            cells.field("spec", "username"),
            "Base64-encoded PKCS#10 CSR data",
        ),
        cells.column(
            "RequestedDuration",
            "string",
            _duration,
            described(_CERTS + "CertificateSigningRequestSpec", "expirationSeconds"),
        ),
        cells.column(
            "Condition",
            "string",
            _condition,
            "Conditions applied to the request, such as approval or denial.",
        ),
    ),
    (GROUP, "clustertrustbundles"): (
        cells.name_column(),
        cells.column(
            "SignerName",
            "string",
            lambda obj, now: (obj.get("spec") or {}).get("signerName") or cells.NONE,
            described(_CERTS + "ClusterTrustBundleSpec", "signerName"),
        ),
    ),
}
FIELD_SELECTORS: Mapping[tuple[str, str], Mapping[str, Any]] = {
    (GROUP, "certificatesigningrequests"): {
        "spec.signerName": lambda obj: (obj.get("spec") or {}).get("signerName", "")
    },
    (GROUP, "clustertrustbundles"): {
        "spec.signerName": lambda obj: (obj.get("spec") or {}).get("signerName", "")
    },
}
