"""What may change in a pod: by updates, at gates, by debugging, by resize, and in its status."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import CONTAINER, changed, found, kind, made, pod

from kapi.kinds.pods.updates import FIXED_SPEC

Json = dict[str, Any]


def change(before: Json, after: Json, subresource: str = "") -> list[str]:
    """What is found in a change of the spec."""
    return changed("pods", pod(**before), pod(**after), subresource)


class TestUpdates:
    @pytest.mark.parametrize(
        ("before", "after"),
        [
            ({}, {}),
            ({}, {"containers": [{**CONTAINER, "image": "registry.example.com/web:2",
                                  "imagePullPolicy": "IfNotPresent"}]}),
            ({}, {"activeDeadlineSeconds": 5}),
            ({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 4}),
            ({}, {"tolerations": [{"key": "k", "operator": "Exists"}]}),
            ({"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute"}]},
             {"tolerations": [{"key": "k", "operator": "Exists", "effect": "NoExecute",
                               "tolerationSeconds": 7}]}),
            ({"terminationGracePeriodSeconds": -1}, {"terminationGracePeriodSeconds": 1}),
            ({"schedulingGates": [{"name": "a"}, {"name": "b"}]},
             {"schedulingGates": [{"name": "b"}]}),
            ({"schedulingGates": [{"name": "a"}]},
             {"schedulingGates": [{"name": "a"}], "nodeSelector": {"k": "v"}}),
        ],
    )  # fmt: skip
    def test_what_may_change(self, before: Json, after: Json) -> None:
        assert change(before, after) == []

    def test_the_rest_is_fixed_and_shown(self) -> None:
        (text,) = change({"hostname": "a"}, {"hostname": "b"})
        head, _, shown = text.partition("\n@@ ")
        assert head == f"spec: Forbidden: {FIXED_SPEC}"
        assert shown.endswith(
            "@@\n"
            '   "SELinuxChangePolicy": null\n'
            "  },\n"
            '  "ImagePullSecrets": null,\n'
            '- "Hostname": "a",\n'
            '+ "Hostname": "b",\n'
            '  "Subdomain": "",\n'
            '  "Affinity": null,\n'
            '  "SchedulerName": "default-scheduler",\n'
        )

    def test_containers_stay(self) -> None:
        more = [CONTAINER, {**CONTAINER, "name": "b"}]
        assert change({}, {"containers": more}) == [
            "spec.containers: Forbidden: pod updates may not add or remove containers"
        ]
        init = [{"name": "i", "image": "i:1"}]
        assert change({}, {"initContainers": init}) == [
            "spec.initContainers: Forbidden: pod updates may not add or remove containers"
        ]

    def test_a_deadline_only_comes_nearer(self) -> None:
        assert change({"activeDeadlineSeconds": 5}, {"activeDeadlineSeconds": 6}) == [
            "spec.activeDeadlineSeconds: Invalid value: 6: must be less than or equal to previous "
            "value"
        ]
        (gone,) = change({"activeDeadlineSeconds": 5}, {})
        assert gone == (
            "spec.activeDeadlineSeconds: Invalid value: null: must not update from a positive "
            "integer to nil value"
        )

    def test_tolerations_stay(self) -> None:
        (text, *_) = change({"tolerations": [{"key": "k", "operator": "Exists"}]}, {})
        assert text == (
            "spec.tolerations: Forbidden: existing toleration can not be modified except its "
            "tolerationSeconds"
        )

    def test_gates_only_open(self) -> None:
        (text,) = change({}, {"schedulingGates": [{"name": "b"}, {"name": "a"}]})
        assert text == (
            "spec.schedulingGates: Forbidden: only deletion is allowed, but found new scheduling "
            "gates 'a, b'"
        )

    def test_a_gated_pod_is_only_bound_more_tightly(self) -> None:
        gate: Json = {"schedulingGates": [{"name": "a"}]}
        (text,) = change({**gate, "nodeSelector": {"a": "1"}}, {**gate, "nodeSelector": {"b": "1"}})
        assert text == (
            'spec.nodeSelector: Invalid value: {"b":"1"}: only additions are allowed (no '
            "mutations or deletions)"
        )

    def test_a_mirror_stays_one(self) -> None:
        mark = "kubernetes.io/config.mirror"
        plain = pod(nodeName="n")
        mirror = {**plain, "metadata": {"name": "a", "annotations": {mark: "x"}}}
        assert changed("pods", mirror, plain) == [
            f"metadata.annotations[{mark}]: Forbidden: may not remove or update mirror pod "
            "annotation"
        ]
        assert changed("pods", plain, mirror) == [
            f"metadata.annotations[{mark}]: Forbidden: may not add mirror pod annotation"
        ]


DEBUG: Json = {"name": "debug", "image": "busybox:1"}


class TestDebugging:
    def test_containers_are_added(self) -> None:
        after = {"ephemeralContainers": [DEBUG]}
        assert change({}, after, "ephemeralcontainers") == []

    def test_and_stay_as_they_are(self) -> None:
        old = made("pods", pod())
        old["spec"]["ephemeralContainers"] = made(
            "pods", pod(ephemeralContainers=[DEBUG])
        )["spec"]["ephemeralContainers"]  # fmt: skip
        gone = made("pods", pod(), old=old, subresource="ephemeralcontainers")
        assert found("pods", gone, old=old, subresource="ephemeralcontainers") == [
            'spec.ephemeralContainers: Forbidden: existing ephemeral containers "debug" may not '
            "be removed\n"
        ]
        other = pod(ephemeralContainers=[{**DEBUG, "image": "busybox:2"}])
        new = made("pods", other, old=old, subresource="ephemeralcontainers")
        (text,) = found("pods", new, old=old, subresource="ephemeralcontainers")
        assert 'existing ephemeral containers "debug" may not be changed\n@@ ' in text
        assert '- "Image": "busybox:1",\n+ "Image": "busybox:2",\n' in text

    def test_they_are_plain(self) -> None:
        after = {"ephemeralContainers": [{**DEBUG, "ports": [{"containerPort": 1}],
                                          "targetContainerName": "none"}]}  # fmt: skip
        assert change({}, after, "ephemeralcontainers") == [
            'spec.ephemeralContainers[0].targetContainerName: Not found: "none"',
            "spec.ephemeralContainers[0].ports: Forbidden: cannot be set for an Ephemeral "
            "Container",
        ]


class TestResize:
    def resize(self, before: Json, after: Json) -> list[str]:
        old = pod({"resources": before})
        new = pod({"resources": after, "image": "something-else"})
        return changed("pods", old, new, "resize")

    def test_amounts_change(self) -> None:
        old = made("pods", pod({"resources": {"requests": {"cpu": "1"}}}))
        new = made(
            "pods", pod({"resources": {"requests": {"cpu": "2"}}, "image": "other"}),
            old=old, subresource="resize",
        )  # fmt: skip
        container = new["spec"]["containers"][0]
        assert container["resources"] == {"requests": {"cpu": "2"}}
        assert container["image"] == CONTAINER["image"]  # nothing else does
        assert found("pods", new, old=old, subresource="resize") == []

    def test_the_quality_of_service_stays(self) -> None:
        all_of_it = {"cpu": "1", "memory": "1Gi"}
        assert self.resize(
            {"limits": all_of_it}, {"limits": all_of_it, "requests": {"cpu": "500m"}}
        ) == [
            'spec: Invalid value: "Guaranteed": Pod QOS Class may not change as a result of '
            "resizing"
        ]  # fmt: skip

    def test_amounts_are_not_removed(self) -> None:
        assert self.resize(
            {"requests": {"cpu": "1", "memory": "1Gi"}}, {"requests": {"cpu": "1"}}
        ) == [
            "spec.containers[0].resources.requests: Forbidden: resource requests cannot be removed"
        ]  # fmt: skip

    def test_only_cpu_and_memory(self) -> None:
        assert self.resize(
            {"requests": {"cpu": "1"}}, {"requests": {"cpu": "1", "ephemeral-storage": "1Gi"}}
        ) == ["spec: Forbidden: only cpu and memory resources are mutable"]

    def test_containers_stay(self) -> None:
        more = {"containers": [CONTAINER, {**CONTAINER, "name": "b"}]}
        assert change({}, more, "resize") == [
            "spec.containers: Forbidden: containers may not be added or removed on resize"
        ]
        other = {"containers": [{**CONTAINER, "name": "b"}]}
        assert change({}, other, "resize") == [
            "spec.containers: Forbidden: containers may not be renamed or reordered on resize"
        ]


class TestGracePeriod:
    def period(self, requested: int | None, phase: str = "Running", **spec: Any) -> int | None:
        obj = made("pods", pod(**spec))
        obj["status"]["phase"] = phase
        return kind("pods").strategy.grace_period(obj, requested)

    def test_a_bound_pod_gets_its_time(self) -> None:
        assert self.period(None, nodeName="n") == 30
        assert self.period(None, nodeName="n", terminationGracePeriodSeconds=7) == 7
        assert self.period(3, nodeName="n") == 3
        assert self.period(0, nodeName="n") == 0
        assert self.period(None, nodeName="n", terminationGracePeriodSeconds=-5) == 1

    def test_others_go_at_once(self) -> None:
        assert self.period(None) == 0
        assert self.period(None, "Succeeded", nodeName="n") == 0
        assert self.period(60, "Failed", nodeName="n") == 0


class TestPrepare:
    def test_a_new_pod_is_pending(self) -> None:
        status = made("pods", {**pod(), "status": {"phase": "Running"}})["status"]
        assert status == {"phase": "Pending", "qosClass": "BestEffort"}

    def test_a_gated_pod_says_so(self) -> None:
        status = made("pods", pod(schedulingGates=[{"name": "g"}]))["status"]
        assert status["conditions"] == [
            {
                "type": "PodScheduled",
                "status": "False",
                "lastProbeTime": None,
                "lastTransitionTime": "2026-09-21T14:13:20Z",
                "reason": "SchedulingGated",
                "message": "Scheduling is blocked due to non-empty scheduling gates",
            }
        ]

    @pytest.mark.parametrize(
        ("resources", "quality"),
        [
            ({}, "BestEffort"),
            ({"requests": {"cpu": "1"}}, "Burstable"),
            ({"limits": {"cpu": "1", "memory": "1Gi"}}, "Guaranteed"),
            ({"limits": {"cpu": "1"}}, "Burstable"),
            ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}, "Guaranteed"),
            ({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1m"}}, "Burstable"),
            ({"requests": {"ephemeral-storage": "1Gi"}}, "BestEffort"),
        ],
    )
    def test_quality_of_service(self, resources: Json, quality: str) -> None:
        assert made("pods", pod({"resources": resources}))["status"]["qosClass"] == quality

    def test_label_keys_become_requirements(self) -> None:
        term = {
            "topologyKey": "zone",
            "labelSelector": {"matchLabels": {"a": "b"}},
            "matchLabelKeys": ["app"],
            "mismatchLabelKeys": ["tenant", "absent"],
        }
        affinity = {"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}
        labels = {"app": "web", "tenant": "t"}
        obj = made("pods", {**pod(affinity=affinity), "metadata": {"name": "a", "labels": labels}})
        (out,) = obj["spec"]["affinity"]["podAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]
        assert out["labelSelector"]["matchExpressions"] == [
            {"key": "app", "operator": "In", "values": ["web"]},
            {"key": "tenant", "operator": "NotIn", "values": ["t"]},
        ]

    def test_label_keys_of_spread_constraints_become_requirements(self) -> None:
        constraint = {
            "maxSkew": 1,
            "topologyKey": "zone",
            "whenUnsatisfiable": "DoNotSchedule",
            "labelSelector": {"matchLabels": {"a": "b"}},
            "matchLabelKeys": ["app", "absent"],
        }
        head = {"metadata": {"name": "a", "labels": {"app": "web"}}}
        obj = made("pods", {**pod(topologySpreadConstraints=[constraint]), **head})
        (out,) = obj["spec"]["topologySpreadConstraints"]
        required = [{"key": "app", "operator": "In", "values": ["web"]}]
        assert out["labelSelector"]["matchExpressions"] == required
        assert found("pods", obj) == []
        constraint["labelSelector"] = {"matchLabels": {"app": "web"}}
        obj = made("pods", {**pod(topologySpreadConstraints=[constraint]), **head})
        assert found("pods", obj) == [
            'spec.topologySpreadConstraints[0][0]: Invalid value: "app": exists in both '
            "matchLabelKeys and labelSelector"
        ]
