"""A message of Protocol Buffers as a table: what its fields mean, and the loop that reads any.

`Message.read` takes whatever comes: fields in any order, again, unknown, in a wrong form. Made by
`protobuf_reading.py`; messages as Go writes them are read faster by `protobuf_straight.py`, which
leaves to this whatever it does not expect. Errors are ProtobufError, with the words of Go.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kapi.codec.protobuf_format import (
    BYTES,
    END_GROUP,
    cut,
    escaped,
    skip,
    span,
    varint,
    wrong_wire_type,
)
from kapi.schema.protobuf_value_reading import Value, read_double, read_text

Json = dict[str, Any]

# What a field is: behind a length a text, a small message, a message, an inlined one, an item of a
# list or one that is a message, an entry of a map, another value, many numbers; or an integer, a
# boolean, a number of a list, a double.
TEXT, SMALL, MESSAGE, INLINED, ITEM, MESSAGES, ENTRY, VALUE, PACKED = range(9)
INTEGER, BOOLEAN, NUMBERS, DOUBLE = range(9, 13)
# Kind, name, reader, whether an empty value makes the field vanish.
Field = tuple[int, str, Any, bool]

# Combinations of fields remembered for one struct; past it, no more.
COMBINATIONS_MAX = 64


class Entry:
    """A map is a list of small messages: 1 the key, 2 the value, both as bytes."""

    def __init__(self, value: Value) -> None:
        self.value = value
        self.texts = value is read_text
        self.empty = value(b"", 0, 0)

    def read(self, data: bytes, at: int, end: int) -> tuple[str, Any]:
        size = data[at + 1]
        middle = at + 2 + size
        # Nearly always: a key and a text, each of less than 128 bytes.
        if self.texts and size < 0x80 and data[middle + 1] == end - middle - 2 < 0x80:
            first, second = data[at + 2 : middle], data[middle + 2 : end]
            if data[at] == KEY and data[middle] == ITEM_OF_MAP and (first + second).isascii():
                return first.decode(), second.decode()
        key, item = "", self.empty
        while at < end:
            tag, at = varint(data, at, end)
            if tag >> 3 == 1:
                start, at = span(data, at, end)
                key = read_text(data, start, at)
            elif tag >> 3 == 2:
                start, at = span(data, at, end)
                item = self.value(data, start, at)
            else:
                at = skip(data, at, end, tag, "")
        return key, item


KEY, ITEM_OF_MAP = 1 << 3 | BYTES, 2 << 3 | BYTES


class Message:
    """What the fields of a message mean, by their tags (number and wire type)."""

    __slots__ = (
        "always",
        "bodies",
        "fields",
        "inlined",
        "maps",
        "name",
        "names",
        "omitted",
        "order",
        "settled",
        "short",
        "straight",
    )

    def __init__(self, name: str, order: Sequence[str] = (), *, inlined: bool = False) -> None:
        self.name = name
        self.order = order
        self.inlined = inlined  # its fields stand in another one, which puts them in order
        # Combinations of fields, in their order, to which nothing needs to be done.
        self.settled: set[tuple[str, ...]] = set()
        self.fields: dict[int, Field] = {}
        self.short: list[Field | None] = [None] * 0x80  # the same for tags of one byte
        self.names: dict[int, str] = {}  # Go fields by number, for errors
        self.always: list[tuple[str, Callable[[], Any]]] = []
        self.omitted: list[tuple[str, Any]] = []
        self.maps: list[str] = []
        self.bodies = 0  # that were of this type, until `straight` reads them
        # Reads what Go writes; made on first use by `protobuf_straight.py`.
        self.straight: Callable[..., Json] | None = None

    def add(self, tag: int, field: Field) -> None:
        self.fields[tag] = field
        if tag < 0x80:
            self.short[tag] = field

    def read(self, data: bytes, at: int, end: int, into: Json | None) -> Json:
        """The object in data[at:end], merged into another one. Raises ProtobufError."""
        short, fields = self.short, self.fields
        out: Json = {} if into is None else self._again(into)
        disorder = False
        while at < end:
            tag = data[at]
            if tag < 0x80:
                field = short[tag]
            else:
                tag, at = varint(data, at, end)
                at -= 1
                field = fields.get(tag)
            if field is None:
                at = self._unknown(data, at + 1, end, tag)
                continue
            kind, name, read, drops = field
            size = data[at + 1]  # or a number; both are rarely of more than one byte
            at += 2
            if kind >= INTEGER:
                if kind > BOOLEAN or size >= 0x80 or at > end:
                    at = _number(data, at - 1, end, out, field)
                elif size or not drops:
                    out[name] = size if kind == INTEGER else size != 0
                else:
                    out.pop(name, None)  # given before, not any more
                continue
            stop = at + size
            if size >= 0x80:
                at, stop = span(data, at - 1, end)
            elif stop > end:
                raise cut()
            if kind == TEXT:
                if stop > at or not drops:
                    try:
                        out[name] = data[at:stop].decode()
                    except UnicodeDecodeError:
                        out[name] = escaped(data[at:stop])
                else:
                    out.pop(name, None)
            elif kind == MESSAGE:
                out[name] = read(data, at, stop, out.get(name))
            elif kind == MESSAGES:
                if name in out:
                    out[name].append(read(data, at, stop, None))
                else:
                    out[name] = [read(data, at, stop, None)]
            elif kind == SMALL:
                value = read(data[at:stop])
                if value is not None or not drops:
                    out[name] = value
                else:  # no pointer: the zero time is none
                    out.pop(name, None)
            elif kind == ENTRY:
                key, value = read(data, at, stop)
                if name in out:
                    entries = out[name]
                    disorder = disorder or next(reversed(entries)) >= key
                    entries[key] = value
                else:
                    out[name] = {key: value}
            else:
                _value(data, at, stop, out, field)
            at = stop
        if self.inlined:
            return out
        return self._finished(out) if disorder or into is not None else self.finished(out)

    def _again(self, out: Json) -> Json:
        """An object that was read, before more is: without what absent lists and maps print."""
        for name, _ in self.always:
            if out.get(name, out) is None:
                del out[name]
        return out

    def finished(self, out: Json) -> Json:
        """An object whose maps are in order, with what is always there, in its order."""
        return out if tuple(out) in self.settled else self._finished(out)

    def _finished(self, out: Json) -> Json:
        """The object with what is always there, its maps and its fields in order."""
        for name in self.maps:
            entries = out.get(name)
            if entries is not None:
                out[name] = {key: entries[key] for key in sorted(entries)}
        for name, zero in self.omitted:
            if out.get(name) == zero:
                del out[name]
        names = tuple(out)
        for name, absent in self.always:
            if name not in out:
                out[name] = absent()
        out = {name: out[name] for name in self.order if name in out}
        if names == tuple(out) and not self.omitted and len(self.settled) < COMBINATIONS_MAX:
            self.settled.add(names)
        return out

    def _unknown(self, data: bytes, at: int, end: int, tag: int) -> int:
        """Behind a field that is not known, or is in another form than it should be."""
        name = self.names.get(tag >> 3)
        if name is not None and tag & 7 != END_GROUP:
            raise wrong_wire_type(tag, name)
        return skip(data, at, end, tag, self.name)


def _value(data: bytes, at: int, stop: int, out: Json, field: Field) -> None:
    """Read what stands behind a length, of the rarer kinds, into an object."""
    kind, name, read, _ = field
    if kind == ITEM:
        out.setdefault(name, []).append(read(data, at, stop))
    elif kind == VALUE:
        out[name] = read(data, at, stop)
    elif kind == INLINED:
        read(data, at, stop, out)
    else:
        out.setdefault(name, []).extend(read(data, at, stop))


def _number(data: bytes, at: int, end: int, out: Json, field: Field) -> int:
    """Read a number into an object; where it ends."""
    kind, name, convert, drops = field
    if kind == DOUBLE:
        if at + 8 > end:
            raise cut()
        out[name] = read_double(data, at)
        return at + 8
    number, at = varint(data, at, end)
    value = convert(number)
    if kind == NUMBERS:
        out.setdefault(name, []).append(value)
    elif value or not drops:
        out[name] = value
    else:
        out.pop(name, None)
    return at
