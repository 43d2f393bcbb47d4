"""What of the options shows outside: in the objects of a fresh server, in the documents about its
tokens.

Called by `server.py` at the start.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kapi.assembly import identity
from kapi.controllers import fixed_objects
from kapi.handlers.documents.openid import openid_paths
from kapi.messages import Handler
from kapi.options.table import FLAGS, Options


def bootstrap_settings(options: Options) -> fixed_objects.Settings:
    """What of the options shows in the objects that a fresh server makes."""
    client_ca = options.client_ca_file
    proxy = None
    if options.requestheader_client_ca_file:
        proxy = fixed_objects.RequestHeaderSettings(
            ca=Path(options.requestheader_client_ca_file).read_text(),
            allowed_names=options.requestheader_allowed_names,
            username_headers=options.requestheader_username_headers,
            uid_headers=options.requestheader_uid_headers,
            group_headers=options.requestheader_group_headers,
            extra_prefixes=options.requestheader_extra_headers_prefix,
        )
    address = options.reached_at
    if options.etcd_servers or options.endpoint_reconciler_type == "none":
        address = ""  # servers that share a store say by themselves that they live, or nobody does
    return fixed_objects.Settings(
        service_ranges=options.service_cluster_ip_range,
        advertise_address=address,
        secure_port=options.secure_port,
        client_ca=Path(client_ca).read_text() if client_ca else "",
        request_header=proxy,
    )


def flag_values(options: Options) -> Mapping[str, str]:
    """Every flag as on the command line, without dashes, with its value as pflag prints it."""
    return {
        name.replace("_", "-"): flag.kind.print(getattr(options, name))
        for name, flag in FLAGS.items()
    }


def openid(options: Options, who: identity.Identity) -> Mapping[str, Handler]:
    """The documents by which others check our tokens."""
    if not who.keys.all:
        return {}
    issuer = identity.issuers(options)[0]
    uri = options.service_account_jwks_uri or f"{issuer}/openid/v1/jwks"
    return openid_paths(issuer, uri, who.keys)
