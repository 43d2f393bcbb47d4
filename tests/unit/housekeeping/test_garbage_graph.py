"""The graph of owners: what is put in is found from both sides, what goes leaves nothing."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.housekeeping.garbage_graph import Graph, Owner, Place, owners_of

A, B, C = (Place("configmaps", "ns", name) for name in "abc")


def owner(uid: str, *, blocks: bool = False) -> Owner:
    return Owner("v1", "ConfigMap", f"name-{uid}", uid, blocks)


def test_owners_and_dependents() -> None:
    graph = Graph()
    graph.put(A, (owner("1"), owner("2", blocks=True)))
    graph.put(B, (owner("1"),))
    assert graph.dependents("1") == [A, B]
    assert graph.owners(A) == (owner("1"), owner("2", blocks=True))
    assert (graph.blocked("1"), graph.blocked("2")) == (False, True)
    assert graph.drop(A) == (owner("1"), owner("2", blocks=True))
    assert graph.dependents("1") == [B]
    assert not graph.has_dependents("2")
    assert not graph.blocked("2")


def test_who_blocks_no_longer() -> None:
    graph = Graph()
    graph.put(A, (owner("1", blocks=True), owner("2", blocks=True)))
    assert graph.put(A, (owner("1"), owner("2", blocks=True))) == ["1"]
    assert graph.put(A, ()) == ["2"]
    assert len(graph) == 0


def test_a_whole_kind_goes() -> None:
    graph = Graph()
    graph.put(A, (owner("1"),))
    graph.put(Place("secrets", "ns", "a"), (owner("1"),))
    graph.drop_all("configmaps")
    assert graph.dependents("1") == [Place("secrets", "ns", "a")]


def test_references_are_read_as_they_come() -> None:
    ref = {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "u", "blockOwnerDeletion": True}
    assert owners_of({"ownerReferences": [ref, {}]}) == (
        Owner("v1", "Pod", "p", "u", True),
        Owner("", "", "", "", False),
    )
    assert owners_of({"ownerReferences": None}) == owners_of({}) == ()


OWNERS = st.lists(st.builds(owner, st.sampled_from("123"), blocks=st.booleans()), max_size=4).map(
    tuple
)


@settings(derandomize=True, max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([A, B, C]), OWNERS), max_size=12))
def test_it_agrees_with_a_plain_table(steps: list[tuple[Place, tuple[Owner, ...]]]) -> None:
    graph, table = Graph(), dict[Place, tuple[Owner, ...]]()
    for place, owners in steps:
        graph.put(place, owners)
        table[place] = owners
        for uid in "123":
            named = {p for p, known in table.items() if any(o.uid == uid for o in known)}
            assert set(graph.dependents(uid)) == named
            blocked = any(o.uid == uid and o.blocks for known in table.values() for o in known)
            assert graph.blocked(uid) == blocked
    for place in table:
        graph.drop(place)
    assert len(graph) == 0
    assert not any(graph.has_dependents(uid) or graph.blocked(uid) for uid in "123")
