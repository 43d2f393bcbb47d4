"""The messages of etcd's v3 API that kapi sends and reads, as functions to and from bytes.

Numbers and types of the fields are those of etcd's public `rpc.proto` and `kv.proto`. There are
few, so they are written down here; the varints are those of `codec/protobuf_format.py`. Unknown
fields are skipped: newer servers add some. Called by `etcd_client.py` and its neighbours.
https://etcd.io/docs/v3.6/learning/api/
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kapi.codec.protobuf_format import (
    BYTES,
    END_GROUP,
    VARINT,
    encoded,
    header,
    int64,
    sized,
    skip,
    span,
    varint,
)

_UINT64 = (1 << 64) - 1
PUT, DELETE = 0, 1  # the types of an event
NOSPACE, CORRUPT = 1, 2  # the kinds of an alarm
_MOD, _VERSION = 2, 0  # what a compare looks at


@dataclass(frozen=True, slots=True)
class KeyValue:
    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    version: int  # writes since the key was made
    lease: int


@dataclass(frozen=True, slots=True)
class Header:
    """What every answer begins with."""

    cluster: int  # the cluster's id
    revision: int  # of the whole store


@dataclass(frozen=True, slots=True)
class RangeAnswer:
    revision: int  # of the whole store when it was read
    kvs: Sequence[KeyValue]
    count: int  # keys in the range, whatever the limit


@dataclass(frozen=True, slots=True)
class TxnAnswer:
    revision: int
    succeeded: bool
    kvs: Sequence[KeyValue]  # what its range found, or its delete removed


@dataclass(frozen=True, slots=True)
class Change:
    type: int  # PUT or DELETE
    kv: KeyValue
    previous: KeyValue | None


@dataclass(frozen=True, slots=True)
class WatchAnswer:
    revision: int
    watch_id: int
    created: bool
    canceled: bool
    compact_revision: int
    reason: str
    changes: Sequence[Change]
    left_out: bool = False  # it had changes, but all were known


@dataclass(frozen=True, slots=True)
class StatusAnswer:
    revision: int
    cluster: int
    version: str
    db_size: int
    leader: int  # the member's id; 0: none
    errors: Sequence[str]


# -- requests -------------------------------------------------------------------------------------


def _number(number: int, value: int) -> bytes:
    return header(number, VARINT) + encoded(value & _UINT64) if value else b""


def _bytes(number: int, value: bytes) -> bytes:
    return header(number, BYTES) + sized(value) if value else b""


def _message(number: int, value: bytes) -> bytes:
    return header(number, BYTES) + sized(value)


def range_request(
    key: bytes,
    end: bytes = b"",
    *,
    limit: int = 0,
    revision: int = 0,
    count_only: bool = False,
    serializable: bool = False,
    keys_only: bool = False,
) -> bytes:
    """Keys from `key` up to `end`, or the one key. Revision 0: now."""
    return b"".join(
        (
            _bytes(1, key),
            _bytes(2, end),
            _number(3, limit),
            _number(4, revision),
            _number(7, int(serializable)),
            _number(8, int(keys_only)),
            _number(9, int(count_only)),
        )
    )


def put_request(key: bytes, value: bytes, *, lease: int = 0) -> bytes:
    return b"".join((_bytes(1, key), _bytes(2, value), _number(3, lease)))


def delete_request(key: bytes) -> bytes:
    return _bytes(1, key) + _number(3, 1)


def put_op(key: bytes, value: bytes, *, lease: int = 0) -> bytes:
    return _message(2, put_request(key, value, lease=lease))


def range_op(key: bytes) -> bytes:
    return _message(1, range_request(key))


def delete_op(key: bytes) -> bytes:
    return _message(3, delete_request(key))


def if_revision(key: bytes, revision: int) -> bytes:
    """The key stands at this revision; 0: it does not exist."""
    # The field is one of a union: it must be there also where it is 0.
    wanted = header(6, VARINT) + encoded(revision & _UINT64)
    return _number(2, _MOD) + _bytes(3, key) + wanted


def if_version(key: bytes, version: int) -> bytes:
    """The key was written so many times since it was made."""
    return _number(2, _VERSION) + _bytes(3, key) + header(4, VARINT) + encoded(version)


def txn_request(compare: bytes, success: bytes, failure: bytes) -> bytes:
    return _message(1, compare) + _message(2, success) + _message(3, failure)


def compaction_request(revision: int) -> bytes:
    return _number(1, revision)


def watch_create(key: bytes, end: bytes, *, start: int, watch_id: int = 0) -> bytes:
    """Changes from revision `start` on, with what was there before each."""
    create = b"".join(
        (_bytes(1, key), _bytes(2, end), _number(3, start), _number(6, 1), _number(7, watch_id))
    )
    return _message(1, create)


def watch_progress() -> bytes:
    return _message(3, b"")


def lease_grant_request(ttl: int) -> bytes:
    return _number(1, ttl)


def alarm_request(action: int = 0, member: int = 0, alarm: int = 0) -> bytes:
    """Action 0 reads the alarms; 2 puts one out."""
    return _number(1, action) + _number(2, member) + _number(3, alarm)


# -- answers --------------------------------------------------------------------------------------

# A field: its number, and a number as it is on the wire or where its bytes are.
_Field = tuple[int, int, int]


def _fields(data: bytes, at: int, end: int) -> list[_Field]:
    """The fields of a message: (number, value, 0) or (number, start, stop)."""
    out: list[_Field] = []
    while at < end:
        tag, at = varint(data, at, end)
        wire = tag & 7
        if wire == VARINT:
            value, at = varint(data, at, end)
            out.append((tag >> 3, value, 0))
        elif wire == BYTES:
            start, at = span(data, at, end)
            out.append((tag >> 3, start, at))
        else:
            assert wire != END_GROUP
            at = skip(data, at, end, tag, "etcd")
    return out


def _key_value(data: bytes, at: int, end: int) -> KeyValue:
    key = value = b""
    numbers = [0] * 7
    for number, a, b in _fields(data, at, end):
        if number == 1:
            key = data[a:b]
        elif number == 5:
            value = data[a:b]
        elif number < 7:
            numbers[number] = a
    return KeyValue(key, value, numbers[2], numbers[3], numbers[4], int64(numbers[6]))


def _header_revision(data: bytes, at: int, end: int) -> int:
    return next((a for number, a, _ in _fields(data, at, end) if number == 3), 0)


def revision_of(data: bytes) -> int:
    """The store's revision in any answer."""
    for number, a, b in _fields(data, 0, len(data)):
        if number == 1:
            return _header_revision(data, a, b)
    return 0


