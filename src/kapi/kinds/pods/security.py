"""Security contexts of pods and containers.

Called by `containers.py` and `validation.py`. Which of them a namespace allows is for the
admission plugin PodSecurity.
https://kubernetes.io/docs/tasks/configure-pod-container/security-context/
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.os import validate_windows_options
from kapi.kinds.pods.volume_sources import descending_path
from kapi.kinds.shared.go_view import struct

Json = dict[str, Any]
Findings = list[FieldError]

ID_RANGE = "must be between 0 and 2147483647, inclusive"
PROFILE_TYPES = ("Localhost", "RuntimeDefault", "Unconfined")
PROC_MOUNTS = ("Default", "Unmasked")
_CORE = "io.k8s.api.core.v1."
_ID_MAX = 2**31 - 1
_APP_ARMOR_BYTES_MAX = 4095
_SYSCTL_CHARACTERS_MAX = 253
_SYSCTL_SEGMENT = "[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_SYSCTL_PATTERN = rf"({_SYSCTL_SEGMENT}[\./])*{_SYSCTL_SEGMENT}"
_SYSCTL = re.compile(_SYSCTL_PATTERN + r"\Z")


def identity(value: int | None, path: str) -> Findings:
    """The number of a user or a group."""
    if value is not None and not 0 <= value <= _ID_MAX:
        return [errors.invalid_value(path, value, ID_RANGE)]
    return []


def validate_security_context(context: Json, path: str, host_users: bool) -> Findings:
    """Of a container."""
    out = identity(context.get("runAsUser"), f"{path}.runAsUser")
    out += identity(context.get("runAsGroup"), f"{path}.runAsGroup")
    proc = context.get("procMount")
    if proc is not None:
        out += _proc_mount(proc, f"{path}.procMount", host_users)
    if context.get("seccompProfile") is not None:
        out += _seccomp(context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("allowPrivilegeEscalation") is False:
        shown = _CORE + "SecurityContext"
        if context.get("privileged"):
            text = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
            out.append(errors.invalid_value(path, struct(shown, context), text))
        added = (context.get("capabilities") or {}).get("add") or ()
        if "CAP_SYS_ADMIN" in added:
            text = (
                "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` "
                "CAP_SYS_ADMIN"
            )
            out.append(errors.invalid_value(path, struct(shown, context), text))
    if context.get("windowsOptions") is not None:
        out += validate_windows_options(context["windowsOptions"], f"{path}.windowsOptions")
    if context.get("appArmorProfile") is not None:
        out += app_armor(context["appArmorProfile"], f"{path}.appArmorProfile")
    return out


def _proc_mount(value: str, path: str, host_users: bool) -> Findings:
    if value not in PROC_MOUNTS:
        return [errors.not_supported(path, value, PROC_MOUNTS)]
    if value == "Unmasked" and host_users:
        text = "`hostUsers` must be false to use `Unmasked`"
        return [errors.invalid_value(path, value, text)]
    return []


def _seccomp(profile: Json, path: str) -> Findings:
    kind, local = profile.get("type", ""), profile.get("localhostProfile")
    out: Findings = []
    if not kind:
        text = "type is required when seccompProfile is set"
        out.append(errors.required(f"{path}.type", text))
    elif kind not in PROFILE_TYPES:
        out.append(errors.not_supported(f"{path}.type", kind, PROFILE_TYPES))
    where = f"{path}.localhostProfile"
    if kind == "Localhost":
        if local is None:
            text = "must be set when seccomp type is Localhost"
            return [*out, errors.required(where, text)]
        return out + descending_path(local, where)
    if local is not None:
        shown = struct(_CORE + "SeccompProfile", profile)
        text = "can only be set when seccomp type is Localhost"
        out.append(errors.invalid_value(where, shown, text))
    return out


def app_armor(profile: Json, path: str) -> Findings:
    """A profile in a field."""
    kind, local, where = profile.get("type", ""), profile.get("localhostProfile"), ""
    where = f"{path}.localhostProfile"
    if kind == "Localhost":
        text = "must be set when AppArmor type is Localhost"
        if local is None or local == "":
            return [errors.required(where, text)]
        out: Findings = []
        if local.strip() != local:
            out.append(errors.invalid_value(where, local, "must not be padded with whitespace"))
        if len(local.encode()) > _APP_ARMOR_BYTES_MAX:
            out.append(errors.too_long(where, _APP_ARMOR_BYTES_MAX))
        return out
    if kind in PROFILE_TYPES:
        if local is not None:
            text = "can only be set when AppArmor type is Localhost"
            return [errors.invalid_value(where, local, text)]
        return []
    if not kind:
        text = "type is required when appArmorProfile is set"
        return [errors.required(f"{path}.type", text)]
    return [errors.not_supported(f"{path}.type", kind, PROFILE_TYPES)]


# -- annotations from before there were fields ----------------------------------------------------

_SECCOMP_POD = "seccomp.security.alpha.kubernetes.io/pod"
_SECCOMP_CONTAINER = "container.seccomp.security.alpha.kubernetes.io/"
_SECCOMP_NAMES = ("runtime/default", "docker/default", "unconfined")
_APP_ARMOR_CONTAINER = "container.apparmor.security.beta.kubernetes.io/"
_APP_ARMOR_NAMES = ("", "runtime/default", "unconfined")
_LOCAL = "localhost/"


def validate_profile_annotations(annotations: Mapping[str, str], spec: Json, path: str) -> Findings:
    """Profiles of seccomp and AppArmor in annotations of a pod."""
    out: Findings = []
    for key in sorted(annotations, key=lambda k: k != _SECCOMP_POD):
        value = annotations[key]
        if key == _SECCOMP_POD or key.startswith(_SECCOMP_CONTAINER):
            if value.startswith(_LOCAL):
                out += descending_path(value.removeprefix(_LOCAL), f"{path}.{key}")
            elif value not in _SECCOMP_NAMES:
                text = "must be a valid seccomp profile"
                out.append(errors.invalid_value(f"{path}.{key}", value, text))
    for key, value in annotations.items():
        if key.startswith(_APP_ARMOR_CONTAINER):
            name, where = key.removeprefix(_APP_ARMOR_CONTAINER), f"{path}[{key}]"
            if name not in _container_names(spec):
                out.append(errors.invalid_value(where, name, "container not found"))
            if value not in _APP_ARMOR_NAMES and not value.startswith(_LOCAL):
                text = f"invalid AppArmor profile name: {errors.quote(value)}"
                out.append(errors.invalid_value(where, value, text))
    return out


def _container_names(spec: Json) -> set[str]:
    fields = ("initContainers", "containers", "ephemeralContainers")
    return {c.get("name", "") for field in fields for c in spec.get(field) or ()}


# -- of the pod -----------------------------------------------------------------------------------

_GROUP_CHANGE = ("Always", "OnRootMismatch")
_SUPPLEMENTAL = ("Merge", "Strict")
_SELINUX_CHANGE = ("MountOption", "Recursive")


def validate_pod_security_context(context: Json, spec: Json, path: str) -> Findings:
    """Of a pod; `path` is that of the context."""
    out: Findings = []
    if context:
        out += identity(context.get("fsGroup"), f"{path}.fsGroup")
        out += identity(context.get("runAsUser"), f"{path}.runAsUser")
        out += identity(context.get("runAsGroup"), f"{path}.runAsGroup")
        for i, group in enumerate(context.get("supplementalGroups") or ()):
            out += identity(group, f"{path}.supplementalGroups[{i}]")
    share = spec.get("shareProcessNamespace")
    if share and spec.get("hostPID"):
        text = "ShareProcessNamespace and HostPID cannot both be enabled"
        out.append(errors.invalid_value(f"{path}.shareProcessNamespace", share, text))
    if not context:
        return out
    if context.get("sysctls"):
        out += _sysctls(context["sysctls"], spec, f"{path}.sysctls")
    out += _enumerated(context, "fsGroupChangePolicy", _GROUP_CHANGE, path)
    if context.get("seccompProfile") is not None:
        out += _seccomp(context["seccompProfile"], f"{path}.seccompProfile")
    if context.get("windowsOptions") is not None:
        out += validate_windows_options(context["windowsOptions"], f"{path}.windowsOptions")
    if context.get("appArmorProfile") is not None:
        out += app_armor(context["appArmorProfile"], f"{path}.appArmorProfile")
    out += _enumerated(context, "supplementalGroupsPolicy", _SUPPLEMENTAL, path)
    return out + _enumerated(context, "seLinuxChangePolicy", _SELINUX_CHANGE, path)


def _enumerated(context: Json, field: str, supported: Sequence[str], path: str) -> Findings:
    value = context.get(field)
    if value is not None and value not in supported:
        return [errors.not_supported(f"{path}.{field}", value, supported)]
    return []


def _sysctls(sysctls: Sequence[Json], spec: Json, path: str) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, sysctl in enumerate(sysctls):
        name = sysctl.get("name", "")
        where = f"{path}[{i}].name"
        if not name:
            out.append(errors.required(where))
        elif len(name) > _SYSCTL_CHARACTERS_MAX or not _SYSCTL.match(name):
            text = (
                f"must have at most {_SYSCTL_CHARACTERS_MAX} characters and match regex "
                f"^{_SYSCTL_PATTERN}$"
            )
            out.append(errors.invalid_value(where, name, text))
        elif name in seen:
            out.append(errors.duplicate(where, name))
        seen.add(name)
        out += _host_sysctl(name, spec, where)
    return out


_IPC_SYSCTLS = ("kernel.shm", "kernel.msg", "fs.mqueue.")


def _host_sysctl(name: str, spec: Json, path: str) -> Findings:
    """Settings of a namespace make no sense where that namespace is the host's."""
    dotted = name.replace("/", ".")
    if spec.get("hostNetwork") and dotted.startswith("net."):
        text = "may not be specified when 'hostNetwork' is true"
        return [errors.invalid_value(path, name, text)]
    if spec.get("hostIPC") and (dotted == "kernel.sem" or dotted.startswith(_IPC_SYSCTLS)):
        return [errors.invalid_value(path, name, "may not be specified when 'hostIPC' is true")]
    return []
