"""The printer columns of the apps group."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.kinds.pods.templates import template_columns
from kapi.kinds.shared import cells
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column

Json = dict[str, Any]
_APPS = "io.k8s.api.apps.v1."
_CORE = "io.k8s.api.core.v1."


def _number(*path: str) -> cells.Cell:
    return cells.field(*path, default=0)


def _of(obj: Json, part: str) -> str:
    """How many of the wanted replicas are in a state: `2/3`."""
    wanted = (obj.get("spec") or {}).get("replicas", 0)
    return f"{(obj.get('status') or {}).get(part, 0)}/{wanted}"


def _ready(obj: Json, now: float) -> str:
    return _of(obj, "readyReplicas")


def _selector(obj: Json, now: float) -> str:
    return cells.label_selector((obj.get("spec") or {}).get("selector"))


def _node_selector(obj: Json, now: float) -> str:
    template = (obj.get("spec") or {}).get("template") or {}
    return cells.labels((template.get("spec") or {}).get("nodeSelector"))


def _owner(obj: Json, now: float) -> str:
    """The controller of a revision: `statefulset.apps/web`."""
    for owner in obj["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            group = owner.get("apiVersion", "").rpartition("/")[0]
            kind = owner.get("kind", "") + (f".{group}" if group else "")
            return f"{kind.lower()}/{owner.get('name', '')}"
    return cells.NONE


_TEMPLATE = template_columns("spec", "template")

COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    ("apps", "deployments"): (
        cells.name_column(),
        cells.column("Ready", "string", _ready, "Number of the pod with ready state"),
        cells.column(
            "Up-to-date",
            "string",
            _number("status", "updatedReplicas"),
            described(_APPS + "DeploymentStatus", "updatedReplicas"),
        ),
        cells.column(
            "Available",
            "string",
            _number("status", "availableReplicas"),
            described(_APPS + "DeploymentStatus", "availableReplicas"),
        ),
        cells.age_column(),
        *_TEMPLATE,
        cells.column(
            "Selector",
            "string",
            _selector,
            described(_APPS + "DeploymentSpec", "selector"),
            wide=True,
        ),
    ),
    ("apps", "replicasets"): (
        cells.name_column(),
        cells.column(
            "Desired",
            "integer",
            _number("spec", "replicas"),
            described(_APPS + "ReplicaSetSpec", "replicas"),
        ),
        cells.column(
            "Current",
            "integer",
            _number("status", "replicas"),
            described(_APPS + "ReplicaSetStatus", "replicas"),
        ),
        cells.column(
            "Ready",
            "integer",
            _number("status", "readyReplicas"),
            described(_APPS + "ReplicaSetStatus", "readyReplicas"),
        ),
        cells.age_column(),
        *_TEMPLATE,
        cells.column(
            "Selector",
            "string",
            _selector,
            described(_APPS + "ReplicaSetSpec", "selector"),
            wide=True,
        ),
    ),
    ("apps", "statefulsets"): (
        cells.name_column(),
        cells.column("Ready", "string", _ready, "Number of the pod with ready state"),
        cells.age_column(),
        *_TEMPLATE,
    ),
    ("apps", "daemonsets"): (
        cells.name_column(),
        cells.column(
            "Desired",
            "integer",
            _number("status", "desiredNumberScheduled"),
            described(_APPS + "DaemonSetStatus", "desiredNumberScheduled"),
        ),
        cells.column(
            "Current",
            "integer",
            _number("status", "currentNumberScheduled"),
            described(_APPS + "DaemonSetStatus", "currentNumberScheduled"),
        ),
        cells.column(
            "Ready",
            "integer",
            _number("status", "numberReady"),
            described(_APPS + "DaemonSetStatus", "numberReady"),
        ),
        cells.column(
            "Up-to-date",
            "integer",
            _number("status", "updatedNumberScheduled"),
            described(_APPS + "DaemonSetStatus", "updatedNumberScheduled"),
        ),
        cells.column(
            "Available",
            "integer",
            _number("status", "numberAvailable"),
            described(_APPS + "DaemonSetStatus", "numberAvailable"),
        ),
        cells.column(
            "Node Selector", "string", _node_selector, described(_CORE + "PodSpec", "nodeSelector")
        ),
        cells.age_column(),
        *_TEMPLATE,
        cells.column(
            "Selector",
            "string",
            _selector,
            described(_APPS + "DaemonSetSpec", "selector"),
            wide=True,
        ),
    ),
    ("apps", "controllerrevisions"): (
        cells.name_column(),
        cells.column("Controller", "string", _owner, "Controller of the object"),
        cells.column(
            "Revision",
            "string",
            _number("revision"),
            described(_APPS + "ControllerRevision", "revision"),
        ),
        cells.age_column(),
    ),
}
