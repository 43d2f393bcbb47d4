"""Expressions and what they give, or why they give nothing: the language and the libraries."""

from __future__ import annotations

from typing import Any

import pytest

from kapi.cel.environment import Environment, kubernetes
from kapi.cel.program import CompileError, Outcome, compile_expression
from kapi.cel.types import DYN, INT, STRING, list_of, map_of
from kapi.cel.values import Uint, type_name

DATA = {"a": 5, "n": None, "l": [1, "x", True], "m": {"k": 1.5}, "e": {}}
VALUES: dict[str, Any] = {"d": DATA, "i": 7, "s": "text", "l": [3, 1, 2], "m": {"a": 1, "b": 2}}


@pytest.fixture(scope="module")
def environment() -> Environment:
    return kubernetes().extended(
        {"d": DYN, "i": INT, "s": STRING, "l": list_of(INT), "m": map_of(STRING, INT)}
    )


def run(text: str, environment: Environment) -> Outcome:
    return compile_expression(text, environment).evaluate(VALUES)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # Literals
        ("1", 1), ("-1", -1), ("--1", 1), ("0xFF", 255), ("7u", 7), ("1.5e3", 1500.0),
        (".5", 0.5), ("'a\\n\\x41\\u00e9\\101'", "a\nAéA"), ("r'a\\n'", "a\\n"),
        ("b'\\xff'", b"\xff"), ("'''a'b'''", "a'b"), ("null", None), ("[1, 2,]", [1, 2]),
        ("{'a': 1, 'b': 2}", {"a": 1, "b": 2}), ("// why\n true", True),
        # Numbers
        ("7 / 2", 3), ("-7 / 2", -3), ("-7 % 3", -1), ("7 % -3", 1), ("7.0 / 2.0", 3.5),
        ("2u * 3u", 6), ("i + 1 * 2", 9), ("(i + 1) * 2", 16), ("i - 1 - 1", 5),
        ("1 < 2.5", True), ("1u <= 1", True), ("dyn(1) == 1.0", True), ("dyn(1) == 1u", True),
        ("dyn(1) == true", False), ("1.0 / 0.0 > 1.0", True), ("'a' < 'b'", True),
        ("true > false", True), ("b'a' < b'b'", True),
        # Logic: what decides is enough
        ("false && 1 / 0 > 0", False), ("1 / 0 > 0 && false", False),
        ("true || d.zz", True), ("d.zz || true", True), ("i > 5 ? 'x' : 'y'", "x"),
        ("!(i == 7)", False), ("!!true", True),
        # Texts
        ("s.size() + size('é')", 5), ("s.contains('ex') && s.startsWith('te')", True),
        ("s.endsWith('xt')", True), ("s.matches('^t.*t$')", True), ("s + '!'", "text!"),
        ("'a,b,c'.split(',')", ["a", "b", "c"]), ("'abc'.split('')", ["a", "b", "c"]),
        ("'a,b,c'.split(',', 2)", ["a", "b,c"]), ("'abc'.substring(1)", "bc"),
        ("'abc'.substring(0, 2)", "ab"), ("'abc'.charAt(3)", ""), ("'AbÉ'.lowerAscii()", "abÉ"),
        ("'ab'.upperAscii()", "AB"), ("' x\\t'.trim()", "x"), ("'hehe'.replace('h', 'j')", "jeje"),
        ("'hehe'.replace('h', 'j', 1)", "jehe"), ("'hello'.indexOf('l')", 2),
        ("'hello'.lastIndexOf('l')", 3), ("'hello'.indexOf('l', 3)", 3),
        ("['a', 'b'].join('-')", "a-b"), ("strings.quote('a\"b')", '"a\\"b"'),
        ("'%s is %d, %.2f, %x'.format([dyn('a'), 1, 1.5, 255])", "a is 1, 1.50, ff"),
        ("'%s'.format([['a', 'b']])", '["a", "b"]'), ("'a1b22'.find('[0-9]+')", "1"),
        ("'a1b22'.findAll('[0-9]+')", ["1", "22"]), ("'a1b22'.findAll('[0-9]', 2)", ["1", "2"]),
        # Conversions
        ("int('12') + int(1.9) + int(3u)", 16), ("double('1.5')", 1.5), ("string(1e6)", "1e+06"),
        ("string(123.456)", "123.456"), ("string(0.00001)", "1e-05"), ("string(-0.0)", "-0"),
        ("bool('True')", True), ("bytes('é').size()", 2), ("string(b'abc')", "abc"),
        ("type(1) == int", True), ("type(s) == string", True), ("type([]) == list", True),
        ("type(null) == null_type", True), ("type(type(1)) == type", True),
        ("type(duration('1s')) == google.protobuf.Duration", True),
        # Times
        ("timestamp('2024-02-29T12:00:00Z').getDayOfYear()", 59),
        ("timestamp('2024-02-29T12:00:00Z').getHours('America/New_York')", 7),
        ("timestamp('2024-02-29T12:00:00Z').getHours('+05:30')", 17),
        ("timestamp('2024-02-29T12:00:00.25Z').getMilliseconds()", 250),
        ("timestamp('2024-02-29T00:00:00Z').getDayOfWeek()", 4),
        ("string(timestamp('2024-01-01T00:00:00+01:00') + duration('36h'))",
         "2024-01-02T11:00:00Z"),
        ("string(duration('1h30m1.5s'))", "5401.5s"), ("duration('90m').getHours()", 1),
        ("timestamp(1) - timestamp(0) == duration('1s')", True),
        ("int(timestamp('1970-01-01T00:01:00Z'))", 60),
        # Lists and maps
        ("l[0] + l[2]", 5), ("l.size()", 3), ("2 in l", True), ("'a' in m", True),
        ("m['a'] + m.b", 3), ("l + [9]", [3, 1, 2, 9]), ("[1, 2] == [1, 2]", True),
        ("{'a': 1} == {'a': 1}", True), ("[dyn(1)] == [true]", False),
        ("has(m.a) && !has(m.z)", True), ("has(d.n)", True), ("has(d.a.b)", False),
        ("l.all(x, x > 0)", True), ("l.exists(x, x == 2)", True), ("[].all(x, x > 0)", True),
        ("l.exists_one(x, x > 2)", True), ("l.map(x, x * 2)", [6, 2, 4]),
        ("l.map(x, x > 1, x * 2)", [6, 4]), ("l.filter(x, x > 1)", [3, 2]),
        ("m.all(k, m[k] > 0)", True), ("m.map(k, k)", ["a", "b"]),
        ("l.all(x, l.exists(y, x == y))", True), ("l.exists(x, 10 / (x - 3) == -5)", True),
        ("d.l.exists(x, x == 'x')", True), ("l.map(i, i)", [3, 1, 2]),
        ("l.all(i, x, x > i - 3)", True), ("m.exists(k, v, k == 'b' && v == 2)", True),
        ("l.existsOne(i, x, x == i)", False), ("l.transformList(i, x, i + x)", [3, 2, 4]),
        ("l.transformList(i, x, i > 0, x)", [1, 2]),
        ("m.transformMap(k, v, v + 1)", {"a": 2, "b": 3}),
        ("m.transformMap(k, v, v > 1, k)", {"b": "b"}),
        ("m.transformMapEntry(k, v, {v: k})", {1: "a", 2: "b"}),
        ("[1, 2, 2].distinct()", [1, 2]), ("[3, 1].sort()", [1, 3]), ("[1, 2].reverse()", [2, 1]),
        ("['bb', 'a'].sortBy(x, x.size())", ["a", "bb"]), ("[[1], [2]].flatten()", [1, 2]),
        ("lists.range(3)", [0, 1, 2]), ("[1, 2, 3].slice(1, 3)", [2, 3]),
        ("[1, 2].isSorted() && ![2, 1].isSorted()", True), ("[1, 2].sum() + [4].min()", 7),
        ("[1.5, 2.5].sum()", 4.0), ("['a', 'c'].max()", "c"), ("[1, 2, 1].lastIndexOf(1)", 2),
        ("sets.contains([1, 2], [2])", True), ("sets.equivalent([1, 1], [1])", True),
        ("sets.intersects([1], [2])", False),
        # Optional values
        ("d.?a.orValue(0)", 5), ("d.?z.orValue(0)", 0), ("d.?z.?y.hasValue()", False),
        ("d[?'a'].value()", 5), ("l[?7].orValue(-1)", -1), ("m.?a.optMap(x, x + 1).value()", 2),
        ("optional.none().or(optional.of(1)).value()", 1), ("[?optional.none(), 1]", [1]),
        ("{?'k': m.?zz, 'j': 1}", {"j": 1}), ("optional.ofNonZeroValue('').hasValue()", False),
        ("m.?a.optFlatMap(x, optional.of(x)).value()", 1), ("[1, 2].first().value()", 1),
        ("optional.of(d).a.value()", 5),
        # Kubernetes
        ("quantity('1Gi').isGreaterThan(quantity('1G'))", True), ("isQuantity('x')", False),
        ("quantity('1.5k').asInteger()", 1500), ("quantity('50m').asApproximateFloat()", 0.05),
        ("quantity('1k').add(quantity('1')).compareTo(quantity('1001'))", 0),
        ("quantity('1k').sub(1).sign()", 1), ("quantity('1000m') == quantity('1')", True),
        ("url('https://a.b:80/c?q=1&q=2').getHost()", "a.b:80"), ("isURL('x')", False),
        ("url('https://a.b:80/c?q=1&q=2').getQuery()", {"q": ["1", "2"]}),
        ("url('https://[::1]:80/c').getHostname()", "::1"), ("url('/a').getScheme()", ""),
        ("url('https://a:80/').getPort()", "80"), ("url('https://a/b').getEscapedPath()", "/b"),
        ("ip('10.0.0.1').family()", 4), ("ip('::1').isLoopback()", True), ("isIP('x')", False),
        ("isIP('::ffff:1.2.3.4')", False), ("ip.isCanonical('::0')", False),
        ("string(ip('1:0::1'))", "1::1"), ("ip('8.8.8.8').isGlobalUnicast()", True),
        ("cidr('10.0.0.0/8').containsIP('10.1.2.3')", True), ("isCIDR('10.0.0.0/33')", False),
        ("cidr('10.0.0.0/8').containsCIDR(cidr('10.1.0.0/16'))", True),
        ("string(cidr('10.1.2.3/8').masked())", "10.0.0.0/8"),
        ("cidr('10.1.2.3/8').prefixLength()", 8), ("string(cidr('10.1.2.3/8').ip())", "10.1.2.3"),
        ("format.dns1123Label().validate('abc').hasValue()", False),
        ("format.named('uuid').value().validate('x').value()", ["does not match the UUID format"]),
        ("format.named('nope').hasValue()", False),
        ("semver('1.2.3').isLessThan(semver('1.10.0'))", True), ("isSemver('v1.2')", False),
        ("isSemver('v1.2', true)", True), ("semver('1.2.3-rc.1').compareTo(semver('1.2.3'))", -1),
        ("semver('v01.2', true).minor()", 2), ("type(ip('1.1.1.1')) == net.IP", True),
    ],
)  # fmt: skip
def test_value(text: str, value: Any, environment: Environment) -> None:
    outcome = run(text, environment)
    assert outcome.error is None, outcome.error
    assert outcome.value == value
    if not isinstance(outcome.value, Uint):
        assert type_name(outcome.value) == type_name(value)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("9223372036854775807 + 1", "integer overflow"), ("1u - 2u", "unsigned integer overflow"),
        ("-9223372036854775807 - 2", "integer overflow"), ("i / 0", "division by zero"),
        ("i % 0", "modulus by zero"), ("d.zz", "no such key: zz"), ("m['zz']", "no such key: zz"),
        ("d.a.b", "no such key: b"), ("l[3]", "index out of bounds: 3"),
        ("l[-1]", "index out of bounds: -1"), ("d + 1", "no such overload: _+_"),
        ("d.a + 'x'", "no such overload"), ("d.a && true", "no such overload"),
        ("d.a < 'x'", "no such overload"), ("d.l.all(x, x)", "no such overload"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
        ("duration(s)", "type conversion error from 'string' to 'google.protobuf.Duration'"),
        ("timestamp(s)", "type conversion error from 'string' to 'google.protobuf.Timestamp'"),
        ("int(1e30)", "integer overflow"), ("uint(-1)", "unsigned integer overflow"),
        ("l.all(x, 1 / (x - 1) > -5)", "division by zero"),
        ("optional.none().value()", "optional.none() dereference"),
        ("{'a': 1, 'a': 2}", "Failed with repeated key: a"),
        ("'abc'.charAt(4)", "index out of range: 4"), ("[1].slice(0, 2)",
         "cannot slice(0, 2), list is length 1"), ("l.filter(x, x > 9).min()",
         "min called on empty list"),
        ("s.matches(s + '(')", "error parsing regexp: missing closing ): `text(`"),
        ("quantity('x')", "quantities must match the regular expression "
         "'^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"),
        ("quantity('1.5').asInteger()", "cannot convert value to integer"),
        ("url('x')", 'URL parse error during conversion from string: parse "x": invalid URI for '
         "request"),
        ("ip('x')", 'IP Address "x" parse error during conversion from string: ParseAddr("x"): '
         "unable to parse IP"),
        ("semver('1.2')", "No Major.Minor.Patch elements found"),
    ],
)  # fmt: skip
def test_error(text: str, error: str, environment: Environment) -> None:
    outcome = run(text, environment)
    assert outcome.error is not None, outcome.value
    assert str(outcome.error) == error


