"""The fast way to write a message: a function written for the shape of an object.

The shape of an object is the names of its fields, in their order; what people and controllers write
shows few. For each that comes often a function is written that takes the values apart and puts
tags, lengths and contents together in one step; what absent fields write stands between them. For
a message of a text and a number, and a text that is absent:

    def write(obj):
        v0, v1, = obj.values()
        if not v0.isascii():
            raise ValueError
        n0 = len(v0)
        return f"{k1[n0] if n0 < 128 else far(k1, n0)}{v0}{k2[v1] if …}\\x1a\\x00"

A message is put together as a text whose characters are its bytes (Latin-1): a text that is all
ASCII, as nearly all are, stands in it as it is. Whatever is not as expected (a null, another text)
raises one of UNEXPECTED; then `protobuf_writing.py`, which alone calls this, writes the object by
its tables, with the same outcome. The source is made of those tables; nothing of an object stands
in it. Writing and compiling a function takes less than a millisecond.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from kapi.codec.protobuf_format import BYTES, encoded, header

Json = dict[str, Any]
# What is written for a value, as a text of bytes.
Text = Callable[[Any], str]
# Slots from, slots up to, the tag: an inlined message, when those within it are closed.
Run = tuple[int, int, bytes]

# How a field is written: as a text, a whole number, a boolean, a message, or anything else.
TEXT, INTEGER, BOOLEAN, MESSAGE, OTHER = range(5)

# What a function raises where an object is not as expected.
UNEXPECTED = (AttributeError, TypeError, ValueError)


class Field(NamedTuple):
    """A field: where it stands, and what it writes for a value and for null."""

    slot: int
    write: Callable[[Any], bytes]
    null: bytes
    kind: int = OTHER
    number: int = 0
    # The content of a message, or all that another field writes; None: what `write` gives.
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
        self._known: dict[str, Any] = {"far": _far}
        self._lines = ["def write(obj):"]
        self._slots = ["".join(f"\\x{byte:02x}" for byte in data) for data in absent]

    def line(self, text: str) -> None:
        self._lines.append("    " + text)

    def add(self, value: str, field: Field) -> None:
        """Write the value in a variable."""
        self._slots[field.slot] = self._piece(value, field)

    def close(self, start: int, stop: int, tag: bytes) -> None:
        """Make slots one message."""
        name = self._of(None)
        self.line(f'{name} = f"{"".join(self._slots[start:stop])}"')
        self._slots[start:stop] = (self._behind_its_length(name, _heads(tag)),)

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

    def _behind_its_length(self, name: str, heads: Sequence[str]) -> str:
        """What is in a variable, as the content of a field."""
        size, head = self._of(None), self._of(heads)
        self.line(f"{size} = len({name})")
        return f"{{{head}[{size}] if {size} < 128 else far({head}, {size})}}{{{name}}}"

    def _piece(self, value: str, field: Field) -> str:
        write, null = field.write, field.null
        if field.kind == TEXT:
            self.line(f"if not {value}.isascii():")
            self.line("    raise ValueError")
            return self._behind_its_length(value, _heads(header(field.number, BYTES)))
        if field.kind == INTEGER:
            small = self._of(tuple(latin(write(n)) for n in range(128)))
            large = self._of(as_text(write))
            return f"{{{small}[{value}] if 0 <= {value} < 128 else {large}({value})}}"
        if field.kind == BOOLEAN:
            yes, no, none = (self._of(latin(x)) for x in (write(True), write(False), null))
            return f"{{{yes} if {value} else {none} if {value} is None else {no}}}"
        text = self._of(field.text or as_text(lambda x: null if x is None else write(x)))
        if field.kind == MESSAGE:
            self.line(f"{value} = {text}({value})")
            return self._behind_its_length(value, _heads(header(field.number, BYTES)))
        return f"{{{text}({value})}}"


# -- texts of bytes -------------------------------------------------------------------------------


def latin(data: bytes) -> str:
    return data.decode("latin-1")


def as_text(write: Callable[[Any], bytes]) -> Text:
    return lambda value: write(value).decode("latin-1")


def each(number: int, item: Text) -> Text:
    """A list: a field for each item, whose content is given."""
    heads = _heads(header(number, BYTES))

    def text(value: list[Any]) -> str:
        out = []
        for x in value:
            content = item(x)
            size = len(content)
            out.append(f"{heads[size] if size < 128 else _far(heads, size)}{content}")
        return "".join(out)

    return text


def ascii_text(value: str) -> str:
    """A text that may stand as it is."""
    if not value.isascii():
        raise ValueError
    return value


def entries(number: int, item: Text) -> Text:
    """A map: a small message per entry, in the order of the keys; `item` gives all of its value."""
    heads = _heads(header(number, BYTES))
    keys = _heads(header(1, BYTES))

    def text(value: Json) -> str:
        out = []
        for name in value if len(value) < 2 else sorted(value):
            if not name.isascii():
                raise ValueError
            size = len(name)
            entry = f"{keys[size] if size < 128 else _far(keys, size)}{name}{item(value[name])}"
            size = len(entry)
            out.append(f"{heads[size] if size < 128 else _far(heads, size)}{entry}")
        return "".join(out)

    return text


def item_text(value: str) -> str:
    """A text, as the value of an entry."""
    if not value.isascii():
        raise ValueError
    size = len(value)
    return f"{_ITEMS[size] if size < 128 else _far(_ITEMS, size)}{value}"


def tagged(number: int, content: Text) -> Text:
    """A field whose content, with its length, is what a function gives."""
    tag = latin(header(number, BYTES))
    return lambda value: tag + content(value)


@cache  # by the tags of fields, which are few
def _heads(tag: bytes) -> tuple[str, ...]:
    """A tag with each length of one byte."""
    return tuple(latin(tag + bytes((size,))) for size in range(128))


_ITEMS = _heads(header(2, BYTES))


def _far(heads: Sequence[str], size: int) -> str:
    """A tag with a longer length."""
    return heads[0][:-1] + latin(encoded(size))
