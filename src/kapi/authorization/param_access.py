"""Who writes an admission policy that takes params, or binds them, must be able to read them.

Otherwise a policy would tell its author what is in objects that he cannot see. It is asked after
the object was found valid, and before anybody else may refuse, as the strategies of the real server
do; the answer is one more finding. Members of system:masters are not asked.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

from kapi.authorization.always import MASTERS
from kapi.authorization.authorizer import Attributes, Authorizer, allows
from kapi.errors import field_forbidden, invalid
from kapi.messages import UserInfo

Json = dict[str, Any]

GROUP = "admissionregistration.k8s.io"
# Policies by plural, and what binds each of them.
_POLICIES = ("validatingadmissionpolicies", "mutatingadmissionpolicies")
_BINDINGS = {
    "validatingadmissionpolicybindings": "validatingadmissionpolicies",
    "mutatingadmissionpolicybindings": "mutatingadmissionpolicies",
}


class Write(Protocol):
    """What is read of admission's Attributes."""

    @property
    def resource(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def object(self) -> Json | None: ...
    @property
    def old(self) -> Json | None: ...
    @property
    def user(self) -> UserInfo: ...


class ParamAccess:
    """An admission plugin by shape (`name`, `handles`, `validate`)."""

    name = "ParamAccess"

    def __init__(
        self,
        authorizer: Authorizer,
        served: Callable[[str, str], Sequence[str]],
        policy: Callable[[str, str], Json | None],
    ) -> None:
        """`served`: the plurals of a group and kind; `policy`: by plural and name."""
        self._authorizer = authorizer
        self._served = served
        self._policy = policy

    def handles(self, operation: str, group: str, resource: str, subresource: str) -> bool:
        return (
            group == GROUP
            and operation in ("CREATE", "UPDATE")
            and not subresource
            and (resource in _POLICIES or resource in _BINDINGS)
        )

    async def validate(self, write: Write) -> None:
        """Raises ApiError 422."""
        spec = (write.object or {}).get("spec") or {}
        before = (write.old or {}).get("spec") or {}
        if MASTERS in write.user.groups:
            return
        if write.resource in _POLICIES:
            kind = spec.get("paramKind")
            if kind is None or kind == before.get("paramKind"):
                return
            if not await self._reads(write.user, kind, "*", "*"):
                text = (
                    f'user {_shown(write.user)} must have "get" permission on all objects of the '
                    f"referenced paramKind (kind={kind.get('kind', '')}, "
                    f"apiVersion={kind.get('apiVersion', '')})"
                )
                self._refuse(write, "spec.paramKind", text)
            return
        reference = spec.get("paramRef")
        if reference is None:  # one that stays is asked about again
            return
        policy = self._policy(_BINDINGS[write.resource], spec.get("policyName", "")) or {}
        kind = (policy.get("spec") or {}).get("paramKind")
        place = reference.get("namespace", ""), reference.get("name", "")
        if not await self._reads(write.user, kind, *place):
            text = (
                f'user {_shown(write.user)} does not have "get" permission on the object '
                "referenced by paramRef"
            )
            self._refuse(write, "spec.paramRef", text)

    async def _reads(self, user: UserInfo, kind: Json | None, namespace: str, name: str) -> bool:
        """A kind that nobody knows may be anything."""
        group, version, resource = "*", "*", "*"
        if kind is not None:
            group, _, version = kind.get("apiVersion", "").rpartition("/")
            plurals = self._served(group, kind.get("kind", ""))
            resource = plurals[0] if plurals else "*"
        asked = Attributes(
            user=user,
            verb="get",
            is_resource=True,
            group=group,
            version=version,
            namespace=namespace,
            resource=resource,
            name=name,
        )
        return await allows(self._authorizer, asked)

    def _refuse(self, write: Write, path: str, text: str) -> None:
        name = (write.object or {})["metadata"].get("name", "")
        raise invalid(GROUP, write.kind, name, [field_forbidden(path, text)])


def _shown(user: UserInfo) -> str:
    """As Go prints a pointer to a struct: name, uid, groups, extra."""
    extra = " ".join(f"{key}:[{' '.join(values)}]" for key, values in sorted(user.extra.items()))
    return f"&{{{user.name} {user.uid} [{' '.join(user.groups)}] map[{extra}]}}"
