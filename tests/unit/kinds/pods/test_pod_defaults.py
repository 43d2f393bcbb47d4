"""What a pod gets that did not say it."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import CONTAINER, defaulted, pod, template

from kapi.kinds.pods.defaults import pull_policy

Json = dict[str, Any]
DIGEST = "sha256:" + "0123456789abcdef" * 4


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("nginx", "Always"),
        ("nginx:latest", "Always"),
        ("nginx:1.27", "IfNotPresent"),
        ("registry.example.com:5000/a/b", "Always"),
        ("registry.example.com:5000/a/b:v1", "IfNotPresent"),
        ("localhost/web", "Always"),
        (f"nginx@{DIGEST}", "IfNotPresent"),
        (f"nginx:latest@{DIGEST}", "Always"),
        ("Upper_Case! x", "IfNotPresent"),  # no reference at all
        ("Nginx", "IfNotPresent"),
        ("Registry/web", "Always"),  # a registry may have capitals
        ("", "IfNotPresent"),
        ("0123456789abcdef" * 4, "IfNotPresent"),  # reads as an identifier
        (f"r.example.com/{'a' * 255}", "Always"),
        (f"r.example.com/{'a' * 256}", "IfNotPresent"),
        ("a" * 247, "Always"),
        ("a" * 248, "IfNotPresent"),  # library/ stands before it
        ("a" * 1000, "IfNotPresent"),
    ],
)
def test_pull_policy(image: str, policy: str) -> None:
    assert pull_policy(image) == policy


def test_the_smallest_pod() -> None:
    made = defaulted("pods", {"spec": {"containers": [{"name": "c", "image": "nginx"}]}})
    assert made["spec"] == {
        "containers": [
            {
                "name": "c",
                "image": "nginx",
                "resources": {},
                "terminationMessagePath": "/dev/termination-log",
                "terminationMessagePolicy": "File",
                "imagePullPolicy": "Always",
            }
        ],
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "dnsPolicy": "ClusterFirst",
        "securityContext": {},
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
    }


def container(**fields: Any) -> Json:
    made = defaulted("pods", pod(fields))
    out: Json = made["spec"]["containers"][0]
    return out


def test_requests_come_from_limits() -> None:
    given = {"limits": {"memory": "1Gi", "cpu": "2"}, "requests": {"cpu": "1"}}
    assert container(resources=given)["resources"] == {
        "limits": {"memory": "1Gi", "cpu": "2"},
        "requests": {"cpu": "1", "memory": "1Gi"},
    }


def test_a_template_keeps_its_requests_to_itself() -> None:
    given = {"template": template({"resources": {"limits": {"cpu": "2"}}})}
    spec = defaulted("podtemplates", given)["template"]["spec"]
    assert spec["containers"][0]["resources"] == {"limits": {"cpu": "2"}}
    assert "enableServiceLinks" not in spec


def test_amounts_are_rounded_up_to_thousandths() -> None:
    given = {"limits": {"cpu": "1500u", "memory": "1n"}}
    assert container(resources=given)["resources"]["limits"] == {"cpu": "2m", "memory": "1m"}


def test_probes_and_handlers() -> None:
    made = container(
        livenessProbe={"httpGet": {"port": 80}},
        readinessProbe={"grpc": {"port": 81}, "periodSeconds": 3},
    )
    assert made["livenessProbe"] == {
        "httpGet": {"path": "/", "port": 80, "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert made["readinessProbe"]["grpc"] == {"port": 81, "service": ""}
    assert made["readinessProbe"]["periodSeconds"] == 3


def test_ports_and_references() -> None:
    env = [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    made = container(ports=[{"containerPort": 80}], env=env)
    assert made["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert made["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"


def test_ports_of_the_host_network() -> None:
    made = defaulted("pods", pod({"ports": [{"containerPort": 80}]}, hostNetwork=True))
    assert made["spec"]["containers"][0]["ports"][0]["hostPort"] == 80


def test_volumes() -> None:
    volumes = [
        {"name": "none"},
        {"name": "s", "secret": {"secretName": "x"}},
        {"name": "h", "hostPath": {"path": "/x"}},
        {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
    ]
    made = defaulted("pods", pod(volumes=volumes))["spec"]["volumes"]
    assert made[0] == {"name": "none", "emptyDir": {}}
    assert made[1]["secret"] == {"secretName": "x", "defaultMode": 420}
    assert made[2]["hostPath"] == {"path": "/x", "type": ""}
    assert made[3]["projected"] == {
        "sources": [{"serviceAccountToken": {"expirationSeconds": 3600, "path": "t"}}],
        "defaultMode": 420,
    }


def test_the_two_names_of_the_account() -> None:
    for given in (pod(serviceAccountName="a"), pod(serviceAccount="a")):
        spec = defaulted("pods", given)["spec"]
        assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("a", "a")
    both = defaulted("pods", pod(serviceAccountName="new", serviceAccount="old"))["spec"]
    assert (both["serviceAccountName"], both["serviceAccount"]) == ("new", "new")


class TestPodLevelRequests:
    def requests(self, *asks: str, **resources: Any) -> Json:
        containers = [
            {**CONTAINER, "name": f"c{i}", "resources": {"requests": {"cpu": cpu}}}
            for i, cpu in enumerate(asks)
        ]
        spec = {"containers": containers, "resources": resources}
        out: Json = defaulted("pods", {"spec": spec})["spec"]["resources"].get("requests")
        return out

    def test_what_the_containers_ask_for(self) -> None:
        assert self.requests("100m", "1", limits={"cpu": "4"}) == {"cpu": "1100m"}

    def test_else_the_limits(self) -> None:
        assert self.requests("100m", limits={"memory": "1Gi", "hugepages-2Mi": "4Mi"}) == {
            "cpu": "100m",
            "hugepages-2Mi": "4Mi",
            "memory": "1Gi",
        }

    def test_what_was_said_stays(self) -> None:
        assert self.requests("1", requests={"cpu": "3"}) == {"cpu": "3"}
