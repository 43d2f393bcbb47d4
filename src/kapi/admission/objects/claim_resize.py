"""PersistentVolumeClaimResize: a claim may grow only if its class allows it.

https://kubernetes.io/docs/concepts/storage/persistent-volumes/#expanding-persistent-volumes-claims
"""

from __future__ import annotations

from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.schema import quantity

Json = dict[str, Any]


class ClaimResize:
    """A claim may grow only if its class allows it."""

    name = "PersistentVolumeClaimResize"

    def __init__(self, classes: Lister) -> None:
        self._classes = classes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == (
            "UPDATE",
            "",
            "persistentvolumeclaims",
            "",
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        new, old = (a.object or {}).get("spec") or {}, (a.old or {}).get("spec") or {}
        wanted, had = _storage(new), _storage(old)
        if wanted is None or had is None or quantity.value(wanted) <= quantity.value(had):
            return
        if ((a.old or {}).get("status") or {}).get("phase") != "Bound":
            text = "Only bound persistent volume claims can be expanded"
            raise refused(a, text)
        name = new.get("storageClassName") or ""
        found = self._classes.get("", name) if name else None
        if found is None or not found.get("allowVolumeExpansion"):
            text = (
                "only dynamically provisioned pvc can be resized and the storageclass that "
                "provisions the pvc must support resize"
            )
            raise refused(a, text)


def _storage(spec: Json) -> str | None:
    amount: str | None = ((spec.get("resources") or {}).get("requests") or {}).get("storage")
    return amount
