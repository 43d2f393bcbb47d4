"""Where in a JSON text the values of some fields stand.

`spans` walks a text that is known to be JSON, by the paths that are looked for, and passes over
everything else by its tokens. Used by `schema/spellings.py` for fields whose text is kept.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import orjson

EACH = None  # in a path: every item of a list
Path = tuple[str | None, ...]
Found = tuple[str | int, ...]

_TOKEN = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"|[{}\[\]]')
_TEXT = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"')
_PLAIN = re.compile(rb"[^\s,\]}]+")
_SPACE = re.compile(rb"[ \t\n\r]*")


def spans(text: bytes, paths: Iterable[Path]) -> dict[Found, tuple[int, int]]:
    """Start and stop of each value that is there; of a repeated name the last."""
    walk = _Walk(text)
    walk.value(_space(text, 0), tuple(paths), ())
    return walk.found


class _Walk:
    def __init__(self, text: bytes) -> None:
        self._text = text
        self.found: dict[Found, tuple[int, int]] = {}

    def value(self, at: int, paths: tuple[Path, ...], here: Found) -> int:
        """Look into the value at a position; where it ends."""
        text = self._text
        opening = text[at : at + 1]
        inside = tuple(path for path in paths if path)
        if inside and opening in b"{[":
            stop = self._members(at, inside, here, named=opening == b"{")
        else:
            stop = self._skipped(at)
        if len(inside) < len(paths):
            self.found[here] = (at, stop)
        return stop

    def _members(self, at: int, paths: tuple[Path, ...], here: Found, *, named: bool) -> int:
        text, index = self._text, 0
        at = _space(text, at + 1)
        while text[at : at + 1] not in b"}]":
            step: str | int | None = EACH
            if named:
                match = _TEXT.match(text, at)
                assert match is not None, "a name"
                step = orjson.loads(match[0])
                at = _space(text, _space(text, match.end()) + 1)
            wanted = tuple(path[1:] for path in paths if path[0] == step)
            place = step if step is not None else index
            at = _space(text, self.value(at, wanted, (*here, place)))
            if text[at : at + 1] == b",":
                at = _space(text, at + 1)
            index += 1
        return at + 1

    def _skipped(self, at: int) -> int:
        text = self._text
        opening = text[at : at + 1]
        if opening not in b'{["':
            match = _PLAIN.match(text, at)
            return match.end() if match is not None else len(text)
        depth = 0
        for token in _tokens(text, at):
            depth += (token[0] in b"{[") - (token[0] in b"}]")
            if not depth:
                return token.end()
        return len(text)


def _tokens(text: bytes, at: int) -> Iterator[re.Match[bytes]]:
    return _TOKEN.finditer(text, at)


def _space(text: bytes, at: int) -> int:
    match = _SPACE.match(text, at)
    assert match is not None
    return match.end()
