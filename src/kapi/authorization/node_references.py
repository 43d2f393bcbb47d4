"""What a pod, or a volume, needs of other objects: what its node may read for it.

Pure; read by `node.py`, and by admission where a node may not name other objects.
https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]
Reference = tuple[str, str]  # resource, name: an object in the pod's namespace

MIRROR_POD = "kubernetes.io/config.mirror"  # annotation of a pod made from a file of its node
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")
# Where in a volume of a pod the name of a secret stands: by volume source.
_VOLUME_SECRETS = {
    "azureFile": ("secretName",),
    "cephfs": ("secretRef", "name"),
    "cinder": ("secretRef", "name"),
    "csi": ("nodePublishSecretRef", "name"),
    "flexVolume": ("secretRef", "name"),
    "iscsi": ("secretRef", "name"),
    "rbd": ("secretRef", "name"),
    "scaleIO": ("secretRef", "name"),
    "secret": ("secretName",),
    "storageos": ("secretRef", "name"),
}
# The same in a persistent volume; of CSI's secrets those that a node needs.
_PERSISTENT_SECRETS = ("cephfs", "cinder", "flexVolume", "iscsi", "rbd", "scaleIO", "storageos")
_CSI_NODE_SECRETS = ("nodePublishSecretRef", "nodeStageSecretRef", "nodeExpandSecretRef")


def of_pod(pod: Json) -> frozenset[Reference]:
    """Secrets, config maps, claims of storage and of devices, and the service account."""
    spec = pod.get("spec") or {}
    found = {("secrets", s.get("name", "")) for s in spec.get("imagePullSecrets") or ()}
    for field in _CONTAINERS:
        for container in spec.get(field) or ():
            found.update(_of_container(container))
    for volume in spec.get("volumes") or ():
        found.update(_of_volume(pod, volume))
    found.update(_device_claims(pod, spec))
    if spec.get("serviceAccountName"):
        found.add(("serviceaccounts", spec["serviceAccountName"]))
    return frozenset(reference for reference in found if reference[1])


def _of_container(container: Json) -> Iterator[Reference]:
    for source in container.get("envFrom") or ():
        yield "secrets", (source.get("secretRef") or {}).get("name", "")
        yield "configmaps", (source.get("configMapRef") or {}).get("name", "")
    for variable in container.get("env") or ():
        source = variable.get("valueFrom") or {}
        yield "secrets", (source.get("secretKeyRef") or {}).get("name", "")
        yield "configmaps", (source.get("configMapKeyRef") or {}).get("name", "")


def _of_volume(pod: Json, volume: Json) -> Iterator[Reference]:
    for kind, path in _VOLUME_SECRETS.items():
        if volume.get(kind) is not None:
            yield "secrets", _at(volume[kind], path)
    if volume.get("configMap") is not None:
        yield "configmaps", volume["configMap"].get("name", "")
    for source in (volume.get("projected") or {}).get("sources") or ():
        yield "secrets", (source.get("secret") or {}).get("name", "")
        yield "configmaps", (source.get("configMap") or {}).get("name", "")
    yield "persistentvolumeclaims", claim_name(pod, volume)


def claim_name(pod: Json, volume: Json) -> str:
    """The claim behind a volume of a pod; empty: there is none."""
    if volume.get("persistentVolumeClaim") is not None:
        return str(volume["persistentVolumeClaim"].get("claimName", ""))
    if volume.get("ephemeral") is not None:
        return f"{pod['metadata'].get('name', '')}-{volume.get('name', '')}"
    return ""


def _device_claims(pod: Json, spec: Json) -> Iterator[Reference]:
    status = pod.get("status") or {}
    made = {
        s.get("name"): s.get("resourceClaimName") for s in status.get("resourceClaimStatuses") or ()
    }
    for claim in spec.get("resourceClaims") or ():
        if claim.get("resourceClaimName"):
            yield "resourceclaims", claim["resourceClaimName"]
        elif claim.get("resourceClaimTemplateName"):
            yield "resourceclaims", made.get(claim.get("name")) or ""
    extended = status.get("extendedResourceClaimStatus") or {}
    yield "resourceclaims", extended.get("resourceClaimName", "")


def secrets_of_volume(volume: Json) -> set[tuple[str, str]]:
    """The secrets, by namespace and name, that a node needs for a persistent volume."""
    spec = volume.get("spec") or {}
    own = (spec.get("claimRef") or {}).get("namespace", "")
    found: set[tuple[str, str]] = set()
    if spec.get("azureFile") is not None:
        source = spec["azureFile"]
        found.add((source.get("secretNamespace") or own, source.get("secretName", "")))
    for kind in _PERSISTENT_SECRETS:
        secret = (spec.get(kind) or {}).get("secretRef")
        if secret is not None:
            found.add((secret.get("namespace") or own, secret.get("name", "")))
    for field in _CSI_NODE_SECRETS:
        secret = (spec.get("csi") or {}).get(field)
        if secret is not None:
            found.add((secret.get("namespace", ""), secret.get("name", "")))
    return found


def _at(value: Json, path: tuple[str, ...]) -> str:
    found: Any = value
    for step in path:
        found = (found or {}).get(step)
    return found or ""
