"""APIServices as the aggregator needs them: which group versions are served elsewhere, and where.

Reads the cache; what it made of it stays until an APIService changes, so a request asks a dict.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from kapi.outgoing.services import host_name
from kapi.outgoing.tls import Tls

Json = dict[str, Any]
DEFAULT_PORT = 443
GroupVersion = tuple[str, str]


class ApiServiceLister(Protocol):
    def list(self, namespace: str = "") -> list[Json]: ...

    def get(self, namespace: str, name: str) -> Json | None: ...

    @property
    def changed(self) -> int: ...


@dataclass(frozen=True, slots=True)
class Backend:
    """A group version that another server serves."""

    name: str  # of the APIService
    group: str
    version: str
    namespace: str
    service: str
    port: int
    ca: str | None  # PEM; None: the system's authorities
    insecure: bool
    available: bool
    group_priority: int
    version_priority: int

    @property
    def path(self) -> str:
        return f"/apis/{self.group}/{self.version}"

    def tls(self, certificate: str, key: str) -> Tls:
        """Who the backend must be, and who we are to it."""
        return Tls(
            ca=None if self.insecure else self.ca,
            server_name=host_name(self.namespace, self.service),
            certificate=certificate,
            key=key,
            insecure=self.insecure,
        )


def backend_of(obj: Json) -> Backend | None:
    """None for one that is served here."""
    spec = obj.get("spec") or {}
    service = spec.get("service")
    if service is None:
        return None
    return Backend(
        name=obj["metadata"]["name"],
        group=spec.get("group", ""),
        version=spec.get("version", ""),
        namespace=service.get("namespace", ""),
        service=service.get("name", ""),
        port=int(service.get("port") or DEFAULT_PORT),
        ca=_pem(spec.get("caBundle") or ""),
        insecure=bool(spec.get("insecureSkipTLSVerify")),
        available=is_available(obj),
        group_priority=int(spec.get("groupPriorityMinimum") or 0),
        version_priority=int(spec.get("versionPriority") or 0),
    )


def _pem(bundle: str) -> str | None:
    if not bundle:
        return None
    try:
        return base64.b64decode(bundle).decode("utf-8", "replace")
    except binascii.Error:
        return ""  # nobody is believed


def condition_of(obj: Json, kind: str = "Available") -> Json | None:
    for condition in (obj.get("status") or {}).get("conditions") or ():
        if condition.get("type") == kind:
            found: Json = condition
            return found
    return None


def is_available(obj: Json) -> bool:
    return (condition_of(obj) or {}).get("status") == "True"


class ApiServices:
    """The live view of all APIServices."""

    def __init__(self, lister: ApiServiceLister) -> None:
        self._lister = lister
        self._changed = -1
        self._backends: Mapping[GroupVersion, Backend] = {}
        self._priorities: Mapping[str, int] = {}

    def _refresh(self) -> None:
        lister = self._lister
        changed = lister.changed
        if changed == self._changed:
            return
        found: dict[GroupVersion, Backend] = {}
        priorities: dict[str, int] = {}
        for obj in lister.list():
            spec = obj.get("spec") or {}
            group = spec.get("group", "")
            priority = int(spec.get("groupPriorityMinimum") or 0)
            priorities[group] = max(priority, priorities.get(group, 0))
            backend = backend_of(obj)
            if backend is not None and backend.group:  # the core group is always served here
                found[backend.group, backend.version] = backend
        self._changed, self._backends, self._priorities = changed, found, priorities

    def backends(self) -> Mapping[GroupVersion, Backend]:
        self._refresh()
        return self._backends

    def group_priorities(self) -> Mapping[str, int]:
        self._refresh()
        return self._priorities

    def at(self, path: str) -> Backend | None:
        """Whose path this is: `/apis/<group>/<version>` and all below."""
        backends = self.backends()
        if not backends:
            return None
        parts = path.split("/", 4)
        if len(parts) < 4 or parts[1] != "apis":
            return None
        return backends.get((parts[2], parts[3]))
