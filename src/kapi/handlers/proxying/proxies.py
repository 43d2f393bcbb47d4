"""`…/proxy` of pods, services and nodes: which address is meant; `forward.py` does the rest.

Names come as `name`, `name:port` or `scheme:name:port`. TLS towards pods and services is not
verified, since they are called by address; kubelets are, if their CA is known.
https://kubernetes.io/docs/tasks/access-application-cluster/access-cluster-services/
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from kapi import errors
from kapi.clock import Entropy
from kapi.handlers.proxying.forward import Forwarder, Forwarding
from kapi.handlers.proxying.kubelets import Kubelets
from kapi.handlers.proxying.links import Links
from kapi.handlers.target import Target
from kapi.messages import Query, Request, Response
from kapi.outgoing.dial import Endpoint
from kapi.outgoing.services import ServiceResolver
from kapi.outgoing.tls import Tls
from kapi.registry.read import Reader

Json = dict[str, Any]
DEFAULT_PORTS = {"http": 80, "https": 443}
UNVERIFIED = Tls(insecure=True)


@dataclass(frozen=True, slots=True)
class Named:
    """What a name in the path says."""

    scheme: str
    name: str
    port: str


def split(text: str) -> Named | None:
    """`name`, `name:port`, `scheme:name:port`; None for anything else."""
    parts = text.split(":")
    if len(parts) > 3:
        return None
    scheme, name, port = ("", *parts, "")[:3] if len(parts) < 3 else parts
    if not name or scheme not in ("", "http", "https"):
        return None
    return Named(scheme, name, port)


class Proxies:
    """One method for each resource; every method of HTTP is answered alike."""

    def __init__(
        self,
        reader: Reader,
        forwarder: Forwarder,
        services: ServiceResolver,
        kubelets: Kubelets,
        entropy: Entropy,
    ) -> None:
        self._reader = reader
        self._forwarder = forwarder
        self._services = services
        self._kubelets = kubelets
        self._entropy = entropy

    async def pod(self, request: Request, target: Target) -> Response:
        named = _named(target, "pod")
        pod = await self._object(target, named.name)
        port = named.port or _first_port(pod)
        address = (pod.get("status") or {}).get("podIPs") or [{}]
        host = str(address[0].get("ip", ""))
        if not host:
            raise errors.bad_request("address not allowed")
        self._kubelets.check(host)
        return await self._forward(request, named.scheme, host, port)

    async def service(self, request: Request, target: Target) -> Response:
        named = _named(target, "service")
        port_name = named.port
        if port_name.isdecimal():
            service = await self._object(target, named.name)
            port_name = _port_name(service, int(port_name))
        found = list(self._pods_behind(target, named.name, port_name))
        if not found:
            # The real server names the service alone if there are no endpoints at all.
            any_port = self._services.has_endpoints(target.namespace, named.name)
            shown = target.name if any_port else named.name
            raise errors.service_unavailable(
                f"no endpoints available for service {errors.quote(shown)}"
            )
        host, port = found[self._entropy.below(len(found))]
        self._kubelets.check(host)
        return await self._forward(request, named.scheme, host, str(port))

    async def node(self, request: Request, target: Target) -> Response:
        named = _named(target, "node")
        kubelet = self._kubelets.of(named.name)
        self._kubelets.check(kubelet.host)
        if not named.port or named.port == str(kubelet.port):
            return await self._send(request, kubelet)
        return await self._forward(request, named.scheme, kubelet.host, named.port)

    async def _object(self, target: Target, name: str) -> Json:
        item = await self._reader.get(target.resource, target.namespace, name, Query(""))
        return item.object()

    def _pods_behind(self, target: Target, name: str, port_name: str) -> Iterator[tuple[str, int]]:
        """Ready endpoints that are pods: nothing else is proxied to."""
        for at in self._services.ready(target.namespace, name, port_name):
            if self._services.is_pod(target.namespace, at):
                yield at.host, at.port

    async def _forward(self, request: Request, scheme: str, host: str, port: str) -> Response:
        scheme = scheme or "http"
        if port and not port.isdecimal():
            text = f"dial tcp: lookup tcp/{port}: unknown port"
            raise errors.service_unavailable(f"error trying to reach service: {text}")
        number = int(port) if port else DEFAULT_PORTS[scheme]
        if not 0 < number <= 65535:
            text = f"dial tcp: address {number}: invalid port"
            raise errors.service_unavailable(f"error trying to reach service: {text}")
        tls = UNVERIFIED if scheme == "https" else None
        return await self._send(request, Endpoint(host, number, tls, self._kubelets.allowed))

    async def _send(self, request: Request, endpoint: Endpoint) -> Response:
        path = sub_path(request)
        suffix = path + "/" if request.path.endswith("/") and not path.endswith("/") else path
        prefix = request.path.removesuffix(suffix) if suffix else request.path
        links = Links(prefix, endpoint.authority, request.headers.get("host"))
        uri = posixpath.normpath(prefix + "/" + path) + ("/" if path.endswith("/") else "")
        forwarding = Forwarding(
            endpoint=endpoint,
            path=path,
            query=request.query.text,
            links=links,
            forwarded=[("X-Forwarded-Uri", uri)],
        )
        return await self._forwarder.forward(request, forwarding)


def _named(target: Target, kind: str) -> Named:
    named = split(target.name)
    if named is None:
        raise errors.bad_request(f"invalid {kind} request {errors.quote(target.name)}")
    return named


def sub_path(request: Request) -> str:
    """What follows `proxy`: "" or from its slash on, a slash at the end kept."""
    path = "/".join(request.info.parts[3:])
    if path:
        path = "/" + path.lstrip("/")
    if request.path.endswith("/") and not path.endswith("/"):
        path += "/"
    return path


def _first_port(pod: Json) -> str:
    for container in pod["spec"].get("containers") or ():
        if container.get("ports"):
            return str(container["ports"][0].get("containerPort", ""))
    return ""


def _port_name(service: Json, number: int) -> str:
    for port in (service.get("spec") or {}).get("ports") or ():
        if port.get("port") == number:
            return str(port.get("name", ""))
    name = errors.quote(service["metadata"]["name"])
    raise errors.service_unavailable(f"no service port {number} found for service {name}")
