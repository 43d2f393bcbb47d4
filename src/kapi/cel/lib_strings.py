"""Strings: cel-go's string extension in the version Kubernetes has, and regular expressions.

Positions count characters. https://pkg.go.dev/github.com/google/cel-go/ext#Strings
"""

from __future__ import annotations

from itertools import islice
from typing import Any

from kapi.cel.declarations import Library
from kapi.cel.formatting import format_text, quote
from kapi.cel.regex import compiled
from kapi.cel.values import EvalError, no_such_overload

TABLE = """
charAt string_char_at_int string.(int) -> string
indexOf string_index_of_string string.(string) -> int
indexOf string_index_of_string_int string.(string, int) -> int
lastIndexOf string_last_index_of_string string.(string) -> int
lastIndexOf string_last_index_of_string_int string.(string, int) -> int
lowerAscii string_lower_ascii string.() -> string
upperAscii string_upper_ascii string.() -> string
replace string_replace_string_string string.(string, string) -> string
replace string_replace_string_string_int string.(string, string, int) -> string
split string_split_string string.(string) -> list(string)
split string_split_string_int string.(string, int) -> list(string)
substring string_substring_int string.(int) -> string
substring string_substring_int_int string.(int, int) -> string
trim string_trim string.() -> string
format string_format string.(list(dyn)) -> string
strings.quote strings_quote string -> string
join list_join list(string).() -> string
join list_join_string list(string).(string) -> string
find string_find_string string.(string) -> string
findAll string_find_all_string string.(string) -> list(string)
findAll string_find_all_string_int string.(string, int) -> list(string)
"""
CHARACTERS_MAX = 10_000_000  # of what replace gives, whose cost does not count them
_SPACES = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009"
    "\u200a\u2028\u2029\u202f\u205f\u3000"
)
_LOWER = {c: c + 32 for c in range(ord("A"), ord("Z") + 1)}
_UPPER = {c: c - 32 for c in range(ord("a"), ord("z") + 1)}


def _char_at(text: str, at: int) -> str:
    if not 0 <= at <= len(text):
        raise EvalError(f"index out of range: {at}")
    return text[at : at + 1]


def _index_of(text: str, part: str, start: int = 0) -> int:
    if part == "":
        return start
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {start}")
    return text.find(part, start)


def _last_index_of(text: str, part: str, start: int | None = None) -> int:
    if start is None:
        return text.rfind(part)
    if part == "":
        return start
    if not 0 <= start <= len(text):
        raise EvalError(f"index out of range: {start}")
    return text.rfind(part, 0, start + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    times = text.count(old)
    times = min(times, count) if count >= 0 else times
    if len(text) + times * (len(new) - len(old)) > CHARACTERS_MAX:
        raise EvalError(f"a text has at most {CHARACTERS_MAX} characters")
    return text.replace(old, new, count)


def _split(text: str, separator: str, count: int = -1) -> list[str]:
    if count == 0:
        return []
    if separator:
        return text.split(separator, count - 1 if count > 0 else -1)
    if count < 0 or count >= len(text):
        return list(text)
    return [*text[: count - 1], text[count - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is None:
        if not 0 <= start <= len(text):
            raise EvalError(f"index out of range: {start}")
        return text[start:]
    if start > end:
        raise EvalError(f"invalid substring range. start: {start}, end: {end}")
    for at in (start, end):
        if not 0 <= at <= len(text):
            raise EvalError(f"index out of range: {at}")
    return text[start:end]


def _join(items: list[Any], separator: str = "") -> str:
    for item in items:
        if item.__class__ is not str:
            raise no_such_overload("join", items, separator)
    return separator.join(items)


def _find(text: str, pattern: str) -> str:
    return compiled(pattern).find(text)


def _find_all(text: str, pattern: str, count: int = -1) -> list[str]:
    found = compiled(pattern).find_all(text)
    return list(found if count < 0 else islice(found, count))


def library() -> Library:
    return Library(
        TABLE,
        {
            "string_char_at_int": _char_at,
            "string_index_of_string": _index_of,
            "string_index_of_string_int": _index_of,
            "string_last_index_of_string": _last_index_of,
            "string_last_index_of_string_int": _last_index_of,
            "string_lower_ascii": lambda text: text.translate(_LOWER),
            "string_upper_ascii": lambda text: text.translate(_UPPER),
            "string_replace_string_string": _replace,
            "string_replace_string_string_int": _replace,
            "string_split_string": _split,
            "string_split_string_int": _split,
            "string_substring_int": _substring,
            "string_substring_int_int": _substring,
            "string_trim": lambda text: text.strip(_SPACES),
            "string_format": format_text,
            "strings_quote": quote,
            "list_join": _join,
            "list_join_string": _join,
            "string_find_string": _find,
            "string_find_all_string": _find_all,
            "string_find_all_string_int": _find_all,
        },
    )
