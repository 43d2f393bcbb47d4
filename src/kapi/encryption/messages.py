"""The messages of a KMS plugin's API, version 2, and of values that are kept in an envelope.

Functions to and from bytes, as `storage/etcd_messages.py` has them for etcd; the numbers are those
of k8s.io/kms/apis/v2 and of the real server's EncryptedObject. Unknown fields are skipped.
https://kubernetes.io/docs/tasks/administer-cluster/kms-provider/
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from kapi.codec.protobuf_format import (
    BYTES,
    VARINT,
    ProtobufError,
    encoded,
    header,
    sized,
    skip,
    span,
    varint,
)

AES_GCM_KEY: Final = 0  # the plain DEK source is the key itself
HKDF_SEED: Final = 1  # … is what each value's key is derived from

Annotations = Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Status:
    version: str
    healthz: str
    key_id: str


@dataclass(frozen=True, slots=True)
class Encrypted:
    """What Encrypt answers."""

    ciphertext: bytes
    key_id: str
    annotations: Annotations


@dataclass(frozen=True, slots=True)
class EncryptedObject:
    """A stored value behind its prefix."""

    data: bytes
    key_id: str
    dek_source: bytes  # encrypted by the plugin
    annotations: Annotations = field(default_factory=dict)
    source_type: int = HKDF_SEED


def encrypt_request(plaintext: bytes, uid: str) -> bytes:
    return _bytes(1, plaintext) + _bytes(2, uid.encode())


def decrypt_request(obj: EncryptedObject, uid: str) -> bytes:
    return (
        _bytes(1, obj.dek_source)
        + _bytes(2, uid.encode())
        + _bytes(3, obj.key_id.encode())
        + _map(4, obj.annotations)
    )


def read_status(data: bytes) -> Status:
    """Raises ProtobufError, as all that read do."""
    fields, _, _ = _fields(data)
    version, healthz, key_id = (_text(fields, number) for number in (1, 2, 3))
    return Status(version, healthz, key_id)


def read_encrypted(data: bytes) -> Encrypted:
    fields, _, annotations = _fields(data, annotated=3)
    return Encrypted(fields.get(1, b""), _text(fields, 2), annotations)


def read_decrypted(data: bytes) -> bytes:
    fields, _, _ = _fields(data)
    return fields.get(1, b"")


def object_bytes(obj: EncryptedObject) -> bytes:
    out = (
        _bytes(1, obj.data)
        + _bytes(2, obj.key_id.encode())
        + _bytes(3, obj.dek_source)
        + _map(4, obj.annotations)
    )
    if obj.source_type:
        out += header(5, VARINT) + encoded(obj.source_type)
    return out


def read_object(data: bytes) -> EncryptedObject:
    fields, numbers, annotations = _fields(data, annotated=4)
    return EncryptedObject(
        fields.get(1, b""), _text(fields, 2), fields.get(3, b""), annotations, numbers.get(5, 0)
    )


# -- fields ---------------------------------------------------------------------------------------


def _bytes(number: int, value: bytes) -> bytes:
    return header(number, BYTES) + sized(value) if value else b""


def _map(number: int, values: Annotations) -> bytes:
    """In the order of the keys, so that equal maps are equal bytes."""
    out = b""
    for key in sorted(values):
        entry = header(1, BYTES) + sized(key.encode()) + header(2, BYTES) + sized(values[key])
        out += header(number, BYTES) + sized(entry)
    return out


def _fields(
    data: bytes, *, annotated: int = 0
) -> tuple[dict[int, bytes], dict[int, int], dict[str, bytes]]:
    """What a message has: bytes and numbers by field, and the map that is `annotated`."""
    found: dict[int, bytes] = {}
    numbers: dict[int, int] = {}
    annotations: dict[str, bytes] = {}
    at, end = 0, len(data)
    while at < end:
        tag, at = varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == BYTES and number:
            start, at = span(data, at, end)
            value = data[start:at]
            if number == annotated:
                entry, _, _ = _fields(value)
                annotations[_text(entry, 1)] = entry.get(2, b"")
            else:
                found[number] = value
        elif wire == VARINT and number:
            numbers[number], at = varint(data, at, end)
        else:
            at = skip(data, at, end, tag, "Message")
    return found, numbers, annotations


def _text(fields: Mapping[int, bytes], number: int) -> str:
    try:
        return fields.get(number, b"").decode()
    except UnicodeDecodeError:
        raise ProtobufError("string field contains invalid UTF-8") from None
