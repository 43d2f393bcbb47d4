"""Regular expressions as Go writes them (RE2), run by Python's `re`.

`compile_go` translates the syntax and refuses what Go refuses, in its words; what both have means
the same: `$` is the end of the text, `\\d` `\\w` `\\s` `\\b` are ASCII, flags may stand anywhere in
a group, classes have POSIX names and Unicode categories. Unlike Go's, the time of a match is not
bound by the length of the text for every pattern.
https://pkg.go.dev/regexp/syntax
"""

from __future__ import annotations

import re
import sys
import unicodedata
from functools import lru_cache

REPEAT_MAX = 1000  # as RE2 bounds {n,m}
CACHED_PATTERNS = 4096
_DIGIT, _SPACE, _WORD = "0-9", r"\t\n\f\r ", "0-9A-Za-z_"
_PERL = {"d": _DIGIT, "s": _SPACE, "w": _WORD}
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": r"\x00-\x7f", "blank": r"\t ",
    "cntrl": r"\x00-\x1f\x7f", "digit": "0-9", "graph": "!-~", "lower": "a-z", "print": " -~",
    "punct": r"!-/:-@\[-`{-~", "space": r"\t\n\v\f\r ", "upper": "A-Z", "word": _WORD,
    "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_SINGLE = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CATEGORIES = frozenset(
    ("C", "Cc", "Cf", "Co", "Cs", "L", "Ll", "Lm", "Lo", "Lt", "Lu", "M", "Mc", "Me", "Mn",
     "N", "Nd", "Nl", "No", "P", "Pc", "Pd", "Pe", "Pf", "Pi", "Po", "Ps",
     "S", "Sc", "Sk", "Sm", "So", "Z", "Zl", "Zp", "Zs")
)  # fmt: skip
# Scripts by how the names of their characters start.
_SCRIPTS = {
    "Arabic": "ARABIC",
    "Armenian": "ARMENIAN",
    "Cyrillic": "CYRILLIC",
    "Greek": "GREEK",
    "Han": "CJK UNIFIED IDEOGRAPH",
    "Hangul": "HANGUL",
    "Hebrew": "HEBREW",
    "Hiragana": "HIRAGANA",
    "Katakana": "KATAKANA",
    "Latin": "LATIN",
    "Thai": "THAI",
}


class GoRegexError(ValueError):
    """A pattern that Go does not compile; the text is Go's."""

    def __init__(self, what: str, where: str) -> None:
        super().__init__(f"error parsing regexp: {what}: `{where}`")


@lru_cache(maxsize=CACHED_PATTERNS)
def compile_go(pattern: str) -> re.Pattern[str]:
    """Raises GoRegexError."""
    translated = _Translator(pattern).run()
    try:
        return re.compile(translated)
    except (re.error, OverflowError, RecursionError):
        raise GoRegexError("expression nests too deeply", pattern) from None


def _literal(c: str) -> str:
    """A character, in or outside a class."""
    if c.isalnum() or c == "_" or ord(c) > 0x7F:
        return c
    return f"\\x{ord(c):02x}"


