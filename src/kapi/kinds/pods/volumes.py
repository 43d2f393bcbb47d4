"""Volumes of a pod spec: exactly one source each, and what each source must say.

`validate_volumes` is called by `validation.py` for pods and every pod template; it also says
which volumes containers may mount. Findings stand in the order of the real server: sources in the
order of its checks, then the name. https://kubernetes.io/docs/concepts/storage/volumes/
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kapi import errors
from kapi.errors import FieldError
from kapi.kinds.pods import volume_sources as sources
from kapi.kinds.pods.downward import (
    VOLUME_FIELDS,
    validate_field_selector,
    validate_resource_selector,
)
from kapi.kinds.shared import checks, signers
from kapi.kinds.shared.go_view import struct
from kapi.registry import names

Json = dict[str, Any]
Findings = list[FieldError]

ONE_TYPE = "may not specify more than 1 volume type"
_ISCSI_TARGET_MAX = 64  # characters of <volume name>:<target portal>
_TOKEN_SECONDS_MIN = 600
_TOKEN_SECONDS_MAX = 1 << 32
_CORE = "io.k8s.api.core.v1."


def validate_volumes(
    volumes: Sequence[Json], path: str, pod: str = ""
) -> tuple[Mapping[str, Json], Findings]:
    """The volumes that are right, by name, and the findings. `pod`: the name of the pod, where it
    is one that has a name: claims made for it are named after it."""
    out: Findings = []
    known: dict[str, Json] = {}
    made = {f"{pod}-{v.get('name', '')}" for v in volumes if pod and v.get("ephemeral") is not None}
    for i, volume in enumerate(volumes):
        where = f"{path}[{i}]"
        found = _source(volume, where)
        name = volume.get("name", "")
        if pod and name and volume.get("ephemeral") is not None:
            for complaint in names.dns_subdomain(f"{pod}-{name}"):
                text = f'PVC name "{pod}-{name}": {complaint}'
                found.append(errors.invalid_value(f"{where}.name", name, text))
        if not name:
            found.append(errors.required(f"{where}.name"))
        else:
            complaints = names.dns_label(name)
            if complaints:
                found += checks.each(f"{where}.name", name, complaints)
        if name in known:
            found.append(errors.duplicate(f"{where}.name", name))
        if found:
            out += found
        else:
            known[name] = volume
        claim = (volume.get("persistentVolumeClaim") or {}).get("claimName", "")
        if claim in made:
            text = "must not reference a PVC that gets created for an ephemeral volume"
            shown = f"{where}.persistentVolumeClaim.claimName"
            out.append(errors.invalid_value(shown, claim, text))
    return known, out


def _source(volume: Json, path: str) -> Findings:
    out: Findings = []
    count = 0
    for field in volume:
        check = _SOURCES.get(field)
        if check is not None:
            count += 1
            if count == 1:
                out += check(volume[field], f"{path}.{sources.SHOWN.get(field, field)}")
    if count > 1:
        out = _several(volume, path)
    if count == 0:
        out.append(errors.required(path, "must specify a volume type"))
    iscsi = volume.get("iscsi")
    if iscsi and iscsi.get("initiatorName") is not None:
        target = f"{volume.get('name', '')}:{iscsi.get('targetPortal', '')}"
        if len(target) > _ISCSI_TARGET_MAX:
            text = (
                "Total length of <volume name>:<iscsi.targetPortal> must be under 64 characters "
                "if iscsi.initiatorName is specified."
            )
            out.append(errors.invalid_value(f"{path}.name", volume.get("name", ""), text))
    return out


def _several(volume: Json, path: str) -> Findings:
    """Of several sources the first in the server's order counts; the others are one too many."""
    given = [field for field in _SOURCES if field in volume]
    first = given[0]
    out = _SOURCES[first](volume[first], f"{path}.{sources.SHOWN.get(first, first)}")
    for field in given[1:]:
        out.append(
            errors.field_forbidden(f"{path}.{sources.SHOWN_FORBIDDEN.get(field, field)}", ONE_TYPE)
        )
    return out


