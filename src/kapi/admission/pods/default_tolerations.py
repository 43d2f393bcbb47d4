"""DefaultTolerationSeconds: pods stay some minutes on a node that is not ready or out of reach.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/
"""

from __future__ import annotations

from typing import Any

from kapi.admission.plugin import Attributes
from kapi.admission.pods.written_pods import OfWrittenPods

Json = dict[str, Any]
NOT_READY = "node.kubernetes.io/not-ready"
UNREACHABLE = "node.kubernetes.io/unreachable"


class DefaultTolerationSeconds(OfWrittenPods):
    name = "DefaultTolerationSeconds"

    def __init__(self, not_ready_s: int, unreachable_s: int) -> None:
        self._seconds = ((NOT_READY, not_ready_s), (UNREACHABLE, unreachable_s))

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        tolerations = spec.get("tolerations") or []
        missing = [
            _toleration(key, seconds)
            for key, seconds in self._seconds
            if not any(_tolerates(t, key) for t in tolerations)
        ]
        if missing:
            spec["tolerations"] = [*tolerations, *missing]


def _tolerates(toleration: Json, key: str) -> bool:
    return toleration.get("key", "") in (key, "") and toleration.get("effect", "") in (
        "NoExecute",
        "",
    )


def _toleration(key: str, seconds: int) -> Json:
    return {
        "key": key,
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": seconds,
    }
