"""What Go's parser of regular expressions refuses, and its words for it.

`go_regex.py` calls `check` before it hands a pattern to RE2, whose syntax is nearly the same but
whose errors read otherwise. Names of character classes and the size of repetitions within
repetitions are left to RE2.
https://pkg.go.dev/regexp/syntax
"""

from __future__ import annotations

import re
import sys

REPEAT_MAX = 1000  # in {n,m}
DEPTH_MAX = 1000  # groups in groups
_PERL = frozenset("dswDSW")
_ASSERTIONS = frozenset("AzbB")
_SINGLE = frozenset("afnrtv")
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}", re.ASCII)
_HEXADECIMAL = re.compile(r"\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2})")
_OCTAL = re.compile(r"[0-7]{1,3}")
_POSIX_CLASS = re.compile(r"\[:\^?[a-z]+:\]")
_CAPTURE = re.compile(r"\(\?P?<[A-Za-z0-9_]+>\Z")


class GoRegexError(ValueError):
    """A pattern that Go does not compile; the text is Go's."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"error parsing regexp: {what}: `{where}`")


def check(pattern: str) -> None:
    """Raises GoRegexError for the first thing that is wrong."""
    _Checker(pattern).run()


class _Checker:
    """Walks over the pattern once; `at` is what comes next."""

    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.depth = 0  # open groups
        self.repeatable = False  # is there something before `at` that a repetition can repeat?
        self.repeated_at = -1  # the last repetition, if it ended right here
        self.repeated_end = -1

    def run(self) -> None:
        text = self.text
        while self.at < len(text):
            c = text[self.at]
            if c == "(":
                self._open()
            elif c == ")":
                self._close()
            elif c in "*+?":
                self.at += 1
                self._repeat(self.at - 1)
            elif c == "{" and (found := _COUNT.match(text, self.at)):
                self._counted(found)
            else:
                self._atom(c)
        if self.depth:
            raise GoRegexError("missing closing )", text)

    def _atom(self, c: str) -> None:
        self.at += 1
        self.repeatable = c != "|"
        if c == "[":
            self._class()
        elif c == "\\":
            self._escape()

    # -- groups -----------------------------------------------------------------------------------

    def _open(self) -> None:
        text, at = self.text, self.at
        if not text.startswith("(?", at):
            self.at += 1
            self._push()
        elif text.startswith(("(?P<", "(?<"), at):
            self._named()
        else:
            self._flags()

    def _push(self) -> None:
        self.depth += 1
        if self.depth >= DEPTH_MAX:
            raise GoRegexError("expression nests too deeply", self.text)
        self.repeatable = False

    def _named(self) -> None:
        rest = self.text[self.at :]
        end = rest.find(">")
        if end < 0:
            raise GoRegexError("invalid named capture", rest)
        capture = rest[: end + 1]
        if not _CAPTURE.match(capture):
            raise GoRegexError("invalid named capture", capture)
        self.at += len(capture)
        self._push()

    def _flags(self) -> None:
        start, at, text = self.at, self.at + 2, self.text
        negative = any_flag = False
        while at < len(text):
            c = text[at]
            at += 1
            if c in "imsU":
                any_flag = True
            elif c == "-" and not negative:
                negative, any_flag = True, False
            elif c in ":)" and not (negative and not any_flag):
                self.at = at
                self.repeatable = False
                if c == ":":
                    self._push()
                return
            else:
                raise GoRegexError("invalid or unsupported Perl syntax", text[start:at])
        raise GoRegexError("missing closing )", text)

    def _close(self) -> None:
        if not self.depth:
            raise GoRegexError("unexpected )", self.text)
        self.at += 1
        self.depth -= 1
        self.repeatable = True

    # -- repetition -------------------------------------------------------------------------------

    def _counted(self, found: re.Match[str]) -> None:
        low, high = _number(found[1]), _number(found[3]) if found[3] else -1
        if low > REPEAT_MAX or high > REPEAT_MAX or (found[3] and high < low):
            raise GoRegexError("invalid repeat count", found[0])
        at = self.at
        self.at = found.end()
        self._repeat(at)

    def _repeat(self, at: int) -> None:
        if self.text.startswith("?", self.at):
            self.at += 1
        if not self.repeatable:
            raise GoRegexError("missing argument to repetition operator", self.text[at : self.at])
        if self.repeated_end == at:
            wrong = self.text[self.repeated_at : self.at]
            raise GoRegexError("invalid nested repetition operator", wrong)
        self.repeated_at, self.repeated_end = at, self.at

    # -- escapes and classes ----------------------------------------------------------------------

    def _escape(self) -> None:
        """Behind a backslash outside a class."""
        text = self.text
        c = text[self.at : self.at + 1]
        if c in _PERL or c in _ASSERTIONS:
            self.at += 1
        elif c in ("p", "P"):
            self._category()
        elif c == "Q":
            end = text.find("\\E", self.at)
            self.repeatable = end < 0 or end > self.at + 1
            self.at = end + 2 if end >= 0 else len(text)
        else:
            self._character()

    def _character(self) -> str:
        """The character of an escape; `at` is behind the backslash."""
        text, start = self.text, self.at - 1
        if self.at >= len(text):
            raise GoRegexError("trailing backslash at end of expression", "")
        c = text[self.at]
        self.at += 1
        if c in _SINGLE:
            return {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}[c]
        if c == "x":
            found = _HEXADECIMAL.match(text, self.at)
            if found and (point := _point(found[1] or found[2])) <= sys.maxunicode:
                self.at = found.end()
                return chr(point)
            raise GoRegexError("invalid escape sequence", text[start : self.at + 1])
        octal = _OCTAL.match(text, self.at - 1)
        if octal and (c == "0" or len(octal[0]) > 1):
            self.at = octal.end()
            return chr(int(octal[0], 8))
        if c.isalnum() or ord(c) > 0x7F or c == "_":
            raise GoRegexError("invalid escape sequence", text[start : self.at])
        return c

    def _category(self) -> None:
        """`\\pN` and `\\p{Name}`; `at` is at the p."""
        text, start = self.text, self.at - 1
        self.at += 1
        if text[self.at : self.at + 1] != "{":
            self.at += 1
            if self.at > len(text):
                raise GoRegexError("invalid character class range", text[start:])
            return
        end = text.find("}", self.at)
        if end < 0:
            raise GoRegexError("invalid character class range", text[start:])
        self.at = end + 1

    def _class(self) -> None:
        text, start = self.text, self.at - 1
        if text.startswith("^", self.at):
            self.at += 1
        first = True
        while first or text[self.at] != "]":
            first = False
            self._class_item(start)
            if self.at >= len(text):
                raise GoRegexError("missing closing ]", text[start:])
        self.at += 1

    def _class_item(self, start: int) -> None:
        text = self.text
        if posix := _POSIX_CLASS.match(text, self.at):
            self.at = posix.end()
            return
        following = text[self.at + 1 : self.at + 2]
        if text.startswith("\\", self.at) and following and following in "pPdswDSW":
            self.at += 1
            if following in _PERL:
                self.at += 1
            else:
                self._category()
            return
        begin = self.at
        low = self._class_character(start)
        if not (text.startswith("-", self.at) and text[self.at + 1 : self.at + 2] not in ("", "]")):
            return
        self.at += 1
        if self._class_character(start) < low:
            raise GoRegexError("invalid character class range", text[begin : self.at])

    def _class_character(self, start: int) -> str:
        if self.at >= len(self.text):
            raise GoRegexError("missing closing ]", self.text[start:])
        c = self.text[self.at]
        self.at += 1
        return self._character() if c == "\\" else c


def _number(digits: str) -> int:
    """A count; one that is longer than any good one need not be read."""
    return int(digits) if len(digits) <= 9 else REPEAT_MAX + 1


def _point(digits: str) -> int:
    return int(digits, 16) if len(digits) <= 9 else sys.maxunicode + 1
