"""What goes with which operating system, and where processes of the host may run."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import CONTAINER, findings, pod

USER = "spec.securityContext.windowsOptions.runAsUserName"


def of_user(name: str) -> list[str]:
    options = {"windowsOptions": {"runAsUserName": name}}
    found = findings("pods", pod(securityContext=options))
    shown = f"{USER}: Invalid value: "
    assert all(f.startswith(shown) for f in found)
    return [f.rpartition("runAsUserName")[2] for f in found]


@pytest.mark.parametrize(
    ("name", "complaints"),
    [
        ("ContainerUser", []),
        (r"NT AUTHORITY\SYSTEM", []),
        ("", [" cannot be an empty string"]),
        ("a\x07", [" cannot contain control characters"]),
        (r"a\b\c", [" cannot contain more than one backslash"]),
        ("D" * 256 + r"\u", ["'s Domain length must be under 256 characters",
                             "'s Domain doesn't match the NetBios nor the DNS format"]),
        (r"\u", ["'s Domain doesn't match the NetBios nor the DNS format"]),
        ("d\\", ["'s User cannot be empty"]),
        ("u" * 105, ["'s User length must not be longer than 104 characters"]),
        (". .", ["'s User cannot contain only periods or spaces"]),
        ("a@b", ["'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]"]),
    ],
)  # fmt: skip
def test_a_user_of_windows(name: str, complaints: list[str]) -> None:
    assert of_user(name) == complaints


def host_process(value: bool | None) -> dict[str, Any]:
    return {} if value is None else {"securityContext": {"windowsOptions": {"hostProcess": value}}}


@pytest.mark.parametrize(
    ("whole", "own", "network", "expected"),
    [
        (True, None, True, []),
        (None, None, False, []),
        (
            True,
            False,
            True,
            [
                "spec.containers[0].securityContext.windowsOptions.hostProcess: Invalid value: "
                "false: pod hostProcess value must be identical if both are specified, was true"
            ],
        ),
        (
            None,
            True,
            False,
            [
                "spec.hostNetwork: Invalid value: false: "
                "hostNetwork must be true if pod contains any hostProcess containers"
            ],
        ),
    ],
)
def test_processes_on_the_host(
    whole: bool | None, own: bool | None, network: bool, expected: list[str]
) -> None:
    made = pod(host_process(own), hostNetwork=network, **host_process(whole))
    assert findings("pods", made) == expected


def test_some_on_the_host_and_some_not() -> None:
    containers = [
        {"name": "a", "image": "i", **host_process(True)},
        {"name": "b", "image": "i"},
    ]
    assert findings("pods", pod(containers=containers, hostNetwork=True)) == [
        'spec: Invalid value: "": If pod contains any hostProcess containers then all containers '
        "must be HostProcess containers"
    ]


def test_options_of_the_other_system() -> None:
    options = {"windowsOptions": {"runAsUserName": "u"}}
    linux = pod(securityContext=options, os={"name": "linux"})
    assert findings("pods", linux) == [
        "spec.securityContext.windowsOptions: Forbidden: "
        "windows options cannot be set for a linux pod"
    ]
    assert findings("pods", pod(os={"name": "bsd"})) == [
        'spec.os: Unsupported value: "bsd": supported values: "linux", "windows"'
    ]


def test_profiles_in_annotations() -> None:
    made = pod()
    annotations = {
        "seccomp.security.alpha.kubernetes.io/pod": "localhost//abs",
        f"container.seccomp.security.alpha.kubernetes.io/{CONTAINER['name']}": "odd",
        "container.apparmor.security.beta.kubernetes.io/other": "localhost/p",
        f"container.apparmor.security.beta.kubernetes.io/{CONTAINER['name']}": "odd",
    }
    made["metadata"] = {"name": "a", "annotations": annotations}
    where = "metadata.annotations"
    assert findings("pods", made) == [
        f'{where}.seccomp.security.alpha.kubernetes.io/pod: Invalid value: "/abs": '
        "must be a relative path",
        f'{where}.container.seccomp.security.alpha.kubernetes.io/main: Invalid value: "odd": '
        "must be a valid seccomp profile",
        f"{where}[container.apparmor.security.beta.kubernetes.io/main]: "
        'Invalid value: "odd": invalid AppArmor profile name: "odd"',
        f"{where}[container.apparmor.security.beta.kubernetes.io/other]: "
        'Invalid value: "other": container not found',
    ]
