"""Values in an envelope: encrypted with a key that only a plugin can decrypt (KMS, version 2).

    EncryptedObject { info (32) | nonce (12) | AES-GCM of the value | tag (16), how to get the key }

The key of each value is derived from a seed by HKDF with 32 random bytes, so no nonce is ever used
twice with one key, however many values are written. The seed is made here and encrypted by the
plugin once for all values; objects of older servers have the key itself in its place. What was
decrypted once is remembered.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/3299-kms-v2-improvements
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from dataclasses import replace
from typing import Final

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from kapi.codec.protobuf_format import ProtobufError
from kapi.encryption.local_keys import TOO_SHORT, AesGcm, Random
from kapi.encryption.messages import (
    AES_GCM_KEY,
    HKDF_SEED,
    Annotations,
    EncryptedObject,
    read_object,
)
from kapi.encryption.transformers import Transformer, TransformError

SEED_BYTES: Final = 32
_INFO: Final = 32
_KEY: Final = 32
KEY_ID_BYTES_MAX: Final = 1024
DEK_SOURCE_BYTES_MAX: Final = 1024
ANNOTATIONS_BYTES_MAX: Final = 32 * 1024
# Seeds that are remembered: one for each key of the plugin and start of a server, until everything
# that it wrote was written anew.
SEEDS_MAX: Final = 4096
_DOMAIN: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+\.?")


class SeedAesGcm:
    """A key of its own for each value, derived from a seed."""

    def __init__(self, seed: bytes, random: Random = os.urandom) -> None:
        """Raises TransformError."""
        if len(seed) < SEED_BYTES:
            raise TransformError(f"invalid seed length {len(seed)} used for key generation")
        self._seed = seed
        self._random = random

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(data) < _INFO:
            raise TransformError(TOO_SHORT)
        return self._derived(data[:_INFO]).read(data[_INFO:], context)

    def write(self, data: bytes, context: bytes) -> bytes:
        info = self._random(_INFO)
        return info + self._derived(info).write(data, context)

    def _derived(self, info: bytes) -> AesGcm:
        key = HKDFExpand(algorithm=SHA256(), length=_KEY, info=info).derive(self._seed)
        return AesGcm(key, self._random)


def of_key(source_type: int, key: bytes) -> Transformer:
    """What reads values, given the plain DEK source. Raises TransformError."""
    if source_type == HKDF_SEED:
        return SeedAesGcm(key)
    try:
        return AesGcm(key)
    except ValueError:
        raise TransformError(f"crypto/aes: invalid key size {len(key)}") from None


def opened(data: bytes) -> EncryptedObject:
    """The envelope of a stored value. Raises TransformError."""
    try:
        obj = read_object(data)
    except ProtobufError as error:
        raise TransformError(f"proto: cannot parse invalid wire-format data: {error}") from None
    check(obj)
    return obj


def check(obj: EncryptedObject) -> None:
    """Raises TransformError, in the words of the real server."""
    if obj.source_type not in (AES_GCM_KEY, HKDF_SEED):
        raise TransformError(f"unknown encryptedDEKSourceType: {obj.source_type}")
    if not obj.data:
        raise TransformError("encrypted data is empty")
    size = len(obj.dek_source)
    if not size:
        raise TransformError(
            "failed to validate encrypted DEK source: encrypted DEK source is empty"
        )
    if size > DEK_SOURCE_BYTES_MAX:
        raise TransformError(
            f"failed to validate encrypted DEK source: encrypted DEK source is {size} bytes, "
            f"which exceeds the max size of {DEK_SOURCE_BYTES_MAX}"
        )
    wrong = key_id_problem(obj.key_id)[1]
    if wrong:
        raise TransformError(f"failed to validate key id: {wrong}")
    wrong = _annotations_problem(obj.annotations)
    if wrong:
        raise TransformError(f"failed to validate annotations: {wrong}")


def check_source(obj: EncryptedObject) -> None:
    """The same of one that has no value yet."""
    check(replace(obj, data=b"\0"))


def key_id_problem(key_id: str) -> tuple[str, str]:
    """The code of metrics, and the words; empty ones if it is right."""
    size = len(key_id.encode())
    if not size:
        return "empty", "keyID is empty"
    if size > KEY_ID_BYTES_MAX:
        text = f"keyID is {size} bytes, which exceeds the max size of {KEY_ID_BYTES_MAX}"
        return "too_long", text
    return "ok", ""


def _annotations_problem(annotations: Annotations) -> str:
    found = [
        f'annotations: Invalid value: "{name}": should be a domain with at least two segments '
        "separated by dots"
        for name in annotations
        if not _DOMAIN.fullmatch(name)
    ]
    size = sum(len(name.encode()) + len(value) for name, value in annotations.items())
    if size > ANNOTATIONS_BYTES_MAX:
        found.append(
            f"total size of annotations is {size}, which exceeds the max size of "
            f"{ANNOTATIONS_BYTES_MAX}"
        )
    return found[0] if len(found) == 1 else f"[{', '.join(found)}]" if found else ""


def source_key(obj: EncryptedObject) -> bytes:
    """By which the key of an object is remembered: all that the plugin is told of it."""
    digest = hashlib.sha256(obj.source_type.to_bytes(4, "big"))
    parts = [obj.dek_source, obj.key_id.encode()]
    for name in sorted(obj.annotations):
        parts += [name.encode(), obj.annotations[name]]
    for part in parts:
        digest.update(len(part).to_bytes(4, "big") + part)
    return digest.digest()


class Known:
    """Readers by their source, the least used ones forgotten."""

    def __init__(self) -> None:
        self._readers: OrderedDict[bytes, Transformer] = OrderedDict()

    def __len__(self) -> int:
        return len(self._readers)

    def get(self, key: bytes) -> Transformer | None:
        found = self._readers.get(key)
        if found is not None:
            self._readers.move_to_end(key)
        return found

    def put(self, key: bytes, reader: Transformer) -> None:
        self._readers[key] = reader
        self._readers.move_to_end(key)
        if len(self._readers) > SEEDS_MAX:
            self._readers.popitem(last=False)
