"""The fast way to write a message: a function written for the shape of an object.

The shape of an object is the names of its fields, in their order; what people and controllers write
shows few. For each that comes often a function is written that takes the values apart and puts
tags, lengths and contents together in one step; what absent fields write stands between them. For
a message of a text, and a number that is absent:

    def write(obj):
        v0, = obj.values()
        if v0 is None:
            v0 = ""
        elif not v0.isascii():
            v0 = odd(v0)
        n = len(v0)
        h0 = LOW[n] if n < 128 else far(n)
        return f"\\x0a{h0}{v0}\\x10\\x00"

A message is put together as a text whose characters are its bytes (Latin-1): a text that is all
ASCII, as nearly all are, stands in it as it is. Called by `protobuf_writing.py` alone, whose tables
the source is made of, and which writes the same by the tables; nothing of an object stands in the
source. Writing and compiling a function takes less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from kapi.codec.protobuf_format import (
    BYTES,
    UINT64,
    VARINT,
    encoded,
    header,
    text_bytes,
)

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
        self._known: dict[str, Any] = {"far": far, "odd": odd, "LOW": LOW}
        self._lines = ["def write(obj):"]
        self._slots = [_literal(data) for data in absent]

    def line(self, text: str) -> None:
        self._lines.append("    " + text)

    def add(self, value: str, field: Field) -> None:
        """Write the value in a variable."""
        self._slots[field.slot] = self._piece(value, field)

    def close(self, start: int, stop: int, tag: bytes) -> None:
        """Make slots one message."""
        name = self._of(None)
        self.line(f'{name} = f"{"".join(self._slots[start:stop])}"')
        self._slots[start:stop] = (self._measured(name, tag),)

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

    def _measured(self, name: str, tag: bytes, indent: str = "") -> str:
        """The piece of a content that is in a variable."""
        head = self._of(None)
        self.line(f"{indent}n = len({name})")
        self.line(f"{indent}{head} = LOW[n] if n < 128 else far(n)")
        return f"{_literal(tag)}{{{head}}}{{{name}}}"

    def _piece(self, value: str, field: Field) -> str:
        null = field.null
        if field.kind in (TEXT, MESSAGE):
            return self._long_piece(value, field)
        if field.kind == INTEGER:
            tag = header(field.number, VARINT)
            number = f"{_literal(tag)}{{LOW[{value}] if 0 <= {value} < 128 else far({value})}}"
            if null:
                self.line(f"if {value} is None: {value} = 0")
                return number
            self.line(f'{value} = "" if {value} is None else f"{number}"')
            return f"{{{value}}}"
        if field.kind == BOOLEAN:
            yes, no, nothing = (
                self._of(latin(x)) for x in (field.write(True), field.write(False), null)
            )
            return f"{{{yes} if {value} else {nothing} if {value} is None else {no}}}"
        text, nothing = self._of(field.text or as_text(field.write)), self._of(latin(null))
        return f"{{{nothing} if {value} is None else {text}({value})}}"

    def _long_piece(self, value: str, field: Field) -> str:
        """Of a text or a message."""
        tag, null = header(field.number, BYTES), field.null
        make = [f"{value} = {self._of(field.text)}({value})"]
        if field.kind == TEXT:
            make = [f"if not {value}.isascii():", f"    {value} = odd({value})"]
        if null == tag + b"\0":  # as an empty one
            self.line(f'if {value} is None: {value} = ""')
            self.line("else:")
            for line in make:
                self.line("    " + line)
            return self._measured(value, tag)
        self.line(f"if {value} is None: {value} = '{_literal(null)}'")
        self.line("else:")
        for line in make:
            self.line("    " + line)
        piece = self._measured(value, tag, "    ")
        self.line(f'    {value} = f"{piece}"')
        return f"{{{value}}}"


def _literal(data: bytes) -> str:
    """Bytes as they stand in a source."""
    return "".join(f"\\x{byte:02x}" for byte in data)


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
    tag, nothing = latin(header(number, BYTES)), latin(null)

    def text(value: list[Any]) -> str:
        out = []
        for x in value:
            if x is None:
                out.append(nothing)
                continue
            content = item(x)
            size = len(content)
            out.append(f"{tag}{LOW[size] if size < 128 else far(size)}{content}")
        return "".join(out)

    return text


def entries(number: int, item: Text, null: bytes) -> Text:
    """A map: a small message per entry, in the order of the keys. `item` gives all that its value
    writes, `null` is what null does."""
    tag, key, nothing = latin(header(number, BYTES)), latin(header(1, BYTES)), latin(null)

    def text(value: Json) -> str:
        out = []
        for name in value if len(value) < 2 else sorted(value):
            x = value[name]
            content = nothing if x is None else item(x)
            if not name.isascii():
                name = odd(name)
            size = len(name)
            entry = f"{key}{LOW[size] if size < 128 else far(size)}{name}{content}"
            size = len(entry)
            out.append(f"{tag}{LOW[size] if size < 128 else far(size)}{entry}")
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
    return f"\x12{LOW[size] if size < 128 else far(size)}{value}"


# Numbers of one byte. One table for all fields: little memory is touched to write an object.
LOW = tuple(map(chr, range(128)))


def far(number: int) -> str:
    """Any number, as a text of bytes."""
    return latin(encoded(number & UINT64))
