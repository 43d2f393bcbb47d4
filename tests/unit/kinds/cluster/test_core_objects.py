"""The small kinds of the core group: ConfigMap, Secret, LimitRange, ResourceQuota, Namespace, Node,
PersistentVolume, PersistentVolumeClaim.
"""

from __future__ import annotations

import base64
from typing import Any

import pytest
from kind_bench import cells, changed, context, defaulted, findings, found, kind, made

from kapi.kinds.shared import checks

Json = dict[str, Any]
IMMUTABLE = "field is immutable"


# -- configuration ------------------------------------------------------------------------------


def test_config_map_keys() -> None:
    obj = {"data": {"a b": "x", "a": "x"}, "binaryData": {"a": "eA=="}}
    assert findings("configmaps", obj) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData',
        f'data[a b]: Invalid value: "a b": {checks.config_key("a b")[0]}',
    ]
    assert findings("configmaps", {"data": {".": "x"}}) == [
        "data[.]: Invalid value: \".\": must not be '.'"
    ]


def test_config_map_size() -> None:
    big = {"data": {"a": "x" * 2**20}}
    assert findings("configmaps", big) == []
    big["data"]["b"] = "x"
    assert findings("configmaps", big) == ["[]: Too long: may not be more than 1048576 bytes"]


def test_immutable_config() -> None:
    for name in ("configmaps", "secrets"):
        fixed = {"data": {"a": "eA=="}, "immutable": True}
        assert changed(name, fixed, {**fixed, "immutable": False}) == [
            "immutable: Forbidden: field is immutable when `immutable` is set"
        ]
        assert changed(name, fixed, {**fixed, "data": {}}) == [
            "data: Forbidden: field is immutable when `immutable` is set"
        ]
        assert changed(name, {"data": {"a": "eA=="}}, fixed) == []


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("Opaque", []),
        ("example.com/mine", []),
        ("kubernetes.io/tls", ["data[tls.crt]", "data[tls.key]"]),
        ("kubernetes.io/basic-auth", ["data[username]", "data[password]"]),
        ("kubernetes.io/ssh-auth", ["data[ssh-privatekey]"]),
        ("kubernetes.io/dockercfg", ["data[.dockercfg]"]),
        ("kubernetes.io/dockerconfigjson", ["data[.dockerconfigjson]"]),
        (
            "kubernetes.io/service-account-token",
            ["metadata.annotations[kubernetes.io/service-account.name]"],
        ),
    ],
)
def test_what_a_type_of_secret_needs(kind: str, expected: list[str]) -> None:
    assert findings("secrets", {"type": kind}) == [f"{path}: Required value" for path in expected]


def test_secrets_are_not_quoted() -> None:
    obj = {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": "eA=="}}
    assert findings("secrets", obj) == [
        'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": '
        "invalid character 'x' looking for beginning of value"
    ]


def test_the_type_of_a_secret_stays() -> None:
    assert changed("secrets", {"type": "a"}, {"type": "b"}) == [
        f'type: Invalid value: "b": {IMMUTABLE}'
    ]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "unexpected end of JSON input"),
        ('{"a"', "unexpected end of JSON input"),
        ('{"a"}', "invalid character '}' after object key"),
        ("{} x", "invalid character 'x' after top-level value"),
        ("[]", "json: cannot unmarshal array into Go value of type map[string]interface {}"),
        ("1", "json: cannot unmarshal number into Go value of type map[string]interface {}"),
    ],
)
def test_what_is_wrong_with_credentials(text: str, problem: str) -> None:
    data = {".dockercfg": base64.b64encode(text.encode()).decode()}
    assert findings("secrets", {"type": "kubernetes.io/dockercfg", "data": data}) == [
        f'data[.dockercfg]: Invalid value: "<secret contents redacted>": {problem}'
    ]


def test_the_type_comes_before_the_rest() -> None:
    old = {"type": "a", "data": {"a": "eA=="}, "immutable": True}
    assert changed("secrets", old, {**old, "type": "b", "immutable": False}) == [
        'type: Invalid value: "b": field is immutable',
        "immutable: Forbidden: field is immutable when `immutable` is set",
    ]


def test_mountable_secrets_are_warned_of_once() -> None:
    resource = kind("serviceaccounts")
    about = context("UPDATE", resource.versions["v1"])

    def account(**annotations: str) -> Json:
        return {"metadata": {"name": "a", "annotations": annotations}}

    key = "kubernetes.io/enforce-mountable-secrets"
    new = account(**{key: "true"})
    assert len(resource.strategy.warnings(new, None, about)) == 1
    assert len(resource.strategy.warnings(new, account(), about)) == 1
    assert resource.strategy.warnings(new, account(**{key: "false"}), about) == []


