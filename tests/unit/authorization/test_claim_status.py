"""Who may write what into the status of a claim: which questions are asked, and the answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest

from kapi.admission.plugin import Attributes as Write
from kapi.authentication.service_account import NODE_NAME
from kapi.authorization.authorizer import Attributes, Decision, Undecided
from kapi.authorization.claim_status import ClaimStatusAccess, allocated_node, changed_drivers
from kapi.errors import ApiError
from kapi.messages import UserInfo

Json = dict[str, Any]
DRIVER = UserInfo("system:serviceaccount:kube-system:driver", extra={NODE_NAME: ("n1",)})
CONTROLLER = UserInfo("system:serviceaccount:kube-system:controller")


def selector(*names: str, **more: Any) -> Json:
    fields = [{"key": "metadata.name", "operator": "In", "values": list(names)}]
    return {"nodeSelectorTerms": [{"matchFields": fields, **more}]}


def on(node: str) -> Json:
    return {"allocation": {"nodeSelector": selector(node)}}


def device(driver: str, name: str = "x", **more: Any) -> Json:
    return {"driver": driver, "pool": "p", "device": name, **more}


def allocated(*devices: Json) -> Json:
    return {"allocation": {"devices": {"results": [{"request": "r", **d} for d in devices]}}}


@dataclass
class Asked:
    """An authorizer that allows what it is given, as `verb subresource namespace name`."""

    allowed: tuple[str, ...] = ()
    questions: list[str] = field(default_factory=list)

    async def authorize(self, a: Attributes) -> tuple[Decision, str]:
        assert (a.group, a.resource) == ("resource.k8s.io", "resourceclaims")
        said = " ".join(filter(None, (a.verb, a.subresource, a.namespace, a.name)))
        self.questions.append(said)
        return (Decision.ALLOW if said in self.allowed else Decision.NO_OPINION), ""


def write(new: Json, old: Json, user: UserInfo = CONTROLLER, *, patched: bool = False) -> Write:
    return Write(
        operation="UPDATE",
        group="resource.k8s.io",
        version="v1",
        kind="ResourceClaim",
        resource="resourceclaims",
        subresource="status",
        namespace="ns",
        name="c",
        object={"status": new},
        old={"status": old},
        user=user,
        dry_run=False,
        patched=patched,
    )


NEW = device("d", data={"a": 1})
CASES: list[tuple[Write, list[str]]] = [
    (write({}, {}), []),
    (write(on("n1"), {}), ["update binding"]),
    (write(on("n1"), {}, patched=True), ["patch binding"]),
    (write(on("n1"), on("n1")), []),
    (write({}, on("n1")), ["update binding"]),
    (write({"reservedFor": [{"name": "p"}]}, {}), ["update binding"]),
    (write({"reservedFor": []}, {}), []),
    (write({"devices": [NEW]}, {}), ["arbitrary-node:update driver ns d"]),
    (write({"devices": [NEW]}, {}, DRIVER), ["arbitrary-node:update driver ns d"]),
    (
        write({**on("n1"), "devices": [NEW]}, on("n1"), DRIVER, patched=True),
        ["associated-node:patch driver ns d", "arbitrary-node:patch driver ns d"],
    ),
    (
        write({**on("n2"), "devices": [NEW]}, on("n2"), DRIVER),
        ["arbitrary-node:update driver ns d"],
    ),
    (
        write({"devices": [NEW, device("b")]}, {"devices": [device("b", "y")]}),
        ["arbitrary-node:update driver ns b", "arbitrary-node:update driver ns d"],
    ),
]


@pytest.mark.parametrize(("given", "questions"), CASES)
async def test_what_is_asked(given: Write, questions: list[str]) -> None:
    authorizer = Asked()
    if questions:
        with pytest.raises(ApiError):
            await ClaimStatusAccess(authorizer).validate(given)
    else:
        await ClaimStatusAccess(authorizer).validate(given)
    assert authorizer.questions == questions
    await ClaimStatusAccess(Asked(tuple(questions))).validate(given)


async def test_one_of_two_verbs_is_enough() -> None:
    given = write({**on("n1"), "devices": [NEW]}, on("n1"), DRIVER)
    for verb in ("associated-node", "arbitrary-node"):
        await ClaimStatusAccess(Asked((f"{verb}:update driver ns d",))).validate(given)


async def test_the_words() -> None:
    given = write({**on("n1"), "devices": [NEW]}, {}, DRIVER)
    with pytest.raises(ApiError) as caught:
        await ClaimStatusAccess(Asked()).validate(given)
    status = caught.value.status()
    who = 'User "system:serviceaccount:kube-system:driver" cannot'
    assert (status["code"], status["reason"]) == (422, "Invalid")
    assert [(c["field"], c["message"]) for c in status["details"]["causes"]] == [
        (
            "status",
            "Forbidden: changing status.allocation or status.reservedFor requires "
            'resource="resourceclaims/binding", verb="update" permission: '
            f"resourceclaims.resource.k8s.io is forbidden: {who} update resource "
            '"resourceclaims/binding" in API group "resource.k8s.io" at the cluster scope',
        ),
        (
            "status.devices",
            'Forbidden: changing status.devices requires resource="resourceclaims/driver", '
            'verb="[associated-node:update arbitrary-node:update]" permission: '
            f'resourceclaims.resource.k8s.io "d" is forbidden: {who} associated-node:update '
            'resource "resourceclaims/driver" in API group "resource.k8s.io" in the namespace '
            '"ns"',
        ),
    ]


@pytest.mark.parametrize(
    ("new", "old", "drivers"),
    [
        ([device("a")], [device("a")], set()),
        ([device("a", conditions=None)], [device("a", conditions=[])], set()),
        ([device("a", data={"x": 1})], [device("a", data={"x": 2})], {"a"}),
        ([device("a", shareID="1")], [device("a", shareID="2")], {"a"}),
        ([], [device("a"), device("b")], {"a", "b"}),
        ([device("a", "y")], [device("a"), device("b")], {"a", "b"}),
    ],
)
def test_changed_drivers(new: list[Json], old: list[Json], drivers: set[str]) -> None:
    assert changed_drivers({"devices": new}, {"devices": old}) == drivers


def test_what_goes_with_its_device_is_nobodys_change() -> None:
    before = {**allocated(device("a"), device("b")), "devices": [device("a"), device("b")]}
    assert changed_drivers({}, before) == set()
    assert changed_drivers(allocated(device("b")), before) == {"b"}


@pytest.mark.parametrize(
    ("chosen", "node"),
    [
        (selector("n"), "n"),
        (selector("n", "m"), ""),
        (selector("n", matchExpressions=[{"key": "k", "operator": "Exists"}]), ""),
        ({"nodeSelectorTerms": [{}, {}]}, ""),
        ({"nodeSelectorTerms": [{"matchFields": [{"key": "k"}]}]}, ""),
        (None, ""),
    ],
)
def test_allocated_node(chosen: Json | None, node: str) -> None:
    assert allocated_node({"allocation": {"nodeSelector": chosen}}) == node


async def test_an_authorizer_that_fails_allows_nothing() -> None:
    """It is a refusal with the failure in it, and the next verb is asked all the same."""

    class Failing(Asked):
        async def authorize(self, a: Attributes) -> tuple[Decision, str]:
            found = await super().authorize(a)
            if found[0] is Decision.ALLOW:
                return found
            raise Undecided(Decision.NO_OPINION, ["no answer"], "and no rule")

    given = write({**on("n1"), "devices": [device("a")]}, on("n1"), DRIVER)
    with pytest.raises(ApiError) as caught:
        await ClaimStatusAccess(Failing()).validate(given)
    assert caught.value.code == 422
    assert "no answer: and no rule" in caught.value.message
    arbitrary = Failing(allowed=("arbitrary-node:update driver ns a",))
    await ClaimStatusAccess(arbitrary).validate(given)
    assert len(arbitrary.questions) == 2
