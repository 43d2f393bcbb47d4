"""AlwaysAdmit and AlwaysDeny: nothing, and everything, is refused. For tests of clients.

Writes of the server itself are not refused: it could not start.
https://kubernetes.io/docs/reference/access-authn-authz/admission-controllers/#alwaysdeny
"""

from __future__ import annotations

from kapi.admission.plugin import Attributes, Operation, refused

SERVER = "system:apiserver"


class AlwaysAdmit:
    name = "AlwaysAdmit"

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return False

    async def validate(self, attributes: Attributes) -> None:
        return


class AlwaysDeny:
    name = "AlwaysDeny"

    def handles(self, operation: Operation, group: str, resource: str, subresource: str) -> bool:
        return True

    async def admit(self, attributes: Attributes) -> None:
        if attributes.user.name != SERVER:
            raise refused(attributes, "admission control is denying all modifications")
