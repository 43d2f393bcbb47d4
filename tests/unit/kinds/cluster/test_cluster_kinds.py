"""RBAC, scheduling, storage classes and drivers, runtime classes, events, signing requests."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from kind_bench import cells, changed, defaulted, findings, found, kind, made

from kapi.registry import names

Json = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"
STORAGE = "storage.k8s.io"
IMMUTABLE = "Invalid value: null: field is immutable"


# -- rbac.authorization.k8s.io ------------------------------------------------------------------


def test_rules() -> None:
    rules: list[Json] = [
        {"verbs": []},
        {"verbs": ["get"], "apiGroups": [""]},
        {"verbs": ["get"], "nonResourceURLs": ["/x"], "apiGroups": ["a"], "resources": ["b"]},
    ]
    urls = 'rules[2].nonResourceURLs: Invalid value: ["/x"]:'
    assert findings(f"roles.{RBAC}", {"rules": rules}) == [
        "rules[0].apiGroups: Required value: resource rules must supply at least one api group",
        "rules[0].resources: Required value: resource rules must supply at least one resource",
        "rules[1].resources: Required value: resource rules must supply at least one resource",
        f"{urls} namespaced rules cannot apply to non-resource URLs",
        f"{urls} rules cannot apply to both regular resources and non-resource URLs",
        "rules[0].verbs: Required value",
    ]
    alone = [{"verbs": ["get"], "nonResourceURLs": ["/x"]}]
    assert findings(f"clusterroles.{RBAC}", {"rules": alone}) == []
    assert findings(f"clusterroles.{RBAC}", {"aggregationRule": {}}) == [
        "aggregationRule.clusterRoleSelectors: Required value: at least one clusterRoleSelector "
        "required if aggregationRule is non-nil"
    ]
    selectors = [{"matchExpressions": [{"key": "a", "operator": "Odd"}]}]
    where = "aggregationRule.clusterRoleSelectors[0]"
    given = {"aggregationRule": {"clusterRoleSelectors": selectors}}
    assert findings(f"clusterroles.{RBAC}", given) == [
        f'{where}.matchExpressions[0].operator: Invalid value: "Odd": not a valid selector '
        "operator",
        f"{where}: Invalid value: null: invalid label selector.",
    ]


BINDING: Json = {
    "roleRef": {"apiGroup": RBAC, "kind": "Role", "name": "a"},
    "subjects": [
        {"kind": "User", "name": "jane"},
        {"kind": "ServiceAccount", "name": "sa", "namespace": "n"},
        {"kind": "Group", "name": "g"},
    ],
}


def test_bindings() -> None:
    name = f"rolebindings.{RBAC}"
    assert findings(name, BINDING) == []
    subjects = [
        {"kind": "User", "name": "a", "apiGroup": "q"},
        {"kind": "ServiceAccount", "name": "sa", "apiGroup": "q"},
        {"kind": "Z", "name": "x"},
    ]
    bad = {"roleRef": {"apiGroup": "x", "kind": "Y"}, "subjects": subjects}
    assert findings(name, bad) == [
        f'roleRef.apiGroup: Unsupported value: "x": supported values: "{RBAC}"',
        'roleRef.kind: Unsupported value: "Y": supported values: "Role", "ClusterRole"',
        f'subjects[0].apiGroup: Unsupported value: "q": supported values: "{RBAC}"',
        'subjects[1].apiGroup: Unsupported value: "q": supported values: ""',
        'subjects[2].kind: Unsupported value: "Z": supported values: "ServiceAccount", "User", '
        '"Group"',
        "roleRef.name: Required value",
    ]
    other = {**BINDING, "roleRef": {**BINDING["roleRef"], "name": "b"}}
    shown = f'{{"APIGroup":"{RBAC}","Kind":"Role","Name":"b"}}'
    assert changed(name, BINDING, other) == [f"roleRef: Invalid value: {shown}: field is immutable"]


def test_the_groups_of_subjects_are_filled_in() -> None:
    subjects = defaulted(f"rolebindings.{RBAC}", BINDING)["subjects"]
    assert [s.get("apiGroup") for s in subjects] == [RBAC, None, RBAC]
    shown = cells(f"rolebindings.{RBAC}", made(f"rolebindings.{RBAC}", BINDING))
    assert (shown["Role"], shown["Users"], shown["Groups"]) == ("Role/a", "jane", "g")
    assert shown["ServiceAccounts"] == "n/sa"


# -- scheduling.k8s.io, node.k8s.io -------------------------------------------------------------


def test_priority_classes() -> None:
    name = "priorityclasses.scheduling.k8s.io"
    assert findings(name, {"value": 2_000_000_000, "preemptionPolicy": "X"}) == [
        "value: Forbidden: maximum allowed value of a user defined priority is 1000000000",
        'preemptionPolicy: Unsupported value: "X": supported values: "PreemptLowerPriority", '
        '"Never"',
    ]
    (finding,) = findings(name, {"metadata": {"name": "system-x"}, "value": 1})
    assert finding.startswith("metadata.name: Forbidden: priority class names with 'system-'")
    assert changed(name, {"value": 1}, {"value": 2}) == [
        "value: Forbidden: may not be changed in an update."
    ]
    kept = kind(name).strategy.undeletable
    assert set(kept) == {"system-cluster-critical", "system-node-critical"}


def test_leases() -> None:
    name = "leases.coordination.k8s.io"
    assert findings(name, {"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]
    elected = {"spec": {"strategy": "a.b/c", "preferredHolder": "x", "holderIdentity": "h"}}
    assert made(name, elected)["spec"] == {"holderIdentity": "h"}
    old = {**made(name, elected), **elected}  # of a server where the gate was on
    assert made(name, elected, old=old)["spec"] == elected["spec"]


def test_runtime_classes() -> None:
    obj = {"handler": "A", "overhead": {"podFixed": {"cpu": "-1"}}}
    assert findings("runtimeclasses.node.k8s.io", obj) == [
        'overhead.limits[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        f'handler: Invalid value: "A": {names.dns_label("A")[0]}',
    ]


# -- storage.k8s.io -----------------------------------------------------------------------------


def test_storage_classes() -> None:
    name = f"storageclasses.{STORAGE}"
    obj = {"provisioner": "a.b", "reclaimPolicy": "X", "parameters": {"": "x"}}
    assert findings(name, obj) == [
        'parameters: Invalid value: "": field can not be empty.',
        'reclaimPolicy: Unsupported value: "X": supported values: "Delete", "Retain"',
    ]
    assert findings(name, {"provisioner": ""})[0] == "provisioner: Required value"
    old = {"provisioner": "a.b", "parameters": {"a": "b"}}
    assert changed(name, old, {"provisioner": "a.c", "reclaimPolicy": "Retain"}) == [
        f"{field}: {IMMUTABLE}" for field in ("provisioner", "parameters", "reclaimPolicy")
    ]
    marked = {"storageclass.kubernetes.io/is-default-class": "true"}
    obj = {"metadata": {"name": "a", "annotations": marked}, "provisioner": "a.b"}
    shown = cells(name, made(name, obj))
    shown.pop("Age")
    assert shown == {
        "Name": "a (default)",
        "Provisioner": "a.b",
        "ReclaimPolicy": "Delete",
        "VolumeBindingMode": "Immediate",
        "AllowVolumeExpansion": False,
    }


@pytest.mark.parametrize(
    ("plural", "obj", "expected"),
    [
        (
            "csidrivers",
            {
                "spec": {
                    "volumeLifecycleModes": ["X"],
                    "tokenRequests": [{"audience": "a"}, {"audience": "a"}],
                }
            },
            [
                'spec.tokenRequests[1].audience: Duplicate value: "a"',
                'spec.volumeLifecycleModes: Unsupported value: "X": supported values: '
                '"Persistent", "Ephemeral"',
            ],
        ),
        (
            "csinodes",
            {
                "spec": {
                    "drivers": [
                        {"name": "a.b", "nodeID": ""},
                        {"name": "a.b", "nodeID": "x", "allocatable": {"count": -1}},
                    ]
                }
            },
            [
                "spec.drivers[0].nodeID: Required value",
                "spec.drivers[1].allocatable.count: Invalid value: -1: must be greater than or "
                "equal to 0",
                'spec.drivers[1].name: Duplicate value: "a.b"',
            ],
        ),
        (
            "csistoragecapacities",
            {"storageClassName": "a", "capacity": "-1"},
            ['capacity: Invalid value: "-1": must be greater than or equal to 0'],
        ),
        (
            "volumeattachments",
            {"spec": {"attacher": "", "source": {}, "nodeName": "n"}},
            [
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and "
                "persistentVolumeName",
                "spec.attacher: Required value",
            ],
        ),
        (
            "volumeattributesclasses",
            {"driverName": "", "parameters": {}},
            [
                "driverName: Required value",
                "parameters: Required value: must contain at least one key/value pair",
            ],
        ),
    ],
)
def test_drivers(plural: str, obj: Json, expected: list[str]) -> None:
    assert findings(f"{plural}.{STORAGE}", obj) == expected


# -- events -------------------------------------------------------------------------------------

CORE: Json = {
    "metadata": {"name": "a", "namespace": "d"},
    "involvedObject": {"kind": "Pod", "name": "p", "namespace": "d"},
    "reason": "R",
    "message": "m",
    "source": {"component": "c", "host": "h"},
    "firstTimestamp": "2024-01-01T00:00:00Z",
    "count": 3,
    "type": "Normal",
}
NEW: Json = {
    "metadata": {"name": "a", "namespace": "d"},
    "eventTime": "2024-01-01T00:00:00.000000Z",
    "reportingController": "a.b/c",
    "reportingInstance": "i",
    "action": "A",
    "reason": "R",
    "type": "Normal",
    "note": "n",
    "regarding": {"kind": "Pod", "name": "p", "namespace": "d"},
}


def test_the_two_forms_of_events() -> None:
    version = kind("events.events.k8s.io").versions["v1"]
    assert version.from_stored is not None
    new = version.from_stored(made("events", CORE))
    assert new["regarding"]["name"] == "p"
    assert (new["note"], new["deprecatedCount"]) == ("m", 3)
    assert new["deprecatedSource"] == {"component": "c", "host": "h"}
    assert new["deprecatedFirstTimestamp"] == "2024-01-01T00:00:00Z"
    assert not new.keys() & CORE.keys() - {"metadata", "reason", "type"}
    core = made("events.events.k8s.io", NEW, version="v1")
    assert core["involvedObject"]["name"] == "p"
    assert (core["message"], core["reportingComponent"]) == ("n", "a.b/c")
    assert not core.keys() & {"note", "regarding", "reportingController"}


def test_events() -> None:
    assert findings("events", CORE) == []
    away = {**CORE, "metadata": {"name": "a", "namespace": "x"}}
    assert findings("events", away) == [
        'involvedObject.namespace: Invalid value: "d": does not match event.namespace'
    ]
    assert findings("events.events.k8s.io", NEW, version="v1") == []
    less = {k: v for k, v in NEW.items() if k not in ("reason", "action", "reportingInstance")}
    missing = findings("events.events.k8s.io", less, version="v1")
    assert [text.split(":")[0] for text in missing] == ["reportingInstance", "action", "reason"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({}, []),
        (
            {"regarding": {**NEW["regarding"], "name": "q"}},
            [
                'involvedObject: Invalid value: {"Kind":"Pod","Namespace":"d","Name":"q","UID":"",'
                '"APIVersion":"","ResourceVersion":"","FieldPath":""}'
            ],
        ),
        (
            {"deprecatedSource": {"component": "c"}},
            ['source: Invalid value: {"Component":"c","Host":""}'],
        ),
        ({"note": None}, ['message: Invalid value: ""']),
        ({"deprecatedCount": 2}, ["count: Invalid value: 2"]),
        ({"reportingController": "x.y/z"}, ['reportingController: Invalid value: "x.y/z"']),
        ({"reason": "Other"}, ['reason: Invalid value: "Other"']),
    ],
)
def test_what_is_fixed_of_an_event(change: Json, expected: list[str]) -> None:
    name = "events.events.k8s.io"
    old = made(name, NEW, version="v1")
    given = {k: v for k, v in {**NEW, **change}.items() if v is not None}
    new = made(name, given, version="v1", old=old)
    assert found(name, new, old=old) == [f"{text}: field is immutable" for text in expected]


def test_event_cells() -> None:
    shown = cells("events", made("events", CORE))
    assert {k: v for k, v in shown.items() if "Seen" not in k} == {
        "Type": "Normal",
        "Reason": "R",
        "Object": "pod/p",
        "Subobject": "",
        "Source": "c, h",
        "Message": "m",
        "Count": 3,
        "Name": "a",
    }


def test_event_selectors() -> None:
    select = kind("events").field_selectors
    obj = made("events", CORE)
    assert select["involvedObject.kind"](obj) == "Pod"
    assert select["source"](obj) == "c"
    assert select["reason"](obj) == "R"


# -- certificates.k8s.io ------------------------------------------------------------------------

SIGNING = "certificatesigningrequests.certificates.k8s.io"


def pem() -> str:
    key = ed25519.Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(key, None)
    return base64.b64encode(request.public_bytes(serialization.Encoding.PEM)).decode()


def test_who_asks_for_a_certificate_is_written_down() -> None:
    spec = {"request": pem(), "signerName": "a.b/c", "usages": ["signing"], "username": "mallory"}
    obj = made(SIGNING, {"spec": spec})
    assert obj["spec"]["username"] == "jane"
    assert obj["spec"]["groups"] == ["developers"]
    assert findings(SIGNING, {"spec": spec}) == []
    later = made(SIGNING, {"spec": {**spec, "signerName": "x.y/z"}}, old=obj)
    assert later["spec"] == obj["spec"]


def test_signing_requests() -> None:
    spec = {"request": "eA==", "signerName": "x", "usages": ["signing"] * 2}
    assert findings(SIGNING, {"spec": {**spec, "expirationSeconds": 1}}) == [
        'spec.request: Invalid value: "eA==": PEM block type must be CERTIFICATE REQUEST',
        'spec.usages[1]: Duplicate value: "signing"',
        'spec.signerName: Invalid value: "x": must be a fully qualified domain and path of the '
        "form 'example.com/signer-name'",
        "spec.expirationSeconds: Invalid value: 1: may not specify a duration less than 600 "
        "seconds (10 minutes)",
    ]


def test_trust_bundles() -> None:
    spec = {"trustBundle": "x", "signerName": "a.b/c"}
    assert findings("clustertrustbundles.certificates.k8s.io", {"spec": spec}) == [
        'metadata.name: Invalid value: "a": ClusterTrustBundle for signerName a.b/c must be '
        "named with prefix a.b:c:",
        'spec.trustBundle: Invalid value: "<value omitted>": at least one trust anchor must be '
        "provided",
    ]
