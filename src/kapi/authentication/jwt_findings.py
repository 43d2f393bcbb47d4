"""What is wrong with an authentication configuration, in the real server's words and order.

Called by `jwt_configuration.py` with a document whose fields have their types.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import orjson

from kapi import errors
from kapi.errors import FieldError, GoText
from kapi.selector.syntax import subdomain_complaints

if TYPE_CHECKING:
    from kapi.authentication.jwt_expressions import Expression

Json = dict[str, Any]
AUTHENTICATORS_MAX = 64
MATCH_ANY = "MatchAny"
_BOTH = "claim and expression can't both be set"
_EITHER = "claim or expression is required"
_EMAIL = (
    "claims.email_verified must be used in claimMappings.username.expression or "
    "claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when "
    "claims.email is used in claimMappings.username.expression"
)
_RESERVED = "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use"
_DOMAIN_PREFIXED = 'must be a domain-prefixed path (such as "acme.io/foo")'
_HTTP_PATH = r"[A-Za-z0-9/\-._~%!$&'()*+,;=:]+"
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2}).{0,2}")


def findings(document: Json, service_account_issuers: Collection[str]) -> list[FieldError]:
    entries: list[Json] = document.get("jwt") or []
    if len(entries) > AUTHENTICATORS_MAX:
        return [errors.too_many("jwt", len(entries), AUTHENTICATORS_MAX)]
    out: list[FieldError] = []
    urls: set[str] = set()
    discovery: set[str] = set()
    for i, entry in enumerate(entries):
        path, issuer = f"jwt[{i}]", entry.get("issuer") or {}
        out += _Authenticator(entry, path, service_account_issuers).findings()
        url, other = issuer.get("url", ""), issuer.get("discoveryURL", "")
        if url in urls:
            out.append(errors.duplicate(f"{path}.issuer.url", url))
        urls.add(url)
        if other and other in discovery:
            out.append(errors.duplicate(f"{path}.issuer.discoveryURL", other))
        discovery.add(other)
    anonymous = document.get("anonymous") or {}
    conditions = anonymous.get("conditions")
    if conditions and not anonymous.get("enabled"):
        shown = [{"Path": condition.get("path", "")} for condition in conditions]
        words = "enabled should be set to true when conditions are defined"
        value = GoText(orjson.dumps(shown).decode())
        out.append(errors.invalid_value("anonymous.conditions", value, words))
    return out


class _Authenticator:
    """Looks at one, in the order: issuer, claim rules, mappings, user rules."""

    def __init__(self, entry: Json, path: str, forbidden: Collection[str]) -> None:
        self._entry = entry
        self._path = path
        self._forbidden = forbidden
        self._out: list[FieldError] = []
        self._email = False
        self._email_verified = False

    def findings(self) -> list[FieldError]:
        entry, path = self._entry, self._path
        self._out += _issuer(entry.get("issuer") or {}, f"{path}.issuer", self._forbidden)
        self._claim_rules(entry.get("claimValidationRules") or (), f"{path}.claimValidationRules")
        self._mappings(entry.get("claimMappings") or {}, f"{path}.claimMappings")
        self._user_rules(entry.get("userValidationRules") or (), f"{path}.userValidationRules")
        return self._out

    def _add(self, make: Callable[..., FieldError], *args: Any) -> None:
        self._out.append(make(*args))

    def _compiled(
        self, text: str, path: str, *, condition: bool = False, user: bool = False
    ) -> Expression | None:
        from kapi.authentication.jwt_expressions import CompileProblem, Expression

        try:
            return Expression(text, "user" if user else "claims", condition=condition)
        except CompileProblem as problem:
            self._add(errors.invalid_value, path, text, str(problem))
            return None

    def _claim_rules(self, rules: Sequence[Json], path: str) -> None:
        claims: set[str] = set()
        texts: set[str] = set()
        for i, rule in enumerate(rules):
            where = f"{path}[{i}]"
            claim, text = rule.get("claim", ""), rule.get("expression", "")
            if claim and text:
                self._add(errors.invalid_value, where, claim, _BOTH)
            elif claim:
                if message := rule.get("message"):
                    words = "may not be specified when claim is set"
                    self._add(errors.invalid_value, f"{where}.message", message, words)
                if claim in claims:
                    self._add(errors.duplicate, f"{where}.claim", claim)
                claims.add(claim)
            elif text:
                if value := rule.get("requiredValue"):
                    words = "may not be specified when expression is set"
                    self._add(errors.invalid_value, f"{where}.requiredValue", value, words)
                where = f"{where}.expression"
                if text in texts:
                    self._add(errors.duplicate, where, text)
                    continue
                texts.add(text)
                self._sees(self._compiled(text, where, condition=True))
            else:
                self._add(errors.required, where, _EITHER)

    def _sees(self, expression: Expression | None) -> None:
        if expression is not None and expression.uses("email_verified"):
            self._email_verified = True

    def _mappings(self, mappings: Json, path: str) -> None:
        username = mappings.get("username") or {}
        expression = self._prefixed(username, f"{path}.username", required=True)
        if expression is not None:
            self._email = expression.uses("email")
            self._sees(expression)
        self._prefixed(mappings.get("groups") or {}, f"{path}.groups", required=False)
        uid = mappings.get("uid") or {}
        if uid.get("claim") and uid.get("expression"):
            self._add(errors.invalid_value, f"{path}.uid", "", _BOTH)
        elif text := uid.get("expression"):
            self._compiled(text, f"{path}.uid.expression")
        self._extra(mappings.get("extra") or (), f"{path}.extra")
        if self._email and not self._email_verified:
            text = username.get("expression", "")
            self._add(errors.invalid_value, f"{path}.username.expression", text, _EMAIL)

    def _prefixed(self, said: Json, path: str, *, required: bool) -> Expression | None:
        claim, text, prefix = said.get("claim"), said.get("expression"), said.get("prefix")
        if claim and text:
            self._add(errors.invalid_value, path, "", _BOTH)
        elif text:
            if prefix is not None:
                words = "may not be specified when expression is set"
                self._add(errors.invalid_value, f"{path}.prefix", prefix, words)
                self._compiled(text, f"{path}.expression")
                return None
            return self._compiled(text, f"{path}.expression")
        elif claim:
            if prefix is None:
                words = (
                    "prefix is required when claim is set. It can be set to an empty string to "
                    "disable prefixing"
                )
                self._add(errors.required, f"{path}.prefix", words)
        elif required:
            self._add(errors.required, path, _EITHER)
        return None

    def _extra(self, entries: Sequence[Json], path: str) -> None:
        keys: set[str] = set()
        for i, entry in enumerate(entries):
            key, where = entry.get("key", ""), f"{path}[{i}]"
            text = entry.get("valueExpression", "")
            self._out += _extra_key(key, f"{where}.key")
            if key in keys:
                self._add(errors.duplicate, f"{where}.key", key)
                continue
            keys.add(key)
            if not text:
                self._add(errors.required, f"{where}.valueExpression")
                continue
            self._sees(self._compiled(text, f"{where}.valueExpression"))

    def _user_rules(self, rules: Sequence[Json], path: str) -> None:
        texts: set[str] = set()
        for i, rule in enumerate(rules):
            text, where = rule.get("expression", ""), f"{path}[{i}].expression"
            if not text:
                self._add(errors.required, where)
            elif text in texts:
                self._add(errors.duplicate, where, text)
            else:
                texts.add(text)
                self._compiled(text, where, condition=True, user=True)


def _issuer(issuer: Json, path: str, forbidden: Collection[str]) -> list[FieldError]:
    url, other = issuer.get("url", ""), issuer.get("discoveryURL", "")
    out = _url(url, f"{path}.url", forbidden) if url else [errors.required(f"{path}.url")]
    if other:
        if url and url.rstrip("/") == other.rstrip("/"):
            words = "discoveryURL must be different from URL"
            out.append(errors.invalid_value(f"{path}.discoveryURL", other, words))
        out += _url(other, f"{path}.discoveryURL", ())
    out += _audiences(issuer, path)
    if ca := issuer.get("certificateAuthority"):
        where = f"{path}.certificateAuthority"
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=ca)
        except (ssl.SSLError, ValueError, TypeError):
            words = "data does not contain any valid RSA or ECDSA certificates"
            out.append(errors.invalid_value(where, "<omitted>", words))
    if kind := issuer.get("egressSelectorType"):
        where = f"{path}.egressSelectorType"
        if kind in ("controlplane", "cluster"):
            out.append(errors.field_forbidden(where, "calls cannot be sent through a proxy"))
        else:
            words = "egress selector must be either controlplane or cluster"
            out.append(errors.invalid_value(where, kind, words))
    return out


def _url(url: str, path: str, forbidden: Collection[str]) -> list[FieldError]:
    out: list[FieldError] = []
    if url in forbidden:
        listed = "[" + " ".join(sorted(forbidden)) + "]"
        words = f"URL must not overlap with disallowed issuers: {listed}"
        out.append(errors.invalid_value(path, url, words))
    if problem := _unreadable(url):
        return [*out, errors.invalid_value(path, url, f"parse {errors.quote(url)}: {problem}")]
    parts = urlsplit(url)
    if parts.scheme != "https":
        out.append(errors.invalid_value(path, url, "URL scheme must be https"))
    if "@" in parts.netloc:
        words = "URL must not contain a username or password"
        out.append(errors.invalid_value(path, url, words))
    if parts.query:
        out.append(errors.invalid_value(path, url, "URL must not contain a query"))
    if parts.fragment:
        out.append(errors.invalid_value(path, url, "URL must not contain a fragment"))
    return out


def _unreadable(url: str) -> str:
    """Why Go would not parse it, "" if it would."""
    if _CONTROL.search(url):
        return "net/url: invalid control character in URL"
    if found := _BAD_ESCAPE.search(url):
        return f"invalid URL escape {errors.quote(found[0])}"
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 — raises
    except ValueError:
        port = url.rpartition("//")[2].partition("/")[0].rpartition(":")[2]
        return f"invalid port {errors.quote(':' + port)} after host"
    return ""


def _audiences(issuer: Json, path: str) -> list[FieldError]:
    audiences, policy = issuer.get("audiences") or (), issuer.get("audienceMatchPolicy", "")
    where = f"{path}.audiences"
    if not audiences:
        return [errors.required(where, f"at least one {where} is required")]
    out: list[FieldError] = []
    seen: set[str] = set()
    for i, audience in enumerate(audiences):
        if not audience:
            out.append(errors.required(f"{where}[{i}]"))
        if audience in seen:
            out.append(errors.duplicate(f"{where}[{i}]", audience))
        seen.add(audience)
    where = f"{path}.audienceMatchPolicy"
    if len(audiences) > 1 and policy != MATCH_ANY:
        words = "audienceMatchPolicy must be MatchAny for multiple audiences"
        out.append(errors.invalid_value(where, policy, words))
    if len(audiences) == 1 and policy not in ("", MATCH_ANY):
        words = "audienceMatchPolicy must be empty or MatchAny for single audience"
        out.append(errors.invalid_value(where, policy, words))
    return out


def _extra_key(key: str, path: str) -> list[FieldError]:
    out = _domain_prefixed(key, path)
    if key != key.lower():
        out.append(errors.invalid_value(path, key, "must be lowercase"))
    domain = key.partition("/")[0] if "/" in key else ""
    if any(domain == d or domain.endswith(f".{d}") for d in ("kubernetes.io", "k8s.io")):
        out.append(errors.invalid_value(path, key, _RESERVED))
    return out


def _domain_prefixed(key: str, path: str) -> list[FieldError]:
    if not key:
        return [errors.required(path)]
    host, _, rest = key.partition("/")
    if not host or not rest:
        return [errors.invalid_value(path, key, _DOMAIN_PREFIXED)]
    out = [errors.invalid_value(path, host, words) for words in subdomain_complaints(host)]
    if not re.fullmatch(_HTTP_PATH, rest):
        words = f"Invalid path (regex used for validation is '{_HTTP_PATH}')"
        out.append(errors.invalid_value(path, rest, words))
    return out
