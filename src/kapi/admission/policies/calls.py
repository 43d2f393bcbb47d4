"""What both kinds of admission policy do with a request before their expressions run: which
bindings it is for, with which params, and what the expressions see of it.

The params of a binding are objects of the policy's `paramKind`; a policy is evaluated once for
each. What is wrong with a policy or a binding is a `Problem`; whether it refuses the request is up
to the failure policy.
https://kubernetes.io/docs/reference/access-authn-authz/validating-admission-policy/#parameter-resources
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from kapi.admission.plugin import Attributes
from kapi.admission.policies.compiled import Common
from kapi.admission.policies.source import Binding
from kapi.admission.requests.evaluation import Asker, Scene, access_values, namespace_fields
from kapi.admission.requests.matching import Matcher
from kapi.admission.requests.review import request_fields
from kapi.admission.requests.rules import Kinds, Place
from kapi.authorization.authorizer import Authorizer as Access
from kapi.codec.spelled import ordinary
from kapi.errors import ApiError
from kapi.selector.label_selector import from_selector
from kapi.selector.labels import Selector

Json = dict[str, Any]


class ParamKinds(Protocol):
    """Objects that policies take as params, by apiVersion and kind."""

    def namespaced(self, api_version: str, kind: str) -> bool | None:
        """None for a kind that is not served."""

    async def get(self, api_version: str, kind: str, namespace: str, name: str) -> Json | None: ...

    async def list(
        self, api_version: str, kind: str, namespace: str, selector: Selector
    ) -> list[Json]: ...


class Problem(Exception):
    """What keeps a policy or a binding from being evaluated."""


async def params_of(
    common: Common, binding: Binding, namespace: str, kinds: ParamKinds
) -> Sequence[Json | None]:
    """What a policy is evaluated with, each in turn. Raises Problem."""
    if common.param_kind is None or binding.param_ref is None:
        return (None,)
    api_version, kind = common.param_kind
    ref = binding.param_ref
    wanted, name, selector = ref.get("namespace", ""), ref.get("name", ""), ref.get("selector")
    if not kinds.namespaced(api_version, kind):
        if wanted:
            raise Problem(
                "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"
            )
        where = ""
    else:
        where = wanted or namespace
        if not where:
            raise Problem(
                "cannot use namespaced paramRef in policy binding that matches cluster-scoped "
                "resources"
            )
    found: list[Json] = []
    if name:
        one = await kinds.get(api_version, kind, where, name)
        found = [one] if one is not None else []
    elif selector is not None:
        chosen = from_selector(selector) or Selector()
        found = await kinds.list(api_version, kind, where, chosen)
    if not found and ref.get("parameterNotFoundAction") == "Deny":
        raise Problem("no params found for policy binding with `Deny` parameterNotFoundAction")
    return found


def unknown_kind(common: Common, kinds: ParamKinds) -> str:
    """The problem of a policy whose paramKind is not served; empty for none."""
    if common.param_kind is None:
        return ""
    api_version, kind = common.param_kind
    if kinds.namespaced(api_version, kind) is not None:
        return ""
    shown = f"{api_version}, Kind={kind}" if "/" in api_version else f"/{api_version}, Kind={kind}"
    return f"failed to find resource referenced by paramKind: '{shown}'"


@dataclass(frozen=True, slots=True)
class Rooms:
    """What the plugins of policies work with."""

    matcher: Matcher
    kinds: Kinds
    params: ParamKinds
    access: Access

    async def namespace(self, a: Attributes) -> Json | None:
        """What expressions see of the namespace. Raises ApiError 404."""
        if not a.namespace or (a.resource == "namespaces" and not a.group):
            return None
        return namespace_fields(await self.matcher.namespace(a.namespace))


class Seen:
    """A request as expressions see it, made once for each place it is seen at."""

    def __init__(self, rooms: Rooms, a: Attributes, own: Place) -> None:
        self._kinds = rooms.kinds
        self._a = a
        self._own = own
        self.asker = Asker(rooms.access, a.user)
        self._values: dict[Place, Json] = {}

    async def values(self, place: Place) -> Json:
        """All variables but `params` and `namespaceObject`. Raises Problem."""
        found = self._values.get(place)
        if found is None:
            a = self._a
            found = self._values[place] = {
                "object": await self._shown(a.object, place),
                "oldObject": await self._shown(a.old, place),
                "request": request_fields(a, place, self._own),
                **access_values(a, place, self.asker),
            }
        return found

    async def _shown(self, obj: Json | None, place: Place) -> Json | None:
        if obj is None:
            return None
        try:
            return ordinary(await self._kinds.shown(obj, place))
        except ApiError as e:
            raise Problem(f"failed to convert object version: {e.message}") from None

    async def scene(
        self, common: Common, place: Place, param: Json | None, namespace: Json | None
    ) -> Scene:
        """Raises Problem."""
        values = {**await self.values(place), "params": param, "namespaceObject": namespace}
        return Scene(values, self.asker, common.variables)

    def changed(self) -> None:
        """The object is another one now."""
        self._values.clear()
