"""Sources of a volume that stand alone: each check gives what one source must say.

Called through the table in `volumes.py`; persistent volumes use the same checks and the path
rules here. https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.shared import checks, claim_specs

Json = dict[str, Any]
Findings = list[FieldError]
Check = Callable[[Json, str], Findings]  # (source, path)

FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"
PARTITION = "must be between 1 and 255, inclusive"


# Where the real server spells a source in another way than the API.
SHOWN = {"gcePersistentDisk": "persistentDisk"}
SHOWN_FORBIDDEN = {"cephfs": "cephFS", "downwardAPI": "downwarAPI"}


# -- paths and modes ----------------------------------------------------------------------------


def no_backsteps(value: str, path: str) -> Findings:
    if ".." in value and ".." in value.split("/"):
        return [errors.invalid_value(path, value, "must not contain '..'")]
    return []


def descending_path(value: str, path: str) -> Findings:
    """A relative path that does not leave its directory."""
    out: Findings = []
    if value.startswith("/"):
        out.append(errors.invalid_value(path, value, "must be a relative path"))
    return out + no_backsteps(value, path)


def non_reserved_path(value: str, path: str) -> Findings:
    """A descending path that does not begin with the reserved `..`."""
    out = descending_path(value, path)
    if value.startswith("..") and not value.startswith("../"):
        out.append(errors.invalid_value(path, value, "must not start with '..'"))
    return out


def mode(value: int | None, path: str) -> Findings:
    if value is not None and not 0 <= value <= 0o777:
        return [errors.invalid_value(path, value, FILE_MODE)]
    return []


def needs(source: Json, path: str, *fields: str) -> Findings:
    return [errors.required(f"{path}.{f}") for f in fields if not source.get(f)]


def requires(*fields: str) -> Check:
    """The check of a source that only must have these fields."""
    return lambda source, path: needs(source, path, *fields)


def with_secret(check: Check, *fields: str) -> Check:
    """A source whose reference to a secret, where there is one, has these fields."""

    def checked(source: Json, path: str) -> Findings:
        out = check(source, path)
        secret = source.get("secretRef")
        return out if secret is None else out + needs(secret, f"{path}.secretRef", *fields)

    return checked


def validate_key_to_path(item: Json, path: str) -> Findings:
    out = needs(item, path, "key", "path")
    if item.get("path"):
        out += non_reserved_path(item["path"], f"{path}.path")
    return out + mode(item.get("mode"), f"{path}.mode")


# -- sources ------------------------------------------------------------------------------------


def empty_dir(source: Json, path: str) -> Findings:
    if source.get("sizeLimit", "")[:1] == "-":
        text = "SizeLimit field must be a valid resource quantity"
        return [errors.field_forbidden(f"{path}.sizeLimit", text)]
    return []


_HOST_PATH_TYPES = (
    "", "BlockDevice", "CharDevice", "Directory", "DirectoryOrCreate", "File", "FileOrCreate",
    "Socket",
)  # fmt: skip


def host_path(source: Json, path: str) -> Findings:
    value = source.get("path")
    if not value:
        return [errors.required(f"{path}.path")]
    out = no_backsteps(value, f"{path}.path")
    kind = source.get("type")
    if kind is not None and kind not in _HOST_PATH_TYPES:
        out.append(errors.not_supported(f"{path}.type", kind, _HOST_PATH_TYPES))
    return out


def git_repo(source: Json, path: str) -> Findings:
    out = needs(source, path, "repository")
    return out + descending_path(source.get("directory", ""), f"{path}.directory")


def partitioned(name: str) -> Check:
    def check(source: Json, path: str) -> Findings:
        out = needs(source, path, name)
        partition = source.get("partition", 0)
        if not 0 <= partition <= 255:
            out.append(errors.invalid_value(f"{path}.partition", partition, PARTITION))
        return out

    return check


def keyed(name: str) -> Check:
    """A secret or a config map: its name, mode and items."""

    def check(source: Json, path: str) -> Findings:
        out = needs(source, path, name)
        out += mode(source.get("defaultMode"), f"{path}.defaultMode")
        for i, item in enumerate(source.get("items") or ()):
            out += validate_key_to_path(item, f"{path}.items[{i}]")
        return out

    return check


def nfs(source: Json, path: str) -> Findings:
    out = needs(source, path, "server", "path")
    value = source.get("path", "")
    if not value.startswith("/"):
        out.append(errors.invalid_value(f"{path}.path", value, "must be an absolute path"))
    return out


# By the first letters of a name: what all of it must look like (RFC 3720, section 3.2.6).
_ISCSI_FORMS = {
    "iqn": re.compile(r"iqn\.\d{4}-\d{2}\.[A-Za-z0-9.-]+:[^,;*&$|\s]+$"),
    "eui": re.compile(r"^eui.[A-Za-z0-9]{16}$"),
    "naa": re.compile(r"^naa.[A-Za-z0-9]{32}$"),
}
_WELL_FORMED = "must be valid format"


def iscsi_name(name: str, path: str, unknown: str) -> Findings:
    """`unknown`: what is said of a name that begins in none of the three ways."""
    form = _ISCSI_FORMS.get(name[:3])
    if form is None:
        return [errors.invalid_value(path, name, unknown)]
    return [] if form.search(name) else [errors.invalid_value(path, name, _WELL_FORMED)]


def iscsi(source: Json, path: str) -> Findings:
    return iscsi_target(source, path, f"{_WELL_FORMED} starting with iqn, eui, or naa")


def persistent_iscsi(source: Json, path: str) -> Findings:
    """Of a PersistentVolume: its secret has a name, and there is one word for all names."""
    return iscsi_target(source, path, _WELL_FORMED)


def iscsi_target(source: Json, path: str, unknown: str) -> Findings:
    out = needs(source, path, "targetPortal")
    iqn = source.get("iqn")
    if not iqn:
        out.append(errors.required(f"{path}.iqn"))
    else:
        out += iscsi_name(iqn, f"{path}.iqn", unknown)
    lun = source.get("lun", 0)
    if not 0 <= lun <= 255:
        text = "must be between 0 and 255, inclusive"
        out.append(errors.invalid_value(f"{path}.lun", lun, text))
    chap = source.get("chapAuthDiscovery") or source.get("chapAuthSession")
    if chap and source.get("secretRef") is None:
        out.append(errors.required(f"{path}.secretRef"))
    if source.get("initiatorName") is not None:
        out += iscsi_name(source["initiatorName"], f"{path}.initiatorname", unknown)
    return out


def flocker(source: Json, path: str) -> Findings:
    name, uuid = source.get("datasetName", ""), source.get("datasetUUID", "")
    out: Findings = []
    if not name and not uuid:
        out.append(errors.required(path, "one of datasetName and datasetUUID is required"))
    if name and uuid:
        text = "datasetName and datasetUUID can not be specified simultaneously"
        out.append(errors.invalid_value(path, "resource", text))
    if "/" in name:
        out.append(errors.invalid_value(f"{path}.datasetName", name, "must not contain '/'"))
    return out


_HOST_PORT = re.compile(r"(\[[^\[\]]*\]|[^:\[\]]*):[^:\[\]]*\Z")  # as net.SplitHostPort reads it


def quobyte(source: Json, path: str) -> Findings:
    registry = source.get("registry", "")
    out: Findings = []
    if not registry:
        text = "must be a host:port pair or multiple pairs separated by commas"
        out.append(errors.required(f"{path}.registry", text))
    elif len(source.get("tenant", "")) >= 65:
        text = "must be a UUID and may not exceed a length of 64 characters"
        out.append(errors.required(f"{path}.tenant", text))
    else:
        for pair in registry.split(","):
            if not _HOST_PORT.match(pair):
                text = "must be a host:port pair or multiple pairs separated by commas"
                out.append(errors.invalid_value(f"{path}.registry", registry, text))
    return out + needs(source, path, "volume")


def fc(source: Json, path: str) -> Findings:
    wwns, wwids, lun = source.get("targetWWNs"), source.get("wwids"), source.get("lun")
    out: Findings = []
    if not wwns and not wwids:
        text = "must specify either targetWWNs or wwids, but not both"
        out.append(errors.required(f"{path}.targetWWNs", text))
    if wwns and wwids:
        text = "targetWWNs and wwids can not be specified simultaneously"
        out.append(errors.invalid_value(f"{path}.targetWWNs", wwns, text))
    if wwns:
        if lun is None:
            text = "lun is required if targetWWNs is specified"
            out.append(errors.required(f"{path}.lun", text))
        elif not 0 <= lun <= 255:
            text = "must be between 0 and 255, inclusive"
            out.append(errors.invalid_value(f"{path}.lun", lun, text))
    return out


def flex(source: Json, path: str) -> Findings:
    """Options may not use the namespaces of Kubernetes itself."""
    out = needs(source, path, "driver")
    for option in source.get("options") or {}:
        namespace = "." + option.partition("/")[0].lower()
        if namespace.endswith((".kubernetes.io", ".k8s.io")):
            text = "kubernetes.io and k8s.io namespaces are reserved"
            out.append(errors.invalid_value(f"{path}.options[{option}]", option, text))
    return out


_CACHING = ("None", "ReadOnly", "ReadWrite")
_AZURE_KINDS = ("Dedicated", "Managed", "Shared")
_MANAGED_DISK = (
    "/subscriptions/{sub-id}/resourcegroups/{group-name}/providers/microsoft.compute"
    "/disks/{disk-id}",
)
_BLOB_DISK = ("https://{account-name}.blob.core.windows.net/{container-name}/{disk-name}.vhd",)


def azure_disk(source: Json, path: str) -> Findings:
    out = needs(source, path, "diskName", "diskURI")
    caching = source.get("cachingMode")
    if caching is not None and caching not in _CACHING:
        out.append(errors.not_supported(f"{path}.cachingMode", caching, _CACHING))
    kind, uri = source.get("kind"), source.get("diskURI", "")
    if kind is not None and kind not in _AZURE_KINDS:
        out.append(errors.not_supported(f"{path}.kind", kind, _AZURE_KINDS))
    if kind == "Managed" and not uri.startswith("/subscriptions/"):
        out.append(errors.not_supported(f"{path}.diskURI", uri, _MANAGED_DISK))
    if kind is not None and kind != "Managed" and not uri.startswith("https://"):
        out.append(errors.not_supported(f"{path}.diskURI", uri, _BLOB_DISK))
    return out


def storage_os(source: Json, path: str) -> Findings:
    name, namespace = source.get("volumeName", ""), source.get("volumeNamespace", "")
    out = (
        checks.dns_label(name, f"{path}.volumeName") if name else needs(source, path, "volumeName")
    )
    if namespace:
        out += checks.dns_label(namespace, f"{path}.volumeNamespace")
    return out


def csi(source: Json, path: str) -> Findings:
    out = claim_specs.validate_csi_driver_name(source.get("driver", ""), f"{path}.driver")
    if source.get("nodePublishSecretRef") is not None:
        out += needs(source["nodePublishSecretRef"], f"{path}.nodePublishSecretRef", "name")
    secret = (source.get("nodePublishSecretRef") or {}).get("name")
    if secret:
        out += checks.dns_subdomain(secret, f"{path}.name")
    return out


def ephemeral(source: Json, path: str) -> Findings:
    template = source.get("volumeClaimTemplate")
    if template is None:
        return [errors.required(f"{path}.volumeClaimTemplate")]
    where = f"{path}.volumeClaimTemplate"
    meta = template.get("metadata") or {}
    out = claim_specs.validate_template_metadata(meta, f"{where}.metadata")
    return out + claim_specs.validate_claim_spec(template.get("spec") or {}, f"{where}.spec")


def image(source: Json, path: str) -> Findings:
    out: Findings = []
    if not source.get("reference"):
        out.append(errors.required(f"{path}.reference"))
    policy = source.get("pullPolicy", "")
    if policy and policy not in ("Always", "IfNotPresent", "Never"):
        listed = ("Always", "IfNotPresent", "Never")
        out.append(errors.not_supported(f"{path}.pullPolicy", policy, listed))
    return out
