"""Objects as the Go structs of the real server would print them, for the messages that quote one.

Some findings show a whole value: `Invalid value: {"Type":"OnDelete","RollingUpdate":null}`, or the
lines in which two pod specs differ. The text is that of Go's encoding/json over types without JSON
names: every field in the order of the struct, under its Go name, with its zero value where it is
absent. Only runs when something is wrong. The order and kind of fields come from data/go-types.tsv.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import orjson

from kapi.errors import GoText
from kapi.kinds.shared.types import FactTable

Json = dict[str, Any]
View = Callable[[Any], Any]
Field = tuple[str, str, View]  # Go name, JSON name, view of the value (None where absent)

_CORE = "io.k8s.api.core.v1."
_DIFF_CONTEXT = 3  # unchanged lines around a change

# Go names that are not the JSON name with a capital first letter: by the name of the field ...
_NAMES: Mapping[str, str] = {
    "awsElasticBlockStore": "AWSElasticBlockStore",
    "cephfs": "CephFS",
    "chapAuthDiscovery": "DiscoveryCHAPAuth",
    "chapAuthSession": "SessionCHAPAuth",
    "csi": "CSI",
    "diskURI": "DataDiskURI",
    "dnsConfig": "DNSConfig",
    "dnsPolicy": "DNSPolicy",
    "fc": "FC",
    "fsGroup": "FSGroup",
    "fsGroupChangePolicy": "FSGroupChangePolicy",
    "fsType": "FSType",
    "gcePersistentDisk": "GCEPersistentDisk",
    "gmsaCredentialSpec": "GMSACredentialSpec",
    "gmsaCredentialSpecName": "GMSACredentialSpecName",
    "grpc": "GRPC",
    "httpGet": "HTTPGet",
    "httpHeaders": "HTTPHeaders",
    "ip": "IP",
    "iqn": "IQN",
    "iscsi": "ISCSI",
    "iscsiInterface": "ISCSIInterface",
    "apiGroup": "APIGroup",
    "apiGroups": "APIGroups",
    "apiVersion": "APIVersion",
    "nfs": "NFS",
    "os": "OS",
    "pdID": "PdID",
    "pdName": "PDName",
    "rbd": "RBD",
    "seLinuxChangePolicy": "SELinuxChangePolicy",
    "seLinuxOptions": "SELinuxOptions",
    "serviceAccount": "DeprecatedServiceAccount",
    "sslEnabled": "SSLEnabled",
    "storageos": "StorageOS",
    "targetWWNs": "TargetWWNs",
    "tcpSocket": "TCPSocket",
    "tty": "TTY",
    "uid": "UID",
    "wwids": "WWIDs",
}
# ... and of single types.
_OF_TYPE: Mapping[tuple[str, str], str] = {
    (_CORE + "RBDVolumeSource", "monitors"): "CephMonitors",
    (_CORE + "RBDVolumeSource", "image"): "RBDImage",
    (_CORE + "RBDVolumeSource", "pool"): "RBDPool",
    (_CORE + "RBDVolumeSource", "user"): "RadosUser",
    (_CORE + "GlusterfsVolumeSource", "endpoints"): "EndpointsName",
}
# Types that print as one value; what they print where they are absent.
_VALUES: Mapping[str, Any] = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": "0",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": 0,
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": None,
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime": None,
    "io.k8s.apimachinery.pkg.runtime.RawExtension": None,
}
# Their types keep JSON names inside the server, too.
_JSON_NAMED = "io.k8s.apimachinery.pkg.apis.meta.v1."
_SCALARS: Mapping[str, Any] = {
    "string": "", "bool": False, "int32": 0, "int64": 0, "int": 0, "float64": 0,
}  # fmt: skip


@cache
def _facts() -> FactTable:
    return FactTable("go-types.tsv")


def go_name(type_name: str, field: str) -> str:
    """The name of a field in Go."""
    return _OF_TYPE.get((type_name, field)) or _NAMES.get(field) or field[:1].upper() + field[1:]


@cache
def _fields(type_name: str) -> tuple[Field, ...]:
    out: list[Field] = []
    for name, expression, _, _, _, flags in _facts().get(type_name).get("fields") or ():
        if "i" in flags:
            out += _fields(expression)
        else:
            out.append((go_name(type_name, name), name, _view(expression, pointer="p" in flags)))
    return tuple(out)


def _view(expression: str, *, pointer: bool) -> View:
    if expression.startswith("[]"):
        inner = _view(expression[2:], pointer=False)
        return lambda value: None if value is None else [inner(item) for item in value]
    if expression.startswith("map["):
        inner = _view(expression.partition("]")[2], pointer=False)
        return lambda value: None if value is None else {k: inner(value[k]) for k in sorted(value)}
    zero = None if pointer else _SCALARS.get(expression, _VALUES.get(expression))
    if expression in _SCALARS or expression in _VALUES or expression.startswith(_JSON_NAMED):
        return lambda value: zero if value is None else value
    alias = _facts().get(expression).get("alias")
    if alias:
        return _view(alias, pointer=pointer)
    if pointer:
        return lambda value: None if value is None else view(expression, value)
    return lambda value: view(expression, value or {})


def view(type_name: str, obj: Json) -> Json:
    """The struct as a dict: every field, Go names, zero values."""
    return {go: see(obj.get(name)) for go, name, see in _fields(type_name)}


def struct(type_name: str, obj: Json | None) -> GoText:
    """The struct on one line, as a finding shows a bad value."""
    return GoText("null" if obj is None else _escaped(orjson.dumps(view(type_name, obj)).decode()))


def lines(type_name: str, obj: Json) -> list[str]:
    """The struct over many lines, indented by one blank."""
    return _escaped(_indented(view(type_name, obj), "")).split("\n")


def diff(type_name: str, old: Json, new: Json) -> str:
    """How two structs differ: a unified diff without its file header, ending in a line end."""
    found = difflib.unified_diff(
        lines(type_name, old), lines(type_name, new), n=_DIFF_CONTEXT, lineterm=""
    )
    kept = [line for i, line in enumerate(found) if i >= 2]
    return "".join(f"{line}\n" for line in kept)


def _indented(value: Any, indent: str) -> str:
    """JSON as Go's MarshalIndent with one blank a level: empty lists and objects on one line."""
    inner = indent + " "
    if isinstance(value, dict) and value:
        items = [
            f"{inner}{orjson.dumps(k).decode()}: {_indented(v, inner)}" for k, v in value.items()
        ]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and value:
        entries = [inner + _indented(v, inner) for v in value]
        return "[\n" + ",\n".join(entries) + f"\n{indent}]"
    return orjson.dumps(value).decode()


def _escaped(text: str) -> str:
    """Go's encoder keeps JSON safe inside HTML."""
    if "<" in text or ">" in text or "&" in text:
        text = text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e")
    return text
