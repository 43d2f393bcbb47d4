"""Group versions of other servers among our own: in discovery and in OpenAPI.

Pure: `discovery.py` and `openapi.py` call it with what the aggregator knows. A group version that
is registered for another server is that server's, whatever we serve under the same name.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from kapi.handlers.documents.discovery_documents import (
    CUSTOM_GROUP_PRIORITY,
    GROUP_PRIORITIES,
    Resources,
)
from kapi.registry.resource import version_order

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Remote:
    """A group version of another server. `entry`: its APIVersionDiscovery, once it was seen."""

    group: str
    version: str
    version_priority: int
    entry: Json | None
    stale: bool = True
    openapi_v3: Mapping[str, str] = field(default_factory=dict)  # key → relative URL
    openapi_v2: Json | None = None

    def discovered(self) -> Json:
        """Its part of aggregated discovery."""
        entry = self.entry or {"version": self.version}
        return {**entry, "freshness": "Stale" if self.stale else "Current"}


class Remotes(Protocol):
    """What the aggregator knows, as the handlers read it."""

    @property
    def generation(self) -> int: ...

    def versions(self) -> Mapping[tuple[str, str], Remote]: ...

    def group_priorities(self) -> Mapping[str, int]: ...


Served = dict[str, dict[str, Resources | Remote]]


def merged(own: Mapping[str, Mapping[str, Resources]], remotes: Remotes | None) -> Served:
    """All group versions in the order of discovery."""
    out: Served = {group: dict(versions) for group, versions in own.items()}
    versions = remotes.versions() if remotes is not None else {}
    if remotes is None or not versions:
        return out
    for (group, version), remote in versions.items():
        out.setdefault(group, {})[version] = remote
    for group in {group for group, _ in versions}:
        ordered = sorted(out[group], key=lambda v: _version_key(v, out[group][v]))
        out[group] = {v: out[group][v] for v in ordered}
    said = remotes.group_priorities()
    known = {
        group: said.get(group, GROUP_PRIORITIES.get(group, CUSTOM_GROUP_PRIORITY)) for group in out
    }
    return {group: out[group] for group in sorted(out, key=lambda g: (g != "", -known[g], g))}


OWN_VERSION_PRIORITY = 100  # of custom kinds, which alone may share a group with another server


def _version_key(name: str, served: Resources | Remote) -> tuple[int, Any]:
    priority = served.version_priority if isinstance(served, Remote) else OWN_VERSION_PRIORITY
    return -priority, version_order(name)


def converted(listed: Json, version: str) -> Json:
    """An APIResourceList as APIVersionDiscovery: subresources go under their resources."""
    resources: dict[str, Json] = {}
    found = listed.get("resources")
    entries = [r for r in found if isinstance(r, dict)] if isinstance(found, list) else []
    for entry in sorted(entries, key=lambda r: "/" in str(r.get("name", ""))):
        name, slash, sub = str(entry.get("name", "")).partition("/")
        kind = {
            "group": entry.get("group", ""),
            "version": entry.get("version", ""),
            "kind": entry.get("kind", ""),
        }
        verbs = entry.get("verbs") if isinstance(entry.get("verbs"), list) else []
        scope = "Namespaced" if entry.get("namespaced") else "Cluster"
        if slash:
            parent = resources.setdefault(
                name, {"resource": name, "scope": scope, "singularResource": "", "verbs": []}
            )
            below = {"subresource": sub, "responseKind": kind, "verbs": verbs}
            parent.setdefault("subresources", []).append(below)
            continue
        made: Json = {
            "resource": name,
            "responseKind": kind,
            "scope": scope,
            "singularResource": entry.get("singularName", ""),
            "verbs": verbs,
        }
        for key in ("shortNames", "categories"):
            if isinstance(entry.get(key), list):
                made[key] = entry[key]
        resources[name] = made
    return {"version": version, "resources": list(resources.values())}


# -- OpenAPI v2 -----------------------------------------------------------------------------------


def merged_v2(own: Json, remotes: Remotes) -> Json:
    """Our document with the paths of other servers and the definitions that they need. A
    definition that we have under the same name stays ours.
    """
    if not remotes.versions():
        return own
    paths, definitions = dict(own.get("paths") or {}), dict(own.get("definitions") or {})
    for (group, version), remote in sorted(remotes.versions().items()):
        theirs = remote.openapi_v2
        if theirs is None or not isinstance(theirs.get("paths"), dict):
            continue
        prefix = f"/apis/{group}/{version}/"
        taken = {p: v for p, v in theirs["paths"].items() if (p + "/").startswith(prefix)}
        paths.update(taken)
        known = theirs.get("definitions")
        if isinstance(known, dict):
            for name in _needed(taken, known):
                definitions.setdefault(name, known[name])
    return {**own, "paths": dict(sorted(paths.items())),
            "definitions": dict(sorted(definitions.items()))}  # fmt: skip


_REF = "#/definitions/"


def _needed(value: Any, definitions: Mapping[str, Any]) -> set[str]:
    """Definitions that a value leads to."""
    found: set[str] = set()
    waiting = [value]
    while waiting:
        at = waiting.pop()
        if isinstance(at, dict):
            ref = at.get("$ref")
            if isinstance(ref, str) and ref.startswith(_REF):
                name = ref.removeprefix(_REF)
                if name in definitions and name not in found:
                    found.add(name)
                    waiting.append(definitions[name])
            waiting.extend(at.values())
        elif isinstance(at, list):
            waiting.extend(at)
    return found
