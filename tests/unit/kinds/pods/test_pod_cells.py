"""The status words of pods in tables."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import NOW, cells, kind

Json = dict[str, Any]


def container(name: str = "main", **status: Any) -> Json:
    return {"name": name, **status}


RUNNING: Json = {"ready": True, "state": {"running": {}}}


def row(status: Json, spec: Json | None = None, **meta: Any) -> Json:
    given = {"containers": [{"name": "main"}], **(spec or {})}
    pod = {"metadata": {"name": "a", **meta}, "spec": given, "status": status}
    return cells("pods", pod)


def word(status: Json, spec: Json | None = None, **meta: Any) -> tuple[str, str]:
    shown = row(status, spec, **meta)
    return shown["Ready"], shown["Status"]


def test_plain_phases() -> None:
    assert word({"phase": "Pending"}) == ("0/1", "Pending")
    assert word({"phase": "Failed", "reason": "Evicted"}) == ("0/1", "Evicted")
    ready = {"phase": "Running", "containerStatuses": [container(**RUNNING)]}
    assert word(ready) == ("1/1", "Running")


@pytest.mark.parametrize(
    ("state", "shown"),
    [
        ({"waiting": {"reason": "CrashLoopBackOff"}}, "CrashLoopBackOff"),
        ({"terminated": {"exitCode": 0, "reason": "Completed"}}, "Completed"),
        ({"terminated": {"exitCode": 137, "reason": "OOMKilled"}}, "OOMKilled"),
        ({"terminated": {"exitCode": 2}}, "ExitCode:2"),
        ({"terminated": {"exitCode": 137, "signal": 9}}, "Signal:9"),
    ],
)
def test_states_of_a_container(state: Json, shown: str) -> None:
    status = {"phase": "Running", "containerStatuses": [container(state=state)]}
    assert word(status) == ("0/1", shown)


def test_the_first_container_names_the_reason() -> None:
    spec = {"containers": [{"name": "a"}, {"name": "b"}]}
    waits = [container(n, state={"waiting": {"reason": n.upper()}}) for n in ("a", "b")]
    assert word({"phase": "Pending", "containerStatuses": waits}, spec) == ("0/2", "A")


def test_completed_beside_a_running_one() -> None:
    spec = {"containers": [{"name": "a"}, {"name": "b"}]}
    done = container("a", state={"terminated": {"exitCode": 0, "reason": "Completed"}})
    status = {"phase": "Running", "containerStatuses": [done, container("b", **RUNNING)]}
    assert word(status, spec) == ("1/2", "NotReady")
    status["conditions"] = [{"type": "Ready", "status": "True"}]
    assert word(status, spec) == ("1/2", "Running")


TWO: Json = {"initContainers": [{"name": "one"}, {"name": "two"}]}


class TestInitialization:
    def word(self, *statuses: Json, **more: Any) -> tuple[str, str]:
        status = {"phase": "Pending", "initContainerStatuses": list(statuses), **more}
        return word(status, TWO)

    def test_progress(self) -> None:
        done = container("one", state={"terminated": {"exitCode": 0}})
        waits = container("two", state={"waiting": {"reason": "PodInitializing"}})
        assert self.word(done, waits) == ("0/1", "Init:1/2")
        assert self.word(waits) == ("0/1", "Init:0/2")

    def test_trouble(self) -> None:
        failed = container("one", state={"terminated": {"exitCode": 1, "reason": "Error"}})
        assert self.word(failed)[1] == "Init:Error"
        killed = container("one", state={"terminated": {"exitCode": 137, "signal": 9}})
        assert self.word(killed)[1] == "Init:Signal:9"
        silent = container("one", state={"terminated": {"exitCode": 3}})
        assert self.word(silent)[1] == "Init:ExitCode:3"
        pulls = container("one", state={"waiting": {"reason": "ImagePullBackOff"}})
        assert self.word(pulls)[1] == "Init:ImagePullBackOff"

    def test_sidecars_count(self) -> None:
        spec = {"initContainers": [{"name": "side", "restartPolicy": "Always"}]}
        status: Json = {
            "phase": "Running",
            "initContainerStatuses": [container("side", started=True, **RUNNING)],
            "containerStatuses": [container(**RUNNING)],
        }
        assert word(status, spec) == ("2/2", "Running")
        status["initContainerStatuses"][0]["ready"] = False
        assert word(status, spec) == ("1/2", "Running")


def test_deletion() -> None:
    def gone(**status: str) -> tuple[str, str]:
        return word(status, None, deletionTimestamp="2026-01-01T00:00:00Z")

    assert gone(phase="Running") == ("0/1", "Terminating")
    assert gone(phase="Succeeded") == ("0/1", "Succeeded")
    assert gone(phase="Running", reason="NodeLost") == ("0/1", "Unknown")


def test_scheduling_gates() -> None:
    gated = {"type": "PodScheduled", "status": "False", "reason": "SchedulingGated"}
    assert word({"phase": "Pending", "conditions": [gated]}) == ("0/1", "SchedulingGated")


def test_restarts() -> None:
    status: Json = {"phase": "Running", "containerStatuses": [container(restartCount=3, **RUNNING)]}
    assert row(status)["Restarts"] == "3"
    status["containerStatuses"][0]["lastState"] = {
        "terminated": {"finishedAt": "2026-09-21T14:08:20Z"}
    }
    assert row(status)["Restarts"] == "3 (5m ago)"
    assert row({"phase": "Pending"})["Restarts"] == "0"


def test_wide_cells() -> None:
    shown = row({"phase": "Pending"})
    wide = ("IP", "Node", "Nominated Node", "Readiness Gates")
    assert [shown[c] for c in wide] == ["<none>"] * 4
    status = {
        "podIPs": [{"ip": "10.0.0.1"}, {"ip": "2001:db8::1"}],
        "nominatedNodeName": "m",
        "conditions": [{"type": "a/ok", "status": "True"}, {"type": "a/no", "status": "False"}],
    }
    gates = [{"conditionType": "a/ok"}, {"conditionType": "a/no"}]
    spec = {"nodeName": "n", "readinessGates": gates}
    shown = row(status, spec)
    assert [shown[c] for c in wide] == ["10.0.0.1", "n", "m", "1/2"]


def test_rows_of_ended_pods_say_so() -> None:
    conditions = kind("pods").row_conditions
    assert conditions is not None
    assert conditions({"status": {"phase": "Running"}}) == []
    (done,) = conditions({"status": {"phase": "Succeeded"}})
    assert (done["type"], done["reason"]) == ("Completed", "Succeeded")
    assert done["message"] == "The pod has completed successfully."


def test_field_selectors() -> None:
    pod: Json = {
        "metadata": {"name": "a"},
        "spec": {"nodeName": "n", "restartPolicy": "Never", "hostNetwork": True},
        "status": {"phase": "Running", "podIPs": [{"ip": "10.0.0.1"}]},
    }
    fields = {k: get(pod) for k, get in kind("pods").field_selectors.items()}
    assert fields["spec.nodeName"] == fields["spec.host"] == "n"
    assert fields["spec.restartPolicy"] == "Never"
    assert fields["spec.hostNetwork"] == "true"
    assert fields["status.phase"] == "Running"
    assert fields["status.podIP"] == fields["status.podIPs"] == "10.0.0.1"
    assert fields["spec.schedulerName"] == fields["status.nominatedNodeName"] == ""


def test_age() -> None:
    assert row({}, creationTimestamp="2026-09-21T14:12:50Z")["Age"] == "30s"
    assert NOW % 60 == 20  # the clock of these tests stands at 14:13:20
