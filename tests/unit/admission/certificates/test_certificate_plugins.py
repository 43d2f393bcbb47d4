"""Who may approve, sign, attest and ask for certificates."""

from __future__ import annotations

import base64
from typing import Any

from admission_stage import Allowing, handled, passes, refusal, write
from certificate_requests import request

from kapi.admission.certificates.approval import CertificateApproval
from kapi.admission.certificates.requests import subject
from kapi.admission.certificates.signing import CertificateSigning
from kapi.admission.certificates.subject import CertificateSubjectRestriction
from kapi.admission.certificates.trust_bundle_attest import ClusterTrustBundleAttest

Json = dict[str, Any]
REQUESTS = "certificates.k8s.io/certificatesigningrequests"
BUNDLES = "certificates.k8s.io/clustertrustbundles"
SIGNER = "example.com/s"


def asked(**status: Any) -> Json:
    return {"metadata": {"name": "a"}, "spec": {"signerName": SIGNER}, "status": status}


def test_subjects() -> None:
    found = subject(request("cn", "o1", "o2"))
    assert (found.common_name, found.organizations) == ("cn", ("o1", "o2"))
    assert subject(request("cn")).organizations == ()


async def test_approving() -> None:
    approval = write(REQUESTS, asked(), asked(), subresource="approval")
    words = 'user not permitted to approve requests with signerName "example.com/s"'
    authorizer = Allowing()
    assert await refusal(CertificateApproval(authorizer), approval, "validate") == words
    assert [(a.verb, a.resource, a.name, a.group) for a in authorizer.asked] == [
        ("approve", "signers", SIGNER, "certificates.k8s.io"),
        ("approve", "signers", "example.com/*", "certificates.k8s.io"),
    ]
    for name in (SIGNER, "example.com/*"):
        await passes(CertificateApproval(Allowing(("approve", "signers", name))), approval)
    assert not handled(CertificateApproval(authorizer), write(REQUESTS, asked(), asked()))


async def test_signing() -> None:
    words = 'user not permitted to sign requests with signerName "example.com/s"'
    for status in ({"certificate": "eA=="}, {"conditions": [{"type": "Failed"}]}):
        signed = write(REQUESTS, asked(**status), asked(), subresource="status")
        assert await refusal(CertificateSigning(Allowing()), signed, "validate") == words
        await passes(CertificateSigning(Allowing(("sign", "signers", SIGNER))), signed)
    same = write(REQUESTS, asked(certificate="x"), asked(certificate="x"), subresource="status")
    await passes(CertificateSigning(Allowing()), same)


async def test_attesting() -> None:
    bundle = {"metadata": {"name": "a"}, "spec": {"signerName": SIGNER, "trustBundle": "x"}}
    plugin = ClusterTrustBundleAttest(Allowing())
    words = 'user not permitted to attest for signerName "example.com/s"'
    assert await refusal(plugin, write(BUNDLES, bundle), "validate") == words
    changed = {**bundle, "spec": {**bundle["spec"], "trustBundle": "y"}}
    assert await refusal(plugin, write(BUNDLES, changed, bundle), "validate") == words
    collected = {**bundle, "metadata": {"name": "a", "finalizers": ["f"]}}
    await passes(plugin, write(BUNDLES, collected, bundle))
    await passes(plugin, write(BUNDLES, {**bundle, "spec": {"trustBundle": "x"}}))
    await passes(
        ClusterTrustBundleAttest(Allowing(("attest", "signers", SIGNER))), write(BUNDLES, bundle)
    )


async def test_no_client_certificate_makes_a_master() -> None:
    plugin = CertificateSubjectRestriction()
    signer = "kubernetes.io/kube-apiserver-client"

    def of(pem: str, name: str = signer) -> Any:
        return write(REQUESTS, {"spec": {"signerName": name, "request": pem}})

    masters = request("x", "team", "system:masters")
    words = f"use of {signer} signer with system:masters group is not allowed"
    assert await refusal(plugin, of(masters), "validate") == words
    await passes(plugin, of(request("system:masters", "team")))
    await passes(plugin, of(masters, SIGNER))
    for odd in ("", "x", base64.b64encode(b"x").decode()):
        found = await refusal(plugin, of(odd), "validate")
        assert found == "failed to parse CSR: PEM block type must be CERTIFICATE REQUEST"
    broken = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n"
    found = await refusal(plugin, of(base64.b64encode(broken.encode()).decode()), "validate")
    assert found.startswith("failed to parse CSR: ")