@pytest.mark.parametrize(
    ("text", "issues"),
    [
        ("zz", ["1:1: undeclared reference to 'zz' (in container '')"]),
        ("frob(i)", ["1:5: undeclared reference to 'frob' (in container '')"]),
        ("i == 'x'", ["1:3: found no matching overload for '_==_' applied to '(int, string)'"]),
        ("s.startsWith(1)",
         ["1:13: found no matching overload for 'startsWith' applied to 'string.(int)'"]),
        ("[1, 'a']", ["1:5: expected type 'int' but found 'string'"]),
        ("i.x", ["1:2: type 'int' does not support field selection"]),
        ("i.all(x, true)", ["1:1: expression of type 'int' cannot be range of a comprehension "
                            "(must be list, map, or dynamic)"]),
        ("l.all(x, x)", ["1:6: found no matching overload for '_&&_' applied to '(bool, int)'"]),
        ("zz + yy", ["1:1: undeclared reference to 'zz' (in container '')",
                     "1:6: undeclared reference to 'yy' (in container '')"]),
        ("duration('x')", ["1:10: invalid duration argument"]),
        ("s.matches('(')", ["1:11: invalid matches argument"]),
        ("l.all(x.y, true)", ["1:8: argument must be a simple name"]),
        ("l.map(1, true)", ["1:7: argument is not an identifier"]),
        ("has(i)", ["1:5: invalid argument to has() macro"]),
        ("if", ["1:1: reserved identifier: if"]),
        ("99999999999999999999", ["1:1: invalid int literal"]),
    ],
)  # fmt: skip
def test_issues(text: str, issues: list[str], environment: Environment) -> None:
    with pytest.raises(CompileError) as caught:
        compile_expression(text, environment)
    shown = [line for line in str(caught.value).split("\n") if line.startswith("ERROR")]
    assert shown == [f"ERROR: <input>:{issue}" for issue in issues]


def test_an_issue_shows_its_place(environment: Environment) -> None:
    with pytest.raises(CompileError) as caught:
        compile_expression("i > 1 &&\n\tzz", environment)
    assert str(caught.value) == (
        "ERROR: <input>:2:2: undeclared reference to 'zz' (in container '')\n |  zz\n | .^"
    )


def test_a_variable_without_a_value(environment: Environment) -> None:
    program = compile_expression("i == 1 || s == 'a'", environment)
    assert str(program.evaluate({"i": 2}).error) == "no such attribute(s): s"
    assert program.evaluate({"i": 1}).value is True


def test_an_evaluation_has_a_limit(environment: Environment) -> None:
    program = compile_expression("l.all(x, l.all(y, l.all(z, x + y + z >= 0)))", environment)
    outcome = program.evaluate({"l": list(range(200))}, limit=100_000)
    assert str(outcome.error) == "operation cancelled: actual cost limit exceeded"
    assert outcome.cost < 101_000
