"""Profiles of seccomp and AppArmor in annotations: they agree with fields, or become them."""

from __future__ import annotations

from typing import Any

import pytest
from kind_bench import context, defaulted, findings, kind, pod, template

Json = dict[str, Any]
SECCOMP = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_MAIN = "container.seccomp.security.alpha.kubernetes.io/main"
ARMOR = "container.apparmor.security.beta.kubernetes.io/main"
TYPE = "type: Forbidden: {} type in annotation and field must match"


def annotated(notes: Json, container: Json | None = None, **spec: Any) -> Json:
    return {"metadata": {"name": "a", "annotations": notes}} | pod(container, **spec)


@pytest.mark.parametrize(
    ("notes", "pod_context", "own", "expected"),
    [
        ({SECCOMP: "unconfined"}, {"seccompProfile": {"type": "Unconfined"}}, {}, []),
        ({SECCOMP: "docker/default"}, {"seccompProfile": {"type": "RuntimeDefault"}}, {}, []),
        (
            {SECCOMP: "unconfined"}, {"seccompProfile": {"type": "RuntimeDefault"}}, {},
            ["spec.securityContext.seccompProfile." + TYPE.format("seccomp")],
        ),
        (
            {SECCOMP_MAIN: "localhost/a"}, {},
            {"seccompProfile": {"type": "Localhost", "localhostProfile": "b"}},
            ["spec.containers[0].securityContext.seccompProfile.localhostProfile: Forbidden: "
             "seccomp profile in annotation and field must match"],
        ),
        (
            {ARMOR: "runtime/default"}, {"appArmorProfile": {"type": "Unconfined"}},
            {"appArmorProfile": {"type": "Unconfined"}},
            ["spec.containers[0].securityContext.appArmorProfile." + TYPE.format("apparmor")],
        ),
        ({ARMOR: "localhost/a"}, {},
         {"appArmorProfile": {"type": "Localhost", "localhostProfile": "a"}}, []),
    ],
)  # fmt: skip
def test_annotations_and_fields_agree(
    notes: Json, pod_context: Json, own: Json, expected: list[str]
) -> None:
    obj = annotated(notes, {"securityContext": own}, securityContext=pod_context)
    assert findings("pods", obj) == expected


def test_templates_agree_about_seccomp() -> None:
    bad = template(securityContext={"seccompProfile": {"type": "Unconfined"}})
    bad["metadata"] = {"annotations": {SECCOMP: "runtime/default"}}
    path = "template.spec.securityContext.seccompProfile."
    assert findings("podtemplates", {"template": bad}) == [path + TYPE.format("seccomp")]


@pytest.mark.parametrize(
    ("note", "spec", "profile", "warned"),
    [
        ("unconfined", {}, {"type": "Unconfined"}, True),
        ("localhost/a", {}, {"type": "Localhost", "localhostProfile": "a"}, True),
        ("", {}, None, True),
        ("localhost/", {}, None, True),
        ("unconfined", {"securityContext": {"appArmorProfile": {"type": "Unconfined"}}}, None,
         False),
        ("unconfined", {"os": {"name": "windows"}}, None, False),
    ],
)  # fmt: skip
def test_app_armor_becomes_a_field(
    note: str, spec: Json, profile: Json | None, warned: bool
) -> None:
    resource = kind("pods")
    about = context("CREATE", resource.versions["v1"])
    obj = defaulted("pods", annotated({ARMOR: note}, **spec))
    resource.strategy.prepare(obj, None, about)
    own = obj["spec"]["containers"][0].get("securityContext") or {}
    assert own.get("appArmorProfile") == profile
    text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
    assert about.warned == ([f"metadata.annotations[{ARMOR}]: {text}"] if warned else [])
