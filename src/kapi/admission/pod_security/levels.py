"""The levels of the pod security standards, as of each version of Kubernetes.

Called by `pod_security.py` only; the checks are in `checks.py`.
https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from kapi.admission.pod_security import checks
from kapi.admission.pod_security.checks import Check, but, sysctls_but

Json = dict[str, Any]
LEVELS = ("privileged", "baseline", "restricted")
LATEST = "latest"
VERSIONS_MAX = 128  # pairs of level and version whose checks are remembered
_NEWEST = 1 << 16  # minor version that `latest` stands for
_BUFFERS = ("net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem")
_KEEPALIVE = (
    "net.ipv4.tcp_keepalive_time", "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
    "net.ipv4.tcp_keepalive_probes",
)  # fmt: skip
_RESERVED = ("net.ipv4.ip_local_reserved_ports",)

# Each check by the minor versions from which on it is as it is.
_Versions = tuple[tuple[int, Check], ...]
_BASELINE: Mapping[str, _Versions] = {
    "appArmorProfile": ((0, checks.app_armor),),
    "capabilities": ((0, checks.capabilities),),
    "hostNamespaces": ((0, checks.host_namespaces),),
    "hostPathVolumes": ((0, checks.host_path),),
    "hostPorts": ((0, checks.host_ports),),
    "hostProbesAndHostLifecycle": ((34, checks.probe_hosts),),
    "privileged": ((0, checks.privileged),),
    "procMount": ((0, checks.proc_mount), (35, checks.proc_mount_of_users)),
    "seLinuxOptions": ((0, checks.selinux_before_engines), (31, checks.selinux)),
    "seccompProfile": ((19, checks.seccomp_baseline),),
    "sysctls": (
        (0, sysctls_but(*_RESERVED, *_KEEPALIVE, *_BUFFERS)),
        (27, sysctls_but(*_KEEPALIVE, *_BUFFERS)),
        (29, sysctls_but(*_BUFFERS)),
        (32, checks.sysctls),
    ),
    "windowsHostProcess": ((0, checks.windows_host_process),),
}
_RESTRICTED: Mapping[str, _Versions] = {
    "allowPrivilegeEscalation": ((8, but("os", checks.escalation)), (25, checks.escalation)),
    "capabilities": (
        (22, but("os", checks.dropped_capabilities)),
        (25, checks.dropped_capabilities),
    ),
    "procMount": ((35, checks.proc_mount),),
    "restrictedVolumes": ((0, checks.volume_types),),
    "runAsNonRoot": ((0, but("hostUsers", checks.not_root)), (35, checks.not_root)),
    "runAsUser": ((23, but("hostUsers", checks.not_user_zero)), (35, checks.not_user_zero)),
    "seccompProfile": ((19, but("os", checks.seccomp_restricted)), (25, checks.seccomp_restricted)),
}
# A check of the restricted level stands for that of the baseline, from when on it is there.
_REPLACED_BY = {**{name: name for name in _RESTRICTED}, "hostPathVolumes": "restrictedVolumes"}


def _as_of(versions: _Versions, minor: int) -> Check | None:
    found = [check for since, check in versions if since <= minor]
    return found[-1] if found else None


@functools.lru_cache(maxsize=VERSIONS_MAX)
def checks_of(level: str, version: str) -> tuple[Check, ...]:
    """What a level forbids as of a version, `latest` or `v1.N`."""
    if level not in ("baseline", "restricted"):
        return ()
    minor = _NEWEST if version == LATEST else min(_NEWEST, int(version.rpartition(".")[2]))
    strict: dict[str, Check | None] = {}
    if level == "restricted":
        strict = {name: _as_of(versions, minor) for name, versions in _RESTRICTED.items()}
    loose = {name: _as_of(versions, minor) for name, versions in _BASELINE.items()}
    return (
        *(c for name, c in loose.items() if c and not strict.get(_REPLACED_BY.get(name, ""))),
        *(c for c in strict.values() if c),
    )


def violations(
    level: str, meta: Json, spec: Json, *, version: str = LATEST, where: bool = True
) -> str:
    """What a pod does against a level: `privileged (container "c" …), hostPort (…)`; empty for
    nothing.
    """
    found = [f for check in checks_of(level, version) if (f := check(meta, spec)) is not None]
    return ", ".join(f"{title} ({at})" if where and at else title for title, at in found)
