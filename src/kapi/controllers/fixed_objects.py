"""All that a fresh server holds, in the order of the start; `bootstrap` applies it once.

Most of it is data (`data/bootstrap-objects.json`); what depends on the options (service range,
port, certificates, date) is filled in here. It is applied again at every start: nothing that
exists is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from ipaddress import ip_network
from typing import Any

import orjson

from kapi.clock import Clock, rfc3339
from kapi.controllers import bootstrap_rbac, system_namespaces
from kapi.controllers.kubernetes_service import fixed_objects as kubernetes_service
from kapi.controllers.objects import Fixed, Objects, ensure_all

Json = dict[str, Any]
Bootstrap = Mapping[str, Sequence[Json]]

SYSTEM_NAMESPACE = "kube-system"
AUTHENTICATION_CONFIG_MAP = "extension-apiserver-authentication"
TOKEN_TRACKING_CONFIG_MAP = "kube-apiserver-legacy-service-account-token-tracking"
FLOW_AUTO_UPDATE = "apf.kubernetes.io/autoupdate-spec"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestHeaderSettings:
    """The front proxy, as extension servers have to know it."""

    ca: str  # PEM
    allowed_names: tuple[str, ...]
    username_headers: tuple[str, ...]
    uid_headers: tuple[str, ...]
    group_headers: tuple[str, ...]
    extra_prefixes: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What of the options shows in fixed objects."""

    service_ranges: tuple[str, ...]  # CIDRs, one or two
    advertise_address: str  # where clients in the cluster reach this server; "" for nowhere
    secure_port: int
    client_ca: str = ""  # PEM
    request_header: RequestHeaderSettings | None = None


def load() -> Bootstrap:
    """The packaged objects by resource, without kind and apiVersion."""
    data = (files("kapi") / "data" / "bootstrap-objects.json").read_bytes()
    objects: Bootstrap = orjson.loads(data)
    return objects


async def bootstrap(objects: Objects, data: Bootstrap, settings: Settings, clock: Clock) -> None:
    """Make everything exist. Raises ApiError if the registry refuses something."""
    await ensure_all(objects, system_namespaces.fixed_objects(data))
    await ensure_all(
        objects,
        [
            *bootstrap_rbac.fixed_objects(data),
            *priority_classes(data),
            *flow_control(data),
            *api_services(data),
            *config_maps(settings, clock),
            *service_ranges(data, settings),
        ],
    )
    await ensure_all(objects, _kubernetes(data, settings))


def _kubernetes(data: Bootstrap, settings: Settings) -> list[Fixed]:
    """Its address comes out of the service range, which comes first."""
    addresses = [str(ip_network(cidr)[1]) for cidr in settings.service_ranges]
    return kubernetes_service(data, addresses[:1], settings.advertise_address, settings.secure_port)


def kept(data: Bootstrap, settings: Settings, clock: Clock) -> list[Fixed]:
    """What is put back while the server runs, too, in the order in which it may be."""
    return [
        *system_namespaces.fixed_objects(data),
        *flow_control(data),
        *api_services(data),
        *config_maps(settings, clock),
        *service_ranges(data, settings),
        *_kubernetes(data, settings),
    ]


def priority_classes(data: Bootstrap) -> list[Fixed]:
    group = "scheduling.k8s.io"
    kind = {"kind": "PriorityClass", "apiVersion": f"{group}/v1"}
    return [
        Fixed(group=group, resource="priorityclasses", object={**kind, **obj})
        for obj in data["priorityclasses"]
    ]


def api_services(data: Bootstrap) -> list[Fixed]:
    group = "apiregistration.k8s.io"
    kind = {"kind": "APIService", "apiVersion": f"{group}/v1"}
    return [
        Fixed(group=group, resource="apiservices", object={**kind, **obj}, merge=merge_api_service)
        for obj in data["apiservices"]
    ]


def merge_api_service(existing: Json, wanted: Json) -> Json | None:
    """What this server serves itself is described anew; an APIService of someone else is left."""
    label = "kube-aggregator.kubernetes.io/automanaged"
    if label not in (existing["metadata"].get("labels") or {}):
        return None
    if existing.get("spec") == wanted["spec"]:
        return None
    return {**existing, "spec": wanted["spec"]}


def flow_control(data: Bootstrap) -> list[Fixed]:
    group = "flowcontrol.apiserver.k8s.io"
    kinds = {
        "prioritylevelconfigurations": "PriorityLevelConfiguration",
        "flowschemas": "FlowSchema",
    }
    return [
        Fixed(
            group=group,
            resource=resource,
            object={"kind": kind, "apiVersion": f"{group}/v1", **obj},
            merge=merge_flow_control,
        )
        for resource, kind in kinds.items()
        for obj in data[resource]
    ]


def merge_flow_control(existing: Json, wanted: Json) -> Json | None:
    """The spec as it should be, unless someone took it over by the annotation."""
    annotations = existing["metadata"].get("annotations") or {}
    if annotations.get(FLOW_AUTO_UPDATE) != "true" or existing.get("spec") == wanted["spec"]:
        return None
    return {**existing, "spec": wanted["spec"]}


def config_maps(settings: Settings, clock: Clock) -> list[Fixed]:
    since = rfc3339(clock.now())[:10]
    maps = [_config_map(TOKEN_TRACKING_CONFIG_MAP, {"since": since}, keep=True)]
    data = authentication_data(settings)
    if data:
        maps.append(_config_map(AUTHENTICATION_CONFIG_MAP, data, keep=False))
    return maps


def _config_map(name: str, data: dict[str, str], *, keep: bool) -> Fixed:
    obj = {
        "kind": "ConfigMap",
        "apiVersion": "v1",
        "metadata": {"name": name, "namespace": SYSTEM_NAMESPACE},
        "data": data,
    }
    merge = None if keep else merge_config_map
    return Fixed(group="", resource="configmaps", object=obj, merge=merge)


def merge_config_map(existing: Json, wanted: Json) -> Json | None:
    """Our keys as they are now; others stay."""
    data = {**(existing.get("data") or {}), **wanted["data"]}
    return {**existing, "data": data} if data != existing.get("data") else None


def authentication_data(settings: Settings) -> dict[str, str]:
    """How extension servers check clients that come through this server."""
    data: dict[str, str] = {}
    if settings.client_ca:
        data["client-ca-file"] = settings.client_ca
    proxy = settings.request_header
    if proxy is not None:
        lists = {
            "username-headers": proxy.username_headers,
            "uid-headers": proxy.uid_headers,
            "group-headers": proxy.group_headers,
            "extra-headers-prefix": proxy.extra_prefixes,
            "allowed-names": proxy.allowed_names,
        }
        data["requestheader-client-ca-file"] = proxy.ca
        for name, values in lists.items():
            if values or name != "uid-headers":
                data[f"requestheader-{name}"] = orjson.dumps(list(values)).decode()
    return data


def service_ranges(data: Bootstrap, settings: Settings) -> list[Fixed]:
    group = "networking.k8s.io"
    (obj,) = data["servicecidrs"]
    cidrs = [str(ip_network(cidr)) for cidr in settings.service_ranges]
    kind = {"kind": "ServiceCIDR", "apiVersion": f"{group}/v1"}
    return [
        Fixed(
            group=group, resource="servicecidrs", object={**kind, **obj, "spec": {"cidrs": cidrs}}
        )
    ]
