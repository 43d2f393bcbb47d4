"""Failures of the conversion between the versions of a custom kind, in the words of each verb.

A converter raises `ConversionFailed`. A create is answered with it as it is; whoever reads an
object that cannot be converted says where the object is and at which revision: `undecodable` of a
change, `Corrupt` of a read or a deletion; lists put several into one answer (`handlers/forms.py`).

Conversion is a plain function, also where a webhook does it: what the webhook is still to be asked
for raises `Unconverted`, a `Session` asks, and the piece of work is done again. Readers ask for
many objects at once, with `Conversions.many`, before they make an answer of them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from kapi.errors import ApiError
from kapi.registry.corrupt import CorruptObject

Json = dict[str, Any]
T = TypeVar("T")


class Step(Protocol):
    """Does a piece of work that may convert objects, and changes nothing before it has."""

    def __call__(self, work: Callable[[], T], /) -> Awaitable[T]: ...


async def at_once(work: Callable[[], T]) -> T:
    """The `Step` of kinds that no webhook converts."""
    return work()


class Unconverted(Exception):
    """A webhook must be asked for an object first."""

    def __init__(self, obj: Json, text: bytes, api_version: str) -> None:
        super().__init__(api_version)
        self.object, self.text, self.api_version = obj, text, api_version


class Session(Protocol):
    """Remembers what the webhook said, for one request."""

    async def step(self, work: Callable[[], T], /) -> T: ...


class Conversions(Protocol):
    """The webhook of one definition."""

    def session(self) -> AbstractContextManager[Session]: ...

    def converted(self, obj: Json, version: str) -> Json:
        """An object in another served version, in the middle of a step. Raises Unconverted,
        ConversionFailed.
        """

    async def many(
        self, objects: Sequence[Json], version: str
    ) -> Sequence[Json | ConversionFailed]:
        """Stored objects, of whatever version, in one of the served versions: each, or why not."""


class ConversionFailed(ApiError):
    """An object could not be converted. `unreached`: since nobody could be asked."""

    def __init__(self, text: str, *, unreached: bool = False) -> None:
        super().__init__(500, "", text)
        self.unreached = unreached


def undecodable(failed: ConversionFailed, revision: int) -> ApiError:
    """What stands in the store could not be converted for a change."""
    return ApiError(500, "", _words(failed, revision))


def _words(failed: ConversionFailed, revision: int) -> str:
    return f"object not decodable revision={revision}: {failed.message}"


class Corrupt(CorruptObject):
    """An object could not be converted to be shown."""

    def __init__(self, key: str, revision: int, failed: ConversionFailed) -> None:
        super().__init__(key, _words(failed, revision))
