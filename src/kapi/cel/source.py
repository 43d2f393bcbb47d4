"""The text of an expression, and what is wrong with it, as CEL compilers show it.

An issue is printed with its line and a mark below the place:

    ERROR: <input>:1:5: undefined field 'zz'
     | self.zz > 1
     | ....^

Positions are offsets in code points; lines count from 1, columns are printed from 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

ISSUES_MAX = 100  # issues that are printed; the rest is counted
NOWHERE = -1  # the offset of an issue that has no place


@dataclass(frozen=True, slots=True)
class Issue:
    offset: int
    text: str


class CompileError(Exception):
    """An expression does not compile; the text is that of all issues."""

    def __init__(self, source: str, issues: Sequence[Issue]) -> None:
        self.issues = sorted(issues, key=lambda issue: issue.offset)
        super().__init__(_show(source, self.issues))


def _show(source: str, issues: Sequence[Issue]) -> str:
    lines = source.split("\n")
    shown = [_show_one(lines, issue) for issue in issues[:ISSUES_MAX]]
    if len(issues) > ISSUES_MAX:
        shown.append(f"{len(issues) - ISSUES_MAX} more errors were truncated")
    return "\n".join(shown)


def _show_one(lines: Sequence[str], issue: Issue) -> str:
    if issue.offset == NOWHERE:
        return f"ERROR: <input>:-1:0: {issue.text}"
    if lines == [""]:
        return f"ERROR: <input>:1:0: {issue.text}"
    line, column = place(lines, issue.offset)
    text = lines[line - 1]
    dots = "".join("．" if _wide(c) else "." for c in text[:column])
    mark = "＾" if column < len(text) and _wide(text[column]) else "^"
    shown = text.replace("\t", " ")
    return f"ERROR: <input>:{line}:{column + 1}: {issue.text}\n | {shown}\n | {dots}{mark}"


def place(lines: Sequence[str], offset: int) -> tuple[int, int]:
    """The line, from 1, and the column, from 0, of an offset."""
    for i, text in enumerate(lines):
        if offset <= len(text) or i == len(lines) - 1:
            return i + 1, offset
        offset -= len(text) + 1
    return 1, offset


def _wide(c: str) -> bool:
    return ord(c) > 0x7F
