"""Pod security: what each level forbids, and what a namespace's labels make of it."""

from __future__ import annotations

import re
from typing import Any, ClassVar

import pytest

from kapi.admission.configuration import ConfigurationError
from kapi.admission.plugin import Attributes
from kapi.admission.pod_security import pod_security
from kapi.admission.pod_security.levels import violations
from kapi.admission.pod_security.pod_security import PodSecurity
from kapi.admission.pod_security.policy import Settings, configure
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
LABEL = "pod-security.kubernetes.io/"

SAFE: Json = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def spec(context: Json | None = None, **fields: Any) -> Json:
    container = {"name": "c", "image": "i", "securityContext": context or {}}
    return {"containers": [container], **fields}


def test_plain_pods() -> None:
    assert violations("privileged", {}, spec({"privileged": True}, hostNetwork=True)) == ""
    assert violations("baseline", {}, spec()) == ""
    assert violations("restricted", {}, spec(SAFE)) == ""
    assert violations("restricted", {}, spec()) == (
        'allowPrivilegeEscalation != false (container "c" must set '
        "securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (container "
        '"c" must set securityContext.capabilities.drop=["ALL"]), runAsNonRoot != true (pod or '
        'container "c" must set securityContext.runAsNonRoot=true), seccompProfile (pod or '
        'container "c" must set securityContext.seccompProfile.type to "RuntimeDefault" or '
        '"Localhost")'
    )


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            spec(hostNetwork=True, hostPID=True),
            "host namespaces (hostNetwork=true, hostPID=true)",
        ),
        (
            spec(volumes=[{"name": "v", "hostPath": {"path": "/"}}]),
            'hostPath volumes (volume "v")',
        ),
        (
            spec({"privileged": True}),
            'privileged (container "c" must not set securityContext.privileged=true)',
        ),
        (
            spec({"capabilities": {"add": ["NET_ADMIN", "CHOWN"]}}),
            'non-default capabilities (container "c" must not include "NET_ADMIN" in '
            "securityContext.capabilities.add)",
        ),
        (
            {"containers": [{"name": "c", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]},
            'hostPort (container "c" uses hostPorts 80, 443)',
        ),
        (
            spec(securityContext={"sysctls": [{"name": "kernel.msgmax"}]}),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            spec({"seccompProfile": {"type": "Unconfined"}}),
            'seccompProfile (container "c" must not set securityContext.seccompProfile.type to '
            '"Unconfined")',
        ),
        (
            spec({"procMount": "Unmasked"}),
            'procMount (container "c" must not set securityContext.procMount to "Unmasked")',
        ),
        (
            spec({"windowsOptions": {"hostProcess": True}}),
            'hostProcess (container "c" must not set '
            "securityContext.windowsOptions.hostProcess=true)",
        ),
    ],
)
def test_what_the_baseline_forbids(given: Json, text: str) -> None:
    assert violations("baseline", {}, given) == text


@pytest.mark.parametrize(
    ("given", "text"),
    [
        (
            spec(SAFE, volumes=[{"name": "v", "nfs": {}}, {"name": "ok", "emptyDir": {}}]),
            'restricted volume types (volume "v" uses restricted volume type "nfs")',
        ),
        (
            spec({**SAFE, "runAsUser": 0}),
            'runAsUser=0 (container "c" must not set runAsUser=0)',
        ),
        (
            spec({**SAFE, "runAsNonRoot": False}),
            'runAsNonRoot != true (container "c" must not set securityContext.runAsNonRoot=false)',
        ),
        (
            spec({**SAFE, "capabilities": {"drop": ["ALL"], "add": ["CHOWN"]}}),
            'unrestricted capabilities (container "c" must not include "CHOWN" in '
            "securityContext.capabilities.add)",
        ),
    ],
)
def test_what_is_restricted(given: Json, text: str) -> None:
    assert violations("restricted", {}, given) == text


def test_several_containers() -> None:
    two = {"containers": [{"name": n, "securityContext": {"privileged": True}} for n in "ab"]}
    assert violations("baseline", {}, two) == (
        'privileged (containers "a", "b" must not set securityContext.privileged=true)'
    )
    assert violations("baseline", {}, two, where=False) == "privileged"


class Objects:
    def __init__(self, *objects: Json) -> None:
        self.objects = list(objects)

    def get(self, namespace: str, name: str) -> Json | None:
        return next((o for o in self.objects if o["metadata"]["name"] == name), None)

    def list(self, namespace: str = "") -> list[Json]:
        return self.objects


