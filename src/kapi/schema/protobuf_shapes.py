"""The fast way to write a message: a function written for the shape of an object.

The shape of an object is the names of its fields, in their order; what people and controllers write
shows few. For each that comes often a function is written that takes the values apart and puts
tags, lengths and contents together in one step; what absent fields write stands between them. For
a message of a text, and a number that is absent:

    def write(obj):
        v0, = obj.values()
        if v0 is None:
            h0, v0 = k1, ""
        else:
            if not v0.isascii():
                v0 = odd(v0)
            n = len(v0)
            h0 = k2[n] if n < 128 else far(k2, n)
        return f"{h0}{v0}\\x10\\x00"

A message is put together as a text whose characters are its bytes (Latin-1): a text that is all
ASCII, as nearly all are, stands in it as it is. Called by `protobuf_writing.py` alone, whose tables
the source is made of, and which writes the same by the tables; nothing of an object stands in the
source. Writing and compiling a function takes less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from kapi.codec.protobuf_format import BYTES, encoded, header, text_bytes

Json = dict[str, Any]
# What is written for a value, as a text of bytes.
Text = Callable[[Any], str]
# Slots from, slots up to, the tag: an inlined message, when those within it are closed.
Run = tuple[int, int, bytes]

# How a field is written: as a text, a whole number, a boolean, a message, or anything else.
TEXT, INTEGER, BOOLEAN, MESSAGE, OTHER = range(5)


class Field(NamedTuple):
    """A field: where it stands, and what it writes for a value and for null."""

    slot: int
    write: Callable[[Any], bytes]
    null: bytes
    kind: int = OTHER
    number: int = 0
    # The content of a message, or all that another field writes; None: what `write` gives.
    # Is not asked about null.
    text: Text | None = None


def function_for(
    names: Sequence[str], fields: Mapping[str, Field], absent: Iterable[bytes], runs: Iterable[Run]
) -> Text:
    """The writer of all objects whose fields have these names in this order.

    `absent` is what each slot writes whose field is not among them.
    """
    function = _Function(absent)
    values = [f"v{i}" for i in range(len(names))]
    if names:
        function.line(f"{', '.join(values)}, = obj.values()")
    for value, name in zip(values, names, strict=True):
        if name in fields:
            function.add(value, fields[name])
    for run in runs:
        function.close(*run)
    return function.made()


class _Function:
    """The lines of a function, and what each slot gives: a piece of an f-string."""

    def __init__(self, absent: Iterable[bytes]) -> None:
        self._known: dict[str, Any] = {"far": far, "odd": odd}
        self._lines = ["def write(obj):"]
        self._slots = ["".join(f"\\x{byte:02x}" for byte in data) for data in absent]

    def line(self, text: str) -> None:
        self._lines.append("    " + text)

    def add(self, value: str, field: Field) -> None:
        """Write the value in a variable."""
        self._slots[field.slot] = self._piece(value, field)

    def close(self, start: int, stop: int, tag: bytes) -> None:
        """Make slots one message."""
        name, head = self._of(None), self._of(None)
        self.line(f'{name} = f"{"".join(self._slots[start:stop])}"')
        self._measure(name, head, heads_of(tag))
        self._slots[start:stop] = (f"{{{head}}}{{{name}}}",)

    def made(self) -> Text:
        self.line(f'return f"{"".join(self._slots)}"')
        exec(compile("\n".join(self._lines), "<message>", "exec"), self._known)
        write: Text = self._known["write"]
        return write

    def _of(self, value: Any) -> str:
        """A name for a value."""
        name = f"k{len(self._known)}"
        self._known[name] = value
        return name

    def _measure(self, name: str, head: str, heads: Sequence[str], indent: str = "") -> None:
        """Make the head of what is in a variable."""
        known = self._of(heads)
        self.line(f"{indent}n = len({name})")
        self.line(f"{indent}{head} = {known}[n] if n < 128 else far({known}, n)")

    def _piece(self, value: str, field: Field) -> str:
        write, null = field.write, self._of(latin(field.null))
        if field.kind == INTEGER:
            small = self._of(tuple(latin(write(n)) for n in range(128)))
            large = self._of(as_text(write))
            number = f"{small}[{value}] if 0 <= {value} < 128 else {large}({value})"
            return f"{{{null} if {value} is None else {number}}}"
        if field.kind == BOOLEAN:
            yes, no = (self._of(latin(write(x))) for x in (True, False))
            return f"{{{yes} if {value} else {null} if {value} is None else {no}}}"
        text = self._of(field.text or as_text(write))
        if field.kind == OTHER:
            return f"{{{null} if {value} is None else {text}({value})}}"
        head = self._of(None)
        self.line(f"if {value} is None:")
        self.line(f'    {head}, {value} = {null}, ""')
        self.line("else:")
        if field.kind == TEXT:
            self.line(f"    if not {value}.isascii():")
            self.line(f"        {value} = odd({value})")
        else:
            self.line(f"    {value} = {text}({value})")
        self._measure(value, head, heads_of(header(field.number, BYTES)), "    ")
        return f"{{{head}}}{{{value}}}"


# -- texts of bytes -------------------------------------------------------------------------------


def latin(data: bytes) -> str:
    return data.decode("latin-1")


def as_text(write: Callable[[Any], bytes]) -> Text:
    return lambda value: write(value).decode("latin-1")


def odd(value: str) -> str:
    """Any text, as a text of bytes."""
    return latin(text_bytes(value, value.encode()))


def plain_text(value: str) -> str:
    return value if value.isascii() else odd(value)


def each(number: int, item: Text, null: bytes) -> Text:
    """A list: a field for each item, whose content is given; `null` is all that null writes."""
    heads, nothing = heads_of(header(number, BYTES)), latin(null)

    def text(value: list[Any]) -> str:
        out = []
        for x in value:
            if x is None:
                out.append(nothing)
                continue
            content = item(x)
            size = len(content)
            out.append(f"{heads[size] if size < 128 else far(heads, size)}{content}")
        return "".join(out)

    return text


def entries(number: int, item: Text, null: bytes) -> Text:
    """A map: a small message per entry, in the order of the keys. `item` gives all that its value
    writes, `null` is what null does."""
    heads, keys, nothing = heads_of(header(number, BYTES)), heads_of(header(1, BYTES)), latin(null)

    def text(value: Json) -> str:
        out = []
        for name in value if len(value) < 2 else sorted(value):
            x = value[name]
            content = nothing if x is None else item(x)
            if not name.isascii():
                name = odd(name)
            size = len(name)
            entry = f"{keys[size] if size < 128 else far(keys, size)}{name}{content}"
            size = len(entry)
            out.append(f"{heads[size] if size < 128 else far(heads, size)}{entry}")
        return "".join(out)

    return text


def tagged(number: int, content: Text) -> Text:
    """A field whose content, with its length, is what a function gives."""
    tag = latin(header(number, BYTES))
    return lambda value: tag + content(value)


def item_text(value: str) -> str:
    """A text, as the value of an entry."""
    if not value.isascii():
        value = odd(value)
    size = len(value)
    return f"{_ITEMS[size] if size < 128 else far(_ITEMS, size)}{value}"


@cache  # by the tags of fields, which are few
def heads_of(tag: bytes) -> tuple[str, ...]:
    """A tag with each length of one byte."""
    return tuple(latin(tag + bytes((size,))) for size in range(128))


def far(heads: Sequence[str], size: int) -> str:
    """A tag with a longer length."""
    return heads[0][:-1] + latin(encoded(size))


_ITEMS = heads_of(header(2, BYTES))