# -- files about the pod, and projections ---------------------------------------------------------


def _downward_api(source: Json, path: str) -> Findings:
    out = sources.mode(source.get("defaultMode"), f"{path}.defaultMode")
    for item in source.get("items") or ():  # the server gives no index here
        out += _downward_file(item, path)
    return out


def _downward_file(item: Json, path: str) -> Findings:
    out = sources.needs(item, path, "path")
    out += sources.non_reserved_path(item.get("path", ""), f"{path}.path")
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        out += validate_field_selector(field, VOLUME_FIELDS, f"{path}.fieldRef")
        if resource is not None:
            text = "fieldRef and resourceFieldRef can not be specified simultaneously"
            out.append(errors.invalid_value(path, "resource", text))
    elif resource is not None:
        out += validate_resource_selector(resource, f"{path}.resourceFieldRef", volume=True)
    else:
        out.append(errors.required(path, "one of fieldRef and resourceFieldRef is required"))
    return out + sources.mode(item.get("mode"), f"{path}.mode")


def _projected(source: Json, path: str) -> Findings:
    out = sources.mode(source.get("defaultMode"), f"{path}.defaultMode")
    paths: set[str] = set()
    for i, projection in enumerate(source.get("sources") or ()):
        where = f"{path}.sources[{i}]"
        for kind in ("secret", "configMap"):
            if projection.get(kind) is not None:
                out += _projected_keys(projection[kind], f"{where}.{kind}", path, paths)
        if projection.get("downwardAPI") is not None:
            for item in projection["downwardAPI"].get("items") or ():
                out += _downward_file(item, f"{where}.downwardAPI")
                out += _once(item.get("path", ""), path, paths, item.get("path", ""))
        token = projection.get("serviceAccountToken")
        if token is not None:
            out += _token(token, f"{where}.serviceAccountToken", path)
        bundle = projection.get("clusterTrustBundle")
        if bundle is not None:
            out += _trust_bundle(bundle, f"{where}.clusterTrustBundle")
            out += _once(bundle.get("path", ""), path, paths, bundle.get("path", ""), empty=True)
        certificate = projection.get("podCertificate")
        if certificate is not None:
            out += _pod_certificate(certificate, f"{where}.podCertificate")
        if sum(1 for kind in _PROJECTIONS if projection.get(kind) is not None) > 1:
            out.append(errors.field_forbidden(where, f"{ONE_TYPE} per source"))
    return out


_PROJECTIONS = (
    "secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle",
    "podCertificate",
)  # fmt: skip


def _once(value: str, path: str, paths: set[str], shown: str, *, empty: bool = False) -> Findings:
    """Each file of a projected volume has a path of its own. `empty`: no path is one, too."""
    if not value and not empty:
        return []
    if value in paths:
        return [errors.invalid_value(path, shown, "conflicting duplicate paths")]
    paths.add(value)
    return []


def _projected_keys(source: Json, where: str, path: str, paths: set[str]) -> Findings:
    out = sources.needs(source, where, "name")
    for i, item in enumerate(source.get("items") or ()):
        out += sources.validate_key_to_path(item, f"{where}.items[{i}]")
        out += _once(item.get("path", ""), path, paths, source.get("name", ""))
    return out


def _token(token: Json, where: str, path: str) -> Findings:
    out: Findings = []
    seconds = token.get("expirationSeconds", 0)
    if seconds < _TOKEN_SECONDS_MIN:
        text = "may not specify a duration less than 10 minutes"
        out.append(errors.invalid_value(f"{where}.expirationSeconds", seconds, text))
    if seconds > _TOKEN_SECONDS_MAX:
        text = "may not specify a duration larger than 2^32 seconds"
        out.append(errors.invalid_value(f"{where}.expirationSeconds", seconds, text))
    if not token.get("path"):
        out.append(errors.required(f"{path}.path"))
    else:
        out += sources.non_reserved_path(token["path"], f"{path}.path")
    return out


