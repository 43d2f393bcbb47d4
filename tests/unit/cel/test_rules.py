"""x-kubernetes-validations: what a definition may say, and what its rules say of objects."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.cel.definition_rules import DefinitionRules
from kapi.cel.door import DefinitionChecks, Rules
from kapi.cel.rule_walk import RuleEvaluator
from kapi.schema.custom_parsing import parse
from kapi.schema.structural import Schema

Json = dict[str, Any]
META = Schema(type="object", properties={})
BIG = (
    "exceeds budget by factor of more than 100x (try simplifying the rule, or adding maxItems, "
    "maxProperties, and maxLength where arrays, maps, and strings are declared)"
)


def rule(text: str, **more: Any) -> Json:
    return {"rule": text, **more}


def spec_with(properties: Json, *rules: Json, **more: Any) -> Json:
    spec = {"type": "object", "properties": properties, "x-kubernetes-validations": list(rules)}
    return {"type": "object", "properties": {"spec": {**spec, **more}}}


def run(props: Json, spec: Any, old: Any = None, **more: Any) -> list[str]:
    evaluator = RuleEvaluator()
    schema = parse(props, META)
    before = {"spec": old} if old is not None else None
    return [str(f) for f in evaluator.findings(schema, {"spec": spec, **more}, before)]


def judge(props: Json) -> list[str]:
    return [str(f) for f in DefinitionRules(lambda: META)(props, "s")]


SMALL: Json = {
    "a": {"type": "integer"},
    "b": {"type": "string", "maxLength": 20},
    "x-y": {"type": "string", "maxLength": 20},
    "namespace": {"type": "string", "maxLength": 20},
    "n": {"type": "number"},
    "p": {"x-kubernetes-int-or-string": True},
    "t": {"type": "string", "format": "date-time"},
    "d": {"type": "string", "format": "duration"},
    "y": {"type": "string", "format": "byte"},
    "l": {"type": "array", "maxItems": 9, "items": {"type": "string", "maxLength": 9}},
    "set": {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "set",
            "items": {"type": "string", "maxLength": 9}},
    "map": {"type": "array", "maxItems": 9, "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
            "items": {"type": "object", "properties": {"name": {"type": "string"},
                                                       "v": {"type": "integer"}}}},
    "m": {"type": "object", "maxProperties": 9, "additionalProperties": {"type": "integer"}},
    "nil": {"type": "string", "nullable": True, "maxLength": 9},
    "any": {"x-kubernetes-preserve-unknown-fields": True},
    "r": {"type": "object", "x-kubernetes-embedded-resource": True,
          "x-kubernetes-preserve-unknown-fields": True},
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "spec"),
    [
        ("self.a > 1", {"a": 2}), ("self.x__dash__y == 'q'", {"x-y": "q"}),
        ("self.namespace == 'n' && self.__namespace__ == 'n'", {"namespace": "n"}),
        ("self.n == 1.0 && type(self.n) == double", {"n": 1}),
        ("type(self.p) == int ? self.p < 5 : self.p == '50%'", {"p": "50%"}),
        ("self.t.getFullYear() == 2024", {"t": "2024-01-01T00:00:00Z"}),
        ("self.d < duration('2h')", {"d": "1h30m"}), ("self.y == b'abc'", {"y": "YWJj"}),
        ("self.set == ['b', 'a']", {"set": ["a", "b"]}),
        ("self.set + ['c', 'a'] == ['a', 'b', 'c']", {"set": ["a", "b"]}),
        ("self.l != ['b', 'a']", {"l": ["a", "b"]}),
        ("self.map == dyn([{'name': 'b'}, {'name': 'a'}])",
         {"map": [{"name": "a"}, {"name": "b"}]}),
        ("self.map.exists(e, e.name == 'a' && e.v == 1)", {"map": [{"name": "a", "v": 1}]}),
        ("self.map.all(e, !has(e.v))", {"map": [{"name": "a"}]}),
        ("self.m.all(k, self.m[k] > 0) && 'k' in self.m && self.m.k == 1", {"m": {"k": 1}}),
        ("!has(self.nil)", {"nil": None}), ("!has(self.b) && !has(self.m)", {}),
        ("self.?b.orValue('z') == 'z'", {}), ("self.?x__dash__y.orValue('') == 'q'", {"x-y": "q"}),
        ("self.r.metadata.name == 'a' && self.r.kind == 'K'",
         {"r": {"kind": "K", "metadata": {"name": "a"}}}),
        ("self.l.filter(x, x.startsWith('k')).size() == 1", {"l": ["k1", "z"]}),
        ("self.map.filter(e, e.v > 1)[0].name == 'b'", {"map": [{"name": "a", "v": 1},
                                                               {"name": "b", "v": 2}]}),
        ("dyn(self).x__dash__y == 'q'", {"x-y": "q"}),
    ],
)  # fmt: skip
def test_what_rules_see(text: str, spec: Json) -> None:
    props = spec_with(SMALL, rule(text))
    assert judge(props) == []
    assert run(props, spec) == []


def test_what_a_violation_says() -> None:
    props = spec_with(
        SMALL,
        rule("self.a > 1", message=" too small "),
        rule("self.a > 2"),
        rule("self.a > 3", reason="FieldValueForbidden", fieldPath=".a"),
        rule("self.a > 4", reason="FieldValueRequired", fieldPath=".m['k.x']"),
        rule("self.a > 5", messageExpression="'a is %d'.format([self.a])", message="no"),
        rule("self.a > 6", messageExpression="self.b", message="fallback"),
        rule("self.b == 'x'", message="needs b"),
        rule("self.a < 0", reason="FieldValueDuplicate"),
    )
    assert run(props, {"a": 1}) == [
        "spec: Invalid value: too small",
        "spec: Invalid value: failed rule: self.a > 2",
        "spec.a: Forbidden: failed rule: self.a > 3",
        "spec.m[k.x]: Required value: failed rule: self.a > 4",
        "spec: Invalid value: a is 1",
        "spec: Invalid value: fallback",
        'spec: Invalid value: "object": no such key: b evaluating rule: needs b',
        "spec: Duplicate value",
    ]


def test_rules_of_parts_name_their_places() -> None:
    item = {"type": "string", "x-kubernetes-validations": [rule("self != 'bad'", message="bad")]}
    props = {
        "type": "object",
        "x-kubernetes-validations": [rule("self.metadata.name != 'x'", message="name")],
        "properties": {"spec": {"type": "object", "properties": {
            "l": {"type": "array", "items": item},
            "m": {"type": "object", "additionalProperties": item},
            "p": {"x-kubernetes-int-or-string": True,
                  "x-kubernetes-validations": [rule("self + 1 > 0")]},
        }}},
    }  # fmt: skip
    spec = {"l": ["ok", "bad", None], "m": {"k": "bad"}, "p": "5"}
    assert run(props, spec, metadata={"name": "x"}) == [
        "<nil>: Invalid value: name",
        'spec.l[1]: Invalid value: "bad": bad',
        'spec.m[k]: Invalid value: "bad": bad',
        "spec.p: Invalid value: \"\": 'no such overload': call arguments did not match a supported "
        "operator, function or macro signature for rule: self + 1 > 0",
    ]


def test_rules_that_look_back() -> None:
    fixed = {
        "type": "string",
        "x-kubernetes-validations": [rule("self == oldSelf", message="fixed")],
    }
    once = {"type": "string", "x-kubernetes-validations": [
        rule("!oldSelf.hasValue() || oldSelf.value() == self", message="once",
             optionalOldSelf=True)]}  # fmt: skip
    keyed = {"type": "array", "x-kubernetes-list-type": "map", "maxItems": 3,
             "x-kubernetes-list-map-keys": ["name"], "items": {"type": "object", "properties": {
                 "name": {"type": "string"}, "v": fixed}}}  # fmt: skip
    props = {"type": "object", "properties": {"spec": {"type": "object", "properties": {
        "f": fixed, "o": once, "k": keyed}}}}  # fmt: skip
    assert judge(props) == []
    assert run(props, {"f": "b", "o": "x"}) == []
    assert run(props, {"f": "b", "o": "x"}, {"f": "a"}) == ['spec.f: Invalid value: "b": fixed']
    assert run(props, {"f": "b", "o": "x"}, {"o": "x"}) == []
    assert run(props, {"o": "y"}, {"o": "x"}) == ['spec.o: Invalid value: "y": once']
    moved = {"k": [{"name": "b", "v": "1"}, {"name": "a", "v": "2"}]}
    old = {"k": [{"name": "a", "v": "1"}, {"name": "b", "v": "1"}]}
    assert run(props, moved, old) == ['spec.k[1].v: Invalid value: "2": fixed']


def test_what_did_not_change_may_stay() -> None:
    props = spec_with({**SMALL, "in": {"type": "object", "properties": SMALL,
                                       "x-kubernetes-validations": [rule("self.a > 1")]}},
                      rule("self.a > 1"))  # fmt: skip
    same = {"a": 0, "in": {"a": 0}}
    assert run(props, same, same) == []
    assert run(props, {**same, "b": "new"}, same) == [
        "spec: Invalid value: failed rule: self.a > 1"
    ]
    findings, warnings = RuleEvaluator().judged(parse(props, META), {"spec": same}, {"spec": same})
    assert findings == []
    assert warnings == [
        "spec: Invalid value: failed rule: self.a > 1",
        "spec.in: Invalid value: failed rule: self.a > 1",
    ]


def test_an_object_has_a_budget() -> None:
    numbers = {"type": "array", "items": {"type": "integer"}}
    dear = rule("self.l.all(x, self.l.all(y, x + y >= 0))", message="dear")
    props = spec_with({"l": numbers}, dear, rule("false", message="later"))
    assert run(props, {"l": [1] * 1000}) == [
        "spec: Invalid value: \"object\": 'operation cancelled: actual cost limit exceeded': no "
        "further validation rules will be run due to call cost exceeds limit for rule: dear"
    ]
    many = spec_with({"l": numbers}, *[dear] * 40, rule("false", message="later"))
    assert run(many, {"l": [1] * 200}) == [
        'spec: Invalid value: "object": validation failed due to running out of cost budget, no '
        "further validation rules will be run"
    ]


@pytest.mark.parametrize(
    ("rules", "findings"),
    [
        ([rule("self.zz > 1")],
         ["s.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "
          '{"Rule":"self.zz \\u003e 1","Message":"","MessageExpression":"","Reason":null,'
          '"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: '
          "undefined field 'zz'\n | self.zz > 1\n | ....^"]),
        ([rule("self.a")],
         ["s.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "
          '{"Rule":"self.a","Message":"","MessageExpression":"","Reason":null,'
          '"FieldPath":"","OptionalOldSelf":null}: cel expression must evaluate to a bool']),
        ([rule("self.a > 1", messageExpression="self.a")],
         ["s.properties[spec].x-kubernetes-validations[0].messageExpression: Invalid value: "
          '{"Rule":"self.a \\u003e 1","Message":"","MessageExpression":"self.a","Reason":null,'
          '"FieldPath":"","OptionalOldSelf":null}: messageExpression must evaluate to a string']),
        ([rule("self.a > 1", optionalOldSelf=True)],
         ["s.properties[spec].x-kubernetes-validations[0].optionalOldSelf: Invalid value: true: "
          "may not be set if oldSelf is not used in rule"]),
        ([rule("self.a > 1", messageExpression="'a is ' + string(self.a)")],
         ["s.properties[spec].x-kubernetes-validations[0].messageExpression: Forbidden: estimated "
          f"messageExpression cost {BIG}",
          "s.properties[spec].x-kubernetes-validations[0].messageExpression: Forbidden: "
          "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 "
          "schema",
          "s: Forbidden: x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 "
          f"schema {BIG}"]),
        ([rule("self.any == 1")],
         ["s.properties[spec].x-kubernetes-validations[0].rule: Invalid value: "
          '{"Rule":"self.any == 1","Message":"","MessageExpression":"","Reason":null,'
          '"FieldPath":"","OptionalOldSelf":null}: compilation failed: ERROR: <input>:1:5: '
          "undefined field 'any'\n | self.any == 1\n | ....^"]),
    ],
)  # fmt: skip
def test_what_is_wrong_with_rules(rules: list[Json], findings: list[str]) -> None:
    assert judge(spec_with(SMALL, *rules)) == findings


def test_a_rule_in_an_atomic_list_cannot_look_back() -> None:
    text = {"type": "string", "maxLength": 5,
            "x-kubernetes-validations": [rule("self == oldSelf")]}  # fmt: skip
    props = {"type": "object", "properties": {"l": {"type": "array", "maxItems": 3, "items": text}}}
    assert judge(props) == [
        "s.properties[l].items.x-kubernetes-validations[0].rule: Invalid value: "
        '"self == oldSelf": oldSelf cannot be used on the uncorrelatable portion of the schema '
        "within s.properties[l]"
    ]


def test_the_outermost_part_without_a_past_is_named() -> None:
    text = {"type": "string", "maxLength": 5,
            "x-kubernetes-validations": [rule("self == oldSelf")]}  # fmt: skip
    inner = {"type": "array", "maxItems": 3, "items": text}
    props = {
        "type": "object",
        "properties": {"l": {"type": "array", "maxItems": 3, "items": inner}},
    }
    assert judge(props)[0].endswith("within s.properties[l]")


def test_a_rule_in_an_atomic_map_can_look_back() -> None:
    text = {"type": "string", "maxLength": 5,
            "x-kubernetes-validations": [rule("self == oldSelf")]}  # fmt: skip
    held = {"type": "object", "x-kubernetes-map-type": "atomic", "properties": {"a": text}}
    assert judge({"type": "object", "properties": {"m": held}}) == []


def test_places_multiply_what_a_rule_costs() -> None:
    """By 1.2 at 4,000 places, each of 3,000 units."""
    text = {"type": "string", "maxLength": 7499, "x-kubernetes-validations": [rule("self == self")]}
    props = {"type": "object", "properties": {
        "l": {"type": "array", "maxItems": 4000, "items": text}}}  # fmt: skip
    assert judge(props) == [
        "s.properties[l].items.x-kubernetes-validations[0].rule: Forbidden: estimated rule cost "
        "exceeds budget by factor of 1.200800x (try simplifying the rule, or adding maxItems, "
        "maxProperties, and maxLength where arrays, maps, and strings are declared)"
    ]


def test_rules_of_a_wrong_part_are_not_looked_at() -> None:
    from kapi.errors import invalid_value

    props = spec_with(SMALL, rule("self.zz > 1"))
    wrong = [invalid_value("s.properties[spec].properties[a].type", "x", "y")]
    assert DefinitionRules(lambda: META)(props, "s", wrong) == []
    assert len(DefinitionRules(lambda: META)(props, "s", [])) == 1


def test_without_rules_the_engine_is_not_asked() -> None:
    def unasked() -> Schema:
        raise AssertionError

    checks = DefinitionChecks(unasked)
    assert checks({"type": "object", "properties": {"a": {"type": "string"}}}, "s", []) == []
    schema = parse({"type": "object"}, META)
    rules = Rules()
    assert rules.findings(schema, {}, None) == []
    rules.forget(schema)


def test_warnings_are_those_of_the_object_that_is_asked_about() -> None:
    """Others may be judged between: two writes at once."""
    evaluator = RuleEvaluator()
    schema = parse(spec_with({"a": {"type": "integer"}}, rule("self.a > 1")), META)
    let_be, good = {"spec": {"a": 0}, "x": 1}, {"spec": {"a": 2}}
    assert evaluator.findings(schema, let_be, {"spec": {"a": 0}}) == []
    assert evaluator.findings(schema, good, {"spec": {"a": 2}}) == []
    assert len(evaluator.warnings(schema, let_be, {"spec": {"a": 0}})) == 1
    assert evaluator.warnings(schema, good, {"spec": {"a": 2}}) == []
