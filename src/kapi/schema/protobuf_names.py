"""Names of Go fields, which errors about Protocol Buffers show: by convention the JSON name with a
capital, and in capitals what is short for something."""

from __future__ import annotations

import re

from kapi.schema.structural import Property

_SHORT = frozenset(
    (
        "api", "aws", "ca", "cidr", "cpu", "csi", "dns", "fc", "fs", "gce", "gmsa", "http", "id",
        "ip", "iqn", "iscsi", "nfs", "oidc", "pid", "rbd", "tcp", "tls", "ttl", "tty", "uid",
        "uri", "url", "wwids",
    )
)  # fmt: skip
_FIRST = re.compile(r"[a-z]+")


def go_field(p: Property) -> str:
    """The Go name of a field."""
    name = p.name
    if name == "metadata":
        return p.schema.struct  # embedded: it has the name of its type
    first = _FIRST.match(name)
    if first is not None and first[0] in _SHORT:
        return first[0].upper() + name[first.end() :]
    return name[:1].upper() + name[1:]