def _trust_bundle(bundle: Json, where: str) -> Findings:
    out: Findings = []
    name, signer = bundle.get("name"), bundle.get("signerName")
    if name is not None and signer is not None:
        shown = struct(_CORE + "ClusterTrustBundleProjection", bundle)
        text = "only one of name and signerName may be used"
        out.append(errors.invalid_value(where, shown, text))
    elif name is not None:
        if not name:
            out.append(errors.required(f"{where}.name", "must be a valid object name"))
        for complaint in _bundle_name(name):
            text = f"not a valid clustertrustbundlename: {complaint}"
            out.append(errors.invalid_value(f"{where}.name", name, text))
        if bundle.get("labelSelector") is not None:
            text = "labelSelector must be unset if name is specified"
            shown = struct(_LABEL_SELECTOR, bundle["labelSelector"])
            out.append(errors.invalid_value(f"{where}.labelSelector", shown, text))
    elif signer is not None:
        if not signer:
            text = "must be a valid signer name"
            out.append(errors.required(f"{where}.signerName", text))
        out += signers.signer_name(signer, f"{where}.signerName")
        out += checks.label_selector(bundle.get("labelSelector"), f"{where}.labelSelector")
    else:
        out.append(errors.required(where, "either name or signerName must be specified"))
    if not bundle.get("path"):
        out.append(errors.required(f"{where}.path"))
    return out + sources.non_reserved_path(bundle.get("path", ""), f"{where}.path")


def _bundle_name(name: str) -> list[str]:
    """A name with colons is that of a bundle of a signer: `example.com:signer:name`."""
    prefix, colon, _ = name.rpartition(":")
    return signers.bundle_name(name, prefix.replace(":", "/") if colon else "")


_LABEL_SELECTOR = "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector"


def _pod_certificate(certificate: Json, where: str) -> Findings:
    out: Findings = []
    out += checks.domain_prefixed_path(certificate.get("signerName", ""), f"{where}.signerName")
    key_types = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
    key_type = certificate.get("keyType", "")
    if key_type not in key_types:
        out.append(errors.not_supported(f"{where}.keyType", key_type, key_types))
    paths = [certificate.get(f) for f in _CERTIFICATE_PATHS]
    if not any(paths):
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        out.append(errors.required(where, text))
    for field, value in zip(_CERTIFICATE_PATHS, paths, strict=True):
        if value:
            out += sources.non_reserved_path(value, f"{where}.{field}")
    return out


_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")

# In the order in which the server looks for them.
_SOURCES: Mapping[str, sources.Check] = {
    "emptyDir": sources.empty_dir,
    "hostPath": sources.host_path,
    "gitRepo": sources.git_repo,
    "gcePersistentDisk": sources.partitioned("pdName"),
    "awsElasticBlockStore": sources.partitioned("volumeID"),
    "secret": sources.keyed("secretName"),
    "nfs": sources.nfs,
    "iscsi": sources.iscsi,
    "glusterfs": sources.requires("endpoints", "path"),
    "flocker": sources.flocker,
    "persistentVolumeClaim": sources.requires("claimName"),
    "rbd": sources.requires("monitors", "image"),
    "cinder": sources.with_secret(sources.requires("volumeID"), "name"),
    "cephfs": sources.requires("monitors"),
    "quobyte": sources.quobyte,
    "downwardAPI": _downward_api,
    "fc": sources.fc,
    "flexVolume": sources.flex,
    "configMap": sources.keyed("name"),
    "azureFile": sources.requires("secretName", "shareName"),
    "vsphereVolume": sources.requires("volumePath"),
    "photonPersistentDisk": sources.requires("pdID"),
    "portworxVolume": sources.requires("volumeID"),
    "azureDisk": sources.azure_disk,
    "storageos": sources.with_secret(sources.storage_os, "name"),
    "projected": _projected,
    "scaleIO": sources.requires("gateway", "system", "volumeName"),
    "csi": sources.csi,
    "ephemeral": sources.ephemeral,
    "image": sources.image,
}