def test_string_data_becomes_data() -> None:
    obj = made("secrets", {"stringData": {"a": "x"}, "data": {"a": "eQ==", "b": "eQ=="}})
    assert obj["data"] == {"a": "eA==", "b": "eQ=="}
    assert "stringData" not in obj


# -- limits -------------------------------------------------------------------------------------


def test_limits_fill_each_other_in() -> None:
    def limits(**item: Any) -> Json:
        item = {"type": "Container", **item}
        found: Json = defaulted("limitranges", {"spec": {"limits": [item]}})["spec"]["limits"][0]
        return found

    most = limits(max={"cpu": "1"})
    assert (most["default"], most["defaultRequest"]) == ({"cpu": "1"}, {"cpu": "1"})
    least = limits(min={"cpu": "1"})
    assert least["defaultRequest"] == {"cpu": "1"}
    assert "default" not in least
    assert "default" not in limits(type="Pod", max={"cpu": "1"})


def test_limits() -> None:
    limits: list[Json] = [
        {
            "type": "Container",
            "max": {"cpu": "1"},
            "min": {"cpu": "2"},
            "default": {"cpu": "3"},
            "defaultRequest": {"cpu": "4"},
        },
        {"type": "Pod", "default": {"cpu": "1"}, "maxLimitRequestRatio": {"cpu": "500m"}},
        {"type": "Container"},
        {"type": "PersistentVolumeClaim"},
    ]
    where = "spec.limits[0]"
    assert findings("limitranges", {"spec": {"limits": limits}}) == [
        f'{where}.min[cpu]: Invalid value: "2": min value 2 is greater than max value 1',
        f'{where}.defaultRequest[cpu]: Invalid value: "4": '
        "default request value 4 is greater than max value 1",
        f'{where}.defaultRequest[cpu]: Invalid value: "4": '
        "default request value 4 is greater than default limit value 3",
        f'{where}.default[cpu]: Invalid value: "1": default value 3 is greater than max value 1',
        "spec.limits[1].default: Forbidden: may not be specified when `type` is 'Pod'",
        'spec.limits[1].maxLimitRequestRatio[cpu]: Invalid value: "500m": '
        "ratio 500m is less than 1",
        'spec.limits[2].type: Duplicate value: "Container"',
        "spec.limits[3].limits: Required value: either minimum or maximum storage value is "
        "required, but neither was provided",
    ]


# -- quotas -------------------------------------------------------------------------------------


def test_quota_amounts() -> None:
    hard = {"cpu": "-1", "services": "1.5", "pods": "3", "count/x.example.com": "1"}
    assert findings("resourcequotas", {"spec": {"hard": hard}}) == [
        'spec.hard[cpu]: Invalid value: "-1": must be greater than or equal to 0',
        'spec.hard[services]: Invalid value: "1500m": must be an integer',
    ]
    assert findings("resourcequotas", {"spec": {"hard": {"pods": "1e100"}}}) == []


def test_quota_scopes() -> None:
    both = {"scopes": ["BestEffort", "NotBestEffort"], "hard": {"pods": "1"}}
    assert findings("resourcequotas", {"spec": both}) == [
        'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes'
    ]
    storage = {"scopes": ["BestEffort"], "hard": {"requests.storage": "1"}}
    assert findings("resourcequotas", {"spec": storage}) == [
        'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource'
    ]
    pages = {"scopes": ["PriorityClass"], "hard": {"requests.hugepages-2Mi": "1"}}
    assert findings("resourcequotas", {"spec": pages}) == [
        'spec.scopes: Invalid value: ["PriorityClass"]: unsupported scope applied to resource'
    ]
    pair = [{"scopeName": s, "operator": "Exists"} for s in ("BestEffort", "NotBestEffort")]
    spec: Json = {"scopeSelector": {"matchExpressions": pair}}
    assert findings("resourcequotas", {"spec": spec}) == [
        "spec.scopeSelector.matchExpressions: Invalid value: null: conflicting scopes"
    ]
    selector = [{"scopeName": "PriorityClass", "operator": "In"}]
    spec = {"hard": {"pods": "1"}, "scopeSelector": {"matchExpressions": selector}}
    assert findings("resourcequotas", {"spec": spec}) == [
        "spec.scopeSelector.matchExpressions.values: Required value: must be at least one value "
        "when `operator` is 'In' or 'NotIn' for scope selector"
    ]
    before, after = ({"spec": {"scopes": [s]}} for s in ("BestEffort", "Terminating"))
    assert changed("resourcequotas", before, after) == [
        f'spec.scopes: Invalid value: ["Terminating"]: {IMMUTABLE}'
    ]


