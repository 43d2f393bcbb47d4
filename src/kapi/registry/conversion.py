"""Failures of the conversion between the versions of a custom kind, in the words of each verb.

A converter raises `ConversionFailed`. A create is answered with it as it is; whoever reads an
object that cannot be converted says where the object is and at which revision: `undecodable` of a
change, `Corrupt` of a read or a deletion, `unreadable` of a list.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kapi.errors import ApiError
from kapi.registry.resource import ResourceType
from kapi.storage import keys

Json = dict[str, Any]
UNREADABLE_MAX = 100  # objects that an answer to a list tells of
_CORRUPT_OBJECT = 7  # the code of this failure among those of a store


class ConversionFailed(ApiError):
    """An object could not be converted."""

    def __init__(self, text: str) -> None:
        super().__init__(500, "", text)


def undecodable(failed: ConversionFailed, revision: int) -> ApiError:
    """What stands in the store could not be converted for a change."""
    return ApiError(500, "", _words(failed, revision))


def _words(failed: ConversionFailed, revision: int) -> str:
    return f"object not decodable revision={revision}: {failed.message}"


class Corrupt(ApiError):
    """An object could not be converted to be shown."""

    def __init__(self, key: str, revision: int, failed: ConversionFailed) -> None:
        self.key = key
        self._about = f"ResourceVersion: {revision}, AdditionalErrorMsg: {_words(failed, revision)}"
        text = self.text(key.removeprefix(keys.ROOT.rstrip("/")))
        super().__init__(
            500,
            "InternalError",
            f"Internal error occurred: {text}",
            details={"causes": [{"message": text}]},
        )

    def text(self, key: str) -> str:
        return f"StorageError: corrupt object, Code: {_CORRUPT_OBJECT}, Key: {key}, {self._about}"


def unreadable(resource: ResourceType, found: Sequence[Corrupt]) -> ApiError:
    """Objects of a list could not be converted."""
    causes = [
        {"reason": "UnexpectedServerResponse", "message": e.text(e.key), "field": e.key}
        for e in found[:UNREADABLE_MAX]
    ]
    texts = [cause["message"] for cause in causes]
    if len(found) > UNREADABLE_MAX:
        texts.append("too many errors, the list is truncated")
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    return ApiError(
        500,
        "StorageReadError",
        f"failed to read one or more {resource.qualified} from the storage: {said}",
        details={
            "name": "list",
            "group": resource.group,
            "kind": resource.plural,
            "causes": causes,
        },
    )
