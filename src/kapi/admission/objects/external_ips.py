"""DenyServiceExternalIPs: no service gets a new external address.

https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#denyserviceexternalips
"""

from __future__ import annotations

from kapi.admission.plugin import Attributes, Operation, refused


class DenyServiceExternalIPs:
    name = "DenyServiceExternalIPs"

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return operation in ("CREATE", "UPDATE") and (group, resource, subresource) == (
            "",
            "services",
            "",
        )

    async def validate(self, attributes: Attributes) -> None:
        a = attributes
        specs = ((o or {}).get("spec") or {} for o in (a.old, a.object))
        old, new = (spec.get("externalIPs") or () for spec in specs)
        if not set(new) <= set(old):
            raise refused(a, "Use of external IPs is denied by admission control")
