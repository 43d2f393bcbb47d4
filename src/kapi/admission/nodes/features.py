"""NodeDeclaredFeatureValidator: a pod is not changed in a way that its node does not know.

Features of a release that nodes of an older one lack are declared by the node in its status.
https://kubernetes.io/docs/concepts/scheduling-eviction/node-declared-features/
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused
from kapi.errors import quote

Json = dict[str, Any]


def _pod_resources(old: Json, new: Json) -> bool:
    return old.get("resources") != new.get("resources")


def _init_containers(old: Json, new: Json) -> bool:
    pairs = zip(old.get("initContainers") or (), new.get("initContainers") or (), strict=False)
    return any(
        before.get("restartPolicy") != "Always"
        and (before.get("resources") or {}) != (after.get("resources") or {})
        for before, after in pairs
    )


# Feature → whether the change of a pod's spec needs it.
_FEATURES: tuple[tuple[str, Callable[[Json, Json], bool]], ...] = (
    ("InPlacePodLevelResourcesVerticalScaling", _pod_resources),
    ("InPlacePodVerticalScalingInitContainers", _init_containers),
)


class NodeDeclaredFeatureValidator:
    name = "NodeDeclaredFeatureValidator"

    def __init__(self, nodes: Lister) -> None:
        self._nodes = nodes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource) == ("UPDATE", "", "pods") and subresource in (
            "",
            "resize",
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        old, new = ((o or {}).get("spec") or {} for o in (a.old, a.object))
        node = new.get("nodeName")
        if not node or old == new:
            return
        needed = [feature for feature, needs in _FEATURES if needs(old, new)]
        if not needed:
            return
        found = self._nodes.get("", node)
        if found is None:
            raise refused(a, f"node {quote(node)} not found")
        declared = (found.get("status") or {}).get("declaredFeatures") or ()
        missing = [feature for feature in needed if feature not in declared]
        if missing:
            text = f"pod update requires features {', '.join(missing)} which are not available "
            raise refused(a, f"{text}on node {quote(node)}")
