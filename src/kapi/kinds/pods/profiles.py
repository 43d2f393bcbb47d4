"""Profiles of seccomp and AppArmor in annotations, as pods had them before the fields.

They must agree with the fields, and those of AppArmor become fields of new pods. Called by the
strategy of pods and by the checks of templates.
https://kubernetes.io/docs/tutorials/security/apparmor/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.security import app_armor

Json = dict[str, Any]
Findings = list[FieldError]

SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
APP_ARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_LOCAL = "localhost/"
_WORDS = {"RuntimeDefault": "runtime/default", "Unconfined": "unconfined"}
_DOCKER = "docker/default"  # an older word of seccomp for the default


def seccomp_matches(annotations: Mapping[str, str], spec: Json, path: str) -> Findings:
    """Of a pod or template: the annotations say what the fields say, where both are set."""
    out: Findings = []
    profile = (spec.get("securityContext") or {}).get("seccompProfile")
    if profile is not None and SECCOMP_POD in annotations:
        where = f"{path}.securityContext.seccompProfile"
        out += _match(annotations[SECCOMP_POD], profile, where, "seccomp")
    for container, where in _containers(spec, path):
        profile = (container.get("securityContext") or {}).get("seccompProfile")
        note = annotations.get(SECCOMP_CONTAINER + container.get("name", ""))
        if profile is not None and note is not None:
            out += _match(note, profile, f"{where}.securityContext.seccompProfile", "seccomp")
    return out


def app_armor_matches(annotations: Mapping[str, str], spec: Json, path: str) -> Findings:
    """Of a new pod; the profile of the pod counts for containers without one."""
    if _of_windows(spec):
        return []
    out: Findings = []
    general = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, where in _containers(spec, path):
        profile = (container.get("securityContext") or {}).get("appArmorProfile") or general
        note = annotations.get(APP_ARMOR_CONTAINER + container.get("name", ""))
        if profile is not None and note is not None:
            out += _match(note, profile, f"{where}.securityContext.appArmorProfile", "apparmor")
    return out


def take_app_armor(pod: Json) -> list[str]:
    """Annotations become fields; returns warnings about them."""
    spec, annotations = pod.get("spec") or {}, pod["metadata"].get("annotations") or {}
    if _of_windows(spec):
        return []
    out: list[str] = []
    general = (spec.get("securityContext") or {}).get("appArmorProfile")
    for container, _ in _containers(spec, "spec"):
        key = APP_ARMOR_CONTAINER + container.get("name", "")
        security = container.get("securityContext") or {}
        if key not in annotations or security.get("appArmorProfile") is not None:
            continue
        profile = _from_note(annotations[key])
        if profile is not None and profile != general:
            container["securityContext"] = {**security, "appArmorProfile": profile}
        if profile is None or profile != general:
            text = 'deprecated since v1.30; use the "appArmorProfile" field instead'
            out.append(f"metadata.annotations[{key}]: {text}")
    return out


def _from_note(note: str) -> Json | None:
    for kind, word in _WORDS.items():
        if note == word:
            return {"type": kind}
    name = note.removeprefix(_LOCAL)
    if name == note or not name:
        return None
    profile = {"type": "Localhost", "localhostProfile": name}
    return None if app_armor(profile, "") else profile


def _match(note: str, profile: Json, path: str, what: str) -> Findings:
    kind = profile.get("type", "")
    if kind == "Localhost":
        agrees = note.startswith(_LOCAL)
        if agrees and note.removeprefix(_LOCAL) != profile.get("localhostProfile"):
            text = f"{what} profile in annotation and field must match"
            return [errors.field_forbidden(f"{path}.localhostProfile", text)]
    elif kind in _WORDS:
        older = what == "seccomp" and kind == "RuntimeDefault" and note == _DOCKER
        agrees = older or note == _WORDS[kind]
    else:
        return []
    if agrees:
        return []
    text = f"{what} type in annotation and field must match"
    return [errors.field_forbidden(f"{path}.type", text)]


def _of_windows(spec: Json) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def _containers(spec: Json, path: str) -> Iterator[tuple[Json, str]]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            yield container, f"{path}.{field}[{i}]"
