"""Who may write policies that take params."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from kapi.authorization.authorizer import Attributes, Decision
from kapi.authorization.param_access import GROUP, ParamAccess
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
JANE = UserInfo("jane", "7", ("dev",), {"b": ("2",), "a": ("1", "3")})
MAPS: Json = {"apiVersion": "v1", "kind": "ConfigMap"}


class Access:
    def __init__(self, decision: Decision) -> None:
        self._decision = decision
        self.asked: list[tuple[str, ...]] = []

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        self.asked.append((a.verb, a.group, a.version, a.resource, a.namespace, a.name))
        return self._decision, ""


@dataclass
class Write:
    resource: str
    object: Json | None
    old: Json | None = None
    user: UserInfo = JANE
    kind: str = "K"


def policy(kind: Json | None) -> Json:
    return {"metadata": {"name": "p"}, "spec": {"paramKind": kind}}


def plugin(access: Access, of_policy: Json | None = MAPS) -> ParamAccess:
    known = {("", "ConfigMap"): ["configmaps"]}
    return ParamAccess(
        access, lambda *kind: known.get(kind, []), lambda plural, name: policy(of_policy)
    )


POLICIES, BINDINGS = "validatingadmissionpolicies", "mutatingadmissionpolicybindings"
REFERENCE: Json = {"name": "n", "namespace": "ns"}
BINDING: Json = {"metadata": {"name": "b"}, "spec": {"policyName": "p", "paramRef": REFERENCE}}


async def test_who_cannot_read_params() -> None:
    refusing = plugin(Access(Decision.DENY))
    with pytest.raises(ApiError) as e:
        await refusing.validate(Write(POLICIES, policy(MAPS)))
    assert e.value.message == (
        f'K.{GROUP} "p" is invalid: spec.paramKind: Forbidden: user &{{jane 7 [dev] map[a:[1 3] '
        'b:[2]]} must have "get" permission on all objects of the referenced paramKind '
        "(kind=ConfigMap, apiVersion=v1)"
    )
    with pytest.raises(ApiError) as e:
        await refusing.validate(Write(BINDINGS, BINDING, BINDING))
    assert e.value.message.endswith(
        'does not have "get" permission on the object referenced by paramRef'
    )


@pytest.mark.parametrize(
    ("write", "of_policy", "asked"),
    [
        (Write(POLICIES, policy(MAPS)), None, [("get", "", "v1", "configmaps", "*", "*")]),
        (Write(POLICIES, policy({**MAPS, "kind": "X"})), None, [("get", "", "v1", "*", "*", "*")]),
        (Write(POLICIES, policy(MAPS), policy(MAPS)), None, []),
        (Write(POLICIES, policy(None)), None, []),
        (Write(POLICIES, policy(MAPS), user=UserInfo("a", groups=("system:masters",))), None, []),
        (Write(BINDINGS, BINDING), MAPS, [("get", "", "v1", "configmaps", "ns", "n")]),
        (Write(BINDINGS, BINDING), None, [("get", "*", "*", "*", "ns", "n")]),
        (Write(BINDINGS, {**BINDING, "spec": {"policyName": "p"}}), MAPS, []),
    ],
)
async def test_what_is_asked(
    write: Write, of_policy: Json | None, asked: list[tuple[str, ...]]
) -> None:
    access = Access(Decision.ALLOW)
    await plugin(access, of_policy).validate(write)
    assert access.asked == asked


def test_what_is_looked_at() -> None:
    mine = plugin(Access(Decision.ALLOW))
    assert mine.handles("CREATE", GROUP, BINDINGS, "")
    assert not mine.handles("DELETE", GROUP, BINDINGS, "")
    assert not mine.handles("UPDATE", GROUP, POLICIES, "status")
    assert not mine.handles("UPDATE", "", "pods", "")
