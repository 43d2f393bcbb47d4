"""The file of --authentication-config, and the flags that mean the same."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from kapi.authentication.jwt_configuration import (
    ALGORITHMS,
    AnonymousSettings,
    Configuration,
    ConfigurationError,
    configure,
    of_flags,
    parse,
)

Json = dict[str, Any]
URL = "https://issuer.example"
ISSUER: Json = {"url": URL, "audiences": ["me"]}
NAME: Json = {"claim": "sub", "prefix": ""}
OURS = ("https://kubernetes.default.svc",)


def read(*entries: Json, version: str = "v1", **more: Any) -> Configuration:
    document = {
        "apiVersion": f"apiserver.config.k8s.io/{version}",
        "kind": "AuthenticationConfiguration",
        "jwt": list(entries),
        **more,
    }
    return parse(orjson.dumps(document), OURS)


def entry(**more: Any) -> Json:
    issuer = {**ISSUER, **more.pop("issuer", {})}
    mappings = {"username": NAME, **more.pop("claimMappings", {})}
    return {"issuer": issuer, "claimMappings": mappings, **more}


def said(*entries: Json, **more: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(*entries, **more)
    return str(raised.value).removeprefix("invalid authentication configuration: ")


@pytest.mark.parametrize("version", ["v1", "v1beta1", "v1alpha1"])
def test_a_file(version: str) -> None:
    found = read(
        entry(claimValidationRules=[{"claim": "hd", "requiredValue": "x"}]),
        version=version,
        anonymous={"enabled": True, "conditions": [{"path": "/livez"}]},
    )
    (settings,) = found.jwt
    assert (settings.url, settings.audiences, settings.algorithms) == (URL, ("me",), ALGORITHMS)
    assert settings.required == (("hd", "x"),)
    assert found.anonymous == AnonymousSettings(enabled=True, paths=("/livez",))


def test_nothing_is_a_configuration() -> None:
    assert read().jwt == ()
    assert read().anonymous is None
    assert read(anonymous={"enabled": False}).anonymous == AnonymousSettings(enabled=False)


@pytest.mark.parametrize(
    ("claim", "prefix", "expected"),
    [("sub", "", f"{URL}#"), ("email", "", ""), ("sub", "-", ""), ("email", "x:", "x:")],
)
def test_flags(claim: str, prefix: str, expected: str) -> None:
    document = of_flags(
        issuer=URL,
        client_id="me",
        ca="",
        username_claim=claim,
        username_prefix=prefix,
        groups_claim="g",
        groups_prefix="p:",
        required={"hd": "x"},
    )
    (settings,) = configure(document, ("RS256",), ()).jwt
    assert (settings.username.claim, settings.username.prefix) == (claim, expected)
    assert (settings.groups.claim, settings.groups.prefix) == ("g", "p:")
    assert settings.required == (("hd", "x"),)
    assert settings.algorithms == ("RS256",)


def extra(*keys: str) -> Json:
    return {"extra": [{"key": key, "valueExpression": "'x'"} for key in keys]}


_EXTRA = "jwt[0].claimMappings.extra[0].key"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"issuer": {"url": ""}}, "jwt[0].issuer.url: Required value"),
        (
            {"issuer": {"url": "http://x"}},
            'jwt[0].issuer.url: Invalid value: "http://x": URL scheme must be https',
        ),
        (
            {"issuer": {"url": "https://a:b@x?q#f"}},
            '[jwt[0].issuer.url: Invalid value: "https://a:b@x?q#f": URL must not contain a '
            'username or password, jwt[0].issuer.url: Invalid value: "https://a:b@x?q#f": URL must '
            'not contain a query, jwt[0].issuer.url: Invalid value: "https://a:b@x?q#f": URL must '
            "not contain a fragment]",
        ),
        (
            {"issuer": {"url": "https://x:y"}},
            'jwt[0].issuer.url: Invalid value: "https://x:y": parse "https://x:y": invalid port '
            '":y" after host',
        ),
        (
            {"issuer": {"url": "https://x/%zz"}},
            'jwt[0].issuer.url: Invalid value: "https://x/%zz": parse "https://x/%zz": invalid '
            'URL escape "%zz"',
        ),
        (
            {"issuer": {"url": OURS[0]}},
            f'jwt[0].issuer.url: Invalid value: "{OURS[0]}": URL must not overlap with disallowed '
            f"issuers: [{OURS[0]}]",
        ),
        (
            {"issuer": {"discoveryURL": f"{URL}/"}},
            f'jwt[0].issuer.discoveryURL: Invalid value: "{URL}/": discoveryURL must be different '
            "from URL",
        ),
        (
            {"issuer": {"audiences": []}},
            "jwt[0].issuer.audiences: Required value: at least one jwt[0].issuer.audiences is "
            "required",
        ),
        (
            {"issuer": {"audiences": ["a", "a"], "audienceMatchPolicy": "MatchAny"}},
            'jwt[0].issuer.audiences[1]: Duplicate value: "a"',
        ),
        (
            {"issuer": {"audiences": ["a", "b"]}},
            'jwt[0].issuer.audienceMatchPolicy: Invalid value: "": audienceMatchPolicy must be '
            "MatchAny for multiple audiences",
        ),
        (
            {"issuer": {"audienceMatchPolicy": "MatchAll"}},
            'jwt[0].issuer.audienceMatchPolicy: Invalid value: "MatchAll": audienceMatchPolicy '
            "must be empty or MatchAny for single audience",
        ),
        (
            {"issuer": {"certificateAuthority": "x"}},
            'jwt[0].issuer.certificateAuthority: Invalid value: "<omitted>": data does not contain '
            "any valid RSA or ECDSA certificates",
        ),
        (
            {"issuer": {"egressSelectorType": "cluster"}},
            "jwt[0].issuer.egressSelectorType: Forbidden: calls cannot be sent through a proxy",
        ),
        (
            {"issuer": {"egressSelectorType": "x"}},
            'jwt[0].issuer.egressSelectorType: Invalid value: "x": egress selector must be either '
            "controlplane or cluster",
        ),
        (
            {"claimValidationRules": [{}]},
            "jwt[0].claimValidationRules[0]: Required value: claim or expression is required",
        ),
        (
            {"claimValidationRules": [{"claim": "a", "expression": "b"}]},
            'jwt[0].claimValidationRules[0]: Invalid value: "a": claim and expression can\'t both '
            "be set",
        ),
        (
            {"claimValidationRules": [{"claim": "a", "message": "m"}, {"claim": "a"}]},
            '[jwt[0].claimValidationRules[0].message: Invalid value: "m": may not be specified '
            'when claim is set, jwt[0].claimValidationRules[1].claim: Duplicate value: "a"]',
        ),
        (
            {"claimValidationRules": [{"expression": "true", "requiredValue": "x"}]},
            'jwt[0].claimValidationRules[0].requiredValue: Invalid value: "x": may not be '
            "specified when expression is set",
        ),
        (
            {"claimValidationRules": [{"expression": "true"}, {"expression": "true"}]},
            'jwt[0].claimValidationRules[1].expression: Duplicate value: "true"',
        ),
        (
            {"claimValidationRules": [{"expression": "claims.a"}]},
            'jwt[0].claimValidationRules[0].expression: Invalid value: "claims.a": must evaluate '
            "to bool",
        ),
        (
            {"claimValidationRules": [{"expression": "user.name == ''"}]},
            "jwt[0].claimValidationRules[0].expression: Invalid value: \"user.name == ''\": "
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'user' (in container "
            "'')\n | user.name == ''\n | ^",
        ),
        (
            {"claimMappings": {"username": {}}},
            "jwt[0].claimMappings.username: Required value: claim or expression is required",
        ),
        (
            {"claimMappings": {"username": {"claim": "a"}}},
            "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim "
            "is set. It can be set to an empty string to disable prefixing",
        ),
        (
            {"claimMappings": {"username": {"claim": "a", "expression": "b"}}},
            'jwt[0].claimMappings.username: Invalid value: "": claim and expression can\'t both be '
            "set",
        ),
        (
            {"claimMappings": {"groups": {"expression": "'a'", "prefix": ""}}},
            'jwt[0].claimMappings.groups.prefix: Invalid value: "": may not be specified when '
            "expression is set",
        ),
        (
            {"claimMappings": {"uid": {"claim": "a", "expression": "b"}}},
            'jwt[0].claimMappings.uid: Invalid value: "": claim and expression can\'t both be set',
        ),
        (
            {"claimMappings": {"extra": [{"key": "a.b/c"}]}},
            "jwt[0].claimMappings.extra[0].valueExpression: Required value",
        ),
        ({"claimMappings": extra("")}, f"{_EXTRA}: Required value"),
        (
            {"claimMappings": extra("foo")},
            f'{_EXTRA}: Invalid value: "foo": must be a domain-prefixed path (such as '
            '"acme.io/foo")',
        ),
        (
            {"claimMappings": extra("example.org/Foo")},
            f'{_EXTRA}: Invalid value: "example.org/Foo": must be lowercase',
        ),
        (
            {"claimMappings": extra("x.k8s.io/foo")},
            f'{_EXTRA}: Invalid value: "x.k8s.io/foo": k8s.io, kubernetes.io and their subdomains '
            "are reserved for Kubernetes use",
        ),
        (
            {"claimMappings": extra("a.b/c", "a.b/c")},
            'jwt[0].claimMappings.extra[1].key: Duplicate value: "a.b/c"',
        ),
        (
            {"claimMappings": extra("a.b/?")},
            f'{_EXTRA}: Invalid value: "?": Invalid path (regex used for validation is '
            "'[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')",
        ),
        (
            {"userValidationRules": [{}, {"expression": "1"}]},
            "[jwt[0].userValidationRules[0].expression: Required value, "
            'jwt[0].userValidationRules[1].expression: Invalid value: "1": must evaluate to bool]',
        ),
    ],
)
def test_findings(changed: Json, words: str) -> None:
    assert said(entry(**changed)) == words


def test_findings_about_several() -> None:
    other = entry(issuer={"discoveryURL": "https://d"})
    assert said(other, other) == (
        f'[jwt[1].issuer.url: Duplicate value: "{URL}", jwt[1].issuer.discoveryURL: Duplicate '
        'value: "https://d"]'
    )
    assert said(*[entry()] * 65) == "jwt: Too many: 65: must have at most 64 items"
    assert said(anonymous={"conditions": [{"path": "/x"}]}) == (
        'anonymous.conditions: Invalid value: [{"Path":"/x"}]: enabled should be set to true when '
        "conditions are defined"
    )
    assert said(x=1) == 'strict decoding error: unknown field "x"'


VERIFIED = "claims.email_verified == true"
MAYBE_VERIFIED = "claims.?email_verified.orValue(true) == true"


@pytest.mark.parametrize(
    ("username", "more", "fine"),
    [
        ("claims.email", {}, False),
        ("claims.?email.orValue('x')", {}, False),
        ("[claims].exists(c, c.sub == '') ? claims.email : ''", {}, False),
        ("claims.mail", {}, True),
        ("claims.sub == '' ? claims.email : claims.sub", {}, False),
        ("claims.email_verified ? claims.email : ''", {}, True),
        ("claims.email", {"claimValidationRules": [{"expression": VERIFIED}]}, True),
        (
            "claims.email",
            {"claimValidationRules": [{"expression": MAYBE_VERIFIED}]},
            True,
        ),
        (
            "claims.email",
            {
                "claimMappings": {
                    "extra": [{"key": "a.b/c", "valueExpression": "string(claims.email_verified)"}]
                }
            },
            True,
        ),
        ("claims.email", {"claimValidationRules": [{"claim": "email_verified"}]}, False),
    ],
)
def test_addresses_must_be_verified(username: str, more: Json, *, fine: bool) -> None:
    mappings = {**more.pop("claimMappings", {}), "username": {"expression": username}}
    whole = entry(claimMappings=mappings, **more)
    if fine:
        read(whole)
        return
    assert said(whole).startswith(
        f'jwt[0].claimMappings.username.expression: Invalid value: "{username}": '
        "claims.email_verified must be used in "
    )
