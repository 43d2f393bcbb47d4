"""What compilers remember is whole for whoever looks from another thread."""

from __future__ import annotations

import copy
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from kapi.kinds.shared.types import TypeTable
from kapi.schema.decoding import Decoders
from kapi.schema.made import Made
from kapi.schema.ordering import Orders
from kapi.schema.protobuf_reading import Readers
from kapi.schema.protobuf_writing import Writers
from kapi.schema.settling import Settlers

Json = dict[str, Any]
POD_TYPE = "io.k8s.api.core.v1.Pod"
POD: Json = {
    "metadata": {"name": "a"},
    "spec": {"containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 1}]}]},
}
ROUNDS = 20


@pytest.fixture
def hasty() -> Iterator[None]:
    """Threads take turns as often as can be."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def in_two_threads(work: Callable[[], object]) -> list[object]:
    """What the work comes to in each; an exception is a result."""
    gate, found = threading.Barrier(2), list[object]()

    def run() -> None:
        gate.wait(10)
        try:
            found.append(work())
        except Exception as error:
            found.append(repr(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_others_wait_until_all_is_whole() -> None:
    made: Made[str, list[str]] = Made()
    seen: list[list[str] | None] = []

    def look() -> None:
        with made as under_way:
            found = under_way.find("whole")
            seen.append(None if found is None else list(found))

    with made as under_way:
        whole: list[str] = []
        under_way.put("whole", whole)
        thread = threading.Thread(target=look)
        thread.start()
        with made as inner:
            assert inner.find("whole") is whole  # its maker sees it
        assert made.known == {}
        assert seen == []
        whole.append("part")
    thread.join()
    assert seen == [["part"]]
    assert made.known == {"whole": ["part"]}


def test_what_fails_leaves_nothing() -> None:
    made: Made[str, str] = Made()

    def fail() -> None:
        with made as outer:
            outer.put("outer", "half")
            with made as inner:
                inner.put("inner", "half")
                raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert made.known == {}
    assert made.find("outer") is None
    with made as again:
        again.put("outer", "whole")
    assert made.known == {"outer": "whole"}


def every_form() -> Callable[[], Json]:
    """Through all compilers of a server, none of which has made anything."""
    table, decoders = TypeTable(), Decoders()
    orders, settlers, writers = Orders(), Settlers(), Writers()
    readers = Readers(decoders)

    def work() -> Json:
        schema = table.schema(POD_TYPE)
        pod, _ = decoders.decode(schema, copy.deepcopy(POD))
        orders.arrange(schema, pod)
        settlers.settle(schema, pod)
        return readers.read(schema, writers.write(schema, pod))

    return work


@pytest.mark.usefixtures("hasty")
def test_compilers_used_first_by_two_threads() -> None:
    for _ in range(ROUNDS):
        one, other = in_two_threads(every_form())
        assert one == other
        assert isinstance(one, dict), one
        assert one["spec"]["containers"][0]["ports"] == [{"containerPort": 1}]