@pytest.mark.parametrize(
    ("hard", "expected"),
    [
        ({"requests.cpu": "1", "limits.cpu": "1", "requests.storage": "9"}, []),
        (
            {"requests.cpu": "2", "cpu": "0", "limits.cpu": "1500m", "memory": "2Gi",
             "limits.memory": "1Gi"},
            ["ResourceQuota requests.cpu (2) should be less than limits.cpu (1500m)",
             "ResourceQuota memory (2Gi) should be less than limits.memory (1Gi)"],
        ),
    ],
)  # fmt: skip
def test_a_new_quota_whose_requests_are_above_its_limits(hard: Json, expected: list[str]) -> None:
    resource = kind("resourcequotas")
    about = context("CREATE", resource.versions["v1"])
    obj = made("resourcequotas", {"spec": {"hard": hard}})
    assert resource.strategy.warnings(obj, None, about) == expected
    assert resource.strategy.warnings(obj, obj, about) == []


def test_quota_cells() -> None:
    hard = {"pods": "5", "limits.cpu": "2", "requests.cpu": "1"}
    status = {"hard": hard, "used": {"pods": "1"}}
    shown = cells("resourcequotas", {**made("resourcequotas", {}), "status": status})
    assert shown["Request"] == "pods: 1/5, requests.cpu: 0/1"
    assert shown["Limit"] == "limits.cpu: 0/2"


# -- namespaces and nodes -----------------------------------------------------------------------


def test_a_new_namespace() -> None:
    obj = made("namespaces", {})
    assert obj["metadata"]["labels"] == {"kubernetes.io/metadata.name": "a"}
    assert (obj["spec"], obj["status"]) == ({"finalizers": ["kubernetes"]}, {"phase": "Active"})
    more = made("namespaces", {"spec": {"finalizers": ["a.b/c"]}})
    assert more["spec"]["finalizers"] == ["a.b/c", "kubernetes"]


def test_the_phase_of_a_namespace() -> None:
    going = {"status": {"phase": "Terminating"}}
    assert changed("namespaces", {}, going, "status") == [
        'status.Phase: Invalid value: "Terminating": '
        "may only be 'Active' if `deletionTimestamp` is empty"
    ]


def test_nodes() -> None:
    taints = [
        {"key": "a", "effect": "X"},
        {"key": "b", "effect": "NoSchedule"},
        {"key": "b", "effect": "NoSchedule"},
    ]
    spec = {"podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"], "taints": taints}
    assert findings("nodes", {"spec": spec}) == [
        'metadata.taints[0].effect: Unsupported value: "X": supported values: "NoSchedule", '
        '"PreferNoSchedule", "NoExecute"',
        'metadata.taints[2]: Duplicate value: {"Key":"b","Value":"","Effect":"NoSchedule",'
        '"TimeAdded":null}: taints must be unique by key and effect pair',
        'spec.podCIDRs: Invalid value: ["10.0.0.0/24","10.1.0.0/24"]: '
        "may specify no more than one CIDR for each IP family",
    ]


def test_what_stays_on_a_node() -> None:
    one, two = ({"spec": {"podCIDR": f"10.{n}.0.0/24"}} for n in (0, 1))
    assert changed("nodes", {}, one) == []
    assert changed("nodes", one, two) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid'
    ]


def test_node_cells() -> None:
    status = {
        "conditions": [{"type": "Ready", "status": "True"}],
        "nodeInfo": {"kubeletVersion": "v1.37.2"},
        "addresses": [{"type": "InternalIP", "address": "10.0.0.7"}],
    }
    labels = {"node-role.kubernetes.io/worker": "", "kubernetes.io/role": "edge"}
    obj = {"metadata": {"name": "a", "labels": labels}, "spec": {"unschedulable": True}}
    shown = cells("nodes", {**made("nodes", obj), "status": status})
    assert shown["Status"] == "Ready,SchedulingDisabled"
    assert shown["Roles"] == "edge,worker"
    assert (shown["Internal-IP"], shown["External-IP"]) == ("10.0.0.7", "<none>")
    assert cells("nodes", made("nodes", {}))["Status"] == "Unknown"


# -- volumes and claims -------------------------------------------------------------------------

