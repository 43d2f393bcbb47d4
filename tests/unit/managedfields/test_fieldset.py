"""Field sets: the algebra of sets over paths, and the normal form that the wire needs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kapi.managedfields import elements, fieldsv1
from kapi.managedfields.fieldset import FieldSet
from kapi.managedfields.fieldsv1 import FieldsV1Error

ELEMENTS = ["f:a", "f:b", 'k:{"name":"x"}', 'k:{"port":80,"protocol":"TCP"}', 'v:"s"', "i:2"]

paths = st.lists(st.sampled_from(ELEMENTS), min_size=1, max_size=3).map(tuple)
path_sets = st.frozensets(paths, max_size=6)
laws = settings(derandomize=True, max_examples=300)


def made(members: frozenset[tuple[str, ...]]) -> FieldSet:
    return FieldSet.of(*sorted(members))


def below(path: tuple[str, ...], others: frozenset[tuple[str, ...]]) -> bool:
    return any(path[: len(other)] == other for other in others)


@laws
@given(path_sets)
def test_a_set_holds_the_paths_it_is_made_of(a: frozenset[tuple[str, ...]]) -> None:
    assert frozenset(made(a).paths()) == a
    assert all(made(a).has(path) for path in a)
    assert made(a).is_empty == (not a)


@laws
@given(path_sets, path_sets)
def test_operations_are_those_of_sets_of_paths(
    a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]
) -> None:
    assert made(a).union(made(b)) == made(a | b)
    assert made(a).difference(made(b)) == made(a - b)
    assert made(a).intersection(made(b)) == made(a & b)
    assert made(a).without(made(b)) == made(frozenset(p for p in a if not below(p, b)))


@laws
@given(path_sets, path_sets)
def test_what_changes_nothing_gives_the_same_set(
    a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]
) -> None:
    whole = made(a | b)
    assert whole.union(made(b)) is whole
    assert whole.difference(FieldSet()) is whole
    rest = made(a - b)
    assert rest.difference(made(b - a)) is rest


@laws
@given(path_sets, path_sets)
def test_results_are_in_normal_form(
    a: frozenset[tuple[str, ...]], b: frozenset[tuple[str, ...]]
) -> None:
    x, y = made(a), made(b)
    for result in (x.union(y), x.difference(y), x.intersection(y), x.without(y)):
        assert fieldsv1.to_bytes(fieldsv1.read(result.root)) == fieldsv1.to_bytes(result)
        assert "." not in result.root
        assert '{".":{}}' not in fieldsv1.to_bytes(result).decode()


@laws
@given(path_sets)
def test_a_set_survives_the_wire(a: frozenset[tuple[str, ...]]) -> None:
    assert fieldsv1.read(fieldsv1.write(made(a))) == made(a)


def test_leaves_are_the_paths_without_others_below() -> None:
    fields = FieldSet.of(("f:a",), ("f:a", "f:b"), ("f:c",))
    assert list(fields.leaves()) == [("f:a", "f:b"), ("f:c",)]


def test_elements_stand_in_the_order_of_the_wire() -> None:
    fields = FieldSet.of(
        ('k:{"port":8080,"protocol":"TCP"}',),
        ('k:{"port":443,"protocol":"TCP"}',),
        ('k:{"port":80,"protocol":"UDP"}',),
        ('k:{"port":80,"protocol":"TCP"}',),
        ('v:"b"',),
        ("v:10",),
        ("v:9",),
        ("v:true",),
        ("i:10",),
        ("i:9",),
        ("f:z",),
        ("f:a",),
        ("f:Z",),
    )
    assert list(fields.root) == [
        "f:Z",
        "f:a",
        "f:z",
        'k:{"port":80,"protocol":"TCP"}',
        'k:{"port":80,"protocol":"UDP"}',
        'k:{"port":443,"protocol":"TCP"}',
        'k:{"port":8080,"protocol":"TCP"}',
        "v:9",
        "v:10",
        'v:"b"',
        "v:true",
        "i:9",
        "i:10",
    ]


# -- what a client sends ------------------------------------------------------------------------


def test_a_clients_set_is_brought_into_form() -> None:
    sent = {
        "f:b": {".": {}},
        "f:a": {'k:{"protocol": "TCP", "port": 80}': {"f:x": None}, "z:future": {"f:y": {}}},
        ".": {},
    }
    assert fieldsv1.to_bytes(fieldsv1.read(sent)) == (
        b'{"f:a":{"k:{\\"port\\":80,\\"protocol\\":\\"TCP\\"}":{"f:x":{}}},"f:b":{}}'
    )


def test_no_set_at_all_is_the_empty_one() -> None:
    assert fieldsv1.read(None).is_empty


@pytest.mark.parametrize(
    "sent",
    [
        [],
        "x",
        {"f:a": 1},
        {"x": {}},
        {"fa": {}},
        {"": {}},
        {"k:{": {}},
        {"k:[1]": {}},
        {"v:": {}},
        {"i:x": {}},
        {"i:true": {}},
    ],
)
def test_what_is_no_set_is_refused(sent: Any) -> None:
    with pytest.raises(FieldsV1Error):
        fieldsv1.read(sent)


def test_a_set_of_ten_thousand_levels_is_refused() -> None:
    sent: dict[str, Any] = {}
    for _ in range(10_000):
        sent = {"f:a": sent}
    with pytest.raises(FieldsV1Error):
        fieldsv1.read(sent)


# -- elements -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("element", "text"),
    [
        ("f:image", ".image"),
        ('k:{"name":"c"}', '[name="c"]'),
        ('k:{"containerPort":80,"protocol":"TCP"}', '[containerPort=80,protocol="TCP"]'),
        ('v:"example.com/a"', '[="example.com/a"]'),
        ("v:7", "[=7]"),
        ("i:3", "[3]"),
    ],
)
def test_elements_are_shown_as_people_read_them(element: str, text: str) -> None:
    assert elements.shown(element) == text


def test_values_in_elements_are_safe_for_html() -> None:
    assert elements.value_element("<a&b>") == 'v:"\\u003ca\\u0026b\\u003e"'
