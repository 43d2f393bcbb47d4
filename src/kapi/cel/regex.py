"""Regular expressions of CEL: Go's, run by Python's `re` (`schema/go_regex.py`)."""

from __future__ import annotations

import re
from collections.abc import Callable

from kapi.cel.values import EvalError
from kapi.schema.go_regex import GoRegexError, compile_go

Found = Callable[[str], "re.Match[str] | None"]


def compiled(pattern: str) -> re.Pattern[str]:
    """Raises EvalError with Go's words."""
    try:
        return compile_go(pattern)
    except GoRegexError as e:
        raise EvalError(str(e)) from None


def find(pattern: str) -> Found:
    return compiled(pattern).search
