"""One event, made of bytes: what backends take, cut, and write.

`AuditEvent` (`event.py`) makes a `Record` for each stage. Nothing of it changes any more, so it may
wait in queues and go to other threads. The bytes of an answer are those that the client gets, not
a copy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from kapi.audit.policy import Level
from kapi.codec import json_format

HEAD = b'{"kind":"Event","apiVersion":"audit.k8s.io/v1",'  # of an event alone; in lists it has none
TRUNCATED = "audit.k8s.io/truncated"


@dataclass(slots=True)  # not frozen: those are made three times as slowly
class Record:
    """`before`: the fields up to the objects, without the brace; `request` and `response`: each in
    pieces, empty for none; `times`: those after them; `legacy`: the event as one line of text.
    """

    level: Level
    audit_id: str
    before: bytes
    request: bytes
    response: Sequence[bytes]
    times: bytes
    annotations: bytes  # JSON of an object, or empty
    legacy: Callable[[], str]

    def pieces(self) -> list[bytes]:
        """The event from behind its brace on, as it stands in a list."""
        out = [self.before]
        if self.request:
            out += (b',"requestObject":', self.request)
        if self.response:
            out.append(b',"responseObject":')
            out += self.response
        out.append(self.times)
        if self.annotations:
            out += (b',"annotations":', self.annotations)
        out.append(b"}")
        return out

    def line(self) -> bytes:
        """The event alone, with the newline that ends it."""
        return b"".join((HEAD, *self.pieces(), b"\n"))

    @property
    def weight(self) -> int:
        """About as many bytes as it holds, for bounds of queues."""
        return len(self.before) + len(self.request) + sum(map(len, self.response))

    def size(self) -> int:
        """Bytes of `line`."""
        return len(HEAD) + 1 + sum(map(len, self.pieces()))

    def truncated(self) -> Record:
        """Without its objects, and saying so."""
        kept = json_format.loads(self.annotations) if self.annotations else {}
        mark = json_format.dumps_sorted({**kept, TRUNCATED: "true"})
        return replace(self, request=b"", response=(), annotations=mark)
