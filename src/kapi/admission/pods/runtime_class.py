"""RuntimeClass: a pod that names one gets its overhead, and runs only where its handler is.

https://kubernetes.io/docs/concepts/containers/runtime-class/
"""

from __future__ import annotations

from typing import Any

from kapi import errors
from kapi.admission.listers import Lister
from kapi.admission.plugin import Attributes, Operation, refused

Json = dict[str, Any]


class RuntimeClassPlugin:
    name = "RuntimeClass"

    def __init__(self, classes: Lister) -> None:
        self._classes = classes

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == ("CREATE", "", "pods", "")

    def _class(self, a: Attributes) -> Json | None:
        name = ((a.object or {}).get("spec") or {}).get("runtimeClassName")
        if not name:
            return None
        found = self._classes.get("", name)
        if found is None:
            raise self._rejected(a, f"RuntimeClass {errors.quote(name)} not found")
        return found

    def _rejected(self, a: Attributes, text: str) -> errors.ApiError:
        return refused(a, f"pod rejected: {text}")

    async def admit(self, attributes: Attributes) -> None:
        found = self._class(attributes)
        if found is None:
            return
        assert attributes.object is not None
        spec = attributes.object["spec"]
        overhead = (found.get("overhead") or {}).get("podFixed")
        if overhead:
            if spec.get("overhead") and spec["overhead"] != overhead:
                text = "Pod's Overhead doesn't match RuntimeClass's defined Overhead"
                raise self._rejected(attributes, text)
            spec["overhead"] = dict(overhead)
        scheduling = found.get("scheduling") or {}
        if scheduling.get("nodeSelector"):
            spec["nodeSelector"] = self._merged(attributes, spec, scheduling["nodeSelector"])
        if scheduling.get("tolerations"):
            own = spec.get("tolerations") or []
            added = [t for t in scheduling["tolerations"] if t not in own]
            spec["tolerations"] = [*own, *(dict(t) for t in added)]

    def _merged(self, a: Attributes, spec: Json, wanted: Json) -> Json:
        selector = dict(spec.get("nodeSelector") or {})
        for key, value in wanted.items():
            if selector.get(key, value) != value:
                text = (
                    "conflict: runtimeClass.scheduling.nodeSelector"
                    f"[{key}] = {value}; pod.spec.nodeSelector[{key}] = {selector[key]}"
                )
                raise self._rejected(a, text)
            selector[key] = value
        return {key: selector[key] for key in sorted(selector)}

    async def validate(self, attributes: Attributes) -> None:
        found = self._class(attributes)
        spec = (attributes.object or {}).get("spec") or {}
        overhead = spec.get("overhead")
        wanted = ((found or {}).get("overhead") or {}).get("podFixed")
        if found is not None and wanted and overhead != wanted:
            text = "Pod's Overhead doesn't match RuntimeClass's defined Overhead"
            raise self._rejected(attributes, text)
        if overhead and not wanted:
            text = "Pod Overhead set without corresponding RuntimeClass defined Overhead"
            raise self._rejected(attributes, text)
