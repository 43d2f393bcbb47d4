"""PEM as Go's encoding/pem reads it, and what is wrong with a bundle of authorities in the words of
client-go.

https://pkg.go.dev/encoding/pem#Decode
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from dataclasses import dataclass

_BLOCK = re.compile(
    rb"(?:\A|(?<=\n))-----BEGIN ([^\n]*?)-----[ \t]*\r?\n"
    rb"((?:[^\n:]*:[^\n]*\n)*)(.*?)(?<=\n)-----END \1-----[ \t]*\r?(?:\n|\Z)",
    re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Block:
    kind: str
    headed: bool  # whether lines `name: value` stand before the data
    der: bytes
    end: int  # where in the text it ends


def blocks(text: bytes) -> Iterator[Block]:
    """The blocks of a text; those with broken base64 are passed over."""
    for found in _BLOCK.finditer(text):
        try:
            der = base64.b64decode(b"".join(found[3].split()), validate=True)
        except binascii.Error:
            continue
        yield Block(found[1].decode(errors="replace"), bool(found[2]), der, found.end())


def bundle_problem(text: bytes) -> str:
    """Why a bundle holds no certificate; empty if it holds one."""
    from cryptography import x509

    found = list(blocks(text))
    broken = False
    for block in found:
        if block.kind == "CERTIFICATE" and not block.headed:
            try:
                x509.load_der_x509_certificate(block.der)
            except ValueError:
                broken = True
            else:
                return ""
    if broken:
        return "failed to parse certificate: x509: malformed certificate"
    if not found or found[-1].end < len(text):
        return "unable to parse bytes as PEM block"
    return "no valid certificate authority data seen"
