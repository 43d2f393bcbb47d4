"""What the operating system of a pod's node rules out, and the options of Windows.

Called by `validation.py` and `security.py`.
https://kubernetes.io/docs/concepts/workloads/pods/#pod-os
"""

from __future__ import annotations

import re
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks

Json = dict[str, Any]
Findings = list[FieldError]

OS_NAMES = ("linux", "windows")
_CREDENTIAL_SPEC_BYTES_MAX = 64 * 1024
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


def validate_os(spec: Json, path: str) -> Findings:
    """What `spec.os` rules out."""
    name = spec["os"].get("name", "")
    if not name:
        return [errors.required(f"{path}.os.name", "cannot be empty")]
    if name not in OS_NAMES:
        return [errors.not_supported(f"{path}.os", name, OS_NAMES)]
    return _foreign_fields(spec, path, name)


# Fields that one operating system has and the other lacks.
_POD_FIELDS = {
    "linux": (("securityContext", ("windowsOptions",)),),
    "windows": (
        ("securityContext", (
            "appArmorProfile", "seLinuxOptions", "seccompProfile", "fsGroup",
            "fsGroupChangePolicy", "sysctls", "runAsUser", "runAsGroup", "supplementalGroups",
            "supplementalGroupsPolicy",
        )),
    ),
}  # fmt: skip
_SPEC_FIELDS = {
    "linux": (),
    "windows": ("hostPID", "hostIPC", "hostUsers", "shareProcessNamespace"),
}
_CONTAINER_FIELDS = {
    "linux": ("windowsOptions",),
    "windows": (
        "appArmorProfile", "seLinuxOptions", "seccompProfile", "capabilities",
        "readOnlyRootFilesystem", "privileged", "allowPrivilegeEscalation", "procMount",
        "runAsUser", "runAsGroup",
    ),
}  # fmt: skip


_FOREIGN = {
    "linux": "windows options cannot be set for a linux pod",
    "windows": "cannot be set for a windows pod",
}


def _foreign_fields(spec: Json, path: str, name: str) -> Findings:
    text = _FOREIGN[name]
    out: Findings = []
    for field in _SPEC_FIELDS[name]:
        if spec.get(field) not in (None, False) or (field == "hostUsers" and field in spec):
            out.append(errors.field_forbidden(f"{path}.{field}", text))
    for field, inner in _POD_FIELDS[name]:
        context = spec.get(field) or {}
        out += [
            errors.field_forbidden(f"{path}.{field}.{f}", text)
            for f in inner
            if context.get(f) is not None
        ]
    for field in ("containers", "initContainers", "ephemeralContainers"):
        for i, container in enumerate(spec.get(field) or ()):
            context = container.get("securityContext") or {}
            out += [
                errors.field_forbidden(f"{path}.{field}[{i}].securityContext.{f}", text)
                for f in _CONTAINER_FIELDS[name]
                if context.get(f) is not None
            ]
    return out


# -- Windows --------------------------------------------------------------------------------------


def validate_windows_options(options: Json, path: str) -> Findings:
    """The windowsOptions of a pod or a container."""
    out: Findings = []
    name = options.get("gmsaCredentialSpecName")
    if name is not None:
        out += checks.dns_subdomain(name, f"{path}.gmsaCredentialSpecName")
    spec = options.get("gmsaCredentialSpec")
    if spec is not None:
        where = f"{path}.gmsaCredentialSpec"
        if not spec:
            text = "gmsaCredentialSpec cannot be an empty string"
            out.append(errors.invalid_value(where, spec, text))
        elif len(spec.encode()) > _CREDENTIAL_SPEC_BYTES_MAX:
            text = f"gmsaCredentialSpec size must be under {_CREDENTIAL_SPEC_BYTES_MAX // 1024} KiB"
            out.append(errors.invalid_value(where, spec, text))
    user = options.get("runAsUserName")
    if user is not None:
        out += [
            errors.invalid_value(f"{path}.runAsUserName", user, f"runAsUserName{complaint}")
            for complaint in _user_complaints(user)
        ]
    return out


def _user_complaints(name: str) -> list[str]:
    r"""About `DOMAIN\USER` or `USER`."""
    if not name:
        return [" cannot be an empty string"]
    if _CONTROL.search(name):
        return [" cannot contain control characters"]
    if name.count("\\") > 1:
        return [" cannot contain more than one backslash"]
    domain, backslash, user = name.rpartition("\\")
    out = []
    if len(domain.encode()) >= _DOMAIN_MAX:
        out.append(f"'s Domain length must be under {_DOMAIN_MAX} characters")
    if backslash and not _NETBIOS.match(domain) and not _DNS.match(domain):
        out.append("'s Domain doesn't match the NetBios nor the DNS format")
    if not user:
        out.append("'s User cannot be empty")
    elif len(user.encode()) > _USER_MAX:
        out.append(f"'s User length must not be longer than {_USER_MAX} characters")
    if _DOTS_AND_SPACES.match(user):
        out.append("'s User cannot contain only periods or spaces")
    if _NOT_OF_USERS.search(user):
        out.append("'s User cannot contain the following characters: \"/\\:;|=,+*?<>@[]")
    return out


_DOMAIN_MAX, _USER_MAX = 256, 104  # bytes
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_NETBIOS = re.compile(r'[^\\/:*?"<>|.][^\\/:*?"<>|]{0,14}\Z')
_DNS_LABEL = r"[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
_DNS = re.compile(rf"{_DNS_LABEL}(?:\.{_DNS_LABEL})*\Z")
_DOTS_AND_SPACES = re.compile(r"[. ]+\Z")
_NOT_OF_USERS = re.compile(r'["/\\:;|=,+*?<>@\[\]]')


def validate_host_processes(spec: Json, path: str) -> Findings:
    """If one container runs on the host itself, all do, in the network of the host.
    https://kubernetes.io/docs/tasks/configure-pod-container/create-hostprocess-pod/
    """
    whole = ((spec.get("securityContext") or {}).get("windowsOptions") or {}).get("hostProcess")
    out: Findings = []
    count = on_host = 0
    for field in _CONTAINERS:
        for i, container in enumerate(spec.get(field) or ()):
            count += 1
            options = (container.get("securityContext") or {}).get("windowsOptions") or {}
            own = options.get("hostProcess")
            if whole is not None and own is not None and whole != own:
                where = f"{path}.{field}[{i}].securityContext.windowsOptions.hostProcess"
                text = (
                    "pod hostProcess value must be identical if both are specified, "
                    f"was {str(whole).lower()}"
                )
                out.append(errors.invalid_value(where, own, text))
            on_host += bool(whole if own is None else own)
    if not on_host:
        return out
    if on_host != count:
        text = (
            "If pod contains any hostProcess containers then all containers must be HostProcess "
            "containers"
        )
        out.append(errors.invalid_value(path, "", text))
    if not spec.get("hostNetwork"):
        text = "hostNetwork must be true if pod contains any hostProcess containers"
        out.append(errors.invalid_value(f"{path}.hostNetwork", False, text))
    return out
