"""internal.apiserver.k8s.io: StorageVersion, which says what each server of a cluster writes.

Alpha; only its status says something, and it comes with an update of the status.
https://kubernetes.io/docs/reference/kubernetes-api/cluster-resources/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi.errors import FieldError, invalid_value, required
from kapi.kinds.shared import cells, checks
from kapi.kinds.shared.bases import SPEC_AND_METADATA, Plain
from kapi.registry import names
from kapi.registry.resource import Column
from kapi.registry.strategy import Context, Strategy

Json = dict[str, Any]

GROUP = "internal.apiserver.k8s.io"
SERVERS_SHOWN = 3
_NOT_A_VERSION = (
    "an apiVersion is a DNS-1035 label, which must consist of lower case alphanumeric characters "
    "or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. "
    "'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?') with an "
    "optional DNS subdomain prefix and '/' (e.g. 'example.com/MyVersion')"
)
_EMPTY = "must be non-empty"


def storage_version_name(name: str, prefix: bool = False) -> list[str]:
    group, dot, resource = name.rpartition(".")
    if not dot:
        return ["name must be in the form of <group>.<resource>"]
    return [f"the group segment {text}" for text in names.dns_subdomain(group)] + [
        f"the resource segment {text}" for text in names.dns_1035_label(resource)
    ]


class StorageVersionStrategy(Plain):
    name_rule = staticmethod(storage_version_name)
    unconditional_update = False
    reset_status = SPEC_AND_METADATA

    def validate(self, obj: Json, old: Json | None, context: Context) -> list[FieldError]:
        if context.subresource != "status":
            return []
        status = obj.get("status") or {}
        servers = status.get("storageVersions") or []
        out: list[FieldError] = []
        for i, server in enumerate(servers):
            out += _server(server, f"status.storageVersions[{i}]")
        out += _common(servers, status.get("commonEncodingVersion"))
        return out + _conditions(status.get("conditions") or [])


def _server(server: Json, path: str) -> list[FieldError]:
    name, written = server.get("apiServerID", ""), server.get("encodingVersion", "")
    out = checks.dns_subdomain(name, f"{path}.apiServerID")
    out += _version(written, f"{path}.encodingVersion")
    read = server.get("decodableVersions") or []
    for i, version in enumerate(read):
        out += _version(version, f"{path}.decodableVersions[{i}]")
    if written not in read:
        text = f"decodableVersions must include encodingVersion {written}"
        shown = server.get("decodableVersions")
        out.append(invalid_value(f"{path}.decodableVersions", shown, text))
    for i, version in enumerate(server.get("servedVersions") or ()):
        where = f"{path}.servedVersions[{i}]"
        out += _version(version, where)
        if version not in read:
            text = (
                f"individual served version : {version} must be included in decodableVersions : "
                f"[{' '.join(read)}]"
            )
            out.append(invalid_value(where, version, text))
    return out


def _common(servers: Sequence[Json], given: str | None) -> list[FieldError]:
    """What all servers write, if they agree."""
    written = {server.get("encodingVersion", "") for server in servers}
    common = written.pop() if len(written) == 1 else None
    if given == common:
        return []
    if common is None:
        text = (
            "should be nil if servers do not agree on the same encoding version, or if there is no "
            "server reporting the supported versions yet"
        )
    elif given is None:
        text = f"the common encoding version is {common}"
    else:
        text = f"the actual common encoding version is {common}"
    return [invalid_value("status.commonEncodingVersion", given, text)]


def _conditions(conditions: Sequence[Json]) -> list[FieldError]:
    """The real server leaves the name of the field out of their paths, and shows the type where
    the status is wrong.
    """
    out: list[FieldError] = []
    seen: dict[str, int] = {}
    for i, condition in enumerate(conditions):
        path, kind = f"status[{i}]", condition.get("type", "")
        if kind in seen:
            text = (
                "the type of the condition is not unique, it also appears in "
                f"conditions[{seen[kind]}]"
            )
            out.append(invalid_value(f"{path}.type", kind, text))
        seen[kind] = i
        out += checks.each(f"{path}.type", kind, names.qualified_name(kind))
        status = condition.get("status", "")
        out += checks.each(f"{path}.status", kind, names.qualified_name(status))
        for field in ("reason", "message"):
            if not condition.get(field):
                out.append(required(f"{path}.{field}", f"{field} cannot be empty"))
    return out


def _version(text: str, path: str) -> list[FieldError]:
    group, slash, version = text.partition("/")
    found: list[str] = []
    if "/" in version:
        found = [_NOT_A_VERSION]
    else:
        if slash:
            complaints = names.dns_subdomain(group) if group else [_EMPTY]
            found += [f"group part: {complaint}" for complaint in complaints]
        version = version if slash else group
        complaints = names.dns_1035_label(version) if version else [_EMPTY]
        found += [f"version part: {complaint}" for complaint in complaints]
    return [invalid_value(path, text, ",".join(found))] if found else []


# -- tables -------------------------------------------------------------------------------------


def _servers(obj: Json, now: float) -> str:
    servers = (obj.get("status") or {}).get("storageVersions") or ()
    listed = [f"{s.get('apiServerID', '')}={s.get('encodingVersion', '')}" for s in servers]
    text = ",".join(listed[:SERVERS_SHOWN])
    more = len(listed) - SERVERS_SHOWN
    return f"{text} + {more} more..." if more > 0 else text


STRATEGIES: Mapping[tuple[str, str], Strategy] = {
    (GROUP, "storageversions"): StorageVersionStrategy(),
}
COLUMNS: Mapping[tuple[str, str], tuple[Column, ...]] = {
    (GROUP, "storageversions"): (
        cells.name_column(),
        cells.column(
            "CommonEncodingVersion",
            "string",
            cells.field("status", "commonEncodingVersion", default="Unset"),
            "commonEncodingVersion is set to an encoding storage version if all API server "
            "instances share that same version. If they don't share one storage version, this "
            "field is left empty. API servers should finish updating its storageVersionStatus "
            "entry before serving write operations, so that this field will be in sync with the "
            "reality.",
        ),
        cells.column(
            "StorageVersions",
            "string",
            _servers,
            "storageVersions lists the reported versions per API server instance.",
        ),
        cells.age_column(),
    ),
}
