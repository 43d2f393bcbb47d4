"""What the flags say of issuers of JSON Web Tokens: a file, or the flags --oidc-*, as one record.

`access.py` asks at the start, to complain; `assembly/jwt_issuers.py` to use it.
"""

from __future__ import annotations

from pathlib import Path

from kapi.authentication.jwt_configuration import Configuration, configure, of_flags, parse
from kapi.options.table import DEFAULT_ISSUER, Options


def configured(options: Options) -> Configuration:
    """Raises ConfigurationError, OSError."""
    if options.authentication_config:
        return of_file(options, Path(options.authentication_config).read_bytes())
    if not options.oidc_issuer_url:
        return Configuration((), None, {})
    ca = Path(options.oidc_ca_file).read_text() if options.oidc_ca_file else ""
    document = of_flags(
        issuer=options.oidc_issuer_url,
        client_id=options.oidc_client_id,
        ca=ca,
        username_claim=options.oidc_username_claim,
        username_prefix=options.oidc_username_prefix,
        groups_claim=options.oidc_groups_claim,
        groups_prefix=options.oidc_groups_prefix,
        required=dict(options.oidc_required_claim),
    )
    return configure(document, options.oidc_signing_algs, _ours(options))


def of_file(options: Options, data: bytes) -> Configuration:
    """What a file of --authentication-config means. Raises ConfigurationError."""
    return parse(data, _ours(options))


def _ours(options: Options) -> tuple[str, ...]:
    """Issuers of service-account tokens; nobody else may have their names."""
    return options.service_account_issuer or (DEFAULT_ISSUER,)