VOLUME: Json = {
    "capacity": {"storage": "1Gi"},
    "accessModes": ["ReadWriteOnce"],
    "nfs": {"server": "a", "path": "/"},
}
CLAIM: Json = {
    "accessModes": ["ReadWriteOnce"],
    "resources": {"requests": {"storage": "1Gi"}},
    "storageClassName": "a",
}


def test_volumes() -> None:
    assert findings("persistentvolumes", {"spec": VOLUME}) == []
    assert findings("persistentvolumes", {"spec": {}}) == [
        "spec.accessModes: Required value",
        "spec.capacity: Required value",
        'spec.capacity: Unsupported value: null: supported values: "storage"',
        "spec: Required value: must specify a volume type",
    ]
    two = {**VOLUME, "hostPath": {"path": "../x"}, "persistentVolumeReclaimPolicy": "X"}
    assert findings("persistentvolumes", {"spec": two}) == [
        'spec.persistentVolumeReclaimPolicy: Unsupported value: "X": supported values: "Delete", '
        '"Recycle", "Retain"',
        "spec.hostPath.path: Invalid value: \"../x\": must not contain '..'",
        "spec.nfs: Forbidden: may not specify more than 1 volume type",
    ]


def test_the_source_of_a_volume_stays() -> None:
    other = {**VOLUME, "nfs": {"server": "b", "path": "/"}, "volumeMode": "Block"}
    first, mode = changed("persistentvolumes", {"spec": VOLUME}, {"spec": other})
    assert first.startswith(
        "spec.persistentvolumesource: Forbidden: spec.persistentvolumesource is immutable after "
        "creation\n@@ "
    )
    assert '-  "Server": "a",\n+  "Server": "b",\n' in first
    assert mode == f'volumeMode: Invalid value: "Block": {IMMUTABLE}'


def test_volume_cells() -> None:
    spec = {**VOLUME, "claimRef": {"namespace": "n", "name": "c"}, "storageClassName": "fast"}
    shown = cells("persistentvolumes", made("persistentvolumes", {"spec": spec}))
    shown.pop("Age")
    assert shown == {
        "Name": "a",
        "Capacity": "1Gi",
        "Access Modes": "RWO",
        "Reclaim Policy": "Retain",
        "Status": "Pending",
        "Claim": "n/c",
        "StorageClass": "fast",
        "VolumeAttributesClass": "<unset>",
        "Reason": "",
        "VolumeMode": "Filesystem",
    }


def test_claims() -> None:
    assert findings("persistentvolumeclaims", {"spec": CLAIM}) == []
    assert findings("persistentvolumeclaims", {"spec": {}}) == [
        "spec.accessModes: Required value: at least 1 access mode is required",
        "spec.resources[storage]: Required value",
    ]


def test_a_claim_of_parts_of_bytes_is_taken() -> None:
    part = {**CLAIM, "resources": {"requests": {"storage": "1500m"}}}
    assert findings("persistentvolumeclaims", {"spec": part}) == []


CLASS = "volume.beta.kubernetes.io/storage-class"


@pytest.mark.parametrize(
    ("before", "after", "expected"),  # annotation and field, each
    [
        ((None, None), (None, "fast"), []),
        (("fast", None), ("fast", "fast"), []),
        (("fast", None), (None, "fast"), []),
        (("fast", None), ("slow", "fast"), ["metadata"]),
        (("fast", None), (None, None), ["metadata"]),
        ((None, None), ("fast", None), ["metadata"]),
        (("fast", None), ("fast", "slow"), ["spec"]),
        ((None, "fast"), (None, "slow"), ["spec"]),
        ((None, "fast"), (None, None), ["spec"]),
    ],
)
def test_the_class_of_a_claim(
    before: tuple[str | None, str | None],
    after: tuple[str | None, str | None],
    expected: list[str],
) -> None:
    def claim(annotation: str | None, name: str | None) -> Json:
        notes = {} if annotation is None else {CLASS: annotation}
        spec = {k: v for k, v in CLAIM.items() if k != "storageClassName"}
        if name is not None:
            spec["storageClassName"] = name
        return {"metadata": {"name": "a", "annotations": notes}, "spec": spec}

    seen = changed("persistentvolumeclaims", claim(*before), claim(*after))
    assert [text.partition(":")[0].partition(".")[0] for text in seen] == expected
    if expected == ["metadata"]:
        text = f'Invalid value: "{after[0] or ""}": field is immutable'
        assert seen == [f"metadata.annotations.{CLASS}: {text}"]


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (None, "fast", ""),
        ("slow", "fast", ""),
        ("slow", None, "nil"),
        ("slow", "", "an empty string"),
        ("", None, "nil"),
        ("", "", ""),
    ],
)
def test_the_attributes_class_of_a_claim(
    before: str | None, after: str | None, expected: str
) -> None:
    def claim(name: str | None) -> Json:
        named = {} if name is None else {"volumeAttributesClassName": name}
        return {"spec": {**CLAIM, **named}}

    text = f"update from non-nil value to {expected} is forbidden"
    assert changed("persistentvolumeclaims", claim(before), claim(after)) == (
        [f"spec.volumeAttributesClassName: Forbidden: {text}"] if expected else []
    )