class Write:
    """A write in a namespace with labels; keeps what was said."""

    def __init__(self, resource: str, obj: Json, *, old: Json | None = None, **labels: str) -> None:
        self.settings = Settings()
        self.warned: list[str] = []
        self.noted: dict[str, str] = {}
        meta = {"name": "ns", "labels": {LABEL + k.replace("_", "-"): v for k, v in labels.items()}}
        self.namespaces = Objects({"metadata": meta})
        self.attributes = Attributes(
            operation="CREATE" if old is None else "UPDATE",
            group="apps" if resource == "deployments" else "",
            version="v1",
            kind="",
            resource=resource,
            subresource="",
            namespace="ns",
            name="a",
            object=obj,
            old=old,
            user=UserInfo(name="jane"),
            dry_run=False,
            warn=self.warned.append,
            annotate=self.noted.__setitem__,
        )

    async def run(self, *pods: Json) -> None:
        plugin = PodSecurity(self.namespaces, Objects(*pods), self.settings)
        await plugin.validate(self.attributes)


def pod(given: Json) -> Json:
    return {"metadata": {"name": "a"}, "spec": given}


BAD = spec({"privileged": True})
REASON = 'privileged (container "c" must not set securityContext.privileged=true)'


async def test_a_namespace_without_labels_lets_all_in() -> None:
    write = Write("pods", pod(BAD))
    await write.run()
    assert write.warned == []
    assert write.noted == {LABEL + "enforce-policy": "privileged:latest"}


async def test_enforcing() -> None:
    write = Write("pods", pod(BAD), enforce="baseline")
    with pytest.raises(ApiError) as caught:
        await write.run()
    assert caught.value.message == (
        f'pods "a" is forbidden: violates PodSecurity "baseline:latest": {REASON}'
    )
    assert write.noted == {LABEL + "enforce-policy": "baseline:latest"}


async def test_an_unknown_level_is_the_strictest() -> None:
    with pytest.raises(ApiError, match='violates PodSecurity "restricted:latest"'):
        await Write("pods", pod(BAD), enforce="odd").run()


async def test_warning_and_noting() -> None:
    write = Write("pods", pod(BAD), warn="baseline", warn_version="v1.30", audit="baseline")
    await write.run()
    assert write.warned == [f'would violate PodSecurity "baseline:v1.30": {REASON}']
    text = f'would violate PodSecurity "baseline:latest": {REASON}'
    assert write.noted[LABEL + "audit-violations"] == text


async def test_templates_are_only_warned_of() -> None:
    deployment = {"metadata": {}, "spec": {"template": {"spec": BAD}}}
    write = Write("deployments", deployment, enforce="baseline", warn="baseline")
    await write.run()
    assert write.warned == [f'would violate PodSecurity "baseline:latest": {REASON}']


async def test_an_update_that_matters_not() -> None:
    new = pod({**BAD, "tolerations": [{"operator": "Exists"}]})
    await Write("pods", new, old=pod(BAD), enforce="baseline").run()
    with pytest.raises(ApiError):
        await Write("pods", pod({**BAD, "hostname": "h"}), old=pod(BAD), enforce="baseline").run()


