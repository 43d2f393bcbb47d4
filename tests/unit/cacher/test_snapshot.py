"""The snapshot against a dict: same content, in the order of the keys; lists never change."""

from __future__ import annotations

from hypothesis import given, seed
from hypothesis import strategies as st
from served import resource

from kapi.cacher.event import Item, Layout
from kapi.cacher.snapshot import Snapshot

LAYOUT = Layout(resource())
# "a-b" sorts before "a/" but after "a": the order is that of whole keys.
NAMESPACES = st.sampled_from(["a", "a-b", "a0", "b"])
NAMES = st.sampled_from(["x", "x-y", "x0", "y"])
STEPS = st.lists(st.tuples(st.sampled_from(["put", "remove", "list"]), NAMESPACES, NAMES))


def item(namespace: str, name: str, revision: int) -> Item:
    value = b'{"kind":"Pod","apiVersion":"v1","metadata":{}}'
    return LAYOUT.item(f"/registry/pods/{namespace}/{name}", namespace, name, value, revision)


@seed(3)
@given(STEPS)
def test_like_a_dict(steps: list[tuple[str, str, str]]) -> None:
    snapshot, model = Snapshot(), dict[tuple[str, str], Item]()
    taken = []
    for revision, (what, namespace, name) in enumerate(steps, 1):
        if what == "put":
            made = item(namespace, name, revision)
            assert snapshot.put(made) is model.get((namespace, name))
            model[(namespace, name)] = made
        elif what == "remove":
            assert snapshot.remove(namespace, name) is model.pop((namespace, name), None)
        else:
            for found in (snapshot.list(), snapshot.list(namespace)):
                taken.append((found, list(found)))
        everything = sorted(model.values(), key=lambda i: i.key)
        assert list(snapshot.list()) == everything
        assert list(snapshot.list(namespace)) == [i for i in everything if i.namespace == namespace]
        assert len(snapshot) == len(model)
        assert snapshot.get(namespace, name) is model.get((namespace, name))
    for found, content in taken:
        assert list(found) == content, "a list that was given out has changed"
    again = Snapshot()
    again.load(snapshot.list())
    assert list(again.list()) == list(snapshot.list())


def test_a_list_is_made_once_until_something_changes() -> None:
    snapshot = Snapshot()
    snapshot.put(item("a", "x", 1))
    snapshot.put(item("b", "x", 2))
    assert snapshot.list() is snapshot.list()
    kept = snapshot.list("a")
    snapshot.put(item("b", "y", 3))
    assert snapshot.list("a") is kept
