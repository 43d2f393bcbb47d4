"""Values as they are stored and as they are read: what all that transform them have in common.

A transformer has its value behind a prefix that says which it is. The first of a list writes, all
of them read; what was not read by the first is stale. The context is the key under which the value
is stored: some bind the value to it, so that nobody can put it elsewhere. All of this is
synchronous; a transformer that must ask another process for a key raises `KeyNeeded`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from kapi.metrics import Metrics
from kapi.storage.interface import ENCRYPTED, ENCRYPTED_TEXT

NO_MATCH: Final = "no matching prefix found"
FROM_STORAGE: Final = "from_storage"
TO_STORAGE: Final = "to_storage"
OK: Final = "OK"
NOT_GRPC: Final = "unknown-non-grpc"


class TransformError(Exception):
    """A value cannot be transformed; the text is the real server's. `code`: of gRPC, if a plugin
    said so.
    """

    def __init__(self, text: str, code: str = NOT_GRPC) -> None:
        super().__init__(text)
        self.code = code


class Transformer(Protocol):
    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        """The value, and whether it is stale. Raises TransformError, KeyNeeded."""

    def write(self, data: bytes, context: bytes) -> bytes:
        """Raises TransformError."""


@dataclass(frozen=True, slots=True)
class Prefixed:
    prefix: bytes
    transformer: Transformer


class Identity:
    """Values as they are. What is encrypted is not for it to read."""

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        if data.startswith(ENCRYPTED):
            raise TransformError(ENCRYPTED_TEXT)
        return data, False

    def write(self, data: bytes, context: bytes) -> bytes:
        return data


class Counts:
    """Metrics of transformations."""

    def __init__(self, metrics: Metrics, monotonic: Callable[[], float]) -> None:
        self._operations = metrics.metric("apiserver_storage_transformation_operations_total")
        self._seconds = metrics.histogram("apiserver_storage_transformation_duration_seconds")
        self.now = monotonic

    def add(self, kind: str, prefix: str, start: float, code: str = OK) -> None:
        self._operations.cell(kind, prefix, code).value += 1
        if code == OK:
            self._seconds.cell(kind, prefix).observe(self.now() - start)


class PrefixTransformers:
    """A list of them: the first writes, each reads what begins with its prefix."""

    def __init__(self, text: str, transformers: Sequence[Prefixed], counts: Counts) -> None:
        """`text`: what is said of a value that none of them reads."""
        self._text = text
        self._transformers = tuple(transformers)
        self._counts = counts
        self._first = self._transformers[0]
        self._first_name = self._first.prefix.decode()

    def read(self, data: bytes, context: bytes) -> tuple[bytes, bool]:
        start = self._counts.now()
        errors: list[TransformError] = []
        for item in self._transformers:
            prefix = item.prefix
            if not data.startswith(prefix):
                continue
            try:
                value, stale = item.transformer.read(data[len(prefix) :], context)
            except TransformError as error:
                # One without a prefix says only that it is not for it; several with the same have
                # different keys.
                if prefix:
                    self._counts.add(FROM_STORAGE, prefix.decode(), start, error.code)
                    errors.append(error)
                continue
            self._counts.add(FROM_STORAGE, prefix.decode() or "identity", start)
            return value, stale or item is not self._first
        if errors:
            raise _joined(errors)
        self._counts.add(FROM_STORAGE, "unknown", start, NOT_GRPC)
        raise TransformError(self._text)

    def write(self, data: bytes, context: bytes) -> bytes:
        start = self._counts.now()
        try:
            value = self._first.prefix + self._first.transformer.write(data, context)
        except TransformError as error:
            self._counts.add(TO_STORAGE, self._first_name, start, error.code)
            raise
        self._counts.add(TO_STORAGE, self._first_name, start)
        return value


def _joined(errors: Sequence[TransformError]) -> TransformError:
    """Several as one, as Go aggregates them."""
    if len(errors) == 1:
        return errors[0]
    texts = list(dict.fromkeys(map(str, errors)))
    return TransformError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]", errors[0].code)
