"""Who asks: the authenticators that the options ask for, in the real order.

Called by `server.py` once.
https://kubernetes.io/docs/reference/access-authn-authz/authentication/"""

from __future__ import annotations

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kapi.admission import kubeconfig
from kapi.assembly.reloading import ConfigurationFileError, ReloadedFile, read
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
from kapi.controllers.identity_lease import server_name
from kapi.metrics import Metrics
from kapi.options.table import DEFAULT_ISSUER, Options
from kapi.outgoing.client import Client

if TYPE_CHECKING:
    from kapi.assembly.jwt_issuers import Issuers

WEBHOOK_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Identity:
    """`issuers`: of JSON Web Tokens; `file`: their configuration, to look at again; where there
    are any.
    """

    authenticator: Authenticator
    anonymous: Authenticator | None
    tokens: TokenAuthenticator
    audiences: tuple[str, ...]
    issuer: Issuer | None
    keys: KeySet
    bound_objects: Objects
    proxy_headers: HeaderNames
    issuers: Issuers | None = None
    file: ReloadedFile | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityDependencies:
    options: Options
    clock: Clock
    entropy: Entropy
    metrics: Metrics
    client: Client
    listers: Mapping[str, Lister]  # of the core group: serviceaccounts, pods, secrets, nodes
    live: Live
    label_secret: Label


def issuers(options: Options) -> tuple[str, ...]:
    return options.service_account_issuer or (DEFAULT_ISSUER,)


def audiences(options: Options) -> tuple[str, ...]:
    return options.api_audiences or issuers(options)[:1]


def build_identity(d: IdentityDependencies) -> Identity:
    """Raises ConfigurationFileError, OSError, TokenFileError, KeyFileError."""
    options, clock, entropy = d.options, d.clock, d.entropy
    accepted = audiences(options)
    keys = KeySet(
        [
            key
            for path in options.service_account_key_file
            for key in load_public_keys(Path(path).read_bytes())
        ]
    )
    bound = Objects(d.listers, d.live)
    tokens: list[TokenAuthenticator] = []
    if options.token_auth_file:
        tokens.append(token_file.load(Path(options.token_auth_file), accepted, entropy))
    if keys.all:
        tokens.append(LegacyTokens(keys, accepted, bound, TokenUse(clock, d.label_secret)))
        tokens.append(ServiceAccountTokens(issuers(options), keys, accepted, bound, clock))
    if options.enable_bootstrap_token_auth:
        tokens.append(BootstrapTokens(d.listers["secrets"], accepted, clock))
    jwt, file = _issuers(d, accepted)
    if jwt is not None:
        tokens.append(jwt.tokens)
    if options.authentication_token_webhook_config_file:
        tokens.append(_webhook(d, accepted))
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
        anonymous=_anonymous(options, jwt),
        tokens=all_tokens,
        audiences=accepted,
        issuer=issuer,
        keys=keys,
        bound_objects=bound,
        proxy_headers=names,
        issuers=jwt,
        file=file,
    )


def _anonymous(options: Options, issuers: Issuers | None) -> Authenticator | None:
    said = issuers.anonymous if issuers is not None else None
    if said is None:
        return Anonymous() if options.anonymous_auth else None
    return Anonymous(said.paths) if said.enabled else None


def _issuers(
    d: IdentityDependencies, accepted: Sequence[str]
) -> tuple[Issuers | None, ReloadedFile | None]:
    options = d.options
    if not (options.authentication_config or options.oidc_issuer_url):
        return None, None
    from kapi.assembly.jwt_issuers import IssuerDependencies, Issuers

    path = options.authentication_config
    data = read(path) if path else b""
    needed = IssuerDependencies(
        options=options,
        client=d.client,
        clock=d.clock,
        metrics=d.metrics,
        server=server_name(socket.gethostname()),
    )
    try:
        found = Issuers(needed, accepted)
    except ValueError as error:
        raise ConfigurationFileError(f"{path}: {error}" if path else str(error)) from error
    return found, found.file(data) if path else None


def _webhook(d: IdentityDependencies, accepted: Sequence[str]) -> TokenAuthenticator:
    from kapi.authentication.webhook_tokens import WebhookTokens
    from kapi.outgoing.reviews import ReviewClient

    options = d.options
    server = kubeconfig.load(options.authentication_token_webhook_config_file)
    client = ReviewClient(d.client, server, d.clock, d.entropy, WEBHOOK_TIMEOUT_S)
    return WebhookTokens(
        client,
        options.authentication_token_webhook_version,
        accepted,
        options.authentication_token_webhook_cache_ttl,
        d.clock,
        d.entropy,
    )


def _proxy_headers(options: Options) -> HeaderNames:
    standard = HeaderNames()
    return HeaderNames(
        users=options.requestheader_username_headers or standard.users,
        uids=options.requestheader_uid_headers or standard.uids,
        groups=options.requestheader_group_headers or standard.groups,
        extra_prefixes=options.requestheader_extra_headers_prefix or standard.extra_prefixes,
    ).lowered()
