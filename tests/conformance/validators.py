"""The promises of a watch, each a function that raises AssertionError where it is broken.

Used by the storage suite, the model test, the crash test, and by whoever tests something that hands
events on. `batches` is what one watch gave; `history` is every event that happened, by
revision, as far as the test knows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from kapi.storage.interface import Event

Batches = Sequence[Sequence[Event]]


class Revisioned(Protocol):
    """Anything with a revision, so that the promises can be checked of other events too."""

    @property
    def revision(self) -> int: ...


def flat(batches: Batches) -> list[Event]:
    return [event for batch in batches for event in batch]


def ordered(events: Iterable[Revisioned]) -> None:
    """Revisions never go back."""
    last = 0
    for event in events:
        assert event.revision >= last, f"revision {event.revision} came after {last}"
        last = event.revision


def unique(events: Iterable[Revisioned]) -> None:
    """No revision is seen twice."""
    seen: set[int] = set()
    for event in events:
        assert event.revision not in seen, f"revision {event.revision} was seen twice"
        seen.add(event.revision)


def atomic(batches: Sequence[Sequence[Revisioned]]) -> None:
    """Batches are not empty, and no revision is split over two of them."""
    earlier: set[int] = set()
    for batch in batches:
        assert batch, "an empty batch"
        revisions = {event.revision for event in batch}
        assert not revisions & earlier, f"split over batches: {sorted(revisions & earlier)}"
        earlier |= revisions


def gap_free(
    events: Sequence[Event], history: Iterable[Event], *, prefix: str, after: int, upto: int
) -> None:
    """What was seen is what happened under the prefix, in (after, upto], with the same content."""
    expected = [e for e in history if after < e.revision <= upto and e.key.startswith(prefix)]
    missing = {e.revision for e in expected} - {e.revision for e in events}
    assert not missing, f"revisions {sorted(missing)} were not seen"
    assert list(events) == expected


def resumable(first: Sequence[Event], second: Sequence[Event], history: Sequence[Event]) -> None:
    """A watch that resumes from the last revision seen goes on as if it had never stopped."""
    together = [*first, *second]
    ordered(together)
    unique(together)
    assert together == [e for e in history if together[0].revision <= e.revision]


def consistent(events: Iterable[Event]) -> None:
    """Each event fits to the one before it of the same key: creation, previous record, deletion."""
    last: dict[str, Event] = {}
    for event in events:
        before = last.get(event.key)
        if event.type == "create":
            assert event.previous is None
            assert before is None or before.type == "delete", f"{event.key} was created twice"
        else:
            assert event.previous is not None, f"a change of {event.key} without the record before"
            assert event.previous.key == event.key
            assert event.previous.revision < event.revision
            if before is not None:
                assert before.type != "delete", f"{event.key} changed after it was deleted"
                assert event.previous.revision == before.revision
                assert event.previous.value == before.value
            if event.type == "delete":
                assert event.value == event.previous.value
        last[event.key] = event


def check_watch(
    batches: Batches, history: Sequence[Event], *, prefix: str, after: int, upto: int
) -> None:
    """All promises of one watch at once."""
    events = flat(batches)
    ordered(events)
    unique(events)
    atomic(batches)
    gap_free(events, history, prefix=prefix, after=after, upto=upto)
    consistent(events)
