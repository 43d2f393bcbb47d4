"""DefaultStorageClass: a claim that names no class gets the default one.

https://kubernetes.io/docs/concepts/storage/storage-classes/#default-storageclass
"""

from __future__ import annotations

from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation

Json = dict[str, Any]
_DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
_OLD_DEFAULT_CLASS = "storageclass.beta.kubernetes.io/is-default-class"


class DefaultStorageClass:
    """A claim that names no class gets the default one."""

    name = "DefaultStorageClass"

    def __init__(self, classes: Lister) -> None:
        self._classes = classes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == (
            "CREATE",
            "",
            "persistentvolumeclaims",
            "",
        )

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        annotations = attributes.object["metadata"].get("annotations") or {}
        if (
            spec.get("storageClassName") is not None
            or "volume.beta.kubernetes.io/storage-class" in annotations
        ):
            return
        marked = [c for c in self._classes.list() if _is_default(c)]
        if marked:
            spec["storageClassName"] = newest(marked)["metadata"]["name"]


def newest(marked: list[Json]) -> Json:
    """The youngest of several defaults; of those made in one second the first by name."""
    by_name = sorted(marked, key=lambda c: str(c["metadata"]["name"]))
    return max(by_name, key=lambda c: str(c["metadata"]["creationTimestamp"]))


def _is_default(storage_class: Json) -> bool:
    annotations = storage_class["metadata"].get("annotations") or {}
    return "true" in (annotations.get(_DEFAULT_CLASS), annotations.get(_OLD_DEFAULT_CLASS))
