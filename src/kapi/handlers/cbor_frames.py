"""Events of a watch in CBOR: a sequence of items, one for each event, the same as messages of a
WebSocket.

What `frames.py` does for the other forms. Used by `watch.py` where the gate is on.
https://www.rfc-editor.org/rfc/rfc8742.html
"""

from __future__ import annotations

from collections.abc import Sequence

from kapi.cacher.event import Item
from kapi.cacher.watcher import BOOKMARK, ERROR, Bookmark, Delivery
from kapi.codec.cbor_format import dumps, event
from kapi.codec.negotiate import Accepted
from kapi.errors import ApiError
from kapi.handlers.cbor_answers import CborAnswers
from kapi.handlers.forms import Form
from kapi.handlers.frames import Frames
from kapi.registry import table


class CborFrames(Frames):
    """Objects as they are."""

    def __init__(self, form: Form, answers: CborAnswers) -> None:
        super().__init__(form)
        self._answers = answers
        self._key = (*form.key, "cbor frame")

    def object_frame(self, type_: str, item: Item) -> bytes:
        return event(type_, self._answers.whole(self.form, item))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = self.bookmark_object(bookmark)
        return event(BOOKMARK, self._answers.any_object(self.form, obj))

    def error_frame(self, error: ApiError) -> bytes:
        return event(ERROR, dumps(error.status()))


class PartialCborFrames(CborFrames):
    """Objects as PartialObjectMetadata."""

    def __init__(self, form: Form, answers: CborAnswers, accepted: Accepted) -> None:
        super().__init__(form, answers)
        self._version = accepted.as_version
        self._key = (form.partial_key(accepted.as_version), "cbor frame")

    def object_frame(self, type_: str, item: Item) -> bytes:
        return event(type_, self._answers.partial(self.form, item, self._version))

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = table.partial_metadata(self.bookmark_object(bookmark), self._version)
        return event(BOOKMARK, dumps(obj))


class TableCborFrames(CborFrames):
    """A Table of one row each; only the first says what the columns are. Not shared: cells show
    ages.
    """

    def __init__(self, form: Form, answers: CborAnswers, accepted: Accepted, include: str) -> None:
        super().__init__(form, answers)
        self._accepted = accepted
        self._include = include
        self._first = True

    def encode_all(self, batch: Sequence[Delivery]) -> list[bytes]:
        return self.encode_unshared(batch)

    def object_frame(self, type_: str, item: Item) -> bytes:
        row = self._answers.row(self.form, item, self._accepted, self._include)
        return self._frame(type_, item.revision, row)

    def bookmark_frame(self, bookmark: Bookmark) -> bytes:
        obj = self.bookmark_object(bookmark)
        row = self._answers.row_of(self.form, obj, obj, self._accepted, self._include)
        return self._frame(BOOKMARK, bookmark.revision, row)

    def _frame(self, type_: str, revision: int, row: bytes) -> bytes:
        first, self._first = self._first, False
        meta = {"resourceVersion": str(revision)}
        start = self._answers.table(self.form, meta, self._accepted, 1, columns=first)
        return event(type_, start + row)
