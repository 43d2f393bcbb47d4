"""What holds for any expression and any data."""

from __future__ import annotations

from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from kapi.cel.environment import kubernetes
from kapi.cel.estimate import estimate
from kapi.cel.program import CompileError, compile_expression
from kapi.cel.types import DYN, INT, STRING, Type, list_of
from kapi.cel.values import EvalError, check_order, equal, less

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(max_size=5),
    st.floats(allow_nan=False), st.binary(max_size=3),
)  # fmt: skip
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=10,
)

ATOMS = ["d", "i", "s", "l", "1", "'x'", "true", "null", "[1, 2]", "{'a': 1}", "1.5", "2u", "d.a"]
TEMPLATES = [
    "({0} + {1})", "({0} == {1})", "({0} < {1})", "({0} in {1})", "({0} && {1})", "!{0}",
    "({0} ? {1} : {2})", "{0}[{1}]", "has(d.a)", "{0}.size()", "[{0}, {1}]", "{0}.all(x, {1})",
    "{0}.map(x, {1})", "{0}.filter(x, x == {1})", "string({0})", "int({0})", "type({0})",
    "{0}.exists(x, y, {1})", "dyn({0})", "{0}.?a.orValue({1})", "{0}.startsWith({1})",
    "-{0}", "({0} / {1})", "{0}.matches({1})", "{0}.split({1})", "{0}.sum()", "{0}.join()",
    "{0}.isSorted()", "duration({0})", "timestamp({0})", "quantity({0})", "'%s %d'.format([{0}])",
]  # fmt: skip


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> str:
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.sampled_from(ATOMS))
    template = draw(st.sampled_from(TEMPLATES))
    return template.format(*[draw(expressions(depth - 1)) for _ in range(3)])


ENVIRONMENT = kubernetes().extended({"d": DYN, "i": INT, "s": STRING, "l": list_of(INT)})


@seed(7)
@settings(max_examples=250, deadline=None)
@given(expressions(), values)
def test_an_expression_has_issues_or_a_value_or_an_error(text: str, data: Any) -> None:
    try:
        program = compile_expression(text, ENVIRONMENT)
    except CompileError:
        return
    outcome = program.evaluate({"d": data, "i": 3, "s": "ab", "l": [1, 2]}, limit=10_000)
    assert outcome.cost >= 0
    assert outcome.error is None or str(outcome.error)
    least, most = estimate(program.tree)
    assert 0 <= least <= most


@seed(3)
@settings(max_examples=300, deadline=None)
@given(values, values)
def test_equality_and_order(a: Any, b: Any) -> None:
    assert equal(a, a)
    assert equal(a, b) is equal(b, a)
    try:
        check_order(a, b, "_<_")
    except EvalError:
        return
    assert less(a, b) + less(b, a) + equal(a, b) == 1


LIST = Type(
    "list", "list", (Type("string", elements_max=20),), elements_max=6
)  # six texts of twenty characters
COSTED = [
    "self.all(x, x == 'aaaaaaaaaa')", "self.exists(x, x.startsWith('a'))", "self.size() > 2",
    "self.map(x, x + x).size() == 3", "self.filter(x, x != 'b').all(y, y in self)",
    "'a' in self || self.exists_one(x, x.contains('ab'))", "self.all(x, x.matches('^a+$'))",
    "self.all(x, self.all(y, x + y != 'q'))", "self.isSorted()", "self.indexOf('a') > 0",
    "self.map(x, x.upperAscii()).join(',') == 'A'", "self.all(x, x.size() < 9 ? x != '' : true)",
]  # fmt: skip
PRICED = [
    (program, estimate(program.tree, LIST)[1])
    for program in (compile_expression(t, kubernetes().extended({"self": LIST})) for t in COSTED)
]


@seed(5)
@settings(max_examples=200, deadline=None)
@given(st.sampled_from(PRICED), st.lists(st.text("ab", max_size=20), max_size=6))
def test_an_evaluation_costs_no_more_than_estimated(priced: Any, data: list[str]) -> None:
    program, most = priced
    outcome = program.evaluate({"self": data})
    assert outcome.error is None
    assert outcome.cost <= most, (program.text, outcome.cost, most)
