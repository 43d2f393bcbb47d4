"""PodTopologyLabels: a pod gets the zone and the region of its node as labels, when it is bound.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#podtopologylabels
"""

from __future__ import annotations

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation

LABELS = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")


class PodTopologyLabels:
    name = "PodTopologyLabels"

    def __init__(self, nodes: Lister) -> None:
        self._nodes = nodes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource) == ("CREATE", "", "pods") and subresource in (
            "",
            "binding",
        )

    async def admit(self, attributes: Attributes) -> None:
        obj = attributes.object
        assert obj is not None
        if attributes.subresource:
            target = obj.get("target") or {}
            node = target.get("name") if target.get("kind") == "Node" else ""
        else:
            node = (obj.get("spec") or {}).get("nodeName")
        found = self._nodes.get("", node) if node else None
        if found is None:
            return
        theirs = found["metadata"].get("labels") or {}
        added = {key: theirs[key] for key in LABELS if key in theirs}
        if added:
            meta = obj.setdefault("metadata", {})
            labels = {**added, **(meta.get("labels") or {})}
            meta["labels"] = {key: labels[key] for key in sorted(labels)}
