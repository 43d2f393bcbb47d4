"""What is found in the volumes of a pod and of a PersistentVolume, source by source."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import findings, pod

Json = dict[str, Any]
V = "spec.volumes[0]"
IQN = "must be valid format starting with iqn, eui, or naa"
DUPLICATE = "conflicting duplicate paths"


def of(**source: Any) -> list[str]:
    return findings("pods", pod(volumes=[{"name": "v", **source}]))


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"gcePersistentDisk": {}}, [f"{V}.persistentDisk.pdName: Required value"]),
        (
            {"flocker": {"datasetName": "a/b", "datasetUUID": "c"}},
            [
                f'{V}.flocker: Invalid value: "resource": '
                "datasetName and datasetUUID can not be specified simultaneously",
                f"{V}.flocker.datasetName: Invalid value: \"a/b\": must not contain '/'",
            ],
        ),
        (
            {"fc": {"targetWWNs": ["a"], "wwids": ["b"]}},
            [
                f'{V}.fc.targetWWNs: Invalid value: ["a"]: '
                "targetWWNs and wwids can not be specified simultaneously",
                f"{V}.fc.lun: Required value: lun is required if targetWWNs is specified",
            ],
        ),
        (
            {"flexVolume": {"driver": "any thing", "options": {"a.k8s.io/x": "", "k8s": ""}}},
            [
                f'{V}.flexVolume.options[a.k8s.io/x]: Invalid value: "a.k8s.io/x": '
                "kubernetes.io and k8s.io namespaces are reserved"
            ],
        ),
        (
            {"csi": {"driver": "d", "nodePublishSecretRef": {}}},
            [f"{V}.csi.nodePublishSecretRef.name: Required value"],
        ),
        ({"quobyte": {"registry": "a:b,[::1]:2", "volume": "v"}}, []),
        (
            {"quobyte": {"registry": "a:b:c", "volume": "v"}},
            [
                f'{V}.quobyte.registry: Invalid value: "a:b:c": '
                "must be a host:port pair or multiple pairs separated by commas"
            ],
        ),
        (
            {"secret": {"secretName": "s", "items": [{"key": "k", "path": ".."}]}},
            [
                f"{V}.secret.items[0].path: Invalid value: \"..\": must not contain '..'",
                f"{V}.secret.items[0].path: Invalid value: \"..\": must not start with '..'",
            ],
        ),
        (
            {"downwardAPI": {}, "emptyDir": {}},
            [f"{V}.downwarAPI: Forbidden: may not specify more than 1 volume type"],
        ),
    ],
)  # fmt: skip
def test_each_source_has_its_words(source: Json, expected: list[str]) -> None:
    assert of(**source) == expected


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("iqn.2016-04.com.example:x", None),
        ("eui.0123456789abcdef", None),
        ("naa." + "a" * 32, None),
        ("iqn.2016.com.example:x", "must be valid format"),
        ("eui.x", "must be valid format"),
        ("naa.x", "must be valid format"),
        ("other", IQN),
    ],
)
def test_names_of_iscsi(name: str, complaint: str | None) -> None:
    good = {"targetPortal": "p", "iqn": "eui.0123456789abcdef"}
    expected = [] if complaint is None else [f'Invalid value: "{name}": {complaint}']
    assert of(iscsi=good | {"iqn": name}) == [f"{V}.iscsi.iqn: {e}" for e in expected]
    found = of(iscsi=good | {"initiatorName": name})
    assert found == [f"{V}.iscsi.initiatorname: {e}" for e in expected]


def test_a_long_target_of_iscsi_is_shown_by_the_name_of_its_volume() -> None:
    source = {
        "targetPortal": "p" * 63,
        "iqn": "eui.0123456789abcdef",
        "initiatorName": "eui.0123456789abcdef",
    }
    (found,) = of(iscsi=source)
    assert found.startswith(f'{V}.name: Invalid value: "v": Total length of')


def test_projected_sources() -> None:
    two = {"secret": {"name": "s"}, "configMap": {"name": "c"}}
    bundles = [
        {"clusterTrustBundle": {"name": "a:b", "path": "x"}},
        {"clusterTrustBundle": {"name": "example.com:s:Bad", "path": "y"}},
        {"clusterTrustBundle": {"signerName": "bad", "path": "y"}},
    ]
    found = of(projected={"sources": [two, *bundles]})
    many = "may not specify more than 1 volume type per source"
    assert found[0] == f"{V}.projected.sources[0]: Forbidden: {many}"
    assert found[1].startswith(
        f'{V}.projected.sources[2].clusterTrustBundle.name: Invalid value: "example.com:s:Bad": '
        "not a valid clustertrustbundlename: a lowercase RFC 1123 subdomain"
    )
    assert "must be a fully qualified domain" in found[2]
    assert found[3] == f'{V}.projected: Invalid value: "y": {DUPLICATE}'
    assert len(found) == 4


CLAIM = {"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1"}}}}


def test_claims_made_for_the_pod_are_nobody_elses() -> None:
    made: Json = {"ephemeral": {"volumeClaimTemplate": CLAIM}}
    named = pod(
        volumes=[
            {"name": "v", **made},
            {"name": "w", "persistentVolumeClaim": {"claimName": "p-v"}},
        ]
    )
    named["metadata"] = {"name": "p"}
    assert findings("pods", named) == [
        'spec.volumes[1].persistentVolumeClaim.claimName: Invalid value: "p-v": '
        "must not reference a PVC that gets created for an ephemeral volume"
    ]
    named["metadata"] = {"name": "p" * 252}
    named["spec"]["volumes"].pop()
    assert findings("pods", named) == [
        f'{V}.name: Invalid value: "v": PVC name "{"p" * 252}-v": '
        "must be no more than 253 characters"
    ]


def test_metadata_of_a_claim_template() -> None:
    metadata = {
        "name": "x",
        "uid": "u",
        "generation": 1,
        "finalizers": ["a/b"],
        "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u"}],
        "labels": {"/": ""},
        "annotations": {"a/": ""},
    }
    at = f"{V}.ephemeral.volumeClaimTemplate.metadata."
    found = of(ephemeral={"volumeClaimTemplate": {**CLAIM, "metadata": metadata}})
    assert [text.partition(": ")[0].removeprefix(at) for text in found] == [
        *["annotations"] * 2,
        *["labels"] * 3,
        *["name", "uID", "generation", "ownerReferences", "finalizers"],
    ]
    assert found[-1] == f"{at}finalizers: Forbidden: cannot be set"


def volume(**spec: Any) -> list[str]:
    base: Json = {"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, **spec}
    obj = {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "v"}, "spec": base}
    return findings("persistentvolumes", obj)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (
            {"csi": {"driver": "d", "volumeHandle": "h", "nodeExpandSecretRef": {"name": "A"}}},
            ["spec.csi.nodeExpandSecretRef.namespace: Required value"],
        ),
        (
            {"cinder": {"volumeID": "v", "secretRef": {"name": "s"}}},
            ["spec.cinder.secretRef.namespace: Required value"],
        ),
        (
            {"storageos": {"volumeName": "v", "secretRef": {}}},
            [
                "spec.storageos.secretRef.name: Required value",
                "spec.storageos.secretRef.namespace: Required value",
            ],
        ),
        (
            {"glusterfs": {"endpoints": "e", "path": "p", "endpointsNamespace": ""}},
            [
                'spec.glusterfs.endpointsNamespace: Invalid value: "": '
                "if the endpointnamespace is set, it must be a valid namespace name"
            ],
        ),
        (
            {"iscsi": {"targetPortal": "p", "iqn": "other"}},
            ['spec.iscsi.iqn: Invalid value: "other": must be valid format'],
        ),
        (
            {"hostPath": {"path": "/x"}, "cephfs": {"monitors": ["m"]}},
            ["spec.cephFS: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {"csi": {"driver": "d", "volumeHandle": "h"}, "volumeAttributesClassName": ""},
            ["spec.volumeAttributesClassName: Required value: an empty string is disallowed"],
        ),
    ],
)
def test_sources_of_a_persistent_volume(source: Json, expected: list[str]) -> None:
    found = volume(**source)
    assert [f for f in found if "RFC 1123" not in f] == expected
