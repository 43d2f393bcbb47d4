"""AlwaysPullImages: every image is pulled anew, so that nobody runs one that he may not pull.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#alwayspullimages
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kapi.admission.plugin import Attributes, refused
from kapi.admission.pods.written_pods import OfWrittenPods
from kapi.errors import not_supported

Json = dict[str, Any]
ALWAYS = "Always"
_CONTAINERS = ("initContainers", "containers", "ephemeralContainers")


class AlwaysPullImages(OfWrittenPods):
    name = "AlwaysPullImages"

    async def admit(self, attributes: Attributes) -> None:
        a = attributes
        if not _has_new_images(a):
            return
        for _, container in _containers(a.object):
            container["imagePullPolicy"] = ALWAYS
        for volume in ((a.object or {}).get("spec") or {}).get("volumes") or ():
            if volume.get("image") is not None:
                volume["image"]["pullPolicy"] = ALWAYS

    async def validate(self, attributes: Attributes) -> None:
        """Somebody may have changed it back since."""
        if not _has_new_images(attributes):
            return
        for path, container in _containers(attributes.object):
            policy = container.get("imagePullPolicy", "")
            if policy != ALWAYS:
                found = not_supported(f"{path}.imagePullPolicy", policy, [ALWAYS])
                raise refused(attributes, str(found))


def _containers(pod: Json | None) -> Iterator[tuple[str, Json]]:
    spec = (pod or {}).get("spec") or {}
    for field in _CONTAINERS:
        for index, container in enumerate(spec.get(field) or ()):
            yield f"spec.{field}[{index}]", container


def _has_new_images(a: Attributes) -> bool:
    """An update without a new image may not be changed any more."""
    if a.operation != "UPDATE":
        return True
    before = {c.get("image") for _, c in _containers(a.old)}
    return any(c.get("image") not in before for _, c in _containers(a.object))