def test_the_status_of_a_claim() -> None:
    name = "persistentvolumeclaims"
    old = made(name, {"spec": CLAIM})
    states = {"storage": "Odd", "cpu": "NodeResizePending", "a.b/c": "NodeResizePending"}
    status = {
        "capacity": {"storage": "-2"},
        "allocatedResourceStatuses": states,
        "allocatedResources": {"storage": "-1", "memory": "1"},
        "healthStatus": {"healthConditions": []},
    }
    new = made(name, {"spec": CLAIM, "status": status}, old=old, subresource="status")
    assert "healthStatus" not in new["status"]
    where = "status.allocatedResourceStatus"
    assert sorted(found(name, new, old=old, subresource="status")) == [
        f'{where}: Unsupported value: "cpu": supported values: "storage"',
        f'{where}: Unsupported value: "storage": supported values: "ControllerResizeInProgress", '
        '"ControllerResizeInfeasible", "NodeResizeInProgress", "NodeResizeInfeasible", '
        '"NodeResizePending"',
        'status.allocatedResources: Unsupported value: "memory": supported values: "storage"',
        "status.allocatedResources[storage]: Invalid value: -1: must be a valid resource quantity",
        "status.capacity[storage]: Invalid value: -2: must be a valid resource quantity",
    ]


def test_only_a_bound_claim_grows() -> None:
    more = {"spec": {**CLAIM, "resources": {"requests": {"storage": "2Gi"}}}}
    text = "spec: Forbidden: spec is immutable after creation except resources.requests and "
    (finding,) = changed("persistentvolumeclaims", {"spec": CLAIM}, more)
    assert finding.startswith(f"{text}volumeAttributesClassName for bound claims\n")
    bound = made("persistentvolumeclaims", {"spec": CLAIM})
    bound["status"] = {"phase": "Bound", "capacity": {"storage": "2Gi"}}
    new = made("persistentvolumeclaims", more)
    new["status"] = bound["status"]
    assert found("persistentvolumeclaims", new, old=bound) == []
    assert found("persistentvolumeclaims", bound, old=new) == [
        "spec.resources.requests.storage: Forbidden: field can not be less than status.capacity"
    ]


def test_the_two_sources_of_a_claim() -> None:
    source = {"apiGroup": None, "kind": "PersistentVolumeClaim", "name": "x"}
    spec = made("persistentvolumeclaims", {"spec": {**CLAIM, "dataSource": source}})["spec"]
    assert spec["dataSourceRef"] == source
    spec = made("persistentvolumeclaims", {"spec": {**CLAIM, "dataSourceRef": source}})["spec"]
    assert spec["dataSource"] == source
    odd = {"kind": "Odd", "name": "x", "apiGroup": "example.com"}
    spec = made("persistentvolumeclaims", {"spec": {**CLAIM, "dataSource": odd}})["spec"]
    assert "dataSource" not in spec
    assert "dataSourceRef" not in spec
    both = {**CLAIM, "dataSource": odd, "dataSourceRef": {**odd, "name": "y"}}
    assert findings("persistentvolumeclaims", {"spec": both}) == [
        "spec: Invalid value: {}: must match dataSourceRef"
    ]
    away = {**CLAIM, "dataSourceRef": {**source, "namespace": "other"}}
    assert "dataSourceRef" not in made("persistentvolumeclaims", {"spec": away})["spec"]
    upper = {"kind": "Odd", "name": "x", "apiGroup": "Example.com"}
    old = made("persistentvolumeclaims", {"spec": {**CLAIM, "dataSourceRef": odd}})
    for group in (odd, upper):  # a group that was there need not be right
        old["spec"]["dataSource"] = old["spec"]["dataSourceRef"] = group
        given = {"spec": {**CLAIM, "dataSource": group, "dataSourceRef": group}}
        new = made("persistentvolumeclaims", given, old=old)
        assert found("persistentvolumeclaims", new, old=old) == []
