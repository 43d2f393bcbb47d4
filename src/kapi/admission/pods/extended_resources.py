"""ExtendedResourceToleration: a pod that asks for a device tolerates nodes kept for that device.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#extendedresourcetoleration
"""

from __future__ import annotations

from typing import Any

from kapi.admission.plugin import Attributes
from kapi.admission.pods.written_pods import OfWrittenPods

Json = dict[str, Any]


class ExtendedResourceToleration(OfWrittenPods):
    name = "ExtendedResourceToleration"

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        wanted = {
            name
            for field in ("containers", "initContainers")
            for container in spec.get(field) or ()
            for name in (container.get("resources") or {}).get("requests") or {}
            if _is_extended(name)
        }
        for name in sorted(wanted):
            spec["tolerations"] = _with(spec.get("tolerations") or [], name)


def _is_extended(name: str) -> bool:
    """Not one of Kubernetes' own resources."""
    return "/" in name and "kubernetes.io/" not in name and not name.startswith("requests.")


def _with(tolerations: list[Json], resource: str) -> list[Json]:
    added = {"key": resource, "operator": "Exists"}
    for index, toleration in enumerate(tolerations):
        known = (toleration.get("key"), toleration.get("operator"))
        if known == (resource, "Exists") and not toleration.get("effect"):
            return [*tolerations[:index], added, *tolerations[index + 1 :]]
    return [*tolerations, added]
