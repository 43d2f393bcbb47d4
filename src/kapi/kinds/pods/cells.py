"""The printer columns of pods: the status words of `kubectl get pods`.

https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from kapi.kinds.shared import cells
from kapi.kinds.shared.cells import NONE
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column

Json = dict[str, Any]

_CORE = "io.k8s.api.core.v1."
_GATED = "SchedulingGated"
_ENDED = ("Failed", "Succeeded")


@dataclass(slots=True)
class Summary:
    """What the containers of a pod amount to."""

    reason: str
    ready: int = 0
    total: int = 0
    restarts: int = 0
    last_restart: str = ""  # RFC 3339; of one format, so text order is time order


def summarize(pod: Json) -> Summary:
    spec, status = pod.get("spec") or {}, pod.get("status") or {}
    phase = status.get("phase", "")
    out = Summary(reason=status.get("reason") or phase)
    out.total = len(spec.get("containers") or ())
    for condition in status.get("conditions") or ():
        if condition.get("type") == "PodScheduled" and condition.get("reason") == _GATED:
            out.reason = _GATED
    sidecars = set()
    for container in spec.get("initContainers") or ():
        if container.get("restartPolicy") == "Always":
            sidecars.add(container.get("name", ""))
            out.total += 1
    side = Summary(reason="")
    initializing = _init_containers(out, side, spec, status, sidecars)
    if not initializing or _condition(status, "Initialized"):
        out.restarts, out.last_restart = side.restarts, side.last_restart
        _containers(out, status)
    if pod["metadata"].get("deletionTimestamp"):
        if status.get("reason") == "NodeLost":
            out.reason = "Unknown"
        elif phase not in _ENDED:
            out.reason = "Terminating"
    return out


def _count(out: Summary, container: Json) -> None:
    out.restarts += container.get("restartCount", 0)
    ended = (container.get("lastState") or {}).get("terminated") or {}
    out.last_restart = max(out.last_restart, ended.get("finishedAt") or "")


def _init_containers(
    out: Summary, side: Summary, spec: Json, status: Json, sidecars: set[str]
) -> bool:
    """Count restarts; True if one is still at work or failed, which then names the reason."""
    for i, container in enumerate(status.get("initContainerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        sidecar = container.get("name", "") in sidecars
        _count(out, container)
        if sidecar:
            _count(side, container)
        if terminated is not None and terminated.get("exitCode", 0) == 0:
            continue
        if sidecar and container.get("started"):
            out.ready += bool(container.get("ready"))
            continue
        if terminated is not None:
            out.reason = "Init:" + _ended(terminated)
        elif waiting.get("reason") and waiting["reason"] != "PodInitializing":
            out.reason = "Init:" + waiting["reason"]
        else:
            out.reason = f"Init:{i}/{len(spec.get('initContainers') or ())}"
        return True
    return False


def _containers(out: Summary, status: Json) -> None:
    running = False
    for container in reversed(status.get("containerStatuses") or ()):
        state = container.get("state") or {}
        terminated, waiting = state.get("terminated"), state.get("waiting") or {}
        _count(out, container)
        if waiting.get("reason"):
            out.reason = waiting["reason"]
        elif terminated is not None:
            out.reason = _ended(terminated)
        elif container.get("ready") and state.get("running") is not None:
            running = True
            out.ready += 1
    if out.reason == "Completed" and running:
        out.reason = "Running" if _condition(status, "Ready") else "NotReady"


def _ended(terminated: Json) -> str:
    if terminated.get("reason"):
        reason: str = terminated["reason"]
        return reason
    if terminated.get("signal"):
        return f"Signal:{terminated['signal']}"
    return f"ExitCode:{terminated.get('exitCode', 0)}"


def _condition(status: Json, kind: str) -> bool:
    conditions: Iterable[Json] = status.get("conditions") or ()
    return any(c.get("type") == kind and c.get("status") == "True" for c in conditions)


def _ready(pod: Json, now: float) -> str:
    summary = summarize(pod)
    return f"{summary.ready}/{summary.total}"


def _status(pod: Json, now: float) -> str:
    return summarize(pod).reason


def _restarts(pod: Json, now: float) -> str:
    summary = summarize(pod)
    if summary.restarts and summary.last_restart:
        return f"{summary.restarts} ({cells.since(summary.last_restart, now)} ago)"
    return str(summary.restarts)


def _ip(pod: Json, now: float) -> str:
    addresses = (pod.get("status") or {}).get("podIPs")
    return (addresses[0].get("ip") if addresses else "") or NONE


def _gates(pod: Json, now: float) -> str:
    gates = (pod.get("spec") or {}).get("readinessGates") or ()
    if not gates:
        return NONE
    status = pod.get("status") or {}
    true = sum(_condition(status, gate.get("conditionType", "")) for gate in gates)
    return f"{true}/{len(gates)}"


def _or_none(*path: str) -> cells.Cell:
    cell = cells.field(*path)
    return lambda pod, now: cell(pod, now) or NONE


def row_conditions(pod: Json) -> list[Json]:
    """What a table says of a pod that ended, beside its cells."""
    phase = (pod.get("status") or {}).get("phase")
    if phase == "Succeeded":
        message = "The pod has completed successfully."
    elif phase == "Failed":
        message = "The pod failed."
    else:
        return []
    return [{"type": "Completed", "status": "True", "reason": phase, "message": message}]


COLUMNS: tuple[Column, ...] = (
    cells.name_column(),
    cells.column(
        "Ready",
        "string",
        _ready,
        "The aggregate readiness state of this pod for accepting traffic.",
    ),
    cells.column(
        "Status", "string", _status, "The aggregate status of the containers in this pod."
    ),
    cells.column(
        "Restarts",
        "string",
        _restarts,
        "The number of times the containers in this pod have been restarted and when the last "
        "container in this pod has restarted.",
    ),
    cells.age_column(),
    cells.column("IP", "string", _ip, described(_CORE + "PodStatus", "podIP"), wide=True),
    cells.column(
        "Node",
        "string",
        _or_none("spec", "nodeName"),
        described(_CORE + "PodSpec", "nodeName"),
        wide=True,
    ),
    cells.column(
        "Nominated Node",
        "string",
        _or_none("status", "nominatedNodeName"),
        described(_CORE + "PodStatus", "nominatedNodeName"),
        wide=True,
    ),
    cells.column(
        "Readiness Gates",
        "string",
        _gates,
        described(_CORE + "PodSpec", "readinessGates"),
        wide=True,
    ),
)
