"""Which names a definition gets, as a story of several definitions of one group."""

from typing import Any

from kapi.apiextensions.naming import Taken, decide

Json = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"
LATER = "2026-01-02T00:00:00Z"
NAMES: Json = {
    "plural": "things", "singular": "thing", "kind": "Thing", "listKind": "ThingList",
    "shortNames": ["th"], "categories": ["all"],
}  # fmt: skip
NOBODY = Taken.by([])


def definition(status: Json | None = None, **names: Any) -> Json:
    return {"spec": {"group": "example.com", "names": {**NAMES, **names}}, "status": status or {}}


def conditions(status: Json) -> dict[str, tuple[str, str, str]]:
    return {c["type"]: (c["status"], c["reason"], c["message"]) for c in status["conditions"]}


def test_the_first_gets_what_it_wants() -> None:
    status = decide(definition(), NOBODY, NOW)
    assert status["acceptedNames"] == NAMES
    assert list(status["acceptedNames"]) == [
        "plural", "singular", "shortNames", "kind", "listKind", "categories",
    ]  # fmt: skip
    assert conditions(status) == {
        "NamesAccepted": ("True", "NoConflicts", "no conflicts found"),
        "Established": (
            "True", "InitialNamesAccepted", "the initial names have been accepted",
        ),
    }  # fmt: skip


def test_deciding_again_changes_nothing() -> None:
    status = decide(definition(), NOBODY, NOW)
    assert decide(definition(status), NOBODY, LATER) == status


def test_a_name_in_use_is_not_accepted_but_the_others_are() -> None:
    taken = Taken.by(
        [{"plural": "items", "singular": "item", "kind": "Thing", "listKind": "Items"}]
    )
    status = decide(definition(), taken, NOW)
    assert "listKind" in status["acceptedNames"]
    assert status["acceptedNames"]["kind"] == ""
    assert conditions(status) == {
        "NamesAccepted": ("False", "KindConflict", '"Thing" is already in use'),
        "Established": ("False", "NotAccepted", "not all names are accepted"),
    }


def test_a_plural_is_a_singular_and_a_short_name_too() -> None:
    taken = Taken.by([{"plural": "th", "kind": "Other", "shortNames": ["things"]}])
    status = decide(definition(shortNames=["th", "things"]), taken, NOW)
    found = conditions(status)["NamesAccepted"]
    assert found[1:] == (
        "ShortNamesConflict", '["th" is already in use, "things" is already in use]',
    )  # fmt: skip
    assert status["acceptedNames"]["plural"] == ""


def test_what_was_accepted_stays_while_the_wish_conflicts() -> None:
    first = decide(definition(), NOBODY, NOW)
    taken = Taken.by([{"plural": "others", "singular": "other", "kind": "Other"}])
    status = decide(definition(first, singular="other", shortNames=["o"]), taken, LATER)
    assert status["acceptedNames"]["singular"] == "thing"
    assert status["acceptedNames"]["shortNames"] == ["o"]
    found = conditions(status)
    assert found["NamesAccepted"][1] == "SingularConflict"
    assert found["Established"][0] == "True"  # established once is established for good
    moved = {c["type"]: c["lastTransitionTime"] for c in status["conditions"]}
    assert moved == {"NamesAccepted": LATER, "Established": NOW}


def test_a_name_of_its_own_cannot_serve_twice() -> None:
    first = decide(definition(), NOBODY, NOW)
    own = Taken.by([first["acceptedNames"]])
    assert decide(definition(first), own, LATER) == first
    status = decide(definition(first, singular="things"), own, LATER)
    assert status["acceptedNames"]["singular"] == "thing"
    assert conditions(status)["NamesAccepted"][1] == "SingularConflict"


def test_a_definition_with_a_bundle_that_is_none_is_not_served_at_first() -> None:
    found = definition()
    client = {"url": "https://h", "caBundle": "Cg=="}
    found["spec"]["conversion"] = {"strategy": "Webhook", "webhook": {"clientConfig": client}}
    status = decide(found, NOBODY, NOW)
    assert conditions(status)["Established"][:2] == ("False", "InvalidCABundle")
    assert conditions(status)["NamesAccepted"][0] == "True"
    mended = definition(status)
    served = decide(mended, NOBODY, LATER)
    assert conditions(served)["Established"][:2] == ("True", "InitialNamesAccepted")
    found["status"] = served
    assert decide(found, NOBODY, LATER) == served, "what is served stays so"


def test_a_group_of_kubernetes_says_whether_its_api_was_approved() -> None:
    wanted = definition()
    wanted["metadata"] = {"annotations": {"api-approved.kubernetes.io": "https://example.com/1"}}
    wanted["spec"]["group"] = "things.k8s.io"
    status = decide(wanted, NOBODY, NOW)
    assert conditions(status)["KubernetesAPIApprovalPolicyConformant"] == (
        "True", "ApprovedAnnotation", "approved in https://example.com/1",
    )  # fmt: skip
