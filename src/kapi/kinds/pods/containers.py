"""Containers of a pod spec: regular, init and ephemeral ones, and all that a single container says.

`validate_containers`, `validate_init_containers` and `validate_ephemeral_containers` are called by
`validation.py` for pods and every pod template. Findings stand in the order of the real server.
Nothing but the path of each container is built while all is well. Probes and hooks are in
`handlers.py`, amounts in `resources.py`.
https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/pod-v1/#Container
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods.env import validate_env, validate_env_from
from kapi.kinds.pods.handlers import (
    validate_lifecycle,
    validate_liveness_probe,
    validate_readiness_probe,
    validate_startup_probe,
)
from kapi.kinds.pods.mounts import validate_devices, validate_mounts
from kapi.kinds.pods.resources import validate_resize_policy, validate_resources
from kapi.kinds.pods.security import validate_security_context
from kapi.kinds.shared import checks
from kapi.registry import names
from kapi.registry.allocation import addresses

Json = dict[str, Any]
Findings = list[FieldError]

_CORE = "io.k8s.api.core.v1."
PULL_POLICIES = ("Always", "IfNotPresent", "Never")
MESSAGE_POLICIES = ("File", "FallbackToLogsOnError")
NOT_FOR_EPHEMERAL = "cannot be set for an Ephemeral Container"
NOT_FOR_INIT = "may not be set for init containers without restartPolicy=Always"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a container's findings depend on outside of it."""

    volumes: Mapping[str, Json]
    claims: frozenset[str]  # names of resource claims of the pod
    grace_period: int | None
    restart_policy: str
    host_users: bool


def validate_containers(containers: Sequence[Json], path: str, around: Surroundings) -> Findings:
    if not containers:
        return [errors.required(path)]
    out: Findings = []
    seen: set[str] = set()
    for i, container in enumerate(containers):
        where = f"{path}[{i}]"
        out += _common(container, where, around)
        name = container.get("name", "")
        if name in seen:
            out.append(errors.duplicate(f"{where}.name", name))
        seen.add(name)
        out += _handlers(container, where, around)
        out += _restart(container, where)
    return out + _host_port_conflicts(containers, path)


def validate_init_containers(
    containers: Sequence[Json], regular: Sequence[Json], path: str, around: Surroundings
) -> Findings:
    out: Findings = []
    seen = {c.get("name", "") for c in regular}
    for i, container in enumerate(containers):
        where = f"{path}[{i}]"
        out += _common(container, where, around)
        out += _restart(container, where)
        name = container.get("name", "")
        if name in seen:
            out.append(errors.duplicate(f"{where}.name", name))
        elif name:
            seen.add(name)
        out += _host_port_conflicts([container], path)
        if container.get("restartPolicy") == "Always":
            out += _handlers(container, where, around)
            continue
        for field in ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe"):
            if container.get(field) is not None:
                out.append(errors.field_forbidden(f"{where}.{field}", NOT_FOR_INIT))
        if container.get("resizePolicy"):
            text = "must not be set for init containers without restartPolicy=Always"
            value = [
                {
                    "ResourceName": p.get("resourceName", ""),
                    "RestartPolicy": p.get("restartPolicy", ""),
                }
                for p in container["resizePolicy"]
            ]
            out.append(errors.invalid_value(f"{where}.resizePolicy", checks.go_json(value), text))
    return out


# Fields in the order of the struct that a container for debugging may not have.
_NOT_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe",
    "readinessProbe", "startupProbe", "lifecycle",
)  # fmt: skip


def validate_ephemeral_containers(
    containers: Sequence[Json],
    regular: Sequence[Json],
    init: Sequence[Json],
    path: str,
    around: Surroundings,
) -> Findings:
    out: Findings = []
    others = {c.get("name", "") for c in regular} | {c.get("name", "") for c in init}
    seen = set(others)
    for i, container in enumerate(containers):
        where = f"{path}[{i}]"
        out += _common(container, where, around)
        out += validate_image_spaces(container, where)
        name = container.get("name", "")
        if name in seen:
            out.append(errors.duplicate(f"{where}.name", name))
        seen.add(name)
        target = container.get("targetContainerName")
        if target and target not in others:
            out.append(errors.field_not_found(f"{where}.targetContainerName", target))
        for field in _NOT_EPHEMERAL:
            if container.get(field):
                out.append(errors.field_forbidden(f"{where}.{field}", NOT_FOR_EPHEMERAL))
        for j, mount in enumerate(container.get("volumeMounts") or ()):
            for field in ("subPath", "subPathExpr"):
                if mount.get(field):
                    inner = f"{where}.volumeMounts[{j}].{field}"
                    out.append(errors.field_forbidden(inner, NOT_FOR_EPHEMERAL))
    return out


def validate_image_spaces(container: Json, path: str) -> Findings:
    """Only of pods, not of templates: those of old were accepted with blanks around the image."""
    image = container.get("image", "")
    if image and (image[0].isspace() or image[-1].isspace()):
        text = "must not have leading or trailing whitespace"
        return [errors.invalid_value(f"{path}.image", image, text)]
    return []


# -- what every container says --------------------------------------------------------------------


