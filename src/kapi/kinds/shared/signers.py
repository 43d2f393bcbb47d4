"""Names of signers of certificates, and of the trust bundles that belong to one.

Called by the kinds of certificates.k8s.io and by projected volumes.
https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/#signers
"""

from __future__ import annotations

from collections.abc import Callable

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
    out += _first_fault(domain, names.dns_label, path)
    if "." not in domain:
        text = "should be a domain with at least two segments separated by dots"
        out.append(invalid_value(path, domain, text))
    out += _first_fault(rest, names.dns_subdomain, path)
    if len(name) > DOMAIN_MAX + PATH_MAX + 1:
        out.append(too_long(path, DOMAIN_MAX + PATH_MAX + 1))
    return out


def _first_fault(text: str, rule: Callable[[str], list[str]], path: str) -> list[FieldError]:
    """Of the parts between dots, the first that breaks the rule."""
    for label in text.split("."):
        found = [f'validating label "{label}": {words}' for words in rule(label)]
        if found:
            return [invalid_value(path, text, words) for words in found]
    return []


def bundle_name(name: str, signer: str, prefix: bool = False) -> list[str]:
    """Complaints about the name of a ClusterTrustBundle; `signer`: empty if it belongs to none."""
    if not signer:
        if ":" in name:
            return ['ClusterTrustBundle without signer name must not have ":" in its name']
        return names.dns_subdomain(name, prefix)
    start = signer.replace("/", ":") + ":"
    if not name.startswith(start):
        return [f"ClusterTrustBundle for signerName {signer} must be named with prefix {start}"]
    return names.dns_subdomain(name.removeprefix(start), prefix)
