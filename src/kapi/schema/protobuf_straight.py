"""The fast way to read a message: a function written for it, that expects what Go writes.

The generated Go code writes fields once and in the order of their numbers. So the reader of a
message is one line of ifs, each of which reads its field and goes on; nothing is looked up, and
what is printed of absent fields is put where it belongs on the way. For a message of two fields:

    def read(data, text, at, end):
        out = {}
        tag = data[at] if at < end else 0
        if tag == 10:
            … out["name"] = text[at:stop] …
        if tag == 16:
            … out["port"] = value …
        if at == end:
            return out
        raise Unexpected

Anything else (another order, a field again, an unknown one, a wrong form, an end within a field) is
`Unexpected`: then `Readers.read` reads the whole body anew with `Message.read`, which takes
everything and finds the words for errors. The source is made of the tables of `Message` alone, that
is of the facts of the release; names stand in it as literals. It is written and compiled when it is
first needed, in about a millisecond; two threads may do that at once, with the same outcome.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Any

from kapi.codec.protobuf_format import ProtobufError, span, varint
from kapi.schema import protobuf_messages as m
from kapi.schema.protobuf_messages import Field, Message
from kapi.schema.protobuf_value_reading import read_double, read_text

Json = dict[str, Any]


class Unexpected(Exception):
    """Not what Go writes, and perhaps nothing at all."""


def read_straight(message: Message, data: bytes, end: int) -> Json:
    """The object in data[:end], behind which there is padding. Raises Unexpected."""
    try:
        return _straight(message)(data, data.decode("latin-1"), 0, end)
    except (ProtobufError, RecursionError, IndexError, struct.error):
        raise Unexpected from None


def _straight(message: Message) -> Callable[..., Json]:
    if message.straight is None:
        names = _Names(message)
        source = "\n".join(_Writer(message, names).lines())
        exec(compile(source, f"<message {message.name}>", "exec"), names.known)
        made: Callable[..., Json] = names.known["read"]
        message.straight = made
    return message.straight


class _Names:
    """What the source of a message calls by name."""

    def __init__(self, message: Message) -> None:
        self.known: dict[str, Any] = {
            "Unexpected": Unexpected,
            "span": span,
            "varint": varint,
            "read_text": read_text,
            "read_double": read_double,
            "finished": message.finished,
        }

    def of(self, value: Any) -> str:
        """A name for a value."""
        name = f"v{len(self.known)}"
        self.known[name] = value
        return name

    def reader(self, message: Message) -> str:
        """A name for the reader of a message, which is written when it is first called."""
        name = f"v{len(self.known)}"

        def first(*arguments: Any) -> Any:
            self.known[name] = made = _straight(message)
            return made(*arguments)

        self.known[name] = message.straight or first
        return name


class _Writer:
    """Writes the lines of one function. While a field is read, `at` is where its tag ends."""

    def __init__(self, message: Message, names: _Names) -> None:
        self._message = message
        self._names = names
        self._fields = _by_number(message)
        self._in_place = not message.inlined and _in_place(message, self._fields)
        self._absent = dict(message.always) if self._in_place else {}
        self._omitted = dict(message.omitted) if self._in_place else {}
        self._long_tags = any(tag >= 0x80 for tag, _ in self._fields)
        settled = message.inlined or self._in_place
        self._done = "return out" if settled else "return finished(out)"

    def lines(self) -> list[str]:
        out = [f"def read(data, text, at, end{', out' if self._message.inlined else ''}):"]
        if not self._message.inlined:
            out.append("    out = {}")
        out += _indented(self._next())
        waiting = set(self._absent)  # for what is printed although it is absent
        for tag, field in self._fields:
            kind, name, _, _ = field
            waiting.discard(name)
            read = self._repeated if kind in _REPEATED else self._single
            out.append(f"    if tag == {tag}:")
            out += _indented(_indented(read(tag, field, may_leave=not waiting)))
            if name in self._absent:
                out += ["    else:", f"        out[{name!r}] = {self._nothing(name)}"]
        return [*out, "    if tag != -1:", "        raise Unexpected", f"    {self._done}"]

    def _nothing(self, name: str) -> str:
        """What a field prints that was never set."""
        make = self._absent[name]
        value = make()
        plain = value is None or isinstance(value, str | int | float)
        return repr(value) if plain else f"{self._names.of(make)}()"

    def _next(self, *, may_leave: bool = False) -> list[str]:
        """Read the next tag; -1 is the end."""
        tag = ["tag = data[at]"]
        if self._long_tags:
            tag += ["if tag > 127:", "    at += 1", "    tag = tag & 127 | data[at] << 7"]
        if may_leave:
            leave = ["if at >= end:", "    if at > end:", "        raise Unexpected"]
            return [*leave, f"    {self._done}", *tag]
        over = ["elif at == end:", "    tag = -1", "else:", "    raise Unexpected"]
        return ["if at < end:", *_indented(tag), *over]

    def _single(self, tag: int, field: Field, *, may_leave: bool) -> list[str]:
        kind, name, read, drops = field
        put = f"out[{name!r}]"
        if kind in (m.INTEGER, m.BOOLEAN):
            lines = ["value = data[at + 1]", "at += 2", "if value > 127:"]
            lines += ["    value, at = varint(data, at - 1, end)"]
            if kind == m.INTEGER:
                lines += [f"    value = {self._names.of(read)}(value)"]
            value = "value" if kind == m.INTEGER else "value != 0"
            lines += ["if value:", f"    {put} = {value}"] if drops else [f"{put} = {value}"]
        elif kind == m.DOUBLE:
            lines = [f"{put} = read_double(data, at + 1)", "at += 9"]
        else:
            lines = [*_SPAN, *self._value(field, put), "at = stop"]
        return [*lines, *self._next(may_leave=may_leave)]

    def _value(self, field: Field, put: str) -> list[str]:
        """What stands in data[at:stop], into its place."""
        kind, name, read, drops = field
        if kind == m.TEXT:
            lines = ["value = text[at:stop]", f"{put} = value if value.isascii() else {_TEXT}"]
            return ["if stop > at:", *_indented(lines)] if drops else lines
        if kind == m.SMALL:
            value = f"{self._names.of(read)}(data[at:stop])"
            if not drops:
                return [f"{put} = {value}"]
            lines = [f"value = {value}", "if value is not None:", f"    {put} = value"]
            return [*lines, "else:", f"    {put} = None"] if name in self._absent else lines
        if kind == m.INLINED:
            return [f"{self._names.reader(_owner(read))}(data, text, at, stop, out)"]
        if kind == m.MESSAGE:
            value = f"{self._names.reader(_owner(read))}(data, text, at, stop)"
            if name not in self._omitted:
                return [f"{put} = {value}"]
            zero = self._names.of(self._omitted[name])
            return [f"value = {value}", f"if value != {zero}:", f"    {put} = value"]
        return [f"{put} = {self._names.of(read)}(data, at, stop)"]

    def _repeated(self, tag: int, field: Field, *, may_leave: bool) -> list[str]:
        """A list or a map: a field for each item."""
        kind, name, read, _ = field
        after = ["if tag == -1:", f"    {self._done}"] if may_leave else []
        if kind == m.ENTRY:
            lines = [f"items = out[{name!r}] = {{}}", "last = ''", f"while tag == {tag}:"]
            lines += _indented([*_SPAN, *self._entry(_owner(read)), "at = stop", *self._next()])
            lines += ["if last is None:"]
            lines += [f"    out[{name!r}] = {{key: items[key] for key in sorted(items)}}"]
            return [*lines, *after]
        lines = [f"items = out[{name!r}] = []", f"while tag == {tag}:"]
        if kind == m.NUMBERS:
            number = ["value, at = varint(data, at + 1, end)"]
            number += [f"items.append({self._names.of(read)}(value))"]
            return [*lines, *_indented([*number, *self._next()]), *after]
        if kind == m.MESSAGES:
            item = [f"items.append({self._names.reader(_owner(read))}(data, text, at, stop))"]
        elif read is read_text:
            item = ["value = text[at:stop]"]
            item += [f"items.append(value if value.isascii() else {_TEXT})"]
        else:
            item = [f"items.append({self._names.of(read)}(data, at, stop))"]
        return [*lines, *_indented([*_SPAN, *item, "at = stop", *self._next()]), *after]

    def _entry(self, entry: m.Entry) -> list[str]:
        """One of a map. Nearly always a key and a value of less than 128 bytes each."""
        value = "text[middle + 2:stop]"
        test = "key.isascii()"
        if entry.texts:
            test += " and value.isascii()"
        else:
            value = f"{self._names.of(entry.value)}(data, middle + 2, stop)"
        return [
            "middle = at + 2 + data[at + 1]",
            "size = data[middle + 1]",
            f"if size < 128 and data[at] == {m.KEY} and data[middle] == {m.ITEM_OF_MAP} "
            "and middle + 2 + size == stop and data[at + 1] < 128:",
            "    key = text[at + 2:middle]",
            f"    value = {value}",
            f"    if not ({test}):",
            f"        key, value = {self._names.of(entry.read)}(data, at, stop)",
            "else:",
            f"    key, value = {self._names.of(entry.read)}(data, at, stop)",
            "if last is not None:",
            "    last = key if key > last or not items else None",
            "items[key] = value",
        ]


_REPEATED = (m.ENTRY, m.ITEM, m.MESSAGES, m.NUMBERS)
_TEXT = "read_text(data, at, stop)"
# From the end of a tag to what stands behind the length: data[at:stop].
_SPAN = (
    "size = data[at + 1]",
    "at += 2",
    "if size < 128:",
    "    stop = at + size",
    "else:",
    "    at, stop = span(data, at - 1, end)",
)


def _indented(lines: Iterable[str]) -> list[str]:
    return ["    " + line for line in lines]


def _owner(method: Any) -> Any:
    """The message or the entry whose `read` stands in a field."""
    return method.__self__


def _by_number(message: Message) -> list[tuple[int, Field]]:
    """The fields by their tags, but for packed numbers, which Go does not write."""
    fields = [(tag, field) for tag, field in message.fields.items() if field[0] != m.PACKED]
    return sorted(fields, key=lambda f: f[0] >> 3)


def _in_place(message: Message, fields: Iterable[tuple[int, Field]]) -> bool:
    """Whether fields in the order of their numbers, and what is printed of absent ones among them,
    are in the order of the object."""
    own = [name for _, (_, name, _, _) in fields]
    found: list[str] = []
    for _, (kind, name, read, _) in fields:
        found += _names_of(_owner(read)) if kind == m.INLINED else [name]
    order = [name for name in message.order if name in found]
    return found == order and all(name in own for name, _ in message.always)


def _names_of(message: Message) -> list[str]:
    """The fields of an inlined message, and of those inlined in it, by number."""
    out: list[str] = []
    for _, (kind, name, read, _) in _by_number(message):
        out += _names_of(_owner(read)) if kind == m.INLINED else [name]
    return out