def _common(container: Json, path: str, around: Surroundings) -> Findings:
    out: Findings = []
    name = container.get("name")
    if not name:
        out.append(errors.required(f"{path}.name"))
    else:
        complaints = names.dns_label(name)
        if complaints:
            out += checks.each(f"{path}.name", name, complaints)
    if not container.get("image"):
        out.append(errors.required(f"{path}.image"))
    policy = container.get("terminationMessagePolicy")
    if policy not in MESSAGE_POLICIES:
        out += _choice(policy, f"{path}.terminationMessagePolicy", MESSAGE_POLICIES)
    ports = container.get("ports")
    if ports:
        out += _ports(ports, f"{path}.ports")
    env = container.get("env")
    if env:
        out += validate_env(env, f"{path}.env")
    env_from = container.get("envFrom")
    if env_from:
        out += validate_env_from(env_from, f"{path}.envFrom")
    mounts, devices = container.get("volumeMounts"), container.get("volumeDevices")
    if mounts:
        out += validate_mounts(
            mounts, devices or (), container, f"{path}.volumeMounts", around.volumes
        )
    if devices:
        out += validate_devices(devices, mounts or (), f"{path}.volumeDevices", around.volumes)
    pull = container.get("imagePullPolicy")
    if pull not in PULL_POLICIES:
        out += _choice(pull, f"{path}.imagePullPolicy", PULL_POLICIES)
    resources = container.get("resources")
    if resources:
        out += validate_resources(resources, f"{path}.resources", around.claims)
    if container.get("resizePolicy"):
        out += validate_resize_policy(
            container["resizePolicy"], f"{path}.resizePolicy", around.restart_policy
        )
    security = container.get("securityContext")
    if security:
        out += validate_security_context(security, f"{path}.securityContext", around.host_users)
    return out


def _choice(value: str | None, path: str, supported: tuple[str, ...]) -> Findings:
    if not value:
        return [errors.required(path)]
    return [errors.not_supported(path, value, supported)]


def _handlers(container: Json, path: str, around: Surroundings) -> Findings:
    out: Findings = []
    grace = around.grace_period
    if container.get("lifecycle") is not None:
        out += validate_lifecycle(container["lifecycle"], f"{path}.lifecycle", grace)
    if container.get("livenessProbe") is not None:
        out += validate_liveness_probe(container["livenessProbe"], f"{path}.livenessProbe", grace)
    if container.get("readinessProbe") is not None:
        where = f"{path}.readinessProbe"
        out += validate_readiness_probe(container["readinessProbe"], where, grace)
    if container.get("startupProbe") is not None:
        out += validate_startup_probe(container["startupProbe"], f"{path}.startupProbe", grace)
    return out


RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RULES_MAX = 20
_EXIT_CODES_MAX = 255


def _restart(container: Json, path: str) -> Findings:
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules")
    if policy is None and not rules:
        return []
    out: Findings = []
    if policy is not None and policy not in RESTART_POLICIES:
        out.append(errors.not_supported(f"{path}.restartPolicy", policy, RESTART_POLICIES))
    if not rules:
        return out
    if policy is None:
        text = "must specify restartPolicy when restart rules are used"
        out.append(errors.required(f"{path}.restartPolicy", text))
    if len(rules) > _RULES_MAX:
        out.append(errors.too_long(f"{path}.restartPolicyRules", _RULES_MAX))
    for i, rule in enumerate(rules):
        where = f"{path}.restartPolicyRules[{i}]"
        if rule.get("action", "") not in ("Restart", "RestartAllContainers"):
            listed = ("Restart", "RestartAllContainers")
            action = rule.get("action", "")
            out.append(errors.not_supported(f"{where}.action", action, listed))
        codes = rule.get("exitCodes")
        if codes is None:
            out.append(errors.required(f"{where}.exitCodes", "must be specified"))
            continue
        operator = codes.get("operator", "")
        if operator not in ("In", "NotIn"):
            listed = ("In", "NotIn")
            out.append(errors.not_supported(f"{where}.exitCodes.operator", operator, listed))
        if len(codes.get("values") or ()) > _EXIT_CODES_MAX:
            out.append(errors.too_long(f"{where}.exitCodes.values", _EXIT_CODES_MAX))
    return out


# -- ports ----------------------------------------------------------------------------------------


def _ports(ports: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    seen: set[str] = set()
    for i, port in enumerate(ports):
        name = port.get("name")
        if name:
            complaints = checks.port_name(name)
            if complaints:
                out += checks.each(f"{path}[{i}].name", name, complaints)
            elif name in seen:
                out.append(errors.duplicate(f"{path}[{i}].name", name))
            else:
                seen.add(name)
        number = port.get("containerPort", 0)
        if number == 0:
            out.append(errors.required(f"{path}[{i}].containerPort"))
        elif not 1 <= number <= 65535:
            out += checks.port(number, f"{path}[{i}].containerPort")
        host = port.get("hostPort", 0)
        if host and not 1 <= host <= 65535:
            out += checks.port(host, f"{path}[{i}].hostPort")
        protocol = port.get("protocol")
        if protocol not in checks.PROTOCOLS:
            out += _choice(protocol, f"{path}[{i}].protocol", checks.PROTOCOLS)
        address = port.get("hostIP")
        if address and addresses.parse_ip(address) is None:
            out.append(errors.invalid_value(f"{path}[{i}].hostIP", address, addresses.NOT_AN_IP))
    return out


def _host_port_conflicts(containers: Sequence[Json], path: str) -> Findings:
    out: Findings = []
    taken: set[str] = set()
    for i, container in enumerate(containers):
        for j, port in enumerate(container.get("ports") or ()):
            host = port.get("hostPort", 0)
            if not host:
                continue
            key = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{host}"
            if key in taken:
                out.append(errors.duplicate(f"{path}[{i}].ports[{j}].hostPort", key))
            taken.add(key)
    return out
