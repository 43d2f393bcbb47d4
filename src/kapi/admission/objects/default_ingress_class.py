"""DefaultIngressClass: an ingress that names no class gets the default one.

https://kubernetes.io/docs/concepts/services-networking/ingress/#default-ingress-class
"""

from __future__ import annotations

from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.objects.default_storage_class import newest
from kapi.admission.plugin import Attributes, Operation

Json = dict[str, Any]
_DEFAULT_INGRESS = "ingressclass.kubernetes.io/is-default-class"


class DefaultIngressClass:
    """An ingress that names no class gets the default one."""

    name = "DefaultIngressClass"

    def __init__(self, classes: Lister) -> None:
        self._classes = classes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == (
            "CREATE",
            "networking.k8s.io",
            "ingresses",
            "",
        )

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        assert a.object is not None
        spec = a.object.setdefault("spec", {})
        annotations = a.object["metadata"].get("annotations") or {}
        if spec.get("ingressClassName") is not None or "kubernetes.io/ingress.class" in annotations:
            return
        marked = [
            c
            for c in self._classes.list()
            if (c["metadata"].get("annotations") or {}).get(_DEFAULT_INGRESS) == "true"
        ]
        if marked:
            spec["ingressClassName"] = newest(marked)["metadata"]["name"]
