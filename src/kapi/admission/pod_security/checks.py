"""The checks of the pod security standards: what a level forbids, in the words of the real server.

In their newest form, with older ones beside; `levels.py` says which level has which.
Each check gives nothing for a pod that passes, else what it forbids
and where. https://kubernetes.io/docs/concepts/security/pod-security-standards/
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from kapi.errors import quote

Json = dict[str, Any]
Finding = tuple[str, str] | None  # what is forbidden, where
Check = Callable[[Json, Json], Finding]  # (metadata, spec)


def _containers(spec: Json) -> Iterator[Json]:
    for field in ("initContainers", "containers", "ephemeralContainers"):
        yield from spec.get(field) or ()


def _context(container: Json) -> Json:
    context: Json = container.get("securityContext") or {}
    return context


def _named(names: Sequence[str], singular: str = "container", plural: str = "containers") -> str:
    """`container "a"`, `containers "a", "b"`."""
    return f"{singular if len(names) == 1 else plural} " + ", ".join(quote(n) for n in names)


def _bad(spec: Json, wrong: Callable[[Json], bool]) -> list[str]:
    return [c.get("name", "") for c in _containers(spec) if wrong(_context(c))]


# -- baseline -------------------------------------------------------------------------------------


def app_armor(meta: Json, spec: Json) -> Finding:
    bad = [
        f"{key}={quote(value)}"
        for key, value in sorted((meta.get("annotations") or {}).items())
        if key.startswith("container.apparmor.security.beta.kubernetes.io/")
        and value not in ("", "runtime/default")
        and not value.startswith("localhost/")
    ]
    if bad:
        word = "annotation" if len(bad) == 1 else "annotations"
        return "forbidden AppArmor profile" + "s" * (len(bad) > 1), f"{word} {', '.join(bad)}"
    if _profile(spec.get("securityContext") or {}, "appArmorProfile") == "Unconfined":
        where = 'pod must not set securityContext.appArmorProfile.type to "Unconfined"'
        return "forbidden AppArmor profile", where
    names = _bad(spec, lambda c: _profile(c, "appArmorProfile") == "Unconfined")
    if names:
        text = 'must not set securityContext.appArmorProfile.type to "Unconfined"'
        return "forbidden AppArmor profile", f"{_named(names)} {text}"
    return None


def _profile(context: Json, field: str) -> str:
    kind: str = (context.get(field) or {}).get("type", "")
    return kind


_DEFAULT_CAPABILITIES = frozenset(
    {
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
        "NET_BIND_SERVICE", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    }
)  # fmt: skip


def _added(spec: Json, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    """The containers that add capabilities beyond those allowed, and which."""
    names: list[str] = []
    extra: set[str] = set()
    for container in _containers(spec):
        added = set((_context(container).get("capabilities") or {}).get("add") or ()) - allowed
        if added:
            names.append(container.get("name", ""))
            extra |= added
    return names, sorted(extra)


def capabilities(meta: Json, spec: Json) -> Finding:
    names, extra = _added(spec, _DEFAULT_CAPABILITIES)
    if not names:
        return None
    listed = ", ".join(quote(c) for c in extra)
    where = f"{_named(names)} must not include {listed} in securityContext.capabilities.add"
    return "non-default capabilities", where


def host_namespaces(meta: Json, spec: Json) -> Finding:
    given = [f"{f}=true" for f in ("hostNetwork", "hostPID", "hostIPC") if spec.get(f)]
    return ("host namespaces", ", ".join(given)) if given else None


def host_path(meta: Json, spec: Json) -> Finding:
    names = [v.get("name", "") for v in spec.get("volumes") or () if v.get("hostPath") is not None]
    return ("hostPath volumes", _named(names, "volume", "volumes")) if names else None


def host_ports(meta: Json, spec: Json) -> Finding:
    names: list[str] = []
    ports: set[int] = set()
    for container in _containers(spec):
        used = {p["hostPort"] for p in container.get("ports") or () if p.get("hostPort")}
        if used:
            names.append(container.get("name", ""))
            ports |= used
    if not names:
        return None
    word = "uses" if len(names) == 1 else "use"
    listed = ", ".join(str(p) for p in sorted(ports))
    plural = "s" if len(ports) > 1 else ""
    return "hostPort", f"{_named(names)} {word} hostPort{plural} {listed}"


def probe_hosts(meta: Json, spec: Json) -> Finding:
    """Probes and hooks may not ask other hosts."""
    names = []
    hosts: set[str] = set()
    for container in _containers(spec):
        found = set()
        lifecycle = container.get("lifecycle") or {}
        probes = (
            *(container.get(f) for f in ("livenessProbe", "readinessProbe", "startupProbe")),
            lifecycle.get("postStart"),
            lifecycle.get("preStop"),
        )
        for handler in probes:
            for kind in ("httpGet", "tcpSocket"):
                host = ((handler or {}).get(kind) or {}).get("host", "")
                if host not in ("", "127.0.0.1", "::1"):
                    found.add(host)
        if found:
            names.append(container.get("name", ""))
            hosts |= found
    if not names:
        return None
    word = "uses" if len(names) == 1 else "use"
    listed = ", ".join(quote(h) for h in sorted(hosts))
    title = "probe or lifecycle host"
    return title, f"{_named(names)} {word} probe or lifecycle host {listed}"


def privileged(meta: Json, spec: Json) -> Finding:
    names = _bad(spec, lambda c: bool(c.get("privileged")))
    if not names:
        return None
    return "privileged", f"{_named(names)} must not set securityContext.privileged=true"


def proc_mount(meta: Json, spec: Json) -> Finding:
    names = _bad(spec, lambda c: c.get("procMount") not in (None, "", "Default"))
    if not names:
        return None
    kinds = {_context(c).get("procMount") for c in _containers(spec)} - {None, "", "Default"}
    listed = ", ".join(quote(str(k)) for k in sorted(map(str, kinds)))
    return "procMount", f"{_named(names)} must not set securityContext.procMount to {listed}"


def proc_mount_of_users(meta: Json, spec: Json) -> Finding:
    """With users of its own a pod may see /proc unmasked."""
    return None if spec.get("hostUsers") is False else proc_mount(meta, spec)


_SELINUX_TYPES = ("", "container_t", "container_init_t", "container_kvm_t", "container_engine_t")


def selinux(meta: Json, spec: Json) -> Finding:
    return _selinux_of(spec, _SELINUX_TYPES)


def selinux_before_engines(meta: Json, spec: Json) -> Finding:
    return _selinux_of(spec, _SELINUX_TYPES[:-1])


def _selinux_of(spec: Json, types: tuple[str, ...]) -> Finding:
    contexts = [("pod", spec.get("securityContext") or {})]
    contexts += [(_named([c.get("name", "")]), _context(c)) for c in _containers(spec)]
    bad: list[str] = []
    said: list[str] = []
    for who, context in contexts:
        options = context.get("seLinuxOptions") or {}
        if options.get("type", "") not in types:
            said.append(f"type {quote(options['type'])}")
            bad.append(who)
        for field in ("user", "role"):
            if options.get(field):
                said.append(f"{field} may not be set")
                if who not in bad:
                    bad.append(who)
    if not bad:
        return None
    return (
        "seLinuxOptions",
        f"{' and '.join(bad)} set forbidden securityContext.seLinuxOptions: "
        + ("; ".join(dict.fromkeys(said))),
    )


def seccomp_baseline(meta: Json, spec: Json) -> Finding:
    if _profile(spec.get("securityContext") or {}, "seccompProfile") == "Unconfined":
        where = 'pod must not set securityContext.seccompProfile.type to "Unconfined"'
        return "seccompProfile", where
    names = _bad(spec, lambda c: _profile(c, "seccompProfile") == "Unconfined")
    if not names:
        return None
    text = 'must not set securityContext.seccompProfile.type to "Unconfined"'
    return "seccompProfile", f"{_named(names)} {text}"


_SYSCTLS = frozenset(
    {
        "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range", "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range", "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes", "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem",
    }
)  # fmt: skip


def sysctls(meta: Json, spec: Json) -> Finding:
    return _unsafe(spec, _SYSCTLS)


def sysctls_but(*newer: str) -> Check:
    """As before some were found to be safe."""
    return lambda meta, spec: _unsafe(spec, _SYSCTLS.difference(newer))


def _unsafe(spec: Json, safe: frozenset[str]) -> Finding:
    given = (spec.get("securityContext") or {}).get("sysctls") or ()
    bad = [s.get("name", "") for s in given if s.get("name", "") not in safe]
    return ("forbidden sysctls", ", ".join(bad)) if bad else None


def but(field: str, check: Check) -> Check:
    """As before a field of the pod excused it."""
    return lambda meta, spec: check(meta, {**spec, field: None})


def windows_host_process(meta: Json, spec: Json) -> Finding:
    def host(context: Json) -> bool:
        return bool((context.get("windowsOptions") or {}).get("hostProcess"))

    names = _bad(spec, host)
    bad = ["pod"] if host(spec.get("securityContext") or {}) else []
    bad += [_named(names)] if names else []
    if not bad:
        return None
    text = "must not set securityContext.windowsOptions.hostProcess=true"
    return "hostProcess", f"{' and '.join(bad)} {text}"


# -- restricted -----------------------------------------------------------------------------------


def _is_windows(spec: Json) -> bool:
    return (spec.get("os") or {}).get("name") == "windows"


def escalation(meta: Json, spec: Json) -> Finding:
    if _is_windows(spec):
        return None
    names = _bad(spec, lambda c: c.get("allowPrivilegeEscalation") is not False)
    if not names:
        return None
    text = "must set securityContext.allowPrivilegeEscalation=false"
    return "allowPrivilegeEscalation != false", f"{_named(names)} {text}"


def dropped_capabilities(meta: Json, spec: Json) -> Finding:
    if _is_windows(spec):
        return None
    said = []
    names = _bad(spec, lambda c: "ALL" not in ((c.get("capabilities") or {}).get("drop") or ()))
    if names:
        said.append(f'{_named(names)} must set securityContext.capabilities.drop=["ALL"]')
    names, extra = _added(spec, frozenset({"NET_BIND_SERVICE"}))
    if names:
        listed = ", ".join(quote(c) for c in extra)
        text = f"must not include {listed} in securityContext.capabilities.add"
        said.append(f"{_named(names)} {text}")
    return ("unrestricted capabilities", "; ".join(said)) if said else None


_VOLUME_TYPES = frozenset(
    {
        "configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
        "persistentVolumeClaim", "projected", "secret",
    }
)  # fmt: skip


def volume_types(meta: Json, spec: Json) -> Finding:
    names: list[str] = []
    types: set[str] = set()
    for volume in spec.get("volumes") or ():
        kinds = {k for k in volume if k != "name"} - _VOLUME_TYPES
        if kinds:
            names.append(volume.get("name", ""))
            types |= kinds
    if not names:
        return None
    word = "uses" if len(names) == 1 else "use"
    plural = "s" if len(types) > 1 else ""
    listed = ", ".join(quote(t) for t in sorted(types))
    where = f"{_named(names, 'volume', 'volumes')} {word} restricted volume type{plural} {listed}"
    return "restricted volume types", where


def not_root(meta: Json, spec: Json) -> Finding:
    if spec.get("hostUsers") is False:
        return None
    pod = (spec.get("securityContext") or {}).get("runAsNonRoot")
    explicit = _bad(spec, lambda c: c.get("runAsNonRoot") is False)
    implicit = _bad(spec, lambda c: c.get("runAsNonRoot") is None)
    if explicit or pod is False:
        bad = ["pod"] if pod is False else []
        bad += [_named(explicit)] if explicit else []
        text = "must not set securityContext.runAsNonRoot=false"
        return "runAsNonRoot != true", f"{' and '.join(bad)} {text}"
    if pod or not implicit:
        return None
    text = "must set securityContext.runAsNonRoot=true"
    return "runAsNonRoot != true", f"pod or {_named(implicit)} {text}"


def not_user_zero(meta: Json, spec: Json) -> Finding:
    if spec.get("hostUsers") is False:
        return None
    names = _bad(spec, lambda c: c.get("runAsUser") == 0)
    bad = ["pod"] if (spec.get("securityContext") or {}).get("runAsUser") == 0 else []
    bad += [_named(names)] if names else []
    return ("runAsUser=0", f"{' and '.join(bad)} must not set runAsUser=0") if bad else None


_PROFILES = ("RuntimeDefault", "Localhost")


def seccomp_restricted(meta: Json, spec: Json) -> Finding:
    if _is_windows(spec):
        return None
    pod = _profile(spec.get("securityContext") or {}, "seccompProfile")
    bad_names = [
        c.get("name", "")
        for c in _containers(spec)
        if _profile(_context(c), "seccompProfile") not in ("", *_PROFILES)
    ]
    if bad_names or pod not in ("", *_PROFILES):
        bad = ["pod"] if pod not in ("", *_PROFILES) else []
        bad += [_named(bad_names)] if bad_names else []
        kinds = {_profile(_context(c), "seccompProfile") for c in _containers(spec)} | {pod}
        listed = ", ".join(quote(k) for k in sorted(kinds - {"", *_PROFILES}))
        text = f"must not set securityContext.seccompProfile.type to {listed}"
        return "seccompProfile", f"{' and '.join(bad)} {text}"
    missing = _bad(spec, lambda c: _profile(c, "seccompProfile") == "")
    if pod in _PROFILES or not missing:
        return None
    text = 'must set securityContext.seccompProfile.type to "RuntimeDefault" or "Localhost"'
    return "seccompProfile", f"pod or {_named(missing)} {text}"
