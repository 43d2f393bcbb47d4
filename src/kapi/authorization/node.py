"""The Node authorizer's place in the union; no opinion yet: kubelets get what RBAC gives.

Of a node it says that its rules cannot be listed, as the real one does.
https://kubernetes.io/docs/reference/access-authn-authz/node/
"""

from __future__ import annotations

from kapi.authorization.authorizer import Attributes, Decision, Rules
from kapi.messages import UserInfo

NODES_GROUP = "system:nodes"
NODE_USER_PREFIX = "system:node:"


class NodeAuthorizer:
    async def authorize(self, attributes: Attributes) -> tuple[Decision, str]:
        return Decision.NO_OPINION, ""

    async def rules_for(self, user: UserInfo, namespace: str) -> Rules:
        if NODES_GROUP in user.groups and user.name.startswith(NODE_USER_PREFIX):
            return Rules(
                incomplete=True,
                errors=["node authorizer does not support user rule resolution"],
            )
        return Rules()
