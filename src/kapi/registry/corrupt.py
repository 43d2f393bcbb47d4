"""An object that stands in the store and cannot be shown, in the real server's words.

Whoever reads one says where it is and why: `CorruptObject` of a single one, `unreadable_list` of
those in a list. Why is what the store says (`storage.interface.why_unreadable`) or a converter.
https://github.com/kubernetes/enhancements/tree/master/keps/sig-auth/3926-handling-undecryptable-resources
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kapi.errors import ApiError, internal_error
from kapi.storage import keys
from kapi.storage.interface import untransformable

UNREADABLE_MAX: Final = 100  # objects that an answer to a list tells of
_CODE: Final = 7  # of this failure among those of a store
_REVISION: Final = re.compile(r"[a-z ]*revision=(\d+): ")


class CorruptObject(ApiError):
    """`words`: what is wrong, with the revision at which it is so."""

    def __init__(self, key: str, words: str) -> None:
        self.key = key
        found = _REVISION.match(words)
        revision = found[1] if found else "0"
        self._about = f"ResourceVersion: {revision}, AdditionalErrorMsg: {words}"
        text = self.text(key.removeprefix(keys.ROOT.rstrip("/")))
        super().__init__(
            500,
            "InternalError",
            f"Internal error occurred: {text}",
            details={"causes": [{"message": text}]},
        )

    def text(self, key: str) -> str:
        return f"StorageError: corrupt object, Code: {_CODE}, Key: {key}, {self._about}"


def unreadable_for_change(words: str) -> ApiError:
    """What stands in the store cannot be read by who wants to change it."""
    if words.startswith(untransformable("")):
        return internal_error(words)
    return ApiError(500, "", words)


def unreadable_list(group: str, plural: str, found: Sequence[CorruptObject]) -> ApiError:
    """Why a list cannot be shown; of these objects, or more than it tells of."""
    causes = [
        {"reason": "UnexpectedServerResponse", "message": e.text(e.key), "field": e.key}
        for e in found[:UNREADABLE_MAX]
    ]
    texts = [cause["message"] for cause in causes]
    if len(found) > UNREADABLE_MAX:
        texts.append("too many errors, the list is truncated")
    said = texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]"
    qualified = f"{plural}.{group}" if group else plural
    return ApiError(
        500,
        "StorageReadError",
        f"failed to read one or more {qualified} from the storage: {said}",
        details={
            "name": "list",
            **({"group": group} if group else {}),
            "kind": plural,
            "causes": causes,
        },
    )
