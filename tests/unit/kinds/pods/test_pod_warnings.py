"""Warnings about pods and templates: each of them, and when nobody is warned."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from kind_bench import SELECTOR, context, kind, made, pod, template

from kapi.registry import names

Json = dict[str, Any]
NOBODY = "a null labelSelector results in matching no pod"


def warned(name: str, obj: Json, old: Json | None = None) -> list[str]:
    resource = kind(name)
    about = context("CREATE" if old is None else "UPDATE", next(iter(resource.versions.values())))
    return resource.strategy.warnings(made(name, obj, old=old), old, about)


def of(container: Json | None = None, *, annotations: Json | None = None, **spec: Any) -> list[str]:
    return warned("pods", {"metadata": {"name": "a", "annotations": annotations or {}}} | pod(
        container, **spec
    ))  # fmt: skip


TERM = {"matchExpressions": [{"key": "beta.kubernetes.io/os", "operator": "Exists"}]}
OLD_KEY = 'beta.kubernetes.io/os is deprecated since v1.14; use "kubernetes.io/os" instead'
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
ALONE = {"topologyKey": "zone"}


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, []),
        (
            {"nodeSelector": {"node-role.kubernetes.io/master": ""}},
            ['spec.nodeSelector[node-role.kubernetes.io/master]: use '
             '"node-role.kubernetes.io/control-plane" instead'],
        ),
        (
            {"affinity": {"nodeAffinity": {
                REQUIRED: {"nodeSelectorTerms": [TERM]},
                PREFERRED: [{"weight": 1, "preference": TERM}],
            }}},
            [f"spec.affinity.nodeAffinity.{REQUIRED}.nodeSelectorTerms[0].matchExpressions[0].key: "
             + OLD_KEY,
             f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0].key: "
             + OLD_KEY],
        ),
        (
            {"affinity": {"podAntiAffinity": {
                REQUIRED: [ALONE], PREFERRED: [{"weight": 1, "podAffinityTerm": ALONE}],
            }}},
            [f"spec.affinity.podAntiAffinity.{REQUIRED}[0].labelSelector: {NOBODY}",
             f"spec.affinity.podAntiAffinity.{PREFERRED}[0].podAffinityTerm.labelSelector: "
             + NOBODY],
        ),
        (
            {"topologySpreadConstraints": [{**ALONE, "maxSkew": 1}]},
            [f"spec.topologySpreadConstraints[0].labelSelector: {NOBODY}"],
        ),
        (
            {"volumes": [{"name": "g", "gitRepo": {"repository": "r"}},
                         {"name": "s", "storageos": {"volumeName": "v"}},
                         {"name": "r", "rbd": {"monitors": ["m"], "image": "i"}}]},
            ["spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
             "spec.volumes[1].storageOS: deprecated in v1.22, non-functional in v1.25+",
             "spec.volumes[2].rbd: deprecated in v1.28, non-functional in v1.31+"],
        ),
        (
            {"volumes": [{"name": "p", "projected": {"sources": [
                {"serviceAccountToken": {"path": "t"}},
                {"secret": {"name": "s", "items": [{"key": "a", "path": "t"}]}},
            ]}}]},
            ['volume "p" (Projected): overlapping paths: "t" (Secret "s") with "t" '
             "(ServiceAccountToken)"],
        ),
        (
            {"volumes": [
                {"name": "c", "configMap": {"name": "m", "items": [
                    {"key": "a", "path": "d/"}, {"key": "b", "path": "d/f"},
                    {"key": "c", "path": "df"}]}},
                {"name": "p", "projected": {"sources": [
                    {}, {"clusterTrustBundle": {"signerName": "s/a", "path": "x"}},
                    {"podCertificate": {"keyPath": "x/k"}}, {"downwardAPI": {"items": [
                        {"path": "x/k/y", "fieldRef": {"fieldPath": "metadata.name"}}]}}]}}]},
            ['volume "c" (ConfigMap "m"): overlapping paths: "d/f" with "d"',
             'volume "p" (Projected) has no sources provided',
             'volume "p" (Projected): overlapping paths: "x/k" (PodCertificate key) with "x" '
             '(ClusterTrustBundle "s/a")',
             'volume "p" (Projected): overlapping paths: "x/k/y" (DownwardAPI) with "x" '
             '(ClusterTrustBundle "s/a")',
             'volume "p" (Projected): overlapping paths: "x/k/y" (DownwardAPI) with "x/k" '
             "(PodCertificate key)"],
        ),
        (
            {"dnsConfig": {"nameservers": ["1.2.3.4", "05.06.07.08"]},
             "hostAliases": [{"ip": "::ffff:1.2.3.4"}]},
            ['spec.dnsConfig.nameservers[1]: non-standard IP address "05.06.07.08" is '
             'invalid: use "5.6.7.8"',
             'spec.hostAliases[0].ip: non-standard IP address "::ffff:1.2.3.4" is '
             'invalid: use "1.2.3.4"'],
        ),
        (
            {"affinity": {"nodeAffinity": {PREFERRED: [{"weight": 1, "preference": {
                "matchExpressions": [{"key": "a", "operator": "In", "values": ["-1"]}]}}]}}},
            [f"spec.affinity.nodeAffinity.{PREFERRED}[0].preference.matchExpressions[0]"
             f".values[0]: -1 is invalid, {names.label_value('-1')[0]}"],
        ),
        (
            {"imagePullSecrets": [{"name": "a"}, {}, {"name": "a"}]},
            ['spec.imagePullSecrets[2].name: duplicate name "a"',
             'spec.imagePullSecrets[1].name: invalid empty name ""'],
        ),
        (
            {"hostAliases": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]},
            ['spec.hostAliases[1].ip: duplicate ip "10.0.0.1"'],
        ),
        (
            {"terminationGracePeriodSeconds": -1},
            ["spec.terminationGracePeriodSeconds: must be >= 0; negative values are invalid and "
             "will be treated as 1"],
        ),
    ],
)  # fmt: skip
def test_specs(spec: Json, expected: list[str]) -> None:
    assert of(**spec) == expected


def env(*pairs: Json) -> Json:
    return {"env": [{"name": "X", **p} for p in pairs]}


HIDES = 'spec.containers[0].env[1]: hides previous definition of "X", which may be dropped when'


@pytest.mark.parametrize(
    ("container", "expected"),
    [
        (env({"value": "a"}, {"value": "b"}), [f"{HIDES} using apply"]),
        (env({"value": "a"}, {"value": "$(X)"}), [f"{HIDES} using apply"]),
        (env({"value": "a"}, {"value": "$(X)b"}), []),
        (
            {"resources": {"limits": {"memory": "1500m"}, "requests": {"memory": "1"}}},
            ['spec.containers[0].resources.limits[memory]: fractional byte value "1500m" is '
             "invalid, must be an integer"],
        ),
        (
            {"ports": [{"containerPort": 80, "hostIP": "10.0.0.1"}]},
            ["spec.containers[0].ports[0]: hostIP set without hostPort: {Name: HostPort:0 "
             "ContainerPort:80 Protocol:TCP HostIP:10.0.0.1}"],
        ),
        (
            {"ports": [{"containerPort": 80, "hostPort": 8}, {"containerPort": 80}]},
            ["spec.containers[0].ports[1]: overlapping port definition with "
             "spec.containers[0].ports[0]"],
        ),
        (
            {"ports": [{"containerPort": 80, "hostPort": 8, "hostIP": "10.0.0.1"},
                       {"containerPort": 80, "hostPort": 8}]},
            ["spec.containers[0].ports[1]: dangerously ambiguous port definition with "
             "spec.containers[0].ports[0]"],
        ),
    ],
)  # fmt: skip
def test_containers(container: Json, expected: list[str]) -> None:
    assert of(container) == expected


def test_ports_are_compared_across_containers() -> None:
    both = [{"name": n, "image": "i", "ports": [{"containerPort": 80}]} for n in "ab"]
    assert warned("pods", {"spec": {"containers": both[:1], "initContainers": both[1:]}}) == [
        "spec.containers[0].ports[0]: duplicate port definition with "
        "spec.initContainers[0].ports[0]"
    ]


def test_names_of_ports_are_compared_across_containers() -> None:
    ports = [{"containerPort": n, "name": "a"} for n in (80, 81)]
    both = [{"name": str(i), "image": "i", "ports": [p]} for i, p in enumerate(ports)]
    first = "spec.containers[0].ports[0]"
    assert of(containers=both) == [
        f'spec.containers[1].ports[0]: duplicate port name "a" with {first}, services and probes '
        f"that select ports by name will use {first}"
    ]


@pytest.mark.parametrize(
    ("name", "obj", "use"),
    [
        ("pods", pod(), "the Pod's hostname"),
        ("deployments.apps", {"spec": {"selector": SELECTOR, "template": template()}},
         "Pod names and hostnames"),
    ],
)  # fmt: skip
def test_names_that_no_host_may_have(name: str, obj: Json, use: str) -> None:
    text = f"metadata.name: this is used in {use}, which can result in surprising behavior; "
    named = {**obj, "metadata": {"name": "a.b"}}
    assert warned(name, named)[0].startswith(text)
    assert warned(name, named, made(name, copy.deepcopy(named))) == []


def test_annotations() -> None:
    seccomp = "seccomp.security.alpha.kubernetes.io/pod"
    armor = "container.apparmor.security.beta.kubernetes.io/main"
    notes = {
        seccomp: "runtime/default",
        armor: "runtime/default",
        "security.alpha.kubernetes.io/sysctls": "a",
    }
    old = 'security.alpha.kubernetes.io/sysctls]: non-functional in v1.11+; use the "sysctls" field'
    both = 'non-functional in v1.27+; use the "seccompProfile" field instead'
    at = "metadata.annotations["
    assert of(annotations=notes) == [f"{at}{old} instead", f"{at}{seccomp}]: {both}"]
    spec = {"selector": SELECTOR, "template": template()}
    spec["template"]["metadata"] |= {"annotations": notes}
    instead = 'deprecated since v1.30; use the "appArmorProfile" field instead'
    assert (
        warned("deployments.apps", {"spec": spec})[-1] == f"spec.template.{at}{armor}]: {instead}"
    )


def test_changes() -> None:
    """Pods are not warned of later, templates when the generation moves."""
    bad = pod(env({"value": "a"}, {"value": "b"}))
    assert warned("pods", bad, made("pods", pod())) == []
    spec = {"selector": SELECTOR, "template": template(env({"value": "a"}, {"value": "b"}))}
    name = "deployments.apps"
    old = made(name, {"metadata": {"name": "a", "generation": 1}, "spec": spec})
    same = {"metadata": {"name": "a", "generation": 1}, "spec": copy.deepcopy(spec)}
    assert warned(name, same, old) == []
    more = {"metadata": {"name": "a", "generation": 2}, "spec": {**spec, "replicas": 2}}
    assert len(warned(name, more, old)) == 1
    old = made("daemonsets.apps", {"metadata": {"name": "a", "generation": 1}, "spec": spec})
    assert warned("daemonsets.apps", {**more, "spec": {**spec, "minReadySeconds": 1}}, old) == []


def test_stateful_sets() -> None:
    requests = {"requests": {"storage": "1500m"}}
    claim = {"metadata": {"name": "c"}, "spec": {"resources": requests}}
    spec: Json = {"selector": SELECTOR, "template": template(), "volumeClaimTemplates": [claim]}
    spec |= {"revisionHistoryLimit": -1}
    text = 'fractional byte value "1500m" is invalid, must be an integer'
    history = "a negative value retains all historical revisions; a value >= 0 is recommended"
    found = warned("statefulsets.apps", {"spec": spec})
    assert found == [
        f"spec.volumeClaimTemplates[0].resources.requests[storage]: {text}",
        f"spec.revisionHistoryLimit: {history}",
    ]
    old = made("statefulsets.apps", {"spec": spec})
    again = warned("statefulsets.apps", {"spec": spec}, old)
    assert again[0] == f"spec.volumeClaimTemplates[0].Spec.resources.requests[storage]: {text}"


OS = "beta.kubernetes.io/os"


@pytest.mark.parametrize(
    ("name", "obj", "expected"),
    [
        (
            "runtimeclasses.node.k8s.io",
            {"handler": "a", "scheduling": {"nodeSelector": {OS: "linux"}}},
            ['scheduling.nodeSelector: deprecated since v1.14; use "kubernetes.io/os" instead'],
        ),
        (
            "storageclasses.storage.k8s.io",
            {"provisioner": "a", "allowedTopologies": [
                {"matchLabelExpressions": [{"key": OS, "values": ["linux"]}]}]},
            ["allowedTopologies[0].matchLabelExpressions[0].key: deprecated since v1.14; use "
             '"kubernetes.io/os" instead'],
        ),
        (
            "csistoragecapacities.storage.k8s.io",
            {"storageClassName": "a", "nodeTopology": {"matchLabels": {OS: "linux"}}},
            [f'nodeTopology.matchLabels.{OS}: deprecated since v1.14; use "kubernetes.io/os" '
             "instead"],
        ),
        (
            "persistentvolumes",
            {"spec": {"nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
                {"key": "a", "operator": "In", "values": ["-"]}]}]}}}},
            ["spec.nodeAffinity.required.nodeSelectorTerms[0].matchExpressions[0].values[0]: - is "
             "invalid, a valid label must be an empty string or consist of alphanumeric "
             "characters, '-', '_' or '.', and must start and end with an alphanumeric character "
             "(e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
             "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"],
        ),
        (
            "nodes",
            {"spec": {"externalID": "x", "configSource": {}}},
            ["spec.configSource: the feature is removed",
             "spec.externalID: this field is deprecated, and is unused by Kubernetes"],
        ),
    ],
)  # fmt: skip
def test_other_kinds(name: str, obj: Json, expected: list[str]) -> None:
    assert warned(name, obj) == expected
