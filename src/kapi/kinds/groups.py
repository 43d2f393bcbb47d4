"""The list of group modules, and the tables they make together. A new module is one line here.

Each module may define DEFAULTS, STRATEGIES, COLUMNS, FIELD_SELECTORS, CONVERSIONS; their shapes
stand at the functions below. A key that two modules claim is our bug."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

from kapi.kinds.access import authentication, certificates, pod_certificates, rbac
from kapi.kinds.cluster import config, events, leases, nodes, priority_classes, runtime_classes
from kapi.kinds.definitions import apiextensions
from kapi.kinds.devices import conversions as device_conversions
from kapi.kinds.devices import pool_statuses, resource
from kapi.kinds.network import discovery, networking, services
from kapi.kinds.pods import pods
from kapi.kinds.server import (
    admissionregistration,
    apiregistration,
    flowcontrol,
    reported_versions,
    storagemigration,
)
from kapi.kinds.shared.types import Defaults
from kapi.kinds.storage import classes, volumes
from kapi.kinds.workloads import apps, autoscaling, batch, policy
from kapi.registry.resource import Column, Convert
from kapi.registry.strategy import Strategy

Json = dict[str, Any]

MODULES: tuple[ModuleType, ...] = (
    pods,
    apps,
    autoscaling,
    batch,
    policy,
    discovery,
    networking,
    services,
    classes,
    volumes,
    config,
    events,
    leases,
    nodes,
    priority_classes,
    runtime_classes,
    device_conversions,
    resource,
    pool_statuses,
    authentication,
    certificates,
    pod_certificates,
    rbac,
    apiextensions,
    admissionregistration,
    apiregistration,
    flowcontrol,
    reported_versions,
    storagemigration,
)


def _merged(name: str) -> dict[Any, Any]:
    out: dict[Any, Any] = {}
    for module in MODULES:
        table = getattr(module, name, {})
        assert not out.keys() & table.keys(), (name, module.__name__, out.keys() & table.keys())
        out.update(table)
    return out


def defaults() -> Mapping[str, Defaults]:
    """Go type name → static defaults by field, a function over the object, or both."""
    return _merged("DEFAULTS")


def strategies() -> Mapping[tuple[str, str], Strategy]:
    """(group, plural) → Strategy."""
    return _merged("STRATEGIES")


def columns() -> Mapping[tuple[str, str], tuple[Column, ...]]:
    """(group, plural) → printer columns, cells over the stored form."""
    return _merged("COLUMNS")


def row_conditions() -> Mapping[tuple[str, str], Callable[[Json], list[Json]]]:
    """(group, plural) → the conditions of an object's row in a table."""
    return _merged("ROW_CONDITIONS")


def hidden_annotations() -> Mapping[tuple[str, str], frozenset[str]]:
    """(group, plural) → annotations that stand for fields of the server's own types."""
    return _merged("HIDDEN_ANNOTATIONS")


def field_selectors() -> Mapping[tuple[str, str], Mapping[str, Callable[[Json], str]]]:
    """(group, plural) → field label → its text in the stored form."""
    return _merged("FIELD_SELECTORS")


def conversions() -> Mapping[tuple[str, str, str], tuple[Convert | None, Convert | None]]:
    """(group, plural, version) → (to the stored form, from it), where not the identity."""
    return _merged("CONVERSIONS")


# (group, version, kind) → the text after `group/version Kind is deprecated in …`.
# https://kubernetes.io/docs/reference/using-api/deprecation-guide/
_DEPRECATED: Mapping[tuple[str, str, str], str] = {
    ("", "v1", "Endpoints"): "v1 Endpoints is deprecated in v1.33+; "
    "use discovery.k8s.io/v1 EndpointSlice",
    ("", "v1", "ComponentStatus"): "v1 ComponentStatus is deprecated in v1.19+",
}


def deprecation(group: str, version: str, kind: str) -> str:
    """The warning that goes with every answer in this version; empty where there is none."""
    return _DEPRECATED.get((group, version, kind), "")
