"""What is found in a pod spec: words, places and order of the real server."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import CONTAINER, findings, pod, template

Json = dict[str, Any]

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and "
    "must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used "
    "for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or "
    "'.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used "
    r"for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
NAME_PART = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end "
    "with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for "
    "validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
PORT = "must be between 1 and 65535, inclusive"
IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"


def of_pod(**spec: Any) -> list[str]:
    return findings("pods", pod(**spec))


def of_container(**fields: Any) -> list[str]:
    return findings("pods", pod(fields))


RICH: Json = pod(
    {
        "ports": [{"name": "http", "containerPort": 80}, {"containerPort": 53, "protocol": "UDP"}],
        "env": [
            {"name": "A", "value": "x"},
            {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
            {"name": "C", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
        ],
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "c"}}],
        "volumeMounts": [{"name": "tmp", "mountPath": "/tmp", "subPath": "a/b"}],
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}, "requests": {"cpu": "100m"}},
        "livenessProbe": {"exec": {"command": ["true"]}},
        "readinessProbe": {"httpGet": {"port": "http"}},
        "lifecycle": {"preStop": {"sleep": {"seconds": 5}}},
        "securityContext": {"runAsUser": 1000, "capabilities": {"add": ["NET_ADMIN"]}},
    },
    initContainers=[
        {"name": "init", "image": "i:1"},
        {"name": "side", "image": "s:1", "restartPolicy": "Always"},
    ],
    volumes=[{"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}}],
    nodeSelector={"disk": "ssd"},
    tolerations=[{"operator": "Exists"}, {"key": "k", "value": "v", "effect": "NoSchedule"}],
    affinity={
        "nodeAffinity": {
            "requiredDuringSchedulingIgnoredDuringExecution": {
                "nodeSelectorTerms": [
                    {"matchExpressions": [{"key": "z", "operator": "In", "values": ["a"]}]}
                ]
            }
        }
    },
    topologySpreadConstraints=[
        {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}
    ],
    hostAliases=[{"ip": "10.0.0.1", "hostnames": ["a.b"]}],
    dnsConfig={"nameservers": ["10.0.0.2"], "searches": ["x.y", "_dns.z", "."]},
    securityContext={"fsGroup": 1, "sysctls": [{"name": "kernel.shm_rmid_forced", "value": "0"}]},
    hostname="h",
    subdomain="s",
    readinessGates=[{"conditionType": "example.com/ready"}],
    priorityClassName="high",
    os={"name": "linux"},
)


def test_a_rich_pod_is_right() -> None:
    assert findings("pods", RICH) == []
    assert findings("podtemplates", {"template": {"spec": RICH["spec"]}}) == []


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": ""}, ["spec.containers[0].name: Required value"]),
        ({"name": "A"}, [f'spec.containers[0].name: Invalid value: "A": {LABEL}']),
        ({"image": ""}, ["spec.containers[0].image: Required value"]),
        (
            {"image": " i"},
            ['spec.containers[0].image: Invalid value: " i": must not have leading or trailing '
             "whitespace"],
        ),
        (
            {"imagePullPolicy": "Odd"},
            ['spec.containers[0].imagePullPolicy: Unsupported value: "Odd": supported values: '
             '"Always", "IfNotPresent", "Never"'],
        ),
        (
            {"terminationMessagePolicy": "Odd"},
            ['spec.containers[0].terminationMessagePolicy: Unsupported value: "Odd": supported '
             'values: "File", "FallbackToLogsOnError"'],
        ),
        (
            {"ports": [{"containerPort": 0}]},
            ["spec.containers[0].ports[0].containerPort: Required value"],
        ),
        (
            {"ports": [{"containerPort": 70000, "hostPort": -1, "protocol": "X", "hostIP": "y"}]},
            [f"spec.containers[0].ports[0].containerPort: Invalid value: 70000: {PORT}",
             f"spec.containers[0].ports[0].hostPort: Invalid value: -1: {PORT}",
             'spec.containers[0].ports[0].protocol: Unsupported value: "X": supported values: '
             '"SCTP", "TCP", "UDP"',
             f'spec.containers[0].ports[0].hostIP: Invalid value: "y": {IP}'],
        ),
        (
            {"ports": [{"name": "Upper_Case! x", "containerPort": 1}]},
            ['spec.containers[0].ports[0].name: Invalid value: "Upper_Case! x": must contain only '
             "alpha-numeric characters (a-z, 0-9), and hyphens (-)"],
        ),
        (
            {"ports": [{"name": "a", "containerPort": 1}, {"name": "a", "containerPort": 2}]},
            ['spec.containers[0].ports[1].name: Duplicate value: "a"'],
        ),
        (
            {"ports": [{"containerPort": 1, "hostPort": 9}, {"containerPort": 2, "hostPort": 9}]},
            ['spec.containers[0].ports[1].hostPort: Duplicate value: "TCP//9"'],
        ),
        ({"env": [{"name": ""}]}, ["spec.containers[0].env[0].name: Required value"]),
        (
            {"env": [{"name": "A=B"}]},
            ['spec.containers[0].env[0].name: Invalid value: "A=B": a valid environment variable '
             "name must consist only of printable ASCII characters other than '='"],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {}}]},
            ['spec.containers[0].env[0].valueFrom: Invalid value: "": must specify one of: '
             "`fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`"],
        ),
        (
            {"env": [{"name": "A", "value": "v",
                      "valueFrom": {"configMapKeyRef": {"name": "X", "key": ""}}}]},
            [f'spec.containers[0].env[0].valueFrom.configMapKeyRef.name: Invalid value: "X": '
             f"{SUBDOMAIN}",
             "spec.containers[0].env[0].valueFrom.configMapKeyRef.key: Required value",
             'spec.containers[0].env[0].valueFrom: Invalid value: "": may not be specified when '
             "`value` is not empty"],
        ),
        (
            {"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "spec.odd"}}}]},
            ['spec.containers[0].env[0].valueFrom.fieldRef.fieldPath: Invalid value: "spec.odd": '
             'error converting fieldPath: field label not supported: spec.odd'],
        ),
        (
            {"envFrom": [{}]},
            ['spec.containers[0].envFrom: Invalid value: "": must specify one of: `configMapRef` '
             "or `secretRef`"],
        ),
        (
            {"volumeMounts": [{"name": "no", "mountPath": "/x"}]},
            ['spec.containers[0].volumeMounts[0].name: Not found: "no"'],
        ),
        (
            {"resources": {"requests": {"cpus": "1"}}},
            ['spec.containers[0].resources.requests[cpus]: Invalid value: "cpus": must be a '
             "standard resource type or fully qualified",
             'spec.containers[0].resources.requests[cpus]: Invalid value: "cpus": must be a '
             "standard resource for containers"],
        ),
        (
            {"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
            ['spec.containers[0].resources.requests: Invalid value: "2": must be less than or '
             "equal to cpu limit of 1"],
        ),
        (
            {"resources": {"limits": {"cpu": "-1"}, "requests": {"cpu": "-1"}}},
            ['spec.containers[0].resources.limits[cpu]: Invalid value: "-1": must be greater than '
             "or equal to 0",
             'spec.containers[0].resources.requests[cpu]: Invalid value: "-1": must be greater '
             "than or equal to 0"],
        ),
        (
            {"livenessProbe": {}},
            ["spec.containers[0].livenessProbe: Required value: must specify a handler type"],
        ),
        (
            {"livenessProbe": {"exec": {"command": ["a"]}, "periodSeconds": -1,
                               "successThreshold": 2}},
            ["spec.containers[0].livenessProbe.periodSeconds: Invalid value: -1: must be greater "
             "than or equal to 0",
             "spec.containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"],
        ),
        (
            {"readinessProbe": {"httpGet": {"path": "", "port": 0, "scheme": "FTP"}}},
            [f"spec.containers[0].readinessProbe.httpGet.port: Invalid value: 0: {PORT}",
             'spec.containers[0].readinessProbe.httpGet.scheme: Unsupported value: "FTP": '
             'supported values: "HTTP", "HTTPS"'],
        ),
        (
            {"securityContext": {"privileged": True, "allowPrivilegeEscalation": False}},
            ['spec.containers[0].securityContext: Invalid value: {"Capabilities":null,'
             '"Privileged":true,"SELinuxOptions":null,"WindowsOptions":null,"RunAsUser":null,'
             '"RunAsGroup":null,"RunAsNonRoot":null,"ReadOnlyRootFilesystem":null,'
             '"AllowPrivilegeEscalation":false,"ProcMount":null,"SeccompProfile":null,'
             '"AppArmorProfile":null}: cannot set `allowPrivilegeEscalation` to false and '
             "`privileged` to true"],
        ),
    ],
)  # fmt: skip
def test_findings_in_a_container(fields: Json, expected: list[str]) -> None:
    assert of_container(**fields) == expected


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, ["spec.containers: Required value"]),
        (
            {"containers": [CONTAINER, CONTAINER]},
            ['spec.containers[1].name: Duplicate value: "main"'],
        ),
        (
            {"restartPolicy": "Odd"},
            ['spec.restartPolicy: Unsupported value: "Odd": supported values: "Always", '
             '"OnFailure", "Never"'],
        ),
        (
            {"dnsPolicy": "Odd"},
            ['spec.dnsPolicy: Unsupported value: "Odd": supported values: '
             '"ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"'],
        ),
        (
            {"dnsPolicy": "None"},
            ["spec.dnsConfig: Required value: must provide `dnsConfig` when `dnsPolicy` is None"],
        ),
        (
            {"dnsConfig": {"nameservers": ["x"], "options": [{}]}},
            [f'spec.dnsConfig.nameservers[0]: Invalid value: "x": {IP}',
             "spec.dnsConfig.options[0]: Required value: must not be empty"],
        ),
        (
            {"activeDeadlineSeconds": 0},
            ["spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, "
             "inclusive"],
        ),
        ({"nodeName": "A"}, [f'spec.nodeName: Invalid value: "A": {SUBDOMAIN}']),
        ({"hostname": "A.b"}, [f'spec.hostname: Invalid value: "A.b": {LABEL}']),
        ({"nodeSelector": {"!": "x"}}, [f'spec.nodeSelector: Invalid value: "!": {NAME_PART}']),
        (
            {"hostAliases": [{"ip": "x", "hostnames": ["A"]}]},
            [f'spec.hostAliases[0].ip: Invalid value: "x": {IP}',
             f'spec.hostAliases[0].hostnames[0]: Invalid value: "A": {SUBDOMAIN}'],
        ),
        ({"volumes": [{"emptyDir": {}}]}, ["spec.volumes[0].name: Required value"]),
        (
            {"volumes": [{"name": "a"}, {"name": "a"}]},
            ['spec.volumes[1].name: Duplicate value: "a"'],
        ),
        (
            {"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
            ["spec.volumes[0].hostPath: Forbidden: may not specify more than 1 volume type"],
        ),
        (
            {"volumes": [{"name": "a", "hostPath": {}}]},
            ["spec.volumes[0].hostPath.path: Required value"],
        ),
        (
            {"volumes": [{"name": "a", "secret": {"secretName": "", "defaultMode": 512,
                                                  "items": [{"key": "", "path": "/x"}]}}]},
            ["spec.volumes[0].secret.secretName: Required value",
             "spec.volumes[0].secret.defaultMode: Invalid value: 512: must be a number between 0 "
             "and 0777 (octal), both inclusive",
             "spec.volumes[0].secret.items[0].key: Required value",
             'spec.volumes[0].secret.items[0].path: Invalid value: "/x": must be a relative path'],
        ),
        (
            {"tolerations": [{"value": "x"}]},
            ['spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` '
             'is empty, which means "match all values and all keys"'],
        ),
        (
            {"topologySpreadConstraints": [{
                "maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule", "topologyKey": "a",
                "matchLabelKeys": ["a", "b c"]}]},
            ["spec.topologySpreadConstraints[0].matchLabelKeys: Forbidden: must not be specified "
             "when labelSelector is not set"],
        ),
        (
            {"topologySpreadConstraints": [{"maxSkew": 0, "whenUnsatisfiable": "Odd"}]},
            ["spec.topologySpreadConstraints[0].maxSkew: Invalid value: 0: must be greater than "
             "zero",
             "spec.topologySpreadConstraints[0].topologyKey: Required value: can not be empty",
             'spec.topologySpreadConstraints[0].whenUnsatisfiable: Unsupported value: "Odd": '
             'supported values: "DoNotSchedule", "ScheduleAnyway"'],
        ),
        ({"os": {"name": ""}}, ["spec.os.name: Required value: cannot be empty"]),
        (
            {"os": {"name": "plan9"}},
            ['spec.os: Unsupported value: "plan9": supported values: "linux", "windows"'],
        ),
        (
            {"hostUsers": False, "hostNetwork": True},
            ["spec.hostNetwork: Forbidden: when `hostUsers` is false"],
        ),
        (
            {"ephemeralContainers": [{"name": "debug", "image": "i"}]},
            ["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            {"nodeName": "n", "schedulingGates": [{"name": "g"}]},
            ["spec.nodeName: Forbidden: cannot be set until all schedulingGates have been cleared"],
        ),
        (
            {"preemptionPolicy": "Odd"},
            ['spec.preemptionPolicy: Unsupported value: "Odd": supported values: '
             '"PreemptLowerPriority", "Never"'],
        ),
    ],
)  # fmt: skip
def test_findings_in_a_spec(spec: Json, expected: list[str]) -> None:
    assert of_pod(**spec) == expected


class TestInitContainers:
    def found(self, **fields: Any) -> list[str]:
        return of_pod(initContainers=[{"name": "init", "image": "i", **fields}])

    def test_names_are_shared_with_the_others(self) -> None:
        assert self.found(name="main") == ['spec.initContainers[0].name: Duplicate value: "main"']

    def test_what_ends_has_no_probes(self) -> None:
        assert self.found(livenessProbe={"exec": {"command": ["a"]}}, lifecycle={}) == [
            "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers "
            "without restartPolicy=Always",
            "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers "
            "without restartPolicy=Always",
        ]

    def test_sidecars_have_them(self) -> None:
        probe = {"exec": {"command": ["a"]}}
        assert self.found(restartPolicy="Always", livenessProbe=probe) == []


class TestAnnotations:
    def found(self, **annotations: str) -> list[str]:
        return findings("pods", {**pod(), "metadata": {"name": "a", "annotations": annotations}})

    def test_deletion_cost(self) -> None:
        key = "controller.kubernetes.io/pod-deletion-cost"
        for good in ("0", "-5", "2147483647"):
            assert self.found(**{key: good}) == []
        for bad in ("", "x", "01", "+1", "1.5", "2147483648", " 1"):
            assert self.found(**{key: bad}) == [
                f'metadata.annotations[{key}]: Invalid value: "{bad}": must be a 32bit integer'
            ]

    def test_mirrors_are_bound(self) -> None:
        key = "kubernetes.io/config.mirror"
        assert self.found(**{key: "x"}) == [
            f'metadata.annotations[{key}]: Invalid value: "x": must set spec.nodeName if mirror '
            "pod annotation is set"
        ]


class TestTemplates:
    def found(self, given: Json) -> list[str]:
        return findings("podtemplates", {"template": given})

    def test_an_empty_template(self) -> None:
        assert self.found({}) == ["template.spec.containers: Required value"]

    def test_debugging_has_no_place_in_a_template(self) -> None:
        assert self.found(template(ephemeralContainers=[{"name": "d", "image": "i"}])) == [
            "template.spec.ephemeralContainers: Forbidden: ephemeral containers not allowed in "
            "pod template"
        ]

    def test_images_of_old_keep_their_blanks(self) -> None:
        assert self.found(template({"image": " i"})) == []

    def test_labels_stand_beside_the_spec(self) -> None:
        (found,) = self.found({"metadata": {"labels": {"a": "!"}}, **pod()})
        assert found.startswith('template.labels: Invalid value: "!": a valid label')
