"""`--authentication-config`: whose JSON Web Tokens are good, whom they make, and who may come
without credentials.

`options/access.py` reads the file to complain early, `assembly/jwt_issuers.py` to use it, at the
start and whenever it changes; the flags --oidc-* are made the same record. The words of findings
are the real server's.
https://kubernetes.io/docs/reference/config-api/apiserver-config.v1/#apiserver-config-k8s-io-v1-AuthenticationConfiguration
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from kapi.authentication import jwt_findings
from kapi.codec.typed_documents import DocumentError, load
from kapi.errors import FieldError

if TYPE_CHECKING:
    from kapi.authentication.jwt_expressions import Expression

Json = dict[str, Any]
KIND = "AuthenticationConfiguration"
VERSIONS = tuple(f"apiserver.config.k8s.io/{v}" for v in ("v1", "v1beta1", "v1alpha1"))
ALGORITHMS = (
    "ES256", "ES384", "ES512", "PS256", "PS384", "PS512", "RS256", "RS384", "RS512",
)  # fmt: skip
_MAPPING = {"claim": str, "prefix": str, "expression": str}
_SHAPE: Json = {
    "jwt": [
        {
            "issuer": {
                "url": str,
                "discoveryURL": str,
                "certificateAuthority": str,
                "audiences": [str],
                "audienceMatchPolicy": str,
                "egressSelectorType": str,
            },
            "claimValidationRules": [
                {"claim": str, "requiredValue": str, "expression": str, "message": str}
            ],
            "claimMappings": {
                "username": _MAPPING,
                "groups": _MAPPING,
                "uid": {"claim": str, "expression": str},
                "extra": [{"key": str, "valueExpression": str}],
            },
            "userValidationRules": [{"expression": str, "message": str}],
        }
    ],
    "anonymous": {"enabled": bool, "conditions": [{"path": str}]},
}


class ConfigurationError(ValueError):
    """What is wrong with the configuration, in one line."""


@dataclass(frozen=True, slots=True)
class Mapping:
    """Where a value comes from: a claim, an expression, or nowhere."""

    claim: str = ""
    prefix: str = ""
    expression: Expression | None = None


@dataclass(frozen=True, slots=True)
class Rule:
    """An expression that must be true."""

    expression: Expression
    message: str


@dataclass(frozen=True, slots=True)
class JwtSettings:
    """One authenticator."""

    url: str
    discovery_url: str
    ca: str  # PEM; "": the roots of the system
    audiences: tuple[str, ...]
    algorithms: tuple[str, ...]
    username: Mapping
    groups: Mapping
    uid: Mapping
    extra: tuple[tuple[str, Expression], ...]
    required: tuple[tuple[str, str], ...]  # claims and their values
    claim_rules: tuple[Rule, ...]
    user_rules: tuple[Rule, ...]


@dataclass(frozen=True, slots=True)
class AnonymousSettings:
    """`paths`: the only ones that need no credentials; none: all."""

    enabled: bool
    paths: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """`anonymous`: None if the file does not say. `said`: what was read, to compare."""

    jwt: tuple[JwtSettings, ...]
    anonymous: AnonymousSettings | None
    said: Json


def parse(data: bytes, service_account_issuers: Collection[str]) -> Configuration:
    """A file's. Raises ConfigurationError."""
    try:
        document = load(data, KIND, VERSIONS, _SHAPE)
    except DocumentError as error:
        raise ConfigurationError(str(error)) from error
    return configure(document, ALGORITHMS, service_account_issuers)


def configure(
    document: Json, algorithms: Collection[str], service_account_issuers: Collection[str]
) -> Configuration:
    """What a document means. Raises ConfigurationError."""
    found: list[FieldError] = jwt_findings.findings(document, service_account_issuers)
    if found:
        texts = list(dict.fromkeys(map(str, found)))
        text = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
        raise ConfigurationError(f"invalid authentication configuration: {text}")
    anonymous = document.get("anonymous")
    return Configuration(
        tuple(_jwt(entry, tuple(algorithms)) for entry in document.get("jwt") or ()),
        None
        if anonymous is None
        else AnonymousSettings(
            anonymous.get("enabled", False),
            tuple(c.get("path", "") for c in anonymous.get("conditions") or ()),
        ),
        document,
    )


def of_flags(
    *,
    issuer: str,
    client_id: str,
    ca: str,
    username_claim: str,
    username_prefix: str,
    groups_claim: str,
    groups_prefix: str,
    required: Json,
) -> Json:
    """The document that the flags --oidc-* stand for; `ca`: PEM."""
    prefix = username_prefix
    if prefix == "-":
        prefix = ""
    elif not prefix and username_claim != "email":
        prefix = f"{issuer}#"
    mappings: Json = {"username": {"claim": username_claim, "prefix": prefix}}
    if groups_claim:
        mappings["groups"] = {"claim": groups_claim, "prefix": groups_prefix}
    entry: Json = {
        "issuer": {"url": issuer, "audiences": [client_id], "certificateAuthority": ca},
        "claimMappings": mappings,
        "claimValidationRules": [
            {"claim": claim, "requiredValue": value} for claim, value in required.items()
        ],
    }
    return {"jwt": [entry]}


def _jwt(entry: Json, algorithms: tuple[str, ...]) -> JwtSettings:
    issuer, mappings = entry["issuer"], entry["claimMappings"]
    rules = entry.get("claimValidationRules") or ()
    return JwtSettings(
        url=issuer["url"],
        discovery_url=issuer.get("discoveryURL", ""),
        ca=issuer.get("certificateAuthority", ""),
        audiences=tuple(issuer["audiences"]),
        algorithms=algorithms,
        username=_mapping(mappings["username"]),
        groups=_mapping(mappings.get("groups") or {}),
        uid=_mapping(mappings.get("uid") or {}),
        extra=tuple(
            (e["key"], _expression(e["valueExpression"])) for e in mappings.get("extra") or ()
        ),
        required=tuple((r["claim"], r.get("requiredValue", "")) for r in rules if r.get("claim")),
        claim_rules=tuple(
            Rule(_expression(r["expression"]), r.get("message", ""))
            for r in rules
            if r.get("expression")
        ),
        user_rules=tuple(
            Rule(_expression(r["expression"], user=True), r.get("message", ""))
            for r in entry.get("userValidationRules") or ()
        ),
    )


def _mapping(said: Json) -> Mapping:
    text = said.get("expression", "")
    return Mapping(
        said.get("claim", ""), said.get("prefix", ""), _expression(text) if text else None
    )


def _expression(text: str, *, user: bool = False) -> Expression:
    from kapi.authentication.jwt_expressions import Expression

    return Expression(text, "user" if user else "claims", condition=False)
