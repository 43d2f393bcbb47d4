"""Regular expressions as Go writes them, matched by RE2.

`compile_go` is what schemas and CEL call. A match takes time that is linear in the text, whatever
the pattern, so that no author of a definition can hold the server up. What Go refuses is refused in
Go's words by `go_regex_syntax.py`, which reads every pattern first.
https://pkg.go.dev/regexp/syntax, https://github.com/google/re2
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from typing import Any

from kapi.schema.go_regex_syntax import GoRegexError, check

CACHED_PATTERNS = 4096
# Bytes that RE2 may take for the program and the states of one pattern. It refuses a program of
# more than two thirds of that; few need the second bound (`\pL{1,256}` does).
MEMORY = (8 << 20, 64 << 20)

__all__ = ["GoPattern", "GoRegexError", "compile_go"]


class GoPattern:
    """A compiled pattern."""

    __slots__ = ("_found", "_pattern")

    def __init__(self, pattern: Any, found: Callable[[str], Any]) -> None:
        self._pattern = pattern
        self._found = found

    def matches(self, text: str) -> bool:
        """Whether the pattern matches anywhere in the text."""
        # A set answers five times as fast, but says no, too, when its automaton grew too large.
        return bool(self._found(text)) or self._pattern.search(text) is not None

    def find(self, text: str) -> str:
        """The first match; "" without one."""
        found = self._pattern.search(text)
        return str(found.group()) if found else ""

    def find_all(self, text: str) -> Iterator[str]:
        """The matches that do not overlap; none of them is empty right behind another."""
        last = -1
        for found in self._pattern.finditer(text):
            start, end = found.span()
            if start == end == last:
                continue
            yield str(found.group())
            last = end


@lru_cache(maxsize=CACHED_PATTERNS)
def compile_go(pattern: str) -> GoPattern:
    """Raises GoRegexError."""
    check(pattern)
    import re2  # type: ignore[import-untyped]  # lazily: few servers meet a pattern

    options = re2.Options()
    options.log_errors = False
    options.never_capture = True
    for memory in MEMORY:
        options.max_mem = memory
        try:
            compiled = re2.compile(pattern, options)
        except re2.error as e:
            failed = e
            continue
        one = re2.Set.SearchSet(options)
        one.Add(pattern)
        one.Compile()
        return GoPattern(compiled, one.Match)
    raise _in_go_words(failed, pattern)


def _in_go_words(error: Exception, pattern: str) -> GoRegexError:
    """What `check` does not look for: names of classes, the size of it all."""
    raw = error.args[0] if error.args else b""
    said = raw.decode("utf-8", "replace") if isinstance(raw, bytes) else str(raw)
    what, _, where = said.partition(": ")
    if what == "invalid repetition size":
        return GoRegexError("invalid repeat count", where)
    if what == "invalid character class range":
        return GoRegexError(what, where)
    return GoRegexError("expression too large", pattern)