def header_of(data: bytes) -> Header:
    """The header of any answer."""
    found = {}
    for number, a, b in _fields(data, 0, len(data)):
        if number == 1:
            found = {n: value for n, value, _ in _fields(data, a, b)}
            break
    return Header(found.get(1, 0), found.get(3, 0))


def range_answer(data: bytes) -> RangeAnswer:
    return _range_answer(data, 0, len(data))


def _range_answer(data: bytes, at: int, end: int) -> RangeAnswer:
    revision = count = 0
    kvs = []
    for number, a, b in _fields(data, at, end):
        if number == 2:
            kvs.append(_key_value(data, a, b))
        elif number == 1:
            revision = _header_revision(data, a, b)
        elif number == 4:
            count = a
    return RangeAnswer(revision, kvs, count)


def txn_answer(data: bytes) -> TxnAnswer:
    revision, succeeded = 0, False
    kvs: list[KeyValue] = []
    for number, a, b in _fields(data, 0, len(data)):
        if number == 1:
            revision = _header_revision(data, a, b)
        elif number == 2:
            succeeded = bool(a)
        elif number == 3:
            for kind, c, d in _fields(data, a, b):
                if kind == 1:
                    kvs += _range_answer(data, c, d).kvs
                elif kind == 3:  # of a delete: what it removed
                    kvs += [_key_value(data, e, f) for n, e, f in _fields(data, c, d) if n == 3]
    return TxnAnswer(revision, succeeded, kvs)


def watch_answer(data: bytes, *, known: int = 0) -> WatchAnswer:
    """An answer up to the revision `known` has nothing new: its changes are left out."""
    revision = watch_id = compact_revision = 0
    created = canceled = left_out = False
    reason = ""
    changes = []
    for number, a, b in _fields(data, 0, len(data)):
        if number == 11:
            left_out = revision <= known  # the header comes first
            if not left_out:
                changes.append(_change(data, a, b))
        elif number == 1:
            revision = _header_revision(data, a, b)
        elif number == 2:
            watch_id = int64(a)
        elif number == 3:
            created = bool(a)
        elif number == 4:
            canceled = bool(a)
        elif number == 5:
            compact_revision = int64(a)
        elif number == 6:
            reason = data[a:b].decode(errors="replace")
    return WatchAnswer(
        revision, watch_id, created, canceled, compact_revision, reason, changes, left_out
    )


def _change(data: bytes, at: int, end: int) -> Change:
    type_ = PUT
    kv = previous = None
    for number, a, b in _fields(data, at, end):
        if number == 1:
            type_ = a
        elif number == 2:
            kv = _key_value(data, a, b)
        elif number == 3:
            previous = _key_value(data, a, b)
    assert kv is not None, "an event is of a key"
    return Change(type_, kv, previous)


def lease_grant_answer(data: bytes) -> int:
    """The id of the lease."""
    return next((int64(a) for number, a, _ in _fields(data, 0, len(data)) if number == 2), 0)


def status_answer(data: bytes) -> StatusAnswer:
    header = header_of(data)
    db_size = leader = 0
    version = ""
    errors = []
    for number, a, b in _fields(data, 0, len(data)):
        if number == 2:
            version = data[a:b].decode(errors="replace")
        elif number == 3:
            db_size = a
        elif number == 4:
            leader = a
        elif number == 8:
            errors.append(data[a:b].decode(errors="replace"))
    return StatusAnswer(header.revision, header.cluster, version, db_size, leader, errors)


def alarm_answer(data: bytes) -> list[tuple[int, int]]:
    """(member, kind) of each alarm."""
    out = []
    for number, a, b in _fields(data, 0, len(data)):
        if number == 2:
            found = {n: x for n, x, _ in _fields(data, a, b)}
            out.append((found.get(1, 0), found.get(2, 0)))
    return out
