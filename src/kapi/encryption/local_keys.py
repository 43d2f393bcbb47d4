"""Transformers whose keys are in the configuration: AES-CBC, AES-GCM, XSalsa20-Poly1305.

The bytes are those of the real server:

| provider | behind the prefix |
|---|---|
| aescbc | IV (16), AES-CBC of the value with PKCS#7 padding; nothing binds it to its key |
| aesgcm | nonce (12), AES-GCM of the value and its tag (16); the context is authenticated |
| secretbox | nonce (24), tag (16) and XSalsa20 of the value, as NaCl's secretbox |

https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/#providers
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from kapi.encryption.configuration import ConfigurationError, Keys
from kapi.encryption.transformers import (
    Counts,
    Prefixed,
    PrefixTransformers,
    Transformer,
    TransformError,
)
from kapi.encryption.validation import secret_bytes

# Random bytes are the system's, from where keys come, too: not an `Entropy`, whose seed would make
# nonces come again.
Random = Callable[[int], bytes]

TOO_SHORT: Final = "the stored data was shorter than the required size"
_BLOCK: Final = 16
_GCM_NONCE: Final = 12
_GCM_TAG: Final = 16
_BOX_NONCE: Final = 24
_BOX_TAG: Final = 16


class AesCbc:
    def __init__(self, key: bytes, random: Random = os.urandom) -> None:
        self._key = algorithms.AES(key)
        self._random = random

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(data) < _BLOCK:
            raise TransformError(TOO_SHORT)
        iv, data = data[:_BLOCK], data[_BLOCK:]
        if len(data) % _BLOCK:
            raise TransformError("the stored data is not a multiple of the block size")
        decryptor = Cipher(self._key, modes.CBC(iv)).decryptor()
        value = decryptor.update(data) + decryptor.finalize()
        padding = value[-1] if value else 0
        if not padding or padding > len(value):
            raise TransformError("invalid PKCS7 data (empty or not padded)")
        if value[-padding:] != bytes((padding,)) * padding:
            raise TransformError("invalid padding on input")
        return value[:-padding], False

    def write(self, data: bytes, context: bytes) -> bytes:
        iv = self._random(_BLOCK)
        padding = _BLOCK - len(data) % _BLOCK
        encryptor = Cipher(self._key, modes.CBC(iv)).encryptor()
        padded = data + bytes((padding,)) * padding
        return iv + encryptor.update(padded) + encryptor.finalize()


class AesGcm:
    def __init__(self, key: bytes, random: Random = os.urandom) -> None:
        self._aead = AESGCM(key)
        self._random = random

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(data) < _GCM_NONCE:
            raise TransformError(TOO_SHORT)
        try:
            return self._aead.decrypt(data[:_GCM_NONCE], data[_GCM_NONCE:], context), False
        except InvalidTag:
            raise TransformError("cipher: message authentication failed") from None

    def write(self, data: bytes, context: bytes) -> bytes:
        nonce = self._random(_GCM_NONCE)
        return nonce + self._aead.encrypt(nonce, data, context)


class Secretbox:
    def __init__(self, key: bytes, random: Random = os.urandom) -> None:
        """Raises ConfigurationError if the library is not there."""
        try:
            from nacl import bindings
            from nacl.exceptions import CryptoError
        except ImportError as error:
            raise ConfigurationError(
                "the provider secretbox needs the package pynacl: pip install 'kapi[encryption]'"
            ) from error
        self._seal, self._open = bindings.crypto_secretbox, bindings.crypto_secretbox_open
        self._error: type[Exception] = CryptoError
        self._key = key
        self._random = random

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        if len(data) < _BOX_NONCE + _BOX_TAG:
            raise TransformError(TOO_SHORT)
        try:
            return self._open(data[_BOX_NONCE:], data[:_BOX_NONCE], self._key), False
        except self._error:
            # The words of the real server for a value that is not authentic.
            text = "output array was not large enough for encryption"
            raise TransformError(text) from None

    def write(self, data: bytes, context: bytes) -> bytes:
        nonce = self._random(_BOX_NONCE)
        return nonce + self._seal(data, nonce, self._key)


_KINDS: Mapping[str, tuple[Callable[[bytes], Transformer], str]] = MappingProxyType(
    {"aescbc": (AesCbc, "AES"), "aesgcm": (AesGcm, "AES"), "secretbox": (Secretbox, "Secretbox")}
)


def from_keys(provider: Keys, counts: Counts) -> Prefixed:
    """The transformer of a provider that was found valid. Raises ConfigurationError."""
    make, name = _KINDS[provider.kind]
    keys = [Prefixed(f"{k.name}:".encode(), make(secret_bytes(k))) for k in provider.keys]
    text = f"no matching key was found for the provided {name} transformer"
    prefix = f"k8s:enc:{provider.kind}:v1:".encode()
    return Prefixed(prefix, PrefixTransformers(text, keys, counts))
