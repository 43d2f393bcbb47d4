"""Values that JSON cannot say whole, and how they are kept with JSON.

A few fields of built-in kinds hold more than their JSON shows. A runtime.RawExtension is a text:
its spaces, the order of its names and the spelling of its numbers come back in Protocol Buffers,
and a change of them is a change, while JSON answers have the text without its spaces. An
IntOrString in a message has a number and a text, of which JSON shows one. Such values are dicts,
numbers and texts like any other that know the rest: `Spelled`, `PortNumber`, `PortName`. Whoever
copies or compares them as what they look like gets ordinary values, as the real server does where
it goes through JSON.

In the store the rest stands behind the JSON, in a list of paths, so that what is served is stored
as it is:

    {"kind":"ControllerRevision",…,"data":{"a":1},"revision":1}
    [["data","{\\"a\\": 1}"]]

Where there is nothing to keep there is nothing: `kept` is then what `json_format.dumps` gives, and
costs no more. Used by the codecs, the registry and the cache.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any

import orjson

Json = dict[str, Any]
# Path, and the text of a raw object, or {"number": …} or {"text": …} of an IntOrString.
Entry = list[Any]


class Spelled(dict[str, Any]):
    """A JSON object in an object that keeps the text it came as. Read-only."""

    __slots__ = ("text",)

    def __init__(self, value: Json, text: bytes) -> None:
        super().__init__(value)
        self.text = text

    def __deepcopy__(self, memo: Any) -> Spelled:
        return Spelled(copy.deepcopy(dict(self), memo), self.text)


class PortNumber(int):
    """An IntOrString that is a number and holds a text, too."""

    text: str

    def __bool__(self) -> bool:
        return True  # not the zero value

    def __deepcopy__(self, memo: Any) -> PortNumber:
        return self


class PortName(str):
    """An IntOrString that is a text and holds a number, too."""

    number: int

    def __bool__(self) -> bool:
        return True

    def __deepcopy__(self, memo: Any) -> PortName:
        return self


def port_number(value: int, text: str) -> int:
    """A number that may hold a text."""
    if not text:
        return value
    out = PortNumber(value)
    out.text = text
    return out


def port_name(value: str, number: int) -> str:
    """A text that may hold a number."""
    if not number:
        return value
    out = PortName(value)
    out.number = number
    return out


def spelled(value: Any, text: bytes) -> Any:
    """What a raw field holds: a value and its JSON, which is kept if it is not the plain one.

    A value that is too deep to be kept stays as it is: `json_format.check_depth` refuses it.
    """
    if value.__class__ is not dict:
        return value
    try:
        plainest = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:
        return value
    return value if plainest == text else Spelled(value, text)


def text_of(value: Any) -> bytes:
    """The JSON of a raw field: as it came if that is known, else sorted, as Go writes a map."""
    if value.__class__ is Spelled and orjson.loads(value.text) == value:
        text: bytes = value.text
        return text
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def same(a: Any, b: Any) -> bool:
    """Whether two values are the same to Go, which compares raw fields by their texts."""
    return a == b and (
        a.__class__ not in (dict, list, Spelled) or _as_compared(a) == _as_compared(b)
    )


def _as_compared(value: Any) -> bytes:
    option = orjson.OPT_PASSTHROUGH_SUBCLASS | orjson.OPT_SORT_KEYS
    return orjson.dumps(value, default=_as_it_came, option=option)


def ordinary(value: Json | None) -> Json | None:
    """The object with nothing in it but what JSON shows; the argument itself where that is all."""
    try:
        orjson.dumps(value, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    except orjson.JSONEncodeError:
        out: Json = orjson.loads(orjson.dumps(value))
        return out
    return value


def plain(value: Any) -> Any:
    """For `orjson.dumps(…, default=plain, option=OPT_PASSTHROUGH_SUBCLASS)`: what JSON shows."""
    if isinstance(value, Spelled):
        return orjson.Fragment(_compact(text_of(value)))
    return _ordinary(value)


def _as_it_came(value: Any) -> Any:
    if isinstance(value, Spelled):
        return orjson.Fragment(text_of(value))
    return _ordinary(value)


def _ordinary(value: Any) -> Any:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, dict):
        return dict(value)
    if isinstance(value, list):
        return list(value)
    raise TypeError(f"no JSON: {value.__class__.__name__}")


_TEXT_OR_SPACE = re.compile(rb'("[^"\\]*(?:\\.[^"\\]*)*")|[ \t\n\r]+')


def _compact(text: bytes) -> bytes:
    """JSON without the spaces between its tokens."""
    return _TEXT_OR_SPACE.sub(lambda match: match[1] or b"", text)


# -- beside the JSON of an object ------------------------------------------------------------------


def rest(value: Any) -> bytes:
    """What stands in the store behind the JSON of an object; usually nothing."""
    found: list[bool] = []

    def see(odd: Any) -> Any:
        found.append(True)
        return None

    orjson.dumps(value, default=see, option=orjson.OPT_PASSTHROUGH_SUBCLASS)
    entries = list(_entries(value, [])) if found else []
    return b"\n" + orjson.dumps(entries) if entries else b""


def _entries(value: Any, path: list[Any]) -> Iterator[Entry]:
    if isinstance(value, Spelled):
        yield [*path, text_of(value).decode()]
    elif isinstance(value, PortNumber):
        yield [*path, {"text": value.text}]
    elif isinstance(value, PortName):
        yield [*path, {"number": value.number}]
    elif isinstance(value, dict):
        for name, x in value.items():
            yield from _entries(x, [*path, name])
    elif isinstance(value, list):
        for index, x in enumerate(value):
            yield from _entries(x, [*path, index])


def split(stored: bytes) -> tuple[bytes, bytes]:
    """A stored value as its JSON and the rest, for `restore`."""
    if stored[-1:] != b"]":
        return stored, b""
    at = stored.rfind(b"\n[[")
    return (stored[:at], stored[at:]) if at > 0 else (stored, b"")


def restore(obj: Json, entries: bytes) -> Json:
    """The object of a stored value, with the rest that `split` gave; changed in place."""
    for *path, name, entry in orjson.loads(entries) if entries else ():
        holder: Any = obj
        for step in path:
            holder = holder[step]
        value = holder[name]
        if isinstance(entry, str):
            holder[name] = Spelled(value, entry.encode())
        elif "text" in entry:
            holder[name] = port_number(value, entry["text"])
        else:
            holder[name] = port_name(value, entry["number"])
    return obj
