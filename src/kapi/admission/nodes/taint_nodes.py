"""TaintNodesByCondition: a new node takes no pods until it is known to be ready.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#taintnodesbycondition
"""

from __future__ import annotations

from kapi.admission.plugin import Attributes, Operation

NOT_READY = "node.kubernetes.io/not-ready"
_EFFECT = "NoSchedule"


class TaintNodesByCondition:
    name = "TaintNodesByCondition"

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == ("CREATE", "", "nodes", "")

    async def admit(self, attributes: Attributes) -> None:
        assert attributes.object is not None
        spec = attributes.object.setdefault("spec", {})
        taints = spec.get("taints") or []
        if not any(t.get("key") == NOT_READY and t.get("effect") == _EFFECT for t in taints):
            spec["taints"] = [*taints, {"key": NOT_READY, "effect": _EFFECT}]
