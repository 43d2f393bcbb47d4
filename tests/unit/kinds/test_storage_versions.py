"""Which version a store shared with real servers holds: the hashes that kube-apiserver 1.37.2 shows
in discovery, and the rule for those that were not seen."""

from __future__ import annotations

import functools

import pytest

from kapi.handlers.documents.discovery_documents import storage_version_hash
from kapi.kinds.catalog import Catalog
from kapi.registry.resource import ResourceType

# Group, resource, and the hash that the real server shows. That of definitions is of v1beta1.
SEEN = """
apiextensions.k8s.io customresourcedefinitions jfWCUB31mvA=
apiregistration.k8s.io apiservices InPBPD7+PqM=
autoscaling horizontalpodautoscalers qwQve8ut294=
batch cronjobs sd5LIXh4Fjs=
batch jobs mudhfqk/qZY=
coordination.k8s.io leases gqkMMb/YqFM=
flowcontrol.apiserver.k8s.io flowschemas GJVAJZSZBIw=
flowcontrol.apiserver.k8s.io prioritylevelconfigurations Kir5PVfvNeI=
networking.k8s.io ingressclasses l/iqIbDgFyQ=
networking.k8s.io ingresses 39NQlfNR+bo=
networking.k8s.io ipaddresses 3f/plJFChNE=
networking.k8s.io networkpolicies YpfwF18m1G8=
networking.k8s.io servicecidrs gNLvruQhW2g=
node.k8s.io runtimeclasses WQTu1GL3T2Q=
policy poddisruptionbudgets EVWiDmWqyJw=
rbac.authorization.k8s.io clusterrolebindings 48tpQ8gZHFc=
rbac.authorization.k8s.io clusterroles bYE5ZWDrJ44=
rbac.authorization.k8s.io rolebindings eGsCzGH6b1g=
rbac.authorization.k8s.io roles 7FuwZcIIItM=
resource.k8s.io deviceclasses Yk2PTc1Ybxk=
resource.k8s.io devicetaintrules i+85+TcIKpA=
resource.k8s.io resourceclaims wgAZaHcZxUg=
resource.k8s.io resourceclaimtemplates TuzjC49aUfM=
resource.k8s.io resourceslices KsC072WgaEY=
scheduling.k8s.io priorityclasses 1QwjyaZjj3Y=
storagemigration.k8s.io storageversionmigrations pCjmmKOkLy4=
core configmaps qFsyl6wFWjQ=
core endpoints fWeeMqaN/OA=
core events r2yiGXH7wu8=
core limitranges EBKMFVe6cwo=
core namespaces Q3oi5N2YM8M=
core nodes XwShjMxG9Fs=
core persistentvolumeclaims QWTyNDq0dC4=
core persistentvolumes HN/zwEC+JgM=
core pods xPOwRZ+Yhw8=
core podtemplates LIXB2x4IFpk=
core replicationcontrollers Jond2If31h0=
core resourcequotas 8uhSgffRX6w=
core secrets S6u1pOWzb84=
core serviceaccounts pbx9ZvyFpBE=
core services 0/CO1lhkEBI=
"""
# By the rule: what came with 1.37 is not stored yet. All others are in their best version.
RULE = {
    ("certificates.k8s.io", "clustertrustbundles"): "certificates.k8s.io/v1beta1",
    ("certificates.k8s.io", "podcertificaterequests"): "certificates.k8s.io/v1beta1",
    ("resource.k8s.io", "devicetaintrules"): "resource.k8s.io/v1beta2",
    ("storagemigration.k8s.io", "storageversionmigrations"): "storagemigration.k8s.io/v1beta1",
    ("apiextensions.k8s.io", "customresourcedefinitions"): "apiextensions.k8s.io/v1beta1",
    ("events.k8s.io", "events"): "v1",
}


@functools.cache
def resources() -> dict[tuple[str, str], ResourceType]:
    found = Catalog().resources({"api/all": True})
    return {(r.group, r.plural): r for r in found if r.stored_in_store}


@pytest.mark.parametrize("line", SEEN.strip().splitlines())
def test_as_seen(line: str) -> None:
    group, plural, hashed = line.split()
    resource = resources()["" if group == "core" else group, plural]
    assert storage_version_hash(resource.in_shared_store) == hashed


def test_all_others_are_in_their_best_version() -> None:
    for key, resource in resources().items():
        best = next(iter(resource.versions.values())).kind.api_version
        assert resource.in_shared_store.api_version == RULE.get(key, best), key
        assert resource.in_shared_store.kind == resource.kind


def test_when_a_kind_came() -> None:
    introduced = Catalog().types.introduced
    assert introduced("io.k8s.api.certificates.v1.ClusterTrustBundle") == (1, 37)
    assert introduced("io.k8s.api.admissionregistration.v1.MutatingAdmissionPolicy") == (1, 36)
    assert introduced("io.k8s.api.core.v1.PodSpec") == (0, 0)
