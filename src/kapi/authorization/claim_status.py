"""Who may write what into the status of a ResourceClaim, beyond the right to write status.

What is allocated and for whom belongs to who may write `resourceclaims/binding`; what is said of a
device to who may write `resourceclaims/driver` of its driver: with the verb
`associated-node:update` (or `…:patch`) if the writer is a service account on the node that the
claim is allocated on, with `arbitrary-node:…` in any case. Neither subresource exists; only rules
name them.

Asked after a claim was found valid; the answers are more findings. What the server itself takes
out, since its device was taken back, asks for no right of a driver: who took it back had to have
that of the binding.
https://kubernetes.io/docs/concepts/security/hardening-guide/dynamic-resource-allocation/
"""

from __future__ import annotations

from typing import Any, Protocol

from kapi.authorization.authorizer import Attributes, Authorizer, Decision, decide, refusal
from kapi.codec.spelled import Spelled, same
from kapi.errors import FieldError, field_forbidden, invalid
from kapi.messages import UserInfo

Json = dict[str, Any]
Key = tuple[str, str, str, str]

GATE = "DRAResourceClaimGranularStatusAuthorization"
GROUP = "resource.k8s.io"
PLURAL = "resourceclaims"
_ACCOUNT_PREFIX = "system:serviceaccount:"
_NODE_NAME = "authentication.kubernetes.io/node-name"  # what a token bound to a pod says
_KEYS = ("driver", "pool", "device", "shareID")


class Write(Protocol):
    """What is read of admission's Attributes."""

    @property
    def version(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def object(self) -> Json | None: ...
    @property
    def old(self) -> Json | None: ...
    @property
    def user(self) -> UserInfo: ...
    @property
    def patched(self) -> bool: ...


class ClaimStatusAccess:
    """An admission plugin by shape (`name`, `handles`, `validate`)."""

    name = "ClaimStatusAccess"

    def __init__(self, authorizer: Authorizer) -> None:
        self._authorizer = authorizer

    def handles(self, operation: str, group: str, resource: str, subresource: str) -> bool:
        return (operation, group, resource, subresource) == ("UPDATE", GROUP, PLURAL, "status")

    async def validate(self, write: Write) -> None:
        """Raises ApiError 422."""
        status = (write.object or {}).get("status") or {}
        before = (write.old or {}).get("status") or {}
        found = await self._binding(write, status, before)
        found += await self._devices(write, status, before)
        if found:
            raise invalid(GROUP, write.kind, write.name, found)

    async def _binding(self, write: Write, status: Json, before: Json) -> list[FieldError]:
        if _same(status, before, "allocation") and _same(status, before, "reservedFor"):
            return []
        verb = _verb(write)
        problem = await self._problem(_asked(write, verb, "binding"))
        if not problem:
            return []
        text = (
            "changing status.allocation or status.reservedFor requires "
            f'resource="resourceclaims/binding", verb="{verb}" permission: {problem}'
        )
        return [field_forbidden("status", text)]

    async def _devices(self, write: Write, status: Json, before: Json) -> list[FieldError]:
        drivers = changed_drivers(status, before)
        if not drivers:
            return []
        verbs = [f"arbitrary-node:{_verb(write)}"]
        if _is_on_node(write.user, allocated_node(status)):
            verbs.insert(0, f"associated-node:{_verb(write)}")
        found = []
        for driver in sorted(drivers):
            problem = await self._driver_problem(write, verbs, driver)
            if problem:
                text = (
                    'changing status.devices requires resource="resourceclaims/driver", '
                    f'verb="[{" ".join(verbs)}]" permission: {problem}'
                )
                found.append(field_forbidden("status.devices", text))
        return found

    async def _driver_problem(self, write: Write, verbs: list[str], driver: str) -> str:
        """Why none of the verbs is allowed: why the first is not. Empty: one is."""
        first = ""
        for verb in verbs:
            asked = _asked(write, verb, "driver", namespace=write.namespace, name=driver)
            problem = await self._problem(asked)
            if not problem:
                return ""
            first = first or problem
        return first

    async def _problem(self, asked: Attributes) -> str:
        """Why it may not be, in words; empty: it may. An authorizer that fails allows nothing."""
        decision, reason, failure = await decide(self._authorizer, asked)
        if decision is Decision.ALLOW:
            return ""
        return refusal(asked, ": ".join(filter(None, (failure, reason)))).message


def _verb(write: Write) -> str:
    return "patch" if write.patched else "update"


def _asked(
    write: Write, verb: str, subresource: str, *, namespace: str = "", name: str = ""
) -> Attributes:
    return Attributes(
        user=write.user,
        verb=verb,
        is_resource=True,
        group=GROUP,
        version=write.version,
        namespace=namespace,
        resource=PLURAL,
        subresource=subresource,
        name=name,
    )


def _same(status: Json, before: Json, name: str) -> bool:
    return same(_bare(status.get(name)) or None, _bare(before.get(name)) or None)


def _bare(value: Any) -> Any:
    """A value without what is empty, which says nothing."""
    if isinstance(value, list):
        return [_bare(item) for item in value]
    if not isinstance(value, dict) or isinstance(value, Spelled):
        return value
    return {name: _bare(item) for name, item in value.items() if item not in (None, "", [])}


def changed_drivers(status: Json, before: Json) -> set[str]:
    """The drivers of devices whose entries were added, changed or taken away by the writer."""
    old = {_key(device): device for device in before.get("devices") or ()}
    changed = set()
    for device in status.get("devices") or ():
        known = old.pop(_key(device), None)
        if known is None or not same(_bare(known), _bare(device)):
            changed.add(device.get("driver", ""))
    taken_back = _allocated(before) - _allocated(status)
    return changed | {key[0] for key in old if key not in taken_back}


def _allocated(status: Json) -> set[Key]:
    devices = (status.get("allocation") or {}).get("devices") or {}
    return {_key(result) for result in devices.get("results") or ()}


def _key(device: Json) -> Key:
    driver, pool, name, share = (device.get(name) or "" for name in _KEYS)
    return driver, pool, name, share


def allocated_node(status: Json) -> str:
    """The one node that a claim is allocated on; empty if it is not one alone."""
    selector = (status.get("allocation") or {}).get("nodeSelector") or {}
    terms = selector.get("nodeSelectorTerms") or []
    if len(terms) != 1 or terms[0].get("matchExpressions"):
        return ""
    fields = terms[0].get("matchFields") or []
    if len(fields) != 1:
        return ""
    values = fields[0].get("values") or []
    by_name = fields[0].get("key") == "metadata.name" and fields[0].get("operator") == "In"
    node: str = values[0] if by_name and len(values) == 1 else ""
    return node


def _is_on_node(user: UserInfo, node: str) -> bool:
    namespace, _, account = user.name.removeprefix(_ACCOUNT_PREFIX).partition(":")
    if not node or not user.name.startswith(_ACCOUNT_PREFIX) or not namespace or not account:
        return False
    if ":" in account:
        return False
    return tuple(user.extra.get(_NODE_NAME, ())) == (node,)
