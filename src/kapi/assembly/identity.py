"""Who asks: the authenticators that the options ask for, in the real order.

Called by `server.py` once.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from kapi.authentication import token_file
from kapi.authentication.anonymous import Anonymous
from kapi.authentication.authenticator import (
    Authenticator,
    TokenAuthenticator,
    token_union,
    union,
)
from kapi.authentication.bearer import BearerToken, WebSocketToken
from kapi.authentication.bootstrap_token import BootstrapTokens
from kapi.authentication.legacy_tokens import LegacyTokens
from kapi.authentication.request_header import HeaderNames, RequestHeader
from kapi.authentication.service_account import (
    Issuer,
    Live,
    Objects,
    ServiceAccountTokens,
)
from kapi.authentication.service_account_keys import (
    KeySet,
    Signer,
    load_private_key,
    load_public_keys,
)
from kapi.authentication.token_cache import TokenCache
from kapi.authentication.token_use import Label, TokenUse
from kapi.authentication.x509 import CertificateAuthority, ClientCertificate
from kapi.authorization.rbac import Lister
from kapi.clock import Clock, Entropy
from kapi.options.table import Options

DEFAULT_ISSUER = "https://kubernetes.default.svc.cluster.local"


@dataclass(frozen=True, slots=True)
class Identity:
    authenticator: Authenticator
    anonymous: Authenticator | None
    tokens: TokenAuthenticator
    audiences: tuple[str, ...]
    issuer: Issuer | None
    keys: KeySet
    bound_objects: Objects
    proxy_headers: HeaderNames


def issuers(options: Options) -> tuple[str, ...]:
    return options.service_account_issuer or (DEFAULT_ISSUER,)


def audiences(options: Options) -> tuple[str, ...]:
    return options.api_audiences or issuers(options)[:1]


def build_identity(
    options: Options,
    clock: Clock,
    entropy: Entropy,
    listers: Mapping[str, Lister],
    live: Live,
    label_secret: Label,
) -> Identity:
    """`listers` by resource of the core group: serviceaccounts, pods, secrets, nodes."""
    accepted = audiences(options)
    keys = KeySet(
        [
            key
            for path in options.service_account_key_file
            for key in load_public_keys(Path(path).read_bytes())
        ]
    )
    bound = Objects(listers, live)
    tokens: list[TokenAuthenticator] = []
    if options.token_auth_file:
        tokens.append(token_file.load(Path(options.token_auth_file), accepted, entropy))
    if keys.all:
        tokens.append(LegacyTokens(keys, accepted, bound, TokenUse(clock, label_secret)))
        tokens.append(ServiceAccountTokens(issuers(options), keys, accepted, bound, clock))
    if options.enable_bootstrap_token_auth:
        tokens.append(BootstrapTokens(listers["secrets"], accepted, clock))
    all_tokens: TokenAuthenticator = TokenCache(token_union(tokens), clock, entropy)
    members: list[Authenticator] = []
    names = _proxy_headers(options)
    if options.requestheader_client_ca_file:
        pem = Path(options.requestheader_client_ca_file).read_bytes()
        authority = CertificateAuthority.from_pem(pem)
        allowed = options.requestheader_allowed_names
        members.append(RequestHeader(authority, allowed, names, clock))
    if options.client_ca_file:
        authority = CertificateAuthority.from_pem(Path(options.client_ca_file).read_bytes())
        members.append(ClientCertificate(authority, clock))
    members += [BearerToken(all_tokens, accepted), WebSocketToken(all_tokens, accepted)]
    issuer = None
    if options.service_account_signing_key_file:
        pem = Path(options.service_account_signing_key_file).read_bytes()
        signer = Signer(load_private_key(pem))
        issuer = Issuer(issuers(options)[0], signer, clock, entropy)
    return Identity(
        authenticator=union(members),
        anonymous=Anonymous() if options.anonymous_auth else None,
        tokens=all_tokens,
        audiences=accepted,
        issuer=issuer,
        keys=keys,
        bound_objects=bound,
        proxy_headers=names,
    )


def _proxy_headers(options: Options) -> HeaderNames:
    standard = HeaderNames()
    return HeaderNames(
        users=options.requestheader_username_headers or standard.users,
        uids=options.requestheader_uid_headers or standard.uids,
        groups=options.requestheader_group_headers or standard.groups,
        extra_prefixes=options.requestheader_extra_headers_prefix or standard.extra_prefixes,
    ).lowered()
