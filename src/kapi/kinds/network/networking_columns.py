"""Printer columns of networking.k8s.io, and what other groups' tables share with them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kapi.kinds.network.service_columns import addresses, endpoint_text
from kapi.kinds.shared import cells
from kapi.kinds.shared.texts import described
from kapi.registry.resource import Column

Json = dict[str, Any]

GROUP = "networking.k8s.io"
DEFAULT_CLASS = "ingressclass.kubernetes.io/is-default-class"


def _class(obj: Json, now: float) -> str:
    name = (obj.get("spec") or {}).get("ingressClassName")
    return cells.NONE if name is None else str(name)


def _hosts(obj: Json, now: float) -> str:
    found = [r["host"] for r in (obj.get("spec") or {}).get("rules") or () if r.get("host")]
    return endpoint_text(found) if found else "*"


def _address(obj: Json, now: float) -> str:
    return addresses((obj.get("status") or {}).get("loadBalancer"))


def _open_ports(obj: Json, now: float) -> str:
    return "80, 443" if (obj.get("spec") or {}).get("tls") else "80"


def default_name(annotation: str) -> cells.Cell:
    """The name, and whether it is the default one of its kind."""

    def cell(obj: Json, now: float) -> str:
        marked = (obj["metadata"].get("annotations") or {}).get(annotation) == "true"
        return f"{obj['metadata'].get('name', '')} (default)" if marked else cells.name(obj, now)

    return cell


def name_column(cell: cells.Cell) -> Column:
    return Column(
        name="Name",
        type="string",
        format="name",
        cell=cell,
        description=cells.NAME_DESCRIPTION,
    )


def _parameters(obj: Json, now: float) -> str:
    reference = (obj.get("spec") or {}).get("parameters")
    if reference is None:
        return cells.NONE
    group = f".{reference['apiGroup']}" if reference.get("apiGroup") else ""
    return f"{reference.get('kind', '')}{group}/{reference.get('name', '')}"


def _parent(obj: Json, now: float) -> str:
    reference = (obj.get("spec") or {}).get("parentRef")
    if reference is None:
        return cells.NONE
    group = f".{reference['group']}" if reference.get("group") else ""
    parts = (
        f"{reference.get('resource', '')}{group}",
        reference.get("namespace"),
        reference.get(
            "name",
        ),
    )
    return "/".join(part for part in parts if part)


_HOSTS_TEXT = "Hosts that incoming requests are matched against before the ingress rule"
_CLASS_TEXT = (
    "The name of the IngressClass resource that should be used for additional configuration"
)

COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "ingresses"): (
        cells.name_column(),
        cells.column("Class", "string", _class, _CLASS_TEXT),
        cells.column("Hosts", "string", _hosts, _HOSTS_TEXT),
        cells.column(
            "Address",
            "string",
            _address,
            "Address is a list containing ingress points for the load-balancer",
        ),
        cells.column("Ports", "string", _open_ports, "Ports of TLS configurations that open"),
        cells.age_column(),
    ),
    (GROUP, "ingressclasses"): (
        name_column(default_name(DEFAULT_CLASS)),
        cells.column(
            "Controller",
            "string",
            cells.field("spec", "controller"),
            "Controller that is responsible for handling this class",
        ),
        cells.column(
            "Parameters",
            "string",
            _parameters,
            "A reference to a resource with additional parameters",
        ),
        cells.age_column(),
    ),
    (GROUP, "networkpolicies"): (
        cells.name_column(),
        cells.column(
            "Pod-Selector",
            "string",
            lambda obj, now: cells.label_selector((obj.get("spec") or {}).get("podSelector")),
            described("io.k8s.api.networking.v1.NetworkPolicySpec", "podSelector"),
        ),
        cells.age_column(),
    ),
    (GROUP, "servicecidrs"): (
        cells.name_column(),
        cells.column(
            "CIDRs",
            "string",
            lambda obj, now: ",".join((obj.get("spec") or {}).get("cidrs") or ()),
            described("io.k8s.api.networking.v1.ServiceCIDRSpec", "cidrs"),
        ),
        cells.age_column(),
    ),
    (GROUP, "ipaddresses"): (
        cells.name_column(),
        cells.column(
            "ParentRef",
            "string",
            _parent,
            described("io.k8s.api.networking.v1.IPAddressSpec", "parentRef"),
        ),
        cells.column("", "string", cells.age, ""),  # the real server announces two of three
    ),
}
