"""Names of signers of certificates, and of the trust bundles that belong to one.

Called by the kinds of certificates.k8s.io and by projected volumes.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#signers
"""

from __future__ import annotations

from kapi.errors import FieldError, invalid_value, required, too_long
from kapi.registry import names

DOMAIN_MAX, PATH_MAX = 253, 63 + 253 + 1


def signer_name(name: str, path: str) -> list[FieldError]:
    """`example.com/signer-name`."""
    if not name:
        return [required(path)]
    parts = name.split("/")
    if len(parts) != 2:
        text = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        return [invalid_value(path, name, text)]
    out: list[FieldError] = []
    domain, rest = parts
    if len(domain) > DOMAIN_MAX:
        out.append(too_long(path, DOMAIN_MAX))
    for label in domain.split("."):
        for words in names.dns_label(label):
            text = f'validating label "{label}": {words}'
            out.append(invalid_value(path, domain, text))
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        out.append(invalid_value(path, domain, text))
    for label in rest.split("."):
        for words in names.dns_subdomain(label):
            text = f'validating label "{label}": {words}'
            out.append(invalid_value(path, rest, text))
    if len(name) > DOMAIN_MAX + PATH_MAX + 1:
        out.append(too_long(path, DOMAIN_MAX + PATH_MAX + 1))
    return out


def bundle_name(name: str, signer: str) -> list[str]:
    """Complaints about the name of a ClusterTrustBundle; `signer`: empty if it belongs to none."""
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.dns_subdomain(name)
    prefix = signer.replace("/", ":") + ":"
    if not name.startswith(prefix):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}"]
    return names.dns_subdomain(name.removeprefix(prefix))