class TestNamespaces:
    def write(self, old: Json | None = None, **labels: str) -> Write:
        given = {LABEL + k.replace("_", "-"): v for k, v in labels.items()}
        meta = {"name": "a", "labels": given}
        return Write("namespaces", {"metadata": meta}, old=old)

    async def test_labels_name_levels_and_versions(self) -> None:
        await self.write(enforce="baseline", enforce_version="v1.30").run()
        with pytest.raises(ApiError) as caught:
            await self.write(enforce="odd", warn_version="1.30").run()
        assert [(c["field"], c["message"]) for c in (caught.value.details or {})["causes"]] == [
            (
                f"metadata.labels[{LABEL}enforce]",
                'Invalid value: "odd": must be one of privileged, baseline, restricted',
            ),
            (
                f"metadata.labels[{LABEL}warn-version]",
                'Invalid value: "1.30": must be "latest" or "v1.x"',
            ),
        ]

    async def test_an_old_mistake_may_stay(self) -> None:
        old = self.write(enforce="odd").attributes.object
        await self.write(old, enforce="odd", other="x").run()

    async def test_pods_that_are_there_are_warned_of(self) -> None:
        old = self.write().attributes.object
        write = self.write(old, enforce="baseline")
        pods = [{"metadata": {"name": n}, "spec": BAD} for n in ("z", "b", "k")]
        pods.append({"metadata": {"name": "host"}, "spec": spec(hostNetwork=True)})
        pods.append({"metadata": {"name": "fine"}, "spec": spec()})
        await write.run(*pods)
        assert write.warned == [
            'existing pods in namespace "a" violate the new PodSecurity enforce level '
            '"baseline:latest"',
            "b (and 2 other pods): privileged",
            "host: host namespaces",
        ]

    async def test_pods_of_one_controller_come_last(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(pod_security, "PODS_MAX", 2)
        owners = [{"uid": "u", "controller": True}]
        pods: list[Json] = [
            {"metadata": {"name": name, "ownerReferences": owners}, "spec": BAD} for name in "ab"
        ]
        pods.append({"metadata": {"name": "c"}, "spec": BAD})
        write = self.write(self.write().attributes.object, enforce="baseline")
        await write.run(*pods)
        assert write.warned == [
            "new PodSecurity enforce level only checked against the first 2 of 3 existing pods",
            'existing pods in namespace "a" violate the new PodSecurity enforce level '
            '"baseline:latest"',
            "a (and 1 other pod): privileged",
        ]

    async def test_a_looser_level_is_no_reason_to_look(self) -> None:
        old = self.write(enforce="restricted").attributes.object
        write = self.write(old, enforce="baseline")
        await write.run({"metadata": {"name": "a"}, "spec": BAD})
        assert write.warned == []

    async def test_an_exempt_namespace(self) -> None:
        write = self.write(enforce="baseline", warn="restricted")
        write.settings = Settings(namespaces=frozenset({"a"}))
        await write.run()
        assert write.warned == [
            'namespace "a" is exempt from Pod Security, and the policy '
            "(enforce=baseline:latest, warn=restricted:latest) will be ignored"
        ]


class TestConfiguration:
    PART: ClassVar[Json] = {
        "apiVersion": "pod-security.admission.config.k8s.io/v1",
        "kind": "PodSecurityConfiguration",
    }

    def configured(self, **fields: Any) -> Settings:
        return configure({**self.PART, **fields})

    async def test_defaults_hold_without_labels_and_beside_them(self) -> None:
        settings = self.configured(defaults={"enforce": "baseline", "enforce-version": "v1.30"})
        write = Write("pods", pod(BAD))
        write.settings = settings
        with pytest.raises(ApiError, match=r'violates PodSecurity "baseline:v1\.30"'):
            await write.run()
        labelled = Write("pods", pod(BAD), enforce="privileged")
        labelled.settings = settings
        await labelled.run()

    @pytest.mark.parametrize(
        ("exemptions", "reason"),
        [
            ({"usernames": ["jane"]}, "user"),
            ({"namespaces": ["ns"]}, "namespace"),
            ({"runtimeClasses": ["kata"]}, "runtimeClass"),
        ],
    )
    async def test_exemptions(self, exemptions: Json, reason: str) -> None:
        write = Write("pods", pod({**BAD, "runtimeClassName": "kata"}), enforce="baseline")
        write.settings = self.configured(exemptions=exemptions)
        await write.run()
        assert write.noted == {LABEL + "exempt": reason}

    @pytest.mark.parametrize(
        ("fields", "words"),
        [
            ({"defaults": {"enforce": "odd"}}, 'defaults.enforce: Invalid value: "odd"'),
            ({"defaults": {"warn-version": "1.3"}}, "defaults.warn-version: Invalid value"),
            ({"default": {}}, 'unknown field "default"'),
            ({"defaults": []}, None),
            (
                {"exemptions": {"usernames": ["a", "a"]}},
                'exemptions.usernames: Duplicate value: "a"',
            ),
            ({"exemptions": {"namespaces": "a"}}, "exemptions.namespaces: must be a list"),
            ({"kind": "X"}, "want PodSecurityConfiguration"),
        ],
    )
    def test_what_is_wrong(self, fields: Json, words: str | None) -> None:
        if words is None:
            assert self.configured(**fields) == Settings()
            return
        with pytest.raises(ConfigurationError, match=re.escape(words)):
            self.configured(**fields)


@pytest.mark.parametrize(
    ("level", "given", "since"),
    [
        ("baseline", spec(securityContext={"sysctls": [{"name": "net.ipv4.tcp_rmem"}]}), (0, 32)),
        ("baseline", spec(securityContext={"seccompProfile": {"type": "Unconfined"}}), (19,)),
        (
            "baseline",
            spec({"seLinuxOptions": {"type": "container_engine_t"}}),
            (0, 31),
        ),
        ("restricted", spec({**SAFE, "runAsUser": 0}), (23,)),
        ("restricted", spec({**SAFE, "allowPrivilegeEscalation": True}), (8,)),
        ("restricted", spec({**SAFE, "capabilities": {}}), (22,)),
        (
            "restricted",
            spec({"runAsNonRoot": True, "capabilities": {}}, os={"name": "windows"}),
            (8, 25),
        ),
        ("restricted", spec({**SAFE, "runAsUser": 0}, hostUsers=False), (23, 35)),
    ],
)
def test_checks_as_of_a_version(level: str, given: Json, since: tuple[int, ...]) -> None:
    """They are from a version on, some up to another one."""
    first, last = since[0], since[1] if len(since) > 1 else 100
    found = [minor for minor in range(40) if violations(level, {}, given, version=f"v1.{minor}")]
    assert found == list(range(first, min(last, 40)))


def test_a_version_far_away_is_the_latest() -> None:
    assert violations("baseline", {}, BAD, version="v1.99999999999") == REASON