class _Translator:
    def __init__(self, pattern: str) -> None:
        self.text = pattern
        self.at = 0
        self.out: list[str] = []
        # Per open group: how many scoped flag groups its end must close; the flags before it.
        self.groups: list[tuple[int, frozenset[str]]] = []
        self.flags: frozenset[str] = frozenset()
        self.scopes = 0
        self.start = 0  # in `out`: where what a repetition would repeat begins; -1: nowhere
        self.starts: list[int] = []
        self.repeated_at = -1  # in the pattern: the last repetition, if it ended right here
        self.repeated_end = -1

    def run(self) -> str:
        text = self.text
        self.start = -1
        while self.at < len(text):
            c = text[self.at]
            if c == "(":
                self._open()
            elif c == ")":
                self._close()
            elif c in "*+?":
                self.at += 1
                self._repeat(c, self.at - 1)
            elif c == "{" and (found := _COUNT.match(text, self.at)):
                self._counted(found)
            else:
                self.start = len(self.out)
                self._atom(c)
        if self.groups:
            raise GoRegexError("missing closing )", text)
        return "".join(self.out) + ")" * self.scopes

    def _atom(self, c: str) -> None:
        self.at += 1
        if c == "|":
            self._alternative()
        elif c == "[":
            self.out.append(self._class())
        elif c == "\\":
            self.out.append(self._escape())
        elif c == ".":
            self.out.append("(?s:.)" if "s" in self.flags else r"[^\n]")
        elif c == "^":
            self.out.append("(?m:^)" if "m" in self.flags else r"\A")
        elif c == "$":
            self.out.append("(?m:$)" if "m" in self.flags else r"\Z")
        else:
            self.out.append(_literal(c))

    def _alternative(self) -> None:
        """Flags set in an alternative hold for the ones after it, too."""
        self.out.append(")" * self.scopes + "|")
        reopened = self.scopes
        self.scopes = 0
        if reopened and "i" in self.flags:
            self.out.append("(?i:")
            self.scopes = 1
        self.start = -1

    # -- groups -----------------------------------------------------------------------------------

    def _open(self) -> None:
        text, at = self.text, self.at
        if text.startswith("(?", at):
            if text.startswith("(?P<", at) or text.startswith("(?<", at):
                self._named()
            else:
                self._flags()
            return
        self.at += 1
        self._push("(")

    def _push(self, opening: str) -> None:
        self.groups.append((self.scopes, self.flags))
        self.starts.append(len(self.out))
        self.scopes = 0
        self.out.append(opening)
        self.start = -1

    def _named(self) -> None:
        rest = self.text[self.at :]
        end = rest.find(">")
        if end < 0:
            raise GoRegexError("invalid named capture", rest)
        capture = rest[: end + 1]
        name = capture.partition("<")[2][:-1]
        if not re.match(r"[A-Za-z0-9_]+\Z", name):
            raise GoRegexError("invalid named capture", capture)
        self.at += len(capture)
        self._push("(")

    def _flags(self) -> None:
        start, at, text = self.at, self.at + 2, self.text
        flags, negative, any_flag = set(self.flags), False, False
        while at < len(text):
            c = text[at]
            at += 1
            if c in "imsU":
                (flags.discard if negative else flags.add)(c)
                any_flag = True
            elif c == "-" and not negative:
                negative, any_flag = True, False
            elif c in ":)" and not (negative and not any_flag):
                self.at = at
                self._enter(frozenset(flags), scoped=c == ":")
                return
            else:
                raise GoRegexError("invalid or unsupported Perl syntax", text[start:at])
        raise GoRegexError("missing closing )", text)

    def _enter(self, flags: frozenset[str], *, scoped: bool) -> None:
        folds, folded = "i" in flags, "i" in self.flags
        opening = "(?i:" if folds and not folded else "(?-i:" if folded and not folds else "(?:"
        if scoped:
            self._push(opening)
        elif opening != "(?:":
            self.out.append(opening)
            self.scopes += 1
        self.flags = flags
        self.start = -1

    def _close(self) -> None:
        if not self.groups:
            raise GoRegexError("unexpected )", self.text)
        self.at += 1
        self.out.append(")" * (self.scopes + 1))
        self.scopes, self.flags = self.groups.pop()
        self.start = self.starts.pop()

    # -- repetition -------------------------------------------------------------------------------

    def _counted(self, found: re.Match[str]) -> None:
        low, high = int(found[1]), int(found[3]) if found[3] else -1
        if low > REPEAT_MAX or high > REPEAT_MAX or (found[3] and high < low):
            raise GoRegexError("invalid repeat count", found[0])
        at = self.at
        self.at = found.end()
        self._repeat(found[0], at)

    def _repeat(self, operator: str, at: int) -> None:
        lazy = self.text.startswith("?", self.at)
        if lazy:
            self.at += 1
        whole = self.text[at : self.at]
        if self.start < 0:
            raise GoRegexError("missing argument to repetition operator", whole)
        if self.repeated_end == at:
            wrong = self.text[self.repeated_at : self.at]
            raise GoRegexError("invalid nested repetition operator", wrong)
        self.repeated_at, self.repeated_end = at, self.at
        body = "".join(self.out[self.start :])
        del self.out[self.start :]
        if "U" in self.flags:
            lazy = not lazy
        self.out.append(f"(?:{body}){operator}{'?' if lazy else ''}")

    # -- escapes and classes ----------------------------------------------------------------------

    def _escape(self) -> str:
        text = self.text
        if self.at >= len(text):
            raise GoRegexError("trailing backslash at end of expression", "")
        c = text[self.at]
        if c.lower() in _PERL:
            self.at += 1
            return f"[{'^' if c.isupper() else ''}{_PERL[c.lower()]}]"
        if c in "pP":
            inside, negative = self._category()
            return f"[{'^' if negative else ''}{inside}]"
        simple = {"A": r"\A", "z": r"\Z", "b": r"(?a:\b)", "B": r"(?a:\B)"}
        if c in simple:
            self.at += 1
            return simple[c]
        if c == "Q":
            end = text.find("\\E", self.at)
            quoted = text[self.at + 1 : end if end >= 0 else len(text)]
            self.at = end + 2 if end >= 0 else len(text)
            return "(?:" + "".join(map(_literal, quoted)) + ")"
        return _literal(self._character())

    def _character(self) -> str:
        """The character of an escape; `at` is behind the backslash."""
        text, start = self.text, self.at - 1
        if self.at >= len(text):
            raise GoRegexError("trailing backslash at end of expression", "")
        c = text[self.at]
        self.at += 1
        if c in _SINGLE:
            return _SINGLE[c]
        if c == "x":
            found = _HEXADECIMAL.match(text, self.at)
            if found and int(found[1] or found[2], 16) <= sys.maxunicode:
                self.at = found.end()
                return chr(int(found[1] or found[2], 16))
            raise GoRegexError("invalid escape sequence", text[start : self.at + 1])
        octal = _OCTAL.match(text, self.at - 1)
        if octal and (c == "0" or len(octal[0]) > 1):
            self.at = octal.end()
            return chr(int(octal[0], 8))
        if c.isalnum() or ord(c) > 0x7F or c == "_":
            raise GoRegexError("invalid escape sequence", text[start : self.at])
        return c

    def _category(self) -> tuple[str, bool]:
        """The members of `\\pN`, `\\p{^Name}`, and whether all others are meant."""
        text, start = self.text, self.at - 1
        negative = text[self.at] == "P"
        self.at += 1
        name = text[self.at : self.at + 1]
        if name == "{":
            end = text.find("}", self.at)
            if end < 0:
                raise GoRegexError("invalid character class range", text[start:])
            name = text[self.at + 1 : end]
            self.at = end + 1
        else:
            self.at += 1
        if name.startswith("^"):
            negative, name = not negative, name[1:]
        if name != "Any" and name not in _CATEGORIES and name not in _SCRIPTS:
            raise GoRegexError("invalid character class range", text[start : self.at])
        return _members_of(name), negative

    def _class(self) -> str:
        text, start = self.text, self.at - 1
        negative = text.startswith("^", self.at)
        if negative:
            self.at += 1
        parts: list[str] = []
        first = True
        while self.at >= len(text) or text[self.at] != "]" or first:
            if self.at >= len(text):
                raise GoRegexError("missing closing ]", text[start:])
            first = False
            parts.append(self._class_item(start))
        self.at += 1
        outside = [p[1:] for p in parts if p.startswith("\0")]
        inside = "".join(p for p in parts if not p.startswith("\0"))
        if not outside:
            return f"[{'^' if negative else ''}{inside}]"
        # Python's classes have no negated members: say it as alternatives.
        choices = [f"[{inside}]"] if inside else []
        choices += [f"[^{p}]" for p in outside]
        any_of = "|".join(choices)
        return f"(?:(?!{any_of})[\\s\\S])" if negative else f"(?:{any_of})"

    def _class_item(self, start: int) -> str:
        """One member; a negated one starts with a NUL."""
        text = self.text
        if posix := _POSIX_CLASS.match(text, self.at):
            if posix[2] not in _POSIX:
                raise GoRegexError("invalid character class range", posix[0])
            self.at = posix.end()
            return ("\0" if posix[1] else "") + _POSIX[posix[2]]
        if text.startswith("\\", self.at) and self.at + 1 < len(text):
            c = text[self.at + 1]
            if c.lower() in _PERL:
                self.at += 2
                return ("\0" if c.isupper() else "") + _PERL[c.lower()]
            if c in "pP":
                self.at += 1
                inside, negative = self._category()
                return ("\0" if negative else "") + inside
        begin = self.at
        low = self._class_character(start)
        if not (text.startswith("-", self.at) and text[self.at + 1 : self.at + 2] not in ("", "]")):
            return _literal(low)
        self.at += 1
        high = self._class_character(start)
        if high < low:
            raise GoRegexError("invalid character class range", text[begin : self.at])
        return f"{_literal(low)}-{_literal(high)}"

    def _class_character(self, start: int) -> str:
        if self.at >= len(self.text):
            raise GoRegexError("missing closing ]", self.text[start:])
        c = self.text[self.at]
        self.at += 1
        return self._character() if c == "\\" else c


_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_HEXADECIMAL = re.compile(r"\{([0-9a-fA-F]+)\}|([0-9a-fA-F]{2})")
_OCTAL = re.compile(r"[0-7]{1,3}")
_POSIX_CLASS = re.compile(r"\[:(\^?)([a-z]+):\]")


@lru_cache(maxsize=64)
def _members_of(name: str) -> str:
    """A Unicode category or script as ranges of a character class."""
    if name == "Any":
        return r"\x00-\U0010ffff"
    ranges: list[str] = []
    start = -1
    for point in range(sys.maxunicode + 2):
        inside = point <= sys.maxunicode and _belongs(chr(point), name)
        if inside and start < 0:
            start = point
        elif not inside and start >= 0:
            ranges.append(f"\\U{start:08x}-\\U{point - 1:08x}")
            start = -1
    return "".join(ranges)


def _belongs(c: str, name: str) -> bool:
    if name in _SCRIPTS:
        return unicodedata.name(c, "").startswith(_SCRIPTS[name])
    return unicodedata.category(c).startswith(name)
