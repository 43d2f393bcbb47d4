"""StorageObjectInUseProtection: volumes and claims stay until nobody uses them.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#storage-object-in-use-protection
"""

from __future__ import annotations

from typing import Any

from kapi.admission.plugin import Attributes, Operation

Json = dict[str, Any]
_PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
    "volumeattributesclasses": "kubernetes.io/vac-protection",
}


class StorageObjectInUseProtection:
    """Volumes, claims and classes of attributes stay until nobody uses them: a finalizer."""

    name = "StorageObjectInUseProtection"

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation == "CREATE" and not subresource and resource in _PROTECTION

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        meta = attributes.object["metadata"]
        finalizer = _PROTECTION[attributes.resource]
        held = meta.get("finalizers") or []
        if finalizer not in held:
            meta["finalizers"] = [*held, finalizer]
