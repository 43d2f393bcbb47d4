"""What may be written into the status of a pod."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import found, made, pod

Json = dict[str, Any]
AGAIN = "Forbidden: may not be transitioned to non-terminated state"
ID = "must be between 0 and 2147483647, inclusive"
FAMILIES = "may specify no more than one IP for each IP family"


def of(status: Json, before: Json | None = None, **spec: Any) -> list[str]:
    old = made("pods", pod(**spec))
    old["status"].update(before or {})
    new = made("pods", {**pod(**spec), "status": status}, old=old, subresource="status")
    return found("pods", new, old=old, subresource="status")


def test_addresses_of_the_pod() -> None:
    assert of({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "2001:db8::1"}]}) == []
    assert of({"podIPs": [{"ip": "10.0.0.1"}, {"ip": "10.0.0.1"}]}) == [
        f'status.podIPs: Invalid value: [{{"IP":"10.0.0.1"}},{{"IP":"10.0.0.1"}}]: {FAMILIES}',
        'status.podIPs[1]: Duplicate value: {"IP":"10.0.0.1"}',
    ]
    assert of({"podIPs": [{"ip": "x"}, {"ip": "10.0.0.1"}]})[1:] == [
        "status.podIPs: Internal error: failed to check for dual stack with error:invalid IP[0]: x",
        f'status.podIPs: Invalid value: [{{"IP":"x"}},{{"IP":"10.0.0.1"}}]: {FAMILIES}',
    ]


def test_addresses_of_the_host() -> None:
    assert of({"hostIP": "10.0.0.1", "hostIPs": [{"ip": "10.0.0.1"}]}) == []
    assert of({"hostIP": "10.0.0.9", "hostIPs": [{"ip": "10.0.0.1"}]}) == [
        'status.hostIPs[0].ip: Invalid value: "10.0.0.1": must be equal to `hostIP`'
    ]


def test_conditions_are_qualified() -> None:
    assert of({"conditions": [{"type": "example.com/ok", "status": "True"}]}) == []
    (text, *_) = of({"conditions": [{"type": "no good", "status": "True"}]})
    assert text.startswith('metadata.conditions[0].Type: Invalid value: "no good": name part')


@pytest.mark.parametrize(
    ("policy", "code", "own", "again"),
    [
        ("Always", 0, {}, True),
        ("Never", 0, {}, False),
        ("Never", 1, {}, False),
        ("OnFailure", 0, {}, False),
        ("OnFailure", 1, {}, True),
        ("Never", 1, {"restartPolicyRules": [{"action": "Restart"}]}, True),
    ],
)
def test_what_ended_stays_so(policy: str, code: int, own: Json, again: bool) -> None:
    ended = {"name": "main", "state": {"terminated": {"exitCode": code}}}
    runs = {"name": "main", "state": {"running": {}}}
    containers = [{"name": "main", "image": "i", **own}]
    spec = {"restartPolicy": policy, "containers": containers}
    text = of({"containerStatuses": [runs]}, {"containerStatuses": [ended]}, **spec)
    assert text == ([] if again else [f"status.containerStatuses[0].state: {AGAIN}"])


def test_a_status_of_no_container_ends_too() -> None:
    ended = {"name": "other", "state": {"terminated": {"exitCode": 0}}}
    runs = {"name": "other", "state": {"running": {}}}
    for policy, count in (("Always", 0), ("Never", 1)):
        after, before = {"containerStatuses": [runs]}, {"containerStatuses": [ended]}
        assert len(of(after, before, restartPolicy=policy)) == count


def test_claims() -> None:
    claims = [{"name": "c", "resourceClaimName": "r"}]
    statuses = [{"name": "c"}, {"name": "c", "resourceClaimName": "Bad"}, {"name": "x"}]
    texts = of({"resourceClaimStatuses": statuses}, resourceClaims=claims)
    where = "status.resourceClaimStatuses"
    assert texts[0] == f'{where}[1].name: Duplicate value: "c"'
    assert texts[1].startswith(f'{where}[1].name: Invalid value: "Bad": a lowercase RFC 1123')
    assert texts[2] == (
        f'{where}[2].name: Invalid value: "x": '
        "must match the name of an entry in `spec.resourceClaims`"
    )
    assert len(texts) == 3


def test_users() -> None:
    user = {"linux": {"uid": -1, "gid": 0, "supplementalGroups": [0, -5]}}
    assert of({"containerStatuses": [{"name": "main", "user": user}]}) == [
        f"status.containerStatuses[0].linux.uid: Invalid value: -1: {ID}",
        f"status.containerStatuses[0].linux.supplementalGroups[1]: Invalid value: -5: {ID}",
    ]
    windows = of({"containerStatuses": [{"name": "main", "user": user}]}, os={"name": "windows"})
    assert windows == [
        "status.containerStatuses[0].linux: Forbidden: cannot be set for a windows pod"
    ]


def test_health_of_what_was_allocated() -> None:
    wanted = {"limits": {"example.com/gpu": "1"}, "requests": {"example.com/gpu": "1"}}
    containers = [{"name": "main", "image": "i", "resources": wanted}]
    resources = [
        {"name": "example.com/gpu", "resources": [{"resourceID": "a", "health": "Healthy"}]},
        {"name": "cpu", "resources": [{"resourceID": "a", "health": "Odd"}, {"resourceID": "a"}]},
        {"name": "claim:x"},
    ]
    texts = of(
        {"containerStatuses": [{"name": "main", "allocatedResourcesStatus": resources}]},
        containers=containers,
    )
    where = "status.containerStatuses[0].allocatedResourcesStatus"
    health = 'supported values: "Healthy", "Unhealthy", "Unknown"'
    assert texts == [
        f'{where}[1].name: Invalid value: "cpu": '
        "must match one of the container's resource requests",
        f'{where}[1].resources[0].health: Unsupported value: "Odd": {health}',
        f'{where}[1].resources[1].health: Unsupported value: "": {health}',
        f'{where}[1].resources[1].resourceID: Duplicate value: "a"',
        f'{where}[2].name: Invalid value: "claim:x": must match one of the container\'s resource '
        "claims in a format 'claim:<claimName>/<request>' or 'claim:<claimName>' if request is "
        "empty",
    ]


def test_the_quality_of_service_is_the_servers() -> None:
    old = made("pods", pod())
    status = {"qosClass": "Guaranteed"}
    new = made("pods", {**pod(), "status": status}, old=old, subresource="status")
    assert new["status"]["qosClass"] == "BestEffort"


def test_what_was_observed_is_not_forgotten() -> None:
    def conditions(*generations: int) -> list[Json]:
        return [{"type": "A", **({"observedGeneration": g} if g else {})} for g in generations]

    old = made("pods", pod())
    old["status"] |= {"observedGeneration": 3, "conditions": conditions(1, 2)}
    new = {**pod(), "status": {"conditions": conditions(0, 5, 0)}}
    status = made("pods", new, old=old, subresource="status")["status"]
    assert status["observedGeneration"] == 3
    assert [c.get("observedGeneration", 0) for c in status["conditions"]] == [1, 5, 0]
