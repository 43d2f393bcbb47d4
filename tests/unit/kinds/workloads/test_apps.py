"""The controllers of pods: defaults, findings, what may change, generations, cells."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import (
    LABELS,
    SELECTOR,
    cells,
    changed,
    context,
    defaulted,
    findings,
    found,
    kind,
    made,
    template,
)

from kapi.errors import ApiError
from kapi.kinds.workloads.apps import ControllerRevisionStrategy

Json = dict[str, Any]
DEPLOYMENTS, SETS = "deployments.apps", "statefulsets.apps"
DAEMONS, REPLICAS = "daemonsets.apps", "replicasets.apps"
CONTROLLERS = "replicationcontrollers"
GENERATION = "deprecated.daemonset.template.generation"
PERCENT = (
    "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or "
    "'93%', regex used for validation is '[0-9]+%')"
)


def controller(**spec: Any) -> Json:
    return {"spec": {"selector": SELECTOR, "template": template(), **spec}}


class TestDefaults:
    def spec(self, name: str, **given: Any) -> Json:
        out: Json = defaulted(name, controller(**given))["spec"]
        return {k: v for k, v in out.items() if k not in ("selector", "template")}

    def test_deployments(self) -> None:
        assert self.spec(DEPLOYMENTS) == {
            "replicas": 1,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
            },
            "revisionHistoryLimit": 10,
            "progressDeadlineSeconds": 600,
        }
        assert self.spec(DEPLOYMENTS, strategy={"type": "Recreate"})["strategy"] == {
            "type": "Recreate"
        }

    def test_stateful_sets(self) -> None:
        assert self.spec(SETS) == {
            "replicas": 1,
            "serviceName": "",
            "podManagementPolicy": "OrderedReady",
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"partition": 0, "maxUnavailable": 1},
            },
            "revisionHistoryLimit": 10,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Retain",
                "whenScaled": "Retain",
            },
        }

    def test_daemon_sets(self) -> None:
        assert self.spec(DAEMONS) == {
            "updateStrategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0},
            },
            "revisionHistoryLimit": 10,
        }

    def test_replication_controllers_take_the_labels_of_their_template(self) -> None:
        obj = defaulted(CONTROLLERS, {"spec": {"template": template()}})
        assert obj["spec"]["selector"] == obj["metadata"]["labels"] == LABELS
        assert obj["spec"]["replicas"] == 1


@pytest.mark.parametrize("name", [DEPLOYMENTS, SETS, DAEMONS, REPLICAS])
def test_a_usual_controller_is_right(name: str) -> None:
    assert findings(name, controller()) == []


@pytest.mark.parametrize("name", [DEPLOYMENTS, REPLICAS, SETS])
def test_an_empty_controller(name: str) -> None:
    assert findings(name, {}) == [
        "spec.selector: Required value",
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template "
        "`labels`",
        "spec.template.spec.containers: Required value",
    ]


def test_an_empty_daemon_set() -> None:
    assert findings(DAEMONS, {}) == [
        "spec.template.metadata.labels: Invalid value: null: `selector` does not match template "
        "`labels`",
        "spec.template.spec.containers: Required value",
    ]


MAX_UNAVAILABLE = "spec.strategy.rollingUpdate.maxUnavailable"


@pytest.mark.parametrize(
    ("name", "spec", "expected"),
    [
        (
            DEPLOYMENTS,
            {"replicas": -1, "minReadySeconds": -1},
            [
                "spec.replicas: Invalid value: -1: must be greater than or equal to 0",
                "spec.minReadySeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"rollingUpdate": {"maxUnavailable": "-5", "maxSurge": 0}}},
            [
                f'{MAX_UNAVAILABLE}: Invalid value: "-5": a valid percent string must be a numeric '
                "string followed by an ending '%' (e.g. '1%',  or '93%', regex used for "
                "validation is '[0-9]+%')",
            ],
        ),
        (
            DEPLOYMENTS,
            {"selector": {}},
            ["spec.selector: Invalid value: {}: empty selector is invalid for deployment"],
        ),
        (
            DEPLOYMENTS,
            {"selector": {"matchLabels": {"app": "other"}}},
            [
                'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not '
                "match template `labels`"
            ],
        ),
        (
            DEPLOYMENTS,
            {"progressDeadlineSeconds": 5, "minReadySeconds": 5},
            [
                "spec.progressDeadlineSeconds: Invalid value: 5: must be greater than "
                "minReadySeconds"
            ],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"type": "Recreate", "rollingUpdate": {}}},
            [
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy "
                "`type` is 'Recreate'"
            ],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": "0%"}}},
            [f"{MAX_UNAVAILABLE}: Invalid value: 0: may not be 0 when `maxSurge` is 0"],
        ),
        (
            DEPLOYMENTS,
            {"strategy": {"rollingUpdate": {"maxUnavailable": "101%"}}},
            [f'{MAX_UNAVAILABLE}: Invalid value: "101%": must not be greater than 100%'],
        ),
        (
            DEPLOYMENTS,
            {"template": template(restartPolicy="Never")},
            [
                'spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: '
                '"Always"'
            ],
        ),
        (
            DEPLOYMENTS,
            {"template": template(activeDeadlineSeconds=5)},
            [
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in "
                "ReplicaSet is not Supported"
            ],
        ),
        (
            SETS,
            {"podManagementPolicy": "Odd"},
            [
                "spec.podManagementPolicy: Invalid value: \"Odd\": must be 'OrderedReady' or "
                "'Parallel'"
            ],
        ),
        (
            SETS,
            {"updateStrategy": {"type": "Odd", "rollingUpdate": {"partition": 1}}},
            [
                'spec.updateStrategy: Invalid value: {"Type":"Odd","RollingUpdate":{"Partition":1,'
                "\"MaxUnavailable\":null}}: must be 'RollingUpdate' or 'OnDelete'"
            ],
        ),
        (
            SETS,
            {"volumeClaimTemplates": [{"metadata": {"name": "data"}}]},
            [
                "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access "
                "mode is required",
                "spec.volumeClaimTemplates[0].spec.resources[storage]: Required value",
            ],
        ),
        (
            SETS,
            {"persistentVolumeClaimRetentionPolicy": {"whenScaled": "Odd"}},
            [
                "spec.persistentVolumeClaimRetentionPolicy.whenScaled: Unsupported value: "
                '"Odd": supported values: "Retain", "Delete"'
            ],
        ),
        (
            DAEMONS,
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": "x"}}},
            [
                f'spec.updateStrategy.rollingUpdate.maxUnavailable: Invalid value: "x": {PERCENT}',
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 "
                "when maxSurge is 0",
            ],
        ),
        (
            DAEMONS,
            {"updateStrategy": {"rollingUpdate": {"maxUnavailable": 1, "maxSurge": 1}}},
            [
                "spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: 1: may not be set "
                "when maxUnavailable is non-zero"
            ],
        ),
    ],
)
def test_findings(name: str, spec: Json, expected: list[str]) -> None:
    assert findings(name, controller(**spec)) == expected


def test_a_claim_template_is_a_volume_of_the_pods() -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1Gi"}},
        },
    }
    mounts = [{"name": "data", "mountPath": "/data"}]
    spec = {"template": template({"volumeMounts": mounts}), "volumeClaimTemplates": [claim]}
    assert findings(SETS, controller(**spec)) == []
    obj = made(SETS, controller(**spec))
    assert "volumes" not in obj["spec"]["template"]["spec"]  # only while it is looked at
    del spec["volumeClaimTemplates"]
    assert findings(SETS, controller(**spec)) == [
        'spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data"'
    ]


class TestChanges:
    @pytest.mark.parametrize("name", [DEPLOYMENTS, REPLICAS])
    def test_selectors_are_fixed(self, name: str) -> None:
        more = {"matchExpressions": [{"key": "app", "operator": "Exists"}]}
        assert changed(name, controller(), controller(selector=more)) == [
            'spec.selector: Invalid value: {"matchExpressions":[{"key":"app","operator":"Exists"}]}'
            ": field is immutable"
        ]

    def test_most_of_a_stateful_set_is_fixed(self) -> None:
        assert changed(SETS, controller(), controller(replicas=3, minReadySeconds=5)) == []
        assert changed(SETS, controller(), controller(serviceName="s")) == [
            "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', "
            "'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', "
            "'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
        ]

    def test_status(self) -> None:
        old = made(DEPLOYMENTS, controller())
        status = {"replicas": 1, "updatedReplicas": 2, "readyReplicas": 1, "availableReplicas": -1}
        new = made(DEPLOYMENTS, {**controller(), "status": status}, old=old, subresource="status")
        assert found(DEPLOYMENTS, new, old=old, subresource="status") == [
            "status.availableReplicas: Invalid value: -1: must be greater than or equal to 0",
            "status.updatedReplicas: Invalid value: 2: cannot be greater than status.replicas",
        ]

    def test_collisions_only_grow(self) -> None:
        old = made(DEPLOYMENTS, controller())
        old["status"]["collisionCount"] = 2
        new = made(
            DEPLOYMENTS, {**controller(), "status": {"collisionCount": 1}}, old=old,
            subresource="status",
        )  # fmt: skip
        assert found(DEPLOYMENTS, new, old=old, subresource="status") == [
            "status.collisionCount: Invalid value: 1: cannot be decremented"
        ]


class TestGenerations:
    def test_annotations_of_a_deployment_count(self) -> None:
        old = made(DEPLOYMENTS, controller())
        old["metadata"]["generation"] = 4
        noted = {**controller(), "metadata": {"name": "a", "annotations": {"note": "x"}}}
        assert made(DEPLOYMENTS, noted, old=old)["metadata"]["generation"] == 5
        assert "generation" not in made(DEPLOYMENTS, controller(), old=old)["metadata"]

    def test_templates_of_a_daemon_set_count(self) -> None:
        old = made(DAEMONS, controller())
        assert old["metadata"]["annotations"][GENERATION] == "1"
        same = made(DAEMONS, controller(minReadySeconds=5), old=old)
        assert same["metadata"]["annotations"][GENERATION] == "1"
        other = controller(template=template({"image": "other:1"}))
        assert made(DAEMONS, other, old=old)["metadata"]["annotations"][GENERATION] == "2"

    @pytest.mark.parametrize(
        ("text", "made_of_it"),
        [
            ("7", "7"),
            ("-5", "1"),
            ("x", 'parsing "x": invalid syntax'),
            ("", 'parsing "": invalid syntax'),
            ("9" * 20, f'parsing "{"9" * 20}": value out of range'),
        ],
    )
    def test_the_count_is_a_number(self, text: str, made_of_it: str) -> None:
        obj = {**controller(), "metadata": {"name": "a", "annotations": {GENERATION: text}}}
        if text in ("7", "-5"):
            assert made(DAEMONS, obj)["metadata"]["annotations"][GENERATION] == made_of_it
            return
        with pytest.raises(ApiError) as refused:
            made(DAEMONS, obj)
        assert refused.value.code == 400
        assert refused.value.message.endswith(f": strconv.ParseInt: {made_of_it}")

    def test_the_count_is_hidden_from_metadata_alone(self) -> None:
        assert kind(DAEMONS).hidden_annotations == {GENERATION}


class TestRevisions:
    def found(self, new: Json, old: Json | None = None) -> list[str]:
        version = next(iter(kind("controllerrevisions.apps").versions.values()))
        about = context("CREATE" if old is None else "UPDATE", version)
        return [str(f) for f in ControllerRevisionStrategy().validate(new, old, about)]

    def test_data_is_an_object(self) -> None:
        assert self.found({"data": {"a": 1}, "revision": 1}) == []
        assert self.found({}) == ["data: Required value: data is mandatory"]
        assert self.found({"data": 7}) == ["data: Required value: data must be a valid JSON object"]

    def test_data_is_fixed(self) -> None:
        assert self.found({"data": {"a": 1}}, {"data": {"a": 1}}) == []
        assert self.found({"data": {"a": 2}, "revision": -1}, {"data": {"a": 1}}) == [
            "revision: Invalid value: -1: must be greater than or equal to 0",
            'data: Invalid value: {"a":2}: field is immutable',
        ]


class TestCells:
    def test_deployments(self) -> None:
        obj = made(DEPLOYMENTS, controller(replicas=3))
        obj["status"] = {"readyReplicas": 1, "updatedReplicas": 2, "availableReplicas": 1}
        shown = cells(DEPLOYMENTS, obj)
        assert (shown["Ready"], shown["Up-to-date"], shown["Available"]) == ("1/3", 2, 1)
        assert (shown["Containers"], shown["Selector"]) == ("main", "app=web")
        assert shown["Images"] == "registry.example.com/web:1"

    def test_stateful_sets(self) -> None:
        assert cells(SETS, made(SETS, controller(replicas=2)))["Ready"] == "0/2"

    def test_daemon_sets(self) -> None:
        obj = made(DAEMONS, controller(template=template(nodeSelector={"b": "2", "a": "1"})))
        obj["status"]["desiredNumberScheduled"] = 4
        shown = cells(DAEMONS, obj)
        assert (shown["Desired"], shown["Ready"], shown["Node Selector"]) == (4, 0, "a=1,b=2")

    def test_replication_controllers(self) -> None:
        obj = made(CONTROLLERS, {"spec": {"template": template(), "replicas": 2}})
        shown = cells(CONTROLLERS, obj)
        assert (shown["Desired"], shown["Current"], shown["Selector"]) == (2, 0, "app=web")

    def test_revisions(self) -> None:
        owner = {"apiVersion": "apps/v1", "kind": "DaemonSet", "name": "d", "controller": True}
        obj = {"metadata": {"name": "a", "ownerReferences": [owner]}, "revision": 7}
        shown = cells("controllerrevisions.apps", obj)
        assert (shown["Controller"], shown["Revision"]) == ("daemonset.apps/d", 7)
        assert cells("controllerrevisions.apps", {"metadata": {}})["Controller"] == "<none>"


def test_replication_controllers() -> None:
    assert findings(CONTROLLERS, {"spec": {"template": template()}}) == []
    assert findings(CONTROLLERS, {}) == [
        "spec.selector: Required value",
        "spec.template: Required value",
    ]
    given = {"selector": {"app": "other"}, "template": template()}
    assert findings(CONTROLLERS, {"spec": given}) == [
        'spec.template.metadata.labels: Invalid value: {"app":"web"}: `selector` does not match '
        "template `labels`"
    ]
    (text, *_) = kind(CONTROLLERS).strategy.name_rule("x" * 254, False)
    assert text == "must be no more than 253 bytes"
